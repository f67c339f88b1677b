//! The ordered collections of the engine: the standard library's, and on WebAssembly, where each kilobyte is downloaded, smaller ones with the same behaviour.

#[cfg(not(target_arch = "wasm32"))]
pub use std::collections::{BTreeMap, BTreeSet};

#[cfg(target_arch = "wasm32")]
pub use super::two_level::{BTreeMap, BTreeSet};
