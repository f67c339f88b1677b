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
