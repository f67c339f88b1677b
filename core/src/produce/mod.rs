//! May it come in, and when is it confirmed. Turns a message and a queue's options into "yes", "make room first", "wait" or a refusal.
//! Owns: the dedup ids that a queue remembers; what numbered commands came to; the calls that wait for the log.
//! May use: model. Never: writes, routes.
//! Invariant: who has waited longest comes in first, and nothing is confirmed before the log has come as far as was asked.

mod admission;
mod confirms;
mod dedup;
mod outcomes;

pub use admission::{Load, Usage, durability, never_fits};
pub use confirms::{Confirms, Watermark};
pub use dedup::{Original, Remembered, cost_of_id};
pub use outcomes::{Awaited, GivenUp, Kept, Known, Lasting, Outcomes};
