//! The ordered collections of the engine: the standard library's, and on WebAssembly, where each kilobyte is downloaded, smaller ones with the same behaviour.

#[cfg(not(target_arch = "wasm32"))]
pub use std::collections::{BTreeMap, BTreeSet};

#[cfg(target_arch = "wasm32")]
pub use super::two_level::{BTreeMap, BTreeSet};

use std::collections::BinaryHeap;

/// The items in order. By way of a heap, for lists off the message's path: a tenth of the code that the standard library's sort brings for each type.
#[must_use]
pub fn sorted<T: Ord>(items: Vec<T>) -> Vec<T> {
    BinaryHeap::from(items).into_sorted_vec()
}

/// Numbers that were met before. Few of them, which is nearly always, are looked through; more of them stand in a set, so that many cost no more each.
#[derive(Debug, Default)]
pub struct Seen {
    /// In the order in which they were met.
    pub all: Vec<u32>,
    many: BTreeSet<u32>,
}

impl Seen {
    const FEW: usize = 16;

    /// Whether it is met for the first time.
    pub fn is_new(&mut self, number: u32) -> bool {
        let new = if self.all.len() < Self::FEW {
            !self.all.contains(&number)
        } else {
            if self.many.is_empty() {
                self.many.extend(self.all.iter().copied());
            }
            self.many.insert(number)
        };
        if new {
            self.all.push(number);
        }
        new
    }
}
