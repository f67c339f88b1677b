//! The deterministic simulator: the engine on a disk that fails, under random commands, judged by a small model of the promises after every crash.
//!
//! One thread, one seed: commands in, tickets executed on [`disk::SimDisk`], outcomes back, answers to [`model::Model`]. Nothing of the log's format is known here.
#![forbid(unsafe_code)]

pub mod acts;
pub mod answers;
pub mod asks;
pub mod bugs;
pub mod campaign;
pub mod check;
pub mod crashing;
pub mod damaging;
pub mod disk;
pub mod draining;
pub mod faults;
pub mod item;
pub mod lasting;
pub mod model;
pub mod opening;
pub mod power;
pub mod producing;
pub mod rng;
pub mod run;
pub mod shrink;
pub mod sights;
pub mod workload;
pub mod world;
