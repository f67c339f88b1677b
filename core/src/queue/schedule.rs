//! What falls due when. Times that come in order go to a list, which costs nothing; others to a heap. Entries are forgotten lazily: the owner says which
//! are still live, and the schedule tidies itself once more than half of it is dead.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::model::Time;

/// Dead entries that are not worth tidying.
const DEAD_ENTRIES_MIN: usize = 64;

/// Something that falls due: its time, and a name with a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When.
    pub at: Time,
    /// What: a number never used again.
    pub id: u64,
    /// Where it is.
    pub slot: u32,
}

/// The schedule.
#[derive(Debug, Default)]
pub struct Schedule {
    in_order: VecDeque<Due>,
    others: BinaryHeap<Reverse<Due>>,
    dead: usize,
}

impl Schedule {
    /// Adds an entry.
    #[inline]
    pub fn push(&mut self, due: Due) {
        if self
            .in_order
            .back()
            .is_none_or(|last| (last.at, last.id) <= (due.at, due.id))
        {
            self.in_order.push_back(due);
        } else {
            self.others.push(Reverse(due));
        }
    }

    /// The earliest entry, dead or not.
    #[must_use]
    #[inline]
    pub fn first(&self) -> Option<Due> {
        match (self.in_order.front(), self.others.peek()) {
            (Some(a), Some(Reverse(b))) => Some(*a.min(b)),
            (Some(a), None) => Some(*a),
            (None, Some(Reverse(b))) => Some(*b),
            (None, None) => None,
        }
    }

    /// The earliest entry's time; `Time::NEVER` when there is none.
    #[must_use]
    #[inline]
    pub fn next(&self) -> Time {
        self.first().map_or(Time::NEVER, |due| due.at)
    }

    /// Takes the earliest entry out.
    pub fn pop(&mut self) -> Option<Due> {
        let first = self.first()?;
        if self.in_order.front() == Some(&first) {
            self.in_order.pop_front();
        } else {
            self.others.pop();
        }
        Some(first)
    }

    /// Notes that one entry has died, takes dead ones off the front, and tidies when most are dead.
    #[inline]
    pub fn forget(&mut self, live: impl Fn(&Due) -> bool) {
        self.dead += 1;
        while let Some(front) = self.in_order.front() {
            if live(front) {
                break;
            }
            self.in_order.pop_front();
            self.dead = self.dead.saturating_sub(1);
        }
        if self.dead > DEAD_ENTRIES_MIN && self.dead > self.len() / 2 {
            self.tidy(live);
        }
    }

    #[cold]
    fn tidy(&mut self, live: impl Fn(&Due) -> bool) {
        self.in_order.retain(|due| live(due));
        self.in_order.shrink_to(self.in_order.len() * 2);
        self.others.retain(|Reverse(due)| live(due));
        self.others.shrink_to(self.others.len() * 2);
        self.dead = 0;
    }

    /// Notes that a dead entry was taken out by `pop`.
    pub fn popped_dead(&mut self) {
        self.dead = self.dead.saturating_sub(1);
    }

    /// When an entry falls due.
    #[must_use]
    pub fn find(&self, id: u64, slot: u32) -> Option<Time> {
        let others = self.others.iter().map(|Reverse(due)| due);
        let mut all = self.in_order.iter().chain(others);
        all.find(|due| due.id == id && due.slot == slot)
            .map(|due| due.at)
    }

    /// Takes everything out.
    pub fn drain(&mut self) -> Vec<Due> {
        self.dead = 0;
        let mut all: Vec<Due> = self.in_order.drain(..).collect();
        all.extend(self.others.drain().map(|Reverse(due)| due));
        all
    }

    /// Entries, dead ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.in_order.len() + self.others.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(at: u64, id: u64) -> Due {
        Due {
            at: Time(at),
            id,
            slot: 0,
        }
    }

    #[test]
    fn gives_entries_in_the_order_of_their_times() {
        let mut schedule = Schedule::default();
        for (id, at) in [5, 1, 9, 9, 3, 12, 0].into_iter().enumerate() {
            schedule.push(due(at, id as u64));
        }
        let times: Vec<u64> = std::iter::from_fn(|| schedule.pop())
            .map(|d| d.at.0)
            .collect();
        assert_eq!(times, [0, 1, 3, 5, 9, 9, 12]);
    }

    #[test]
    fn dead_entries_do_not_pile_up_behind_a_live_one() {
        let mut schedule = Schedule::default();
        schedule.push(due(1, 0));
        for id in 1..10_000 {
            schedule.push(due(id, id));
            schedule.forget(|entry| entry.id == 0);
        }
        assert!(schedule.len() < 300, "{} entries are kept", schedule.len());
        assert_eq!(schedule.first(), Some(due(1, 0)));
    }
}
