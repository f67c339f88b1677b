//! The fuzz targets: each takes bytes of the outside and panics if a promise is broken. `tests/` runs them in short, with inputs that follow from a seed; `fuzz/` hands them to libFuzzer.
//!
//! | target | bytes are | promise |
//! |---|---|---|
//! | [`frames`] | a piece of a segment, and the body of a frame | nothing is read beyond the bytes; what decodes, encodes and decodes to the same |
//! | [`recovery`] | the files of a store | it opens, or says why not; opened again it says the same; what is then produced stays |
//! | [`operations`] | a plan of commands, faults and crashes | what the simulator's model knows |
#![forbid(unsafe_code)]

pub mod frames;
pub mod image;
pub mod mutate;
pub mod operations;
pub mod recovery;
pub mod seeds;

use ferrymq_sim::rng::Rng;

/// One target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, also that of its directory of inputs.
    pub name: &'static str,
    /// Judges an input. Panics: a promise is broken.
    pub judge: fn(&[u8]) -> Verdict,
    /// An input to begin with; each number gives another.
    pub seed: fn(u64) -> Vec<u8>,
    /// Another input, from one and a third.
    pub mutate: fn(&mut Vec<u8>, &[u8], &mut Rng),
}

/// What became of an input: how deep it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It was turned away at the door.
    Shallow,
    /// It was understood, and refused with a reason.
    Refused,
    /// It was used, all of it.
    Deep,
}

/// All targets.
pub const TARGETS: [Target; 3] = [frames::TARGET, recovery::TARGET, operations::TARGET];
