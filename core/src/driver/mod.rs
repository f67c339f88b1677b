//! The native driver. Turns one engine into a handle that any number of threads use at once.
//! Owns: the lock around the engine, the clock, the timer thread, the store's files and who works on them, who waits for which call or reply, the ring of finalisers, what is watched.
//! May use: model, engine, store's tickets, testing (the manual disk). Never: decides anything about messages.
//! Invariant: no lock is held while a user's code runs, and nobody waits without someone who will wake him.

// core/clippy.toml bans clocks, locks and threads from the engine; here is where they belong.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod broker;
mod bus;
mod clock;
mod consumers;
mod disk;
mod files;
mod handles;
mod opening;
mod owner;
mod pending;
mod requests;
mod short_ways;
mod state;
mod testing;
mod timer;
mod watching;
mod working;

pub use broker::{Broker, Options, Started};
pub use bus::{Bus, BusSubscription};
pub use consumers::{Consumer, ConsumerOptions};
pub use handles::{Consumed, Exchange, Kept, Queue};
pub use pending::Pending;
pub use requests::Asked;
pub use testing::{Storage, Testing};
pub use watching::{Alarm, AlarmHandle, Alert, Condition};

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// 64 random bits.
fn random_number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A name that nobody else has: the prefix, and 64 random bits.
fn random_name(prefix: &str) -> String {
    format!("{prefix}{:016x}", random_number())
}
