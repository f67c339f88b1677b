//! What the hall keeps of one queue: what waits, who waits, and the counts.

use std::collections::VecDeque;

use crate::deliver::Turns;
use crate::model::collections::BTreeSet;
use crate::model::{CallId, Departure, QueueId, QueueStats, SessionId, Time};
use crate::produce::{Remembered, Usage};
use crate::queue::{Position, Schedule, Waiting};
use crate::store::State;

/// A message that should be dead-lettered and waits for room there.
#[derive(Debug)]
pub(super) struct Held {
    pub position: Position,
    pub cause: Departure,
    pub detail: Option<String>,
}

/// Counts of one queue. `removed` is every message that has left, for whatever reason.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub ready: u64,
    pub delayed: u64,
    pub leased: u64,
    pub bytes: u64,
    pub produced: u64,
    pub removed: u64,
    pub acked: u64,
    pub nacked: u64,
    pub rejected: u64,
    pub released: u64,
    pub expired: u64,
    pub dead_lettered: u64,
    pub redelivered: u64,
    pub dropped: u64,
}

impl Counts {
    /// The count in which a message of this state stands.
    #[inline]
    pub fn of(&mut self, state: State) -> &mut u64 {
        match state {
            State::Ready | State::Hidden | State::Parked => &mut self.ready,
            State::Delayed | State::HiddenDelayed | State::Held => &mut self.delayed,
            State::Leased | State::Reserved => &mut self.leased,
        }
    }

    #[inline]
    pub fn size(&self) -> u64 {
        self.ready + self.delayed + self.leased
    }

    #[inline]
    pub fn usage(&self) -> Usage {
        Usage {
            messages: self.size(),
            bytes: self.bytes,
        }
    }

    /// Counts what was decided of a message: at once, even when it is then held.
    pub fn verdict(&mut self, cause: Departure) {
        match cause {
            Departure::Rejected => self.rejected += 1,
            Departure::Expired => self.expired += 1,
            Departure::Overflow => self.dropped += 1,
            Departure::Acked => self.acked += 1,
            Departure::MaxAttempts | Departure::Taken => {}
        }
    }

    /// Takes back the verdict on a held message: whoever holds it again, after an opening, counts it again.
    pub fn take_back_verdict(&mut self, cause: Departure) {
        match cause {
            Departure::Rejected => self.rejected -= 1,
            Departure::Expired => self.expired -= 1,
            Departure::Overflow => self.dropped -= 1,
            Departure::Acked | Departure::MaxAttempts | Departure::Taken => {}
        }
    }

    /// Counts what became of a message that leaves.
    pub fn fate(&mut self, cause: Departure, moved: bool) {
        self.removed += 1;
        match cause {
            Departure::Rejected | Departure::MaxAttempts if !moved => self.dropped += 1,
            Departure::Acked | Departure::Taken => {}
            _ if moved => self.dead_lettered += 1,
            _ => {}
        }
    }

    pub fn stats(&self, name: &str, capacity: Option<u64>) -> QueueStats {
        let around = |count: u64| capacity.map_or(count, |capacity| count % capacity);
        QueueStats {
            name: name.to_owned(),
            ready: self.ready,
            delayed: self.delayed,
            leased: self.leased,
            held: 0,
            bytes: self.bytes,
            produced: self.produced,
            acked: self.acked,
            nacked: self.nacked,
            rejected: self.rejected,
            released: self.released,
            expired: self.expired,
            dead_lettered: self.dead_lettered,
            redelivered: self.redelivered,
            dropped: self.dropped,
            oldest_age: 0,
            head: around(self.removed),
            tail: around(self.produced),
            size: self.size(),
            capacity,
        }
    }

    /// Takes the counts that a checkpoint kept; what waits was counted as it was read, and what was produced and is not there has gone: removed, or with the memory that it was in.
    pub fn restore(&mut self, stats: &QueueStats) {
        *self = Counts {
            ready: self.ready,
            delayed: self.delayed,
            leased: self.leased,
            bytes: self.bytes,
            produced: stats.produced,
            removed: stats.produced.saturating_sub(self.size()),
            acked: stats.acked,
            nacked: stats.nacked,
            rejected: stats.rejected,
            released: stats.released,
            expired: stats.expired,
            dead_lettered: stats.dead_lettered,
            redelivered: stats.redelivered,
            dropped: stats.dropped,
        }
    }
}

/// One queue, as the hall sees it.
#[derive(Debug)]
pub(super) struct Line {
    pub id: QueueId,
    pub waiting: Waiting,
    pub counts: Counts,
    /// When leases end.
    pub deadlines: Schedule,
    /// Who gets the next message: consumers that wait for one, and push consumers.
    pub consumers: Turns,
    /// Producers that wait for room.
    pub producers: VecDeque<CallId>,
    /// Messages that wait for room in the dead-letter queue.
    pub held: VecDeque<Held>,
    /// The queues whose dead letters wait for room here.
    pub holders: BTreeSet<u32>,
    /// Whether it stands among the queues with a message that somebody may wait for.
    pub unserved: bool,
    /// The dedup ids of what it has accepted, while their window lasts.
    pub ids: Option<Box<Remembered>>,
    /// When some of them are forgotten.
    pub forgets_at: Time,
    /// The session that it belongs to, if it is exclusive.
    pub owner: Option<SessionId>,
    /// When it was used last.
    pub used: Time,
    /// When it could be unused for too long.
    pub unused_at: Time,
    /// When the agenda looks at this queue at the latest.
    pub wakeup: Time,
}

impl Line {
    pub fn new(id: QueueId, priorities: u32, ordered_keys: bool) -> Line {
        Line {
            id,
            waiting: Waiting::new(priorities, ordered_keys),
            counts: Counts::default(),
            deadlines: Schedule::default(),
            consumers: Turns::default(),
            producers: VecDeque::new(),
            held: VecDeque::new(),
            holders: BTreeSet::new(),
            unserved: false,
            ids: None,
            forgets_at: Time::NEVER,
            owner: None,
            used: Time(0),
            unused_at: Time::NEVER,
            wakeup: Time::NEVER,
        }
    }

    /// When something here falls due next.
    pub fn next(&self) -> Time {
        let messages = self.waiting.next().min(self.deadlines.next());
        messages.min(self.forgets_at).min(self.unused_at)
    }
}
