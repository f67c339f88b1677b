//! The dedup ids that a queue remembers.

use std::collections::VecDeque;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::limits::DEDUP_ID_OVERHEAD_BYTES;
use crate::model::{MessageId, Span, Time};

/// The message that was accepted first under a dedup id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Its dedup id.
    pub name: Arc<str>,
    /// Which message.
    pub message: MessageId,
    /// The frame of the log that holds it; 0: it is in none, or is safe already.
    pub lsn: u64,
    /// When it was accepted.
    pub at: Time,
}

impl Original {
    /// Whether its id still counts: the window begins with the acceptance and ends before its last moment.
    fn counts(&self, now: Time, window: Span) -> bool {
        self.at.after(window) > now
    }

    /// What remembering it costs, in the account of `memory_limit`.
    fn cost(&self) -> u64 {
        cost_of_id(&self.name)
    }
}

/// What remembering an id costs, in the account of `memory_limit`.
#[must_use]
pub fn cost_of_id(name: &str) -> u64 {
    (name.len() + DEDUP_ID_OVERHEAD_BYTES) as u64
}

/// A place of the hash table that never held anything.
const VACANT: u32 = u32::MAX;

/// The ids of one queue: a list in the order of acceptance, and a hash table of numbers into it. What has left the list stays in the table until that is built anew,
/// so that forgetting an id searches for nothing.
#[derive(Debug, Default)]
pub struct Remembered {
    originals: VecDeque<Original>,
    /// The number of the first in the list; each one after it has the next.
    first: u32,
    /// Numbers by the hash of their ids, with open addressing. Its length is a power of two, and at most half is used.
    places: Vec<u32>,
    used: usize,
    seed: u64,
}

impl Remembered {
    /// None yet. The seed decides where ids stand, so that nobody can choose ids that all stand in one place.
    #[must_use]
    pub fn new(seed: u64) -> Remembered {
        Remembered {
            seed,
            ..Remembered::default()
        }
    }

    /// The message that was accepted under this id, if that still counts.
    #[must_use]
    pub fn find(&self, name: &str, now: Time, window: Span) -> Option<&Original> {
        if self.places.is_empty() {
            return None;
        }
        let mut place = self.home(name);
        while self.places[place] != VACANT {
            let nth = self.places[place].wrapping_sub(self.first) as usize;
            if let Some(original) = self.originals.get(nth)
                && &*original.name == name
                && original.counts(now, window)
            {
                return Some(original);
            }
            place = (place + 1) & (self.places.len() - 1);
        }
        None
    }

    /// Remembers an id, after all that came before. Returns its cost.
    pub fn add(&mut self, original: Original) -> u64 {
        if (self.used + 1) * 2 > self.places.len() {
            self.rebuild();
        }
        let cost = original.cost();
        let number = self.first + self.originals.len() as u32;
        self.put(&original.name, number);
        self.originals.push_back(original);
        cost
    }

    /// Forgets the ids that count no more, oldest first. Returns what they cost.
    pub fn forget(&mut self, now: Time, window: Span) -> u64 {
        let mut freed = 0;
        while let Some(original) = self.originals.front()
            && !original.counts(now, window)
        {
            freed += original.cost();
            self.originals.pop_front();
            self.first += 1;
        }
        if self.places.len() > 16 * (self.originals.len() + 1) {
            self.rebuild();
        }
        freed
    }

    /// When the oldest was accepted; `None` when there are none.
    #[must_use]
    pub fn oldest(&self) -> Option<Time> {
        self.originals.front().map(|original| original.at)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Original> {
        self.originals.iter()
    }

    /// What all of them cost.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.originals.iter().map(Original::cost).sum()
    }

    fn home(&self, name: &str) -> usize {
        xxh3_64_with_seed(name.as_bytes(), self.seed) as usize & (self.places.len() - 1)
    }

    fn put(&mut self, name: &str, number: u32) {
        let mut place = self.home(name);
        while self.places[place] != VACANT {
            place = (place + 1) & (self.places.len() - 1);
        }
        self.places[place] = number;
        self.used += 1;
    }

    /// Builds the table anew for twice as many as there are: what has left the list is gone from it, and numbers begin at 0 again.
    #[cold]
    fn rebuild(&mut self) {
        let places = (self.originals.len() * 4).next_power_of_two().max(8);
        self.places = vec![VACANT; places];
        self.used = 0;
        self.first = 0;
        for nth in 0..self.originals.len() {
            let name = Arc::clone(&self.originals[nth].name);
            self.put(&name, nth as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original(name: &str, message: u64, at: u64) -> Original {
        Original {
            name: name.into(),
            message: MessageId(message),
            lsn: 0,
            at: Time(at),
        }
    }

    #[test]
    fn an_id_counts_until_its_window_is_over_and_again_when_it_comes_anew() {
        let mut ids = Remembered::new(7);
        let window = Span(100);
        ids.add(original("a", 1, 0));
        let found = |ids: &Remembered, now| ids.find("a", Time(now), window).map(|o| o.message.0);
        assert_eq!(found(&ids, 99), Some(1));
        assert_eq!(found(&ids, 100), None);
        ids.add(original("a", 2, 100));
        assert_eq!(
            found(&ids, 100),
            Some(2),
            "the old one is still in the list"
        );
        assert_eq!(ids.forget(Time(100), window), cost_of_id("a"));
        assert_eq!(found(&ids, 199), Some(2));
        assert_eq!(ids.cost(), cost_of_id("a"));
    }

    #[test]
    fn many_ids_come_and_go_and_give_their_memory_back() {
        let mut ids = Remembered::new(1);
        let window = Span(1000);
        let name = |n: u64| format!("id-{n}");
        let (mut cost, mut freed) = (0, 0);
        for n in 0..20_000 {
            freed += ids.forget(Time(n), window);
            assert_eq!(ids.find(&name(n), Time(n), window), None);
            cost += ids.add(original(&name(n), n, n));
            let back = n.saturating_sub(999);
            let found = ids.find(&name(back), Time(n), window);
            assert_eq!(found.map(|o| o.message), Some(MessageId(back)));
            let out = n.saturating_sub(1000);
            assert_eq!(ids.find(&name(out), Time(n), window).is_some(), n < 1000);
        }
        assert!(ids.places.len() <= 8192, "{} places", ids.places.len());
        freed += ids.forget(Time(50_000), window);
        assert_eq!((cost, ids.cost(), ids.oldest()), (freed, 0, None));
        assert!(ids.places.len() <= 16, "{} places", ids.places.len());
    }
}
