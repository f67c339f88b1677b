//! What falls due when. Times that come in order go to a list, which costs nothing; others to buckets that are put in order bit by bit as their time comes. Entries are
//! forgotten lazily: the owner says which are still live, and the schedule tidies itself once more than half of it is dead.

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
    /// Those of the others whose moment `later` has reached.
    reached: BinaryHeap<Reverse<Due>>,
    /// The others.
    later: Option<Box<Later>>,
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
            self.push_out_of_order(due);
        }
    }

    fn push_out_of_order(&mut self, due: Due) {
        let later = self.later.get_or_insert_default();
        if due.at <= later.reached {
            self.reached.push(Reverse(due));
        } else {
            later.push(due);
        }
    }

    /// The earliest entry's time, dead or not; `Time::NEVER` when there is none.
    #[must_use]
    #[inline]
    pub fn next(&self) -> Time {
        let in_order = self.in_order.front().map_or(Time::NEVER, |due| due.at);
        match &self.later {
            None => in_order,
            Some(later) => in_order.min(later.next()).min(self.next_reached()),
        }
    }

    fn next_reached(&self) -> Time {
        let first = self.reached.peek();
        first.map_or(Time::NEVER, |Reverse(due)| due.at)
    }

    /// Takes the earliest entry out. Of those that fall due together the one with the smallest number comes first.
    pub fn pop(&mut self) -> Option<Due> {
        let Some(later) = &mut self.later else {
            return self.in_order.pop_front();
        };
        let next = later.next();
        let in_order = self.in_order.front().copied();
        let others = self.reached.peek().map(|Reverse(due)| due.at);
        if later.len > 0
            && in_order.is_none_or(|due| next <= due.at)
            && others.is_none_or(|at| next <= at)
        {
            later.advance(&mut self.reached);
        }
        let others = self.reached.peek().map(|Reverse(due)| *due);
        match (in_order, others) {
            (Some(a), Some(b)) if b < a => self.pop_reached(),
            (None, _) => self.pop_reached(),
            (Some(_), _) => self.in_order.pop_front(),
        }
    }

    fn pop_reached(&mut self) -> Option<Due> {
        let Reverse(due) = self.reached.pop()?;
        if self.reached.is_empty() {
            // What was one long moment need not be remembered by its size.
            self.reached.shrink_to(DEAD_ENTRIES_MIN);
            if self.later.as_ref().is_some_and(|later| later.len == 0) {
                self.later = None;
            }
        }
        Some(due)
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
            self.tidy(&live);
        }
    }

    #[cold]
    fn tidy(&mut self, live: &dyn Fn(&Due) -> bool) {
        for due in self.drain() {
            if live(&due) {
                self.push(due);
            }
        }
    }

    /// Notes that a dead entry was taken out by `pop`.
    pub fn popped_dead(&mut self) {
        self.dead = self.dead.saturating_sub(1);
    }

    /// Shows every entry, dead ones included; what came in order is first, and in order. (Iterators over all of this would be a hundredth of the WebAssembly module.)
    fn each(&self, see: &mut dyn FnMut(Due)) {
        for due in &self.in_order {
            see(*due);
        }
        for Reverse(due) in &self.reached {
            see(*due);
        }
        for bucket in self.later.iter().flat_map(|later| &later.buckets) {
            for chunk in &bucket.chunks {
                for entry in chunk {
                    see((*entry).into());
                }
            }
        }
    }

    /// Takes everything out, in the order of `each`.
    pub fn drain(&mut self) -> Vec<Due> {
        let mut all = Vec::with_capacity(self.len());
        self.each(&mut |due| all.push(due));
        *self = Schedule::default();
        all
    }

    /// Entries, dead ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        let later = self.later.as_ref().map_or(0, |later| later.len);
        self.in_order.len() + self.reached.len() + later
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Entries in a chunk of a bucket.
const CHUNK_ENTRIES: usize = 128;

/// An entry without the padding that 64-bit numbers bring: 20 bytes.
#[derive(Clone, Copy, Debug)]
struct Packed([u32; 5]);

impl From<Due> for Packed {
    #[inline]
    fn from(due: Due) -> Packed {
        let (at, id) = (due.at.0, due.id);
        Packed([
            (at >> 32) as u32,
            at as u32,
            (id >> 32) as u32,
            id as u32,
            due.slot,
        ])
    }
}

impl From<Packed> for Due {
    #[inline]
    fn from(Packed([at_high, at_low, id_high, id_low, slot]): Packed) -> Due {
        let long = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        Due {
            at: Time(long(at_high, at_low)),
            id: long(id_high, id_low),
            slot,
        }
    }
}

/// Entries in no order, in chunks: memory grows and shrinks with them, and nothing is copied when it grows.
#[derive(Debug)]
struct Bucket {
    chunks: Vec<Vec<Packed>>,
    /// The earliest time among them.
    first: Time,
}

/// Times that come in no order: a radix heap. An entry stands in the bucket of the highest bit in which its time differs from the last moment reached; when a bucket's
/// turn comes its entries go to lower buckets, so that each is moved once for each bit of its delay at most, always through memory that is read from one end to the other.
/// A binary heap jumps through memory for each entry, which costs ten times as much once there are a million.
#[derive(Debug, Default)]
struct Later {
    /// All entries here fall due after this moment, which something that fell due has reached.
    reached: Time,
    buckets: Vec<Bucket>,
    /// Which buckets hold anything, a bit for each.
    filled: u64,
    len: usize,
}

impl Later {
    fn push(&mut self, due: Due) {
        let bit = (due.at.0 ^ self.reached.0).ilog2() as usize;
        while self.buckets.len() <= bit {
            self.buckets.push(Bucket {
                chunks: Vec::new(),
                first: Time::NEVER,
            });
        }
        self.filled |= 1 << bit;
        self.len += 1;
        let bucket = &mut self.buckets[bit];
        bucket.first = bucket.first.min(due.at);
        match bucket.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_ENTRIES => chunk.push(due.into()),
            _ => {
                let few = if bucket.chunks.is_empty() {
                    4
                } else {
                    CHUNK_ENTRIES
                };
                let mut chunk = Vec::with_capacity(few);
                chunk.push(due.into());
                bucket.chunks.push(chunk);
            }
        }
    }

    /// The earliest entry's time.
    #[inline]
    fn next(&self) -> Time {
        let bucket = self.buckets.get(self.filled.trailing_zeros() as usize);
        bucket.map_or(Time::NEVER, |bucket| bucket.first)
    }

    /// Reaches the earliest entry's time: those that fall due then go to `due`, their neighbours to lower buckets.
    fn advance(&mut self, due: &mut BinaryHeap<Reverse<Due>>) {
        let bit = self.filled.trailing_zeros() as usize;
        let Some(bucket) = self.buckets.get_mut(bit) else {
            return;
        };
        self.filled &= !(1 << bit);
        self.reached = std::mem::replace(&mut bucket.first, Time::NEVER);
        let chunks = std::mem::take(&mut bucket.chunks);
        for chunk in chunks {
            self.len -= chunk.len();
            for entry in chunk {
                let entry = Due::from(entry);
                if entry.at == self.reached {
                    due.push(Reverse(entry));
                } else {
                    self.push(entry);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

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
        assert_eq!(schedule.pop(), Some(due(1, 0)));
    }

    #[test]
    fn dead_entries_out_of_order_are_tidied_and_their_memory_given_back() {
        let mut schedule = Schedule::default();
        schedule.push(due(1 << 40, 0));
        for id in 1..10_000 {
            schedule.push(due(id * 7919 % 10_007, id));
        }
        assert_eq!(schedule.len(), 10_000);
        for _ in 1..10_000 {
            schedule.forget(|entry| entry.id == 0);
        }
        assert!(schedule.len() < 300, "{} entries are kept", schedule.len());
        let last = std::iter::from_fn(|| schedule.pop()).last();
        assert_eq!(last, Some(due(1 << 40, 0)));
        assert!(schedule.is_empty() && schedule.later.is_none());
    }

    proptest! {
        /// Against a sorted set: any times in any order, while time goes on.
        #[test]
        fn is_a_sorted_set(steps in proptest::collection::vec((0u64..5000, 0u64..40, any::<bool>()), 1..400)) {
            let mut schedule = Schedule::default();
            let mut model = BTreeSet::new();
            let mut now = 1_700_000_000_000;
            for (id, (delay, passes, early)) in steps.into_iter().enumerate() {
                let at = if early { now - delay.min(3) } else { now + delay };
                let entry = due(at, id as u64);
                schedule.push(entry);
                model.insert(entry);
                now += passes;
                while schedule.next() <= Time(now) {
                    prop_assert_eq!(schedule.pop(), model.pop_first());
                }
                let mut all = Vec::new();
                schedule.each(&mut |due| all.push(due));
                all.sort();
                prop_assert!(all.iter().eq(model.iter()));
                prop_assert_eq!(schedule.next(), model.first().map_or(Time::NEVER, |due| due.at));
            }
            let rest: Vec<Due> = std::iter::from_fn(|| schedule.pop()).collect();
            prop_assert!(rest.iter().eq(model.iter()));
        }
    }
}
