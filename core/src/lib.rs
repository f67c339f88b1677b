//! FerryMQ's engine: one message queue, sans-I/O and deterministic, and the native driver around it.
#![forbid(unsafe_code)]

pub mod engine;
pub mod model;
pub mod store;
