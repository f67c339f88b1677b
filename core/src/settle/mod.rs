//! Promises still open. Turns tokens into the messages that are out, and outcomes into what becomes of them.
//! Owns: the in-flight table, deadlines of leases, the backoff, what a dead letter says of itself.
//! May use: model. Never: appends, routes.
//! Invariant: a delivery number names one handing over; once its lease is closed no token opens it again.

mod backoff;
mod dead;
mod inflight;

pub use backoff::{Randomness, wait_after};
pub use dead::{dead_letter, origin, redriven, shorten};
pub use inflight::{Finished, InFlight, Lease};
