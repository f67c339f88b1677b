//! One queue's waiting messages.

use std::collections::VecDeque;

use crate::model::collections::BTreeSet;
use crate::model::{Durability, MessageId, Time};

use super::chunked::Chunked;
use super::keys::{Claim, Keys, Parked};
use super::schedule::{Due, Schedule};

/// Messages of one priority among several that are looked at together.
const LOOKED_AT_TOGETHER: usize = 16;

/// Dead positions that are not worth tidying.
const DEAD_POSITIONS_MIN: usize = 64;

/// Where a message is: its id and its slot in the table. Positions order as acceptance did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Which message.
    pub id: MessageId,
    /// Where it is.
    pub slot: u32,
}

/// A message that nobody may see before the log has come as far as it asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// Which message.
    pub position: Position,
    /// How safe it asked to be.
    pub level: Durability,
    /// Which frame holds it.
    pub lsn: u64,
    /// Its delay ends then.
    pub due: Time,
}

/// The messages of one priority.
#[derive(Debug, Default)]
struct Lane {
    fresh: Chunked,
    returned: BTreeSet<Position>,
    hidden: VecDeque<Hidden>,
    dead: usize,
    /// How many of the next positions were looked at already.
    looked_at: usize,
}

impl Lane {
    /// The first live position; dead ones before it are dropped.
    #[inline]
    fn first(&mut self, live: &impl Fn(Position) -> bool) -> Option<Position> {
        let fresh = loop {
            match self.fresh.front() {
                Some(position) if !live(position) => {
                    self.fresh.pop();
                    self.dead = self.dead.saturating_sub(1);
                }
                front => break front,
            }
        };
        if self.returned.is_empty() {
            return fresh;
        }
        let returned = self.returned.first().copied();
        match (fresh, returned) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Looks at the messages that come next before they come, many at once: reads that do not wait for one another take a fraction of the time. Messages of one
    /// priority among many stand far apart in memory, where no cache expects the next.
    fn look_ahead(&mut self, look: impl Fn(Position) -> usize) {
        if self.looked_at == 0 {
            let next = self.fresh.first_few(LOOKED_AT_TOGETHER);
            std::hint::black_box(next.map(look).sum::<usize>());
            self.looked_at = LOOKED_AT_TOGETHER;
        }
        self.looked_at -= 1;
    }

    #[inline]
    fn take(&mut self, position: Position) {
        if self.fresh.front() == Some(position) {
            self.fresh.pop();
        } else {
            self.returned.remove(&position);
        }
    }

    fn iter(&self) -> impl Iterator<Item = Position> {
        let mut fresh = self.fresh.iter().peekable();
        let mut returned = self.returned.iter().copied().peekable();
        std::iter::from_fn(move || match (fresh.peek(), returned.peek()) {
            (Some(a), Some(b)) if b < a => returned.next(),
            (Some(_), _) => fresh.next(),
            (None, _) => returned.next(),
        })
    }
}

/// One queue's waiting messages: ready by priority, hidden, delayed, expiring, parked behind their key.
#[derive(Debug)]
pub struct Waiting {
    lanes: Vec<Lane>,
    keys: Option<Keys>,
    /// Those whose time has not come.
    pub delayed: Schedule,
    /// Those with a TTL.
    pub expiring: Schedule,
}

impl Waiting {
    /// Room for so many priorities, with or without ordered keys.
    #[must_use]
    pub fn new(priorities: u32, ordered_keys: bool) -> Waiting {
        Waiting {
            lanes: (0..priorities.max(1)).map(|_| Lane::default()).collect(),
            keys: ordered_keys.then(Keys::default),
            delayed: Schedule::default(),
            expiring: Schedule::default(),
        }
    }

    /// Whether keys are ordered here.
    #[must_use]
    #[inline]
    pub fn ordered_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Appends a message that was just accepted and can be seen.
    #[inline]
    pub fn push(&mut self, priority: u8, position: Position) {
        self.lanes[usize::from(priority)].fresh.push(position);
    }

    /// Puts a message back to its place.
    pub fn put_back(&mut self, priority: u8, position: Position) {
        self.lanes[usize::from(priority)].returned.insert(position);
    }

    /// The next message to deliver, taken out. `look` reads what will be read of a message when it is handed over.
    #[inline]
    pub fn pop(
        &mut self,
        live: impl Fn(Position) -> bool,
        look: impl Fn(Position) -> usize,
    ) -> Option<Position> {
        let many = self.lanes.len() > 1;
        for lane in self.lanes.iter_mut().rev() {
            if let Some(position) = lane.first(&live) {
                if many {
                    lane.look_ahead(look);
                }
                lane.take(position);
                return Some(position);
            }
        }
        None
    }

    /// The ready messages in the order in which they would be delivered, dead ones included.
    pub fn iter(&self) -> impl Iterator<Item = Position> {
        self.lanes.iter().rev().flat_map(Lane::iter)
    }

    /// The ready messages in the order in which `drop_oldest` gives them up, dead ones included.
    pub fn iter_dropping(&self) -> impl Iterator<Item = Position> {
        self.lanes.iter().flat_map(Lane::iter)
    }

    /// A ready message has gone from wherever it stood.
    pub fn forget(&mut self, priority: u8, position: Position, live: impl Fn(Position) -> bool) {
        let lane = &mut self.lanes[usize::from(priority)];
        if lane.returned.remove(&position) {
            return;
        }
        if lane.fresh.front() == Some(position) {
            lane.fresh.pop();
            return;
        }
        lane.dead += 1;
        if lane.dead > DEAD_POSITIONS_MIN && lane.dead > lane.fresh.len() / 2 {
            lane.fresh.retain(|position| live(*position));
            lane.dead = 0;
        }
    }

    /// Whether a message of this priority must stay hidden because an earlier one is.
    #[must_use]
    #[inline]
    pub fn hides(&self, priority: u8) -> bool {
        !self.lanes[usize::from(priority)].hidden.is_empty()
    }

    /// Appends a message that nobody may see yet.
    pub fn hide(&mut self, priority: u8, hidden: Hidden) {
        self.lanes[usize::from(priority)].hidden.push_back(hidden);
    }

    /// Whether any message is hidden.
    #[must_use]
    pub fn is_hiding(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.hidden.is_empty())
    }

    /// The first ready message of each priority.
    pub fn heads(&mut self, live: impl Fn(Position) -> bool) -> Vec<Position> {
        let lanes = self.lanes.iter_mut();
        lanes.filter_map(|lane| lane.first(&live)).collect()
    }

    /// Takes out the first hidden message of any priority that `safe` lets go.
    pub fn unhide(&mut self, safe: impl Fn(&Hidden) -> bool) -> Option<Hidden> {
        self.lanes.iter_mut().rev().find_map(|lane| {
            let first = lane.hidden.front()?;
            if safe(first) {
                lane.hidden.pop_front()
            } else {
                None
            }
        })
    }

    /// Claims a key for a message, or parks the message behind the key's head.
    pub fn claim(&mut self, key: &str, position: Position, due: Time) -> Claim {
        match &mut self.keys {
            Some(keys) => keys.claim(key, position, due),
            None => Claim::Granted,
        }
    }

    /// A key's head has gone: gives the message that follows it.
    pub fn advance(
        &mut self,
        key: &str,
        gone: Position,
        live: impl Fn(Position) -> bool,
    ) -> Option<Parked> {
        self.keys.as_mut()?.advance(key, gone, live)
    }

    /// A parked message has gone.
    pub fn forget_parked(&mut self, key: &str, live: impl Fn(Position) -> bool) {
        if let Some(keys) = &mut self.keys {
            keys.forget(key, live);
        }
    }

    /// Takes out everything that waits. Keys whose head `stays` remain claimed.
    pub fn drain(&mut self, stays: impl Fn(Position) -> bool) -> Vec<Position> {
        let mut drained = Vec::new();
        for lane in &mut self.lanes {
            drained.extend(lane.iter());
            drained.extend(lane.hidden.iter().map(|hidden| hidden.position));
            *lane = Lane::default();
        }
        for due in self.delayed.drain() {
            drained.push(Position {
                id: MessageId(due.id),
                slot: due.slot,
            });
        }
        if let Some(keys) = &mut self.keys {
            drained.extend(keys.drain(stays));
        }
        drained
    }

    /// When something here falls due next.
    #[must_use]
    pub fn next(&self) -> Time {
        self.delayed.next().min(self.expiring.next())
    }
}

impl Position {
    /// The entry that says when this message falls due.
    #[must_use]
    pub fn due(self, at: Time) -> Due {
        Due {
            at,
            id: self.id.0,
            slot: self.slot,
        }
    }
}
