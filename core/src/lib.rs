//! FerryMQ's engine: one message queue, sans-I/O and deterministic, and the native driver around it.
//!
//! The way of a message is `produce -> route -> store -> queue -> deliver -> settle`. Each of these is a room (a module) of its own; neighbouring rooms do not
//! import each other, and only the hall ([`engine`]) sees them all. ARCHITECTURE.md has the table of who may import what.
#![forbid(unsafe_code)]

pub mod deliver;
#[cfg(all(feature = "store", not(target_arch = "wasm32")))]
pub mod driver;
pub mod engine;
pub mod model;
pub mod produce;
pub mod queue;
pub mod reclaim;
pub mod route;
pub mod settle;
pub mod store;
pub mod testing;
pub mod topology;
