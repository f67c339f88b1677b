//! Places that are used again, each with the number of those who had it before.

use crate::model::collections::BTreeSet;

/// Values under (index, generation).
#[derive(Debug)]
pub struct Registry<T> {
    places: Vec<(u32, Option<T>)>,
    vacant: BTreeSet<u32>,
    /// No new value gets a generation below this.
    floor: u32,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Registry {
            places: Vec::new(),
            vacant: BTreeSet::new(),
            floor: 0,
        }
    }
}

impl<T> Registry<T> {
    /// The value under an id.
    #[must_use]
    #[inline]
    pub fn get(&self, index: u32, generation: u32) -> Option<&T> {
        match self.places.get(index as usize) {
            Some((own, Some(value))) if *own == generation => Some(value),
            _ => None,
        }
    }

    /// The value under an id, to change.
    #[inline]
    pub fn get_mut(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        match self.places.get_mut(index as usize) {
            Some((own, Some(value))) if *own == generation => Some(value),
            _ => None,
        }
    }

    /// The value at an index, with its generation.
    #[must_use]
    #[inline]
    pub fn at(&self, index: u32) -> Option<(u32, &T)> {
        match self.places.get(index as usize) {
            Some((generation, Some(value))) => Some((*generation, value)),
            _ => None,
        }
    }

    /// Where the next value goes, and under which generation.
    #[must_use]
    pub fn vacancy(&self) -> (u32, u32) {
        let index = self
            .vacant
            .first()
            .copied()
            .unwrap_or(self.places.len() as u32);
        let before = self.places.get(index as usize).map_or(0, |place| place.0);
        (index, before.max(self.floor))
    }

    /// Puts a value under an id.
    pub fn fill(&mut self, index: u32, generation: u32, value: T) {
        while self.places.len() <= index as usize {
            self.vacant.insert(self.places.len() as u32);
            self.places.push((0, None));
        }
        self.vacant.remove(&index);
        self.places[index as usize] = (generation, Some(value));
    }

    /// Takes a value out; its place will be another generation's.
    pub fn vacate(&mut self, index: u32, generation: u32) -> Option<T> {
        match self.places.get_mut(index as usize) {
            Some((own, value)) if *own == generation && value.is_some() => {
                *own = own.saturating_add(1);
                self.vacant.insert(index);
                value.take()
            }
            _ => None,
        }
    }

    /// A generation that no value had so far.
    #[must_use]
    pub fn unused_generation(&self) -> u32 {
        let used = self.places.iter().map(|place| place.0.saturating_add(1));
        used.max().unwrap_or(0).max(self.floor)
    }

    /// Nothing new gets a generation below `floor`: ids that were given out before the log was opened stay theirs.
    pub fn raise_floor(&mut self, floor: u32) {
        self.floor = self.floor.max(floor);
    }
}
