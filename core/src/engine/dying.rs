//! The ways a message leaves its queue: settled, expired, pushed out, dead-lettered, redriven.

use std::sync::Arc;

use crate::model::deliberate::{self, Deliberate};
use crate::model::{
    DeadLetter, Departure, Durability, ExchangeId, MessageId, Properties, QueueId, QueueOptions,
    QueueSpec, Time,
};
use crate::produce::Load;
use crate::queue::Position;
use crate::reclaim::Note;
use crate::settle::{dead_letter, origin, redriven};
use crate::store::{About, Accepted, Moved, Record, Resident, State};

use super::entering::cost;
use super::line::Held;
use super::{Engine, Noticed, Outcome, Reply, Step};

/// Where a dead letter goes.
enum Grave {
    /// Nowhere: it is discarded.
    None,
    /// To these queues, which have room.
    Queues(Vec<u32>),
    /// Nowhere yet: this queue has no room, or no queue is bound.
    Later(Option<u32>),
}

impl Engine {
    /// A message leaves for good. It has been taken off its list.
    #[inline]
    pub(super) fn depart(&mut self, slot: u32, cause: Departure) {
        if self.log.is_some()
            && let Some(resident) = self.messages.get(slot)
            && resident.level > Durability::Memory
        {
            let (message, about) = (resident.id, About::Queue(resident.queue));
            self.record_of(about, &Record::Removed { message, cause });
        }
        self.take_out(slot, cause, false);
    }

    /// Takes a message out of the table and the counts, and lets follow who waited for it: the next of its key, whoever waits for room.
    #[inline]
    pub(super) fn take_out(&mut self, slot: u32, cause: Departure, moved: bool) {
        let Some(resident) = self.messages.get(slot) else {
            return;
        };
        let (id, state, index) = (resident.id, resident.state, resident.queue);
        let expires = resident.expires_at < Time::NEVER;
        let line = self.lines[index as usize]
            .as_mut()
            .expect("a message's queue has a line");
        *line.counts.of(state) -= 1;
        line.counts.bytes -= resident.body.len() as u64;
        if state != State::Held {
            line.counts.verdict(cause);
        }
        line.counts.fate(cause, moved);
        if !line.producers.is_empty() || !line.holders.is_empty() {
            self.freed.insert(index);
        }
        self.memory -= cost(&resident.body, resident.properties.as_ref());
        if self.log.is_some() && resident.level > Durability::Memory {
            self.notes.push(Note::Gone(id));
        }
        if self.memory_short {
            self.memory_short = false;
            self.freed.extend(self.blocked.iter().copied());
        }
        if !self.reasons.is_empty() {
            self.reasons.remove(&id);
        }
        let keyed = line.waiting.ordered_keys() && state != State::Parked;
        let key = keyed.then(|| resident.properties.clone()).flatten();
        let priority = resident.priority;
        self.messages.remove(slot);
        if expires {
            let messages = &self.messages;
            line.waiting.expiring.forget(|due| {
                messages
                    .get(due.slot)
                    .is_some_and(|resident| resident.id.0 == due.id)
            });
        }
        if let Some(key) = key
            .as_ref()
            .and_then(|properties| properties.key.as_deref())
        {
            self.let_follow(index, key, Position { id, slot }, priority);
        }
    }

    /// The head of a key has gone: the message behind it may go.
    fn let_follow(&mut self, index: u32, key: &str, gone: Position, priority: u8) {
        let Some(Some(line)) = self.lines.get_mut(index as usize) else {
            return;
        };
        let messages = &self.messages;
        let parked = |position: Position| messages.is(position.slot, position.id, State::Parked);
        let Some(next) = line.waiting.advance(key, gone, parked) else {
            return;
        };
        if next.due > self.now {
            self.delay(index, next.position, next.due);
        } else {
            self.set_state(next.position.slot, State::Ready);
            let line = self.line_at(index);
            line.waiting.put_back(priority, next.position);
            self.serve(index);
        }
    }

    /// Takes a waiting message off whatever list it stands on.
    pub(super) fn detach(&mut self, slot: u32) {
        let Some(resident) = self.messages.get(slot) else {
            return;
        };
        let (index, priority, state) = (resident.queue, resident.priority, resident.state);
        let key = resident.properties.as_ref().and_then(|p| p.key.clone());
        let gone = Position {
            id: resident.id,
            slot,
        };
        let messages = &self.messages;
        let Some(Some(line)) = self.lines.get_mut(index as usize) else {
            return;
        };
        let stays = |position: Position, state| {
            position != gone && messages.is(position.slot, position.id, state)
        };
        match state {
            State::Ready => line
                .waiting
                .forget(priority, gone, |position| stays(position, State::Ready)),
            State::Parked => line
                .waiting
                .forget_parked(&key.unwrap_or_default(), |position| {
                    stays(position, State::Parked)
                }),
            State::Delayed => line.waiting.delayed.forget(|due| {
                let position = Position {
                    id: MessageId(due.id),
                    slot: due.slot,
                };
                stays(position, State::Delayed)
            }),
            State::Held => line.held.retain(|held| held.position != gone),
            State::Reserved => self.unreserve(index, gone),
            State::Leased | State::Hidden | State::HiddenDelayed => {}
        }
    }

    /// A message is dead: to its dead-letter queue, discarded, or held until there is room. It has been taken off its list.
    pub(super) fn die(&mut self, slot: u32, cause: Departure, detail: Option<String>) {
        match self.grave(slot, cause, detail.as_deref()) {
            Grave::None => self.depart(slot, cause),
            Grave::Queues(targets) => self.bury(slot, &targets, cause, detail.as_deref()),
            Grave::Later(target) => self.hold(slot, target, cause, detail),
        }
    }

    fn grave(&mut self, slot: u32, cause: Departure, detail: Option<&str>) -> Grave {
        let Some(resident) = self.messages.get(slot) else {
            return Grave::None;
        };
        let load = Load {
            messages: 1,
            bytes: resident.body.len() as u64,
        };
        let key = resident.properties.as_ref().and_then(|p| p.key.clone());
        let index = resident.queue;
        let Some(queue) = self.topology.queue_at(index) else {
            return Grave::None;
        };
        let name = match &queue.spec.dead_letter {
            DeadLetter::Off => return Grave::None,
            DeadLetter::Default if cause == Departure::Expired => return Grave::None,
            DeadLetter::Default => format!("{}.dead", queue.name),
            DeadLetter::Queue(name) => name.clone(),
            DeadLetter::Exchange(exchange, routing) => {
                let routing = if routing.is_empty() {
                    key.unwrap_or_default()
                } else {
                    routing.clone()
                };
                let exchange = self.topology.exchange_named(exchange);
                return self.grave_by_exchange(slot, exchange, &routing, cause, detail, load);
            }
        };
        let target = self.dead_letter_queue(index, &name);
        if self.fits(target, load) {
            Grave::Queues(vec![target])
        } else {
            Grave::Later(Some(target))
        }
    }

    /// The exchange sees the dead letter as it will be, so that a headers exchange can tell why it is dead.
    fn grave_by_exchange(
        &self,
        slot: u32,
        exchange: Option<ExchangeId>,
        key: &str,
        cause: Departure,
        detail: Option<&str>,
        load: Load,
    ) -> Grave {
        let dead = self.dead_properties(slot, cause, detail);
        let targets = exchange
            .zip(dead)
            .map(|(exchange, dead)| self.targets(exchange, key, Some(&dead.headers)));
        match targets {
            Some(targets) if !targets.is_empty() => {
                match targets.iter().find(|target| !self.fits(**target, load)) {
                    Some(full) => Grave::Later(Some(*full)),
                    None => Grave::Queues(targets),
                }
            }
            _ => Grave::Later(None),
        }
    }

    /// The dead-letter queue of this name, created when first needed: bounded like its source, with unlimited attempts and none of its own.
    fn dead_letter_queue(&mut self, source: u32, name: &str) -> u32 {
        if let Some(queue) = self.topology.queue_named(name) {
            return queue.index;
        }
        let source = self.topology.queue_at(source).map(|queue| &queue.spec);
        let options = QueueOptions {
            capacity: source.map(|spec| spec.capacity),
            capacity_bytes: source.map(|spec| spec.capacity_bytes),
            durability: source.map(|spec| spec.durability),
            lease: source.map(|spec| spec.lease),
            max_attempts: Some(None),
            dead_letter: Some(DeadLetter::Off),
            ..QueueOptions::default()
        };
        let spec = QueueSpec::default().with(name, &options);
        let spec = spec.expect("the options of a queue in force fit its dead-letter queue");
        self.create_queue_for_the_dead(name, spec)
    }

    fn fits(&self, index: u32, load: Load) -> bool {
        let line = self.lines.get(index as usize).and_then(Option::as_ref);
        match (self.topology.queue_at(index), line) {
            (Some(queue), Some(line)) => line.counts.usage().has_room(&queue.spec, load),
            _ => false,
        }
    }

    /// Whether so much can be dead-lettered from a queue, or need not be.
    pub(super) fn has_room_for_dead(&self, index: u32, load: Load) -> bool {
        let Some(queue) = self.topology.queue_at(index) else {
            return false;
        };
        let name = match &queue.spec.dead_letter {
            DeadLetter::Off | DeadLetter::Exchange(..) => return true,
            DeadLetter::Default => format!("{}.dead", queue.name),
            DeadLetter::Queue(name) => name.clone(),
        };
        match self.topology.queue_named(&name) {
            Some(target) => self.fits(target.index, load),
            None => true,
        }
    }

    /// Moves a dead message to where dead letters go: one atomic step.
    fn bury(&mut self, slot: u32, targets: &[u32], cause: Departure, detail: Option<&str>) {
        if let Some(properties) = self.dead_properties(slot, cause, detail)
            && let Some(resident) = self.messages.get(slot)
        {
            self.notice(resident.queue, Noticed::DeadLettered(cause));
            self.transfer(slot, targets, &properties, cause, true);
        }
    }

    /// What a message carries once it is dead.
    fn dead_properties(
        &self,
        slot: u32,
        cause: Departure,
        detail: Option<&str>,
    ) -> Option<Arc<Properties>> {
        let resident = self.messages.get(slot)?;
        let detail = detail.or_else(|| self.reasons.get(&resident.id).map(String::as_str));
        let queue = self.topology.queue_at(resident.queue);
        Some(dead_letter(
            resident.properties.as_ref(),
            cause,
            queue.map_or("", |queue| &queue.name),
            resident.attempt,
            detail,
            self.now,
        ))
    }

    /// Takes a message out of its queue and lets it begin anew in others.
    fn transfer(
        &mut self,
        slot: u32,
        targets: &[u32],
        properties: &Arc<Properties>,
        cause: Departure,
        dead: bool,
    ) {
        let Some(old) = self.messages.get(slot) else {
            return;
        };
        let old = Accepted {
            properties: Some(Arc::clone(properties)),
            ..self.accepted(old, Time(0))
        };
        self.take_out(slot, cause, dead);
        let mut from = Some(old.id);
        for &index in targets {
            let Some(queue) = self.topology.queue_at(index) else {
                continue;
            };
            self.last_message.0 += 1;
            let ttl = queue.spec.ttl;
            let highest = queue.spec.priorities - 1;
            let resident = Resident {
                id: self.last_message,
                body: Arc::clone(&old.body),
                properties: old.properties.clone(),
                produced_at: old.produced_at,
                expires_at: ttl.map_or(Time::NEVER, |ttl| self.now.after(ttl)),
                queue: index,
                attempt: 0,
                state: State::Ready,
                priority: old.priority.min(highest as u8),
                level: old.level,
                redelivered: false,
            };
            if self.log.is_some() && old.level > Durability::Memory {
                let to = self.accepted(&resident, Time(0));
                if deliberate::is(Deliberate::MoveTwice) {
                    from = None;
                }
                self.record(&Record::Moved(Moved {
                    from: from.take(),
                    to,
                    cause,
                }));
            }
            self.enter(resident, Time(0));
        }
    }

    /// A dead letter that finds no room stays in its source, counted, until there is room.
    pub(super) fn hold(
        &mut self,
        slot: u32,
        target: Option<u32>,
        cause: Departure,
        detail: Option<String>,
    ) {
        let Some(resident) = self.messages.get(slot) else {
            return;
        };
        let (index, id, level) = (resident.queue, resident.id, resident.level);
        let (state, priority) = (resident.state, resident.priority);
        let properties = resident.properties.clone();
        let detail = detail.or_else(|| self.reasons.get(&id).cloned());
        if self.log.is_some() && level > Durability::Memory {
            let record = Record::Held {
                message: id,
                cause,
                detail: detail.clone(),
            };
            self.record_of(About::Queue(index), &record);
        }
        self.notice(index, Noticed::Held);
        self.set_state(slot, State::Held);
        let line = self.line_at(index);
        line.counts.verdict(cause);
        line.held.push_back(Held {
            position: Position { id, slot },
            cause,
            detail,
        });
        self.holding.insert(index);
        if let Some(target) = target {
            self.line_at(target).holders.insert(index);
        }
        // It is dead: like one that could be moved at once, it holds back nothing of its key.
        if self.line_at(index).waiting.ordered_keys()
            && state != State::Parked
            && let Some(key) = properties.as_ref().and_then(|all| all.key.as_deref())
        {
            self.let_follow(index, key, Position { id, slot }, priority);
        }
    }

    /// Tries again to bury what a queue holds, in order, as far as there is room.
    pub(super) fn retry_held(&mut self, index: u32) {
        while let Some(Some(line)) = self.lines.get_mut(index as usize)
            && let Some(held) = line.held.pop_front()
        {
            let slot = held.position.slot;
            let detail = held.detail.as_deref();
            match self.grave(slot, held.cause, detail) {
                Grave::None => self.depart(slot, held.cause),
                Grave::Queues(targets) => self.bury(slot, &targets, held.cause, detail),
                Grave::Later(target) => {
                    self.line_at(index).held.push_front(held);
                    if let Some(target) = target {
                        self.line_at(target).holders.insert(index);
                    }
                    return;
                }
            }
        }
        self.holding.remove(&index);
        for line in self.lines.iter_mut().flatten() {
            line.holders.remove(&index);
        }
    }

    /// Sends ready dead letters back to where they came from, as far as that has room.
    pub(super) fn redrive(&mut self, queue: QueueId, max: Option<u64>) -> Step {
        let most = max.unwrap_or(u64::MAX);
        let candidates: Vec<Position> = self.line(queue)?.waiting.iter().collect();
        let mut moved = 0;
        for position in candidates {
            if moved == most {
                break;
            }
            let Some(resident) = self.ready(position) else {
                continue;
            };
            let load = Load {
                messages: 1,
                bytes: resident.body.len() as u64,
            };
            let target = origin(resident.properties.as_ref())
                .and_then(|name| self.topology.queue_named(name))
                .filter(|target| *target != queue && self.fits(target.index, load));
            if let Some(target) = target {
                let properties = redriven(resident.properties.as_ref());
                self.detach(position.slot);
                let targets = [target.index];
                self.transfer(
                    position.slot,
                    &targets,
                    &properties,
                    Departure::Taken,
                    false,
                );
                moved += 1;
            }
        }
        Ok(Outcome::Once(self.config.durability, Reply::Count(moved)))
    }
}
