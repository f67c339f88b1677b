//! The model: one queue and its dead-letter queue as plain lists.

/// Longest time that a lease lasts, milliseconds.
const LEASE_MAX: u64 = 12 * 60 * 60 * 1000;

/// The queue's options.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub capacity: Option<u64>,
    pub drop_oldest: bool,
    pub max_attempts: Option<u32>,
    pub dead_letter_named: bool,
    pub dead_letter_off: bool,
    pub ttl: Option<u64>,
    pub lease: u64,
    pub backoff: u64,
    pub priorities: u32,
    pub least_loaded: bool,
    pub single_active_consumer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Delayed {
        due: u64,
    },
    Reserved {
        consumer: usize,
        since: u64,
    },
    Leased {
        delivery: u64,
        ends: u64,
        consumer: Option<usize>,
        kept: bool,
        began: u64,
    },
    Held {
        since: u64,
        expired: bool,
    },
}

#[derive(Clone, Copy, Debug)]
struct Message {
    name: u64,
    /// Place in the order of acceptance.
    place: u64,
    priority: u8,
    attempt: u32,
    expires: Option<u64>,
    seen: bool,
    state: State,
}

/// A push consumer.
#[derive(Clone, Copy, Debug)]
struct Consumer {
    prefetch: usize,
    auto_ack: bool,
}

/// What a consumer must get.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    pub name: u64,
    pub attempt: u32,
    pub redelivered: bool,
    pub delivery: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub states: (u64, u64, u64),
    pub expired: u64,
    pub dead_lettered: u64,
    pub dropped: u64,
}

/// Why a message leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Rejected,
    Expired,
    MaxAttempts,
    Overflow,
}

pub struct Reference {
    rules: Rules,
    now: u64,
    places: u64,
    deliveries: u64,
    holds: u64,
    messages: Vec<Message>,
    dead: Vec<Message>,
    counts: Counts,
    /// All that were ever opened.
    consumers: Vec<Consumer>,
    /// Those that are open, in the order of opening, and whose turn it is.
    open: Vec<usize>,
    turn: usize,
    reservations: u64,
}

impl Reference {
    pub fn new(rules: Rules) -> Reference {
        Reference {
            rules,
            now: 0,
            places: 0,
            deliveries: 0,
            holds: 0,
            messages: Vec::new(),
            dead: Vec::new(),
            counts: Counts::default(),
            consumers: Vec::new(),
            open: Vec::new(),
            turn: 0,
            reservations: 0,
        }
    }

    pub fn open_consumer(&mut self, prefetch: usize, auto_ack: bool) {
        self.open.push(self.consumers.len());
        self.consumers.push(Consumer { prefetch, auto_ack });
        self.reserve();
    }

    pub fn close_consumer(&mut self, consumer: usize) {
        let Some(at) = self.open.iter().position(|open| *open == consumer) else {
            return;
        };
        self.open.remove(at);
        self.turn -= usize::from(at < self.turn);
        for message in &mut self.messages {
            if matches!(message.state, State::Reserved { consumer: own, .. } if own == consumer) {
                message.state = State::Ready;
            }
        }
        self.reserve();
    }

    /// What is reserved for a consumer or in its hands.
    fn load(&self, consumer: usize) -> usize {
        let of_it = |message: &&Message| match message.state {
            State::Reserved { consumer: own, .. } => own == consumer,
            State::Leased { consumer: own, .. } => own == Some(consumer),
            _ => false,
        };
        self.messages.iter().filter(of_it).count()
    }

    /// Nothing is ready that a consumer has credit for: after every step and every event.
    pub fn reserve(&mut self) {
        while let Some(at) = self.first(false)
            && let Some(consumer) = self.next_consumer()
        {
            self.reservations += 1;
            let since = self.reservations;
            self.messages[at].state = State::Reserved { consumer, since };
        }
    }

    fn next_consumer(&mut self) -> Option<usize> {
        let has_credit = |at: &usize| {
            let consumer = self.open[*at];
            self.load(consumer) < self.consumers[consumer].prefetch
        };
        if self.rules.single_active_consumer {
            return (!self.open.is_empty() && has_credit(&0)).then(|| self.open[0]);
        }
        let count = self.open.len();
        let mut in_turn = (0..count).map(|offset| (self.turn.min(count) + offset) % count.max(1));
        let at = if self.rules.least_loaded {
            in_turn
                .filter(has_credit)
                .min_by_key(|at| self.load(self.open[*at]))?
        } else {
            in_turn.find(has_credit)?
        };
        self.turn = (at + 1) % count;
        Some(self.open[at])
    }

    /// What a consumer is handed next. `None`: it is closed.
    pub fn take(&mut self, consumer: usize) -> Option<Option<Expected>> {
        if !self.open.contains(&consumer) {
            return None;
        }
        let first = (0..self.messages.len())
            .filter_map(|at| match self.messages[at].state {
                State::Reserved {
                    consumer: own,
                    since,
                } if own == consumer => Some((since, at)),
                _ => None,
            })
            .min();
        let auto_ack = self.consumers[consumer].auto_ack;
        let taken = first.map(|(_, at)| self.hand_over(at, false, auto_ack, Some(consumer)));
        self.reserve();
        Some(taken)
    }

    /// From now on the lease of a delivery is renewed.
    pub fn keep(&mut self, delivery: u64, keep: bool) -> bool {
        let found = self.leased(delivery);
        if let Some(at) = found
            && let State::Leased { kept, .. } = &mut self.messages[at].state
        {
            *kept = keep;
        }
        found.is_some()
    }

    fn full(&self, len: usize) -> bool {
        self.rules.capacity.is_some_and(|most| len as u64 >= most)
    }

    pub fn produce(
        &mut self,
        name: u64,
        priority: u8,
        delay: Option<u64>,
        ttl: Option<u64>,
    ) -> bool {
        if self.full(self.messages.len()) {
            let dead_full = !self.rules.dead_letter_off && self.full(self.dead.len());
            let oldest = (0..self.messages.len())
                .filter(|at| self.messages[*at].state == State::Ready)
                .min_by_key(|at| (self.messages[*at].priority, self.messages[*at].place));
            match oldest {
                Some(at) if self.rules.drop_oldest && !dead_full => self.leave(at, Cause::Overflow),
                _ => return false,
            }
        }
        let ttl = match (ttl, self.rules.ttl) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.places += 1;
        self.messages.push(Message {
            name,
            place: self.places,
            priority,
            attempt: 0,
            expires: ttl.map(|ttl| self.now + ttl),
            seen: false,
            state: delay.map_or(State::Ready, |delay| State::Delayed {
                due: self.now + delay,
            }),
        });
        true
    }

    /// A message leaves the queue: dead-lettered, held, or discarded.
    fn leave(&mut self, at: usize, cause: Cause) {
        if cause == Cause::Expired {
            self.counts.expired += 1;
        }
        if cause == Cause::Overflow {
            self.counts.dropped += 1;
        }
        let discards = self.rules.dead_letter_off
            || (cause == Cause::Expired && !self.rules.dead_letter_named);
        if discards {
            if matches!(cause, Cause::Rejected | Cause::MaxAttempts) {
                self.counts.dropped += 1;
            }
            self.remove(at);
        } else if self.full(self.dead.len()) {
            self.holds += 1;
            self.messages[at].state = State::Held {
                since: self.holds,
                expired: cause == Cause::Expired,
            };
        } else {
            self.bury(at);
        }
    }

    fn bury(&mut self, at: usize) {
        self.counts.dead_lettered += 1;
        let mut message = self.messages.remove(at);
        self.places += 1;
        message.place = self.places;
        message.state = State::Ready;
        message.attempt = 0;
        message.seen = false;
        message.expires = None;
        // The dead-letter queue that is created when first needed has one priority.
        message.priority = 0;
        self.dead.push(message);
    }

    fn remove(&mut self, at: usize) {
        self.messages.remove(at);
    }

    /// There is room for dead letters again: those held longest go first.
    fn retry_held(&mut self) {
        while !self.full(self.dead.len()) {
            let longest = (0..self.messages.len())
                .filter_map(|at| match self.messages[at].state {
                    State::Held { since, .. } => Some((since, at)),
                    _ => None,
                })
                .min();
            match longest {
                Some((_, at)) => self.bury(at),
                None => return,
            }
        }
    }

    pub fn consume(&mut self, dead: bool, auto_ack: bool) -> Option<Expected> {
        if !dead && self.rules.single_active_consumer && !self.open.is_empty() {
            return None;
        }
        let at = self.first(dead)?;
        Some(self.hand_over(at, dead, auto_ack, None))
    }

    /// The message that is delivered next.
    fn first(&self, dead: bool) -> Option<usize> {
        let list = if dead { &self.dead } else { &self.messages };
        (0..list.len())
            .filter(|at| list[*at].state == State::Ready)
            .min_by_key(|at| (u8::MAX - list[*at].priority, list[*at].place))
    }

    fn hand_over(
        &mut self,
        at: usize,
        dead: bool,
        auto_ack: bool,
        consumer: Option<usize>,
    ) -> Expected {
        self.deliveries += 1;
        let list = if dead {
            &mut self.dead
        } else {
            &mut self.messages
        };
        let message = &mut list[at];
        message.attempt += 1;
        let expected = Expected {
            name: message.name,
            attempt: message.attempt,
            redelivered: message.seen,
            delivery: self.deliveries,
        };
        message.seen = true;
        message.state = State::Leased {
            delivery: self.deliveries,
            ends: self.now + self.rules.lease,
            consumer,
            kept: false,
            began: self.now,
        };
        if auto_ack {
            list.remove(at);
            if dead {
                self.retry_held();
            }
        }
        expected
    }

    fn leased(&self, delivery: u64) -> Option<usize> {
        self.messages.iter().position(
            |message| matches!(message.state, State::Leased { delivery: own, .. } if own == delivery),
        )
    }

    pub fn ack(&mut self, delivery: u64) -> bool {
        let found = self.leased(delivery);
        if let Some(at) = found {
            self.remove(at);
        }
        found.is_some()
    }

    pub fn nack(&mut self, delivery: u64, delay: Option<u64>) -> bool {
        let Some(at) = self.leased(delivery) else {
            return false;
        };
        let attempt = self.messages[at].attempt;
        if self.rules.max_attempts.is_some_and(|most| attempt >= most) {
            self.leave(at, Cause::MaxAttempts);
        } else {
            let wait = delay.unwrap_or((self.rules.backoff << (attempt - 1).min(20)).min(1000));
            self.put_back(at, self.now + wait);
        }
        true
    }

    pub fn reject(&mut self, delivery: u64) -> bool {
        let found = self.leased(delivery);
        if let Some(at) = found {
            self.leave(at, Cause::Rejected);
        }
        found.is_some()
    }

    pub fn release(&mut self, delivery: u64) -> bool {
        let found = self.leased(delivery);
        if let Some(at) = found {
            self.messages[at].attempt -= 1;
            self.put_back(at, self.now);
        }
        found.is_some()
    }

    pub fn extend(&mut self, delivery: u64, by: u64) -> bool {
        let found = self.leased(delivery);
        if let Some(at) = found
            && let State::Leased { ends, .. } = &mut self.messages[at].state
        {
            *ends = self.now + by;
        }
        found.is_some()
    }

    fn put_back(&mut self, at: usize, due: u64) {
        if self.messages[at].expires.is_some_and(|end| end <= self.now) {
            self.leave(at, Cause::Expired);
        } else if due > self.now {
            self.messages[at].state = State::Delayed { due };
        } else {
            self.messages[at].state = State::Ready;
        }
    }

    pub fn purge(&mut self) -> u64 {
        let before = self.messages.len();
        self.messages.retain(|message| {
            matches!(message.state, State::Leased { .. } | State::Reserved { .. })
        });
        (before - self.messages.len()) as u64
    }

    pub fn redrive(&mut self, max: Option<u64>) -> u64 {
        let mut moved = 0;
        while max.is_none_or(|max| moved < max)
            && !self.dead.is_empty()
            && !self.full(self.messages.len())
        {
            let mut message = self.dead.remove(0);
            self.places += 1;
            message.place = self.places;
            message.expires = self.rules.ttl.map(|ttl| self.now + ttl);
            self.messages.push(message);
            moved += 1;
        }
        self.retry_held();
        moved
    }

    /// Everything that is due fires in the order of its time; at the same time first ends of leases, then delays, then times to live.
    pub fn pass(&mut self, to: u64) {
        while let Some((time, _, _, at)) = self.next_event(to) {
            self.now = self.now.max(time);
            match &mut self.messages[at].state {
                State::Leased {
                    ends,
                    kept: true,
                    began,
                    ..
                } if *ends == time && time < *began + LEASE_MAX => {
                    *ends = (time + self.rules.lease).min(*began + LEASE_MAX);
                }
                State::Leased { ends, .. } if *ends == time => self.end_lease(at),
                State::Delayed { due } if *due == time => self.messages[at].state = State::Ready,
                _ => self.leave(at, Cause::Expired),
            }
            self.reserve();
        }
        self.now = to;
    }

    fn end_lease(&mut self, at: usize) {
        let attempt = self.messages[at].attempt;
        if self.rules.max_attempts.is_some_and(|most| attempt >= most) {
            self.leave(at, Cause::MaxAttempts);
        } else {
            self.put_back(at, self.now);
        }
    }

    fn next_event(&self, to: u64) -> Option<(u64, u8, u64, usize)> {
        let events = self.messages.iter().enumerate().flat_map(|(at, message)| {
            let own = match message.state {
                State::Leased { ends, delivery, .. } => Some((ends, 0, delivery, at)),
                State::Delayed { due } => Some((due, 1, message.place, at)),
                State::Ready | State::Reserved { .. } | State::Held { .. } => None,
            };
            let waits = matches!(
                message.state,
                State::Ready | State::Reserved { .. } | State::Delayed { .. }
            );
            let expiry = message.expires.filter(|_| waits);
            own.into_iter()
                .chain(expiry.map(|end| (end, 2, message.place, at)))
        });
        events.filter(|(time, ..)| *time <= to).min()
    }

    pub fn stats(&self) -> Counts {
        let mut counts = self.counts;
        for message in &self.messages {
            match message.state {
                State::Ready => counts.states.0 += 1,
                State::Delayed { .. } | State::Held { .. } => counts.states.1 += 1,
                State::Leased { .. } | State::Reserved { .. } => counts.states.2 += 1,
            }
        }
        counts
    }

    /// The ready messages in the order in which they would be delivered.
    pub fn ready_names(&self) -> Vec<u64> {
        let mut ready: Vec<&Message> = self
            .messages
            .iter()
            .filter(|message| message.state == State::Ready)
            .collect();
        ready.sort_by_key(|message| (u8::MAX - message.priority, message.place));
        ready.iter().map(|message| message.name).collect()
    }
}
