//! The deterministic simulator: the engine on a disk that fails, under random commands, judged by a small model of the promises after every crash.
//!
//! One thread, one seed: commands in, tickets executed on [`disk::SimDisk`], outcomes back, answers to [`model::Model`]. Nothing of the log's format is known here.
#![forbid(unsafe_code)]

pub mod acts;
pub mod bugs;
pub mod check;
pub mod disk;
pub mod faults;
pub mod item;
pub mod model;
pub mod opening;
pub mod rng;
pub mod run;
pub mod shrink;
pub mod workload;
pub mod world;
