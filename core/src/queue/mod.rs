//! What waits. Turns messages' positions into "which is next" and "which is due".
//! Owns: per queue the ready lists by priority, what is hidden until it is safe, the delayed, the expiring, the keys.
//! May use: model. Never: reads payloads, calls the store.
//! Invariant: a position stands in at most one of the ready, hidden, parked and delayed lists; entries whose message has gone are skipped, and tidied before they are half of a list.

mod chunked;
mod keys;
mod schedule;
mod waiting;

pub use keys::{Claim, Parked};
pub use schedule::{Due, Schedule};
pub use waiting::{Hidden, Position, Waiting};
