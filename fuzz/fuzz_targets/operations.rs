//! See `tests/fuzz/src/operations.rs`.
#![no_main]

use ferrymq_fuzz_targets::operations::TARGET;
use ferrymq_sim::rng::Rng;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|input: &[u8]| {
    (TARGET.judge)(input);
});

// Half of the changes know what the bytes mean, the others are libFuzzer's own.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed % 2 == 0 || size == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let mut input = data[..size].to_vec();
    (TARGET.mutate)(&mut input, &[], &mut Rng::new(seed.into()));
    let len = input.len().min(max_size).min(data.len());
    data[..len].copy_from_slice(&input[..len]);
    len
});
