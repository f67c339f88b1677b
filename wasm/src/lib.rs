//! FerryMQ for WebAssembly: the private half of the npm package `ferrymq`, under the hand-written TypeScript.
//!
//! One [`Native`] is one broker. Turns calls with numbers and bytes into the engine's commands, and the engine's replies into
//! registers and one arena of bytes that JavaScript reads in place. Owns: the engine, its disk (with the feature `store`), the results nobody has fetched yet.
//! Never: decides anything about messages, reads a clock, starts a timer.
//! Invariant: what a call left in the registers and the arena is valid until the next call.

mod config;
#[cfg(feature = "store")]
mod disk;
mod hooks;
mod native;
mod registers;
mod results;
mod value;
mod verbs;
mod wire;

pub use native::Native;
