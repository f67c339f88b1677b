//! The simulator in short: half a million crashes find nothing wrong, a seed gives the same twice, and each deliberate bug rings.

use std::thread::available_parallelism;

use ferrymq_sim::bugs::BUGS;
use ferrymq_sim::campaign::Campaign;
use ferrymq_sim::run::{run, run_seed};
use ferrymq_sim::shrink::shrink;
use ferrymq_sim::workload::{Allowed, Plan};

/// How many seeds pass: enough for the crashes.
const SEEDS: u64 = 6_400;
const CRASHES: u64 = 500_000;
/// Within so many seeds each deliberate bug has to ring.
const RINGS_WITHIN: u64 = 60;

#[test]
fn half_a_million_crashes_take_back_nothing_that_was_promised() {
    let campaign = Campaign {
        seeds: SEEDS,
        threads: available_parallelism().map_or(1, |cores| cores.get() as u64),
        ..Campaign::endless()
    };
    let findings = campaign.run(|_| {});
    if let Some((seed, what)) = findings.failure {
        panic!(
            "seed {seed}: {what}\nreplay it with: cargo run --release -p ferrymq-sim -- --replay {seed}"
        );
    }
    let crashes = findings.counts.crashes();
    assert!(crashes >= CRASHES, "only {crashes} in {SEEDS} seeds");
    for (what, count) in findings.counts.rows() {
        assert!(count > 100, "{what}: only {count}");
    }
}

/// Seeds that found something which few of millions find. They stay looked at for as long as plans are drawn as they are now.
const FOUND_ONCE: [u64; 6] = [43_906, 94_464, 104_297, 1_018_544, 2_003_497, 2_005_287];

#[test]
fn what_was_found_once_stays_found() {
    for seed in FOUND_ONCE {
        assert_eq!(
            run_seed(seed, Allowed::default(), None).failure,
            None,
            "seed {seed}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_the_same_bytes() {
    let hash = |seed| run_seed(seed, Allowed::default(), None).hash;
    for seed in 1000..1010 {
        assert_eq!(hash(seed), hash(seed), "seed {seed}");
    }
    assert_ne!(hash(1000), hash(1001));
}

#[test]
fn every_deliberate_bug_rings() {
    for (bug, name) in BUGS {
        let rings = (0..RINGS_WITHIN).any(|seed| {
            run_seed(seed, Allowed::default(), Some(bug))
                .failure
                .is_some()
        });
        assert!(rings, "{name} was not noticed in {RINGS_WITHIN} seeds");
    }
}

#[test]
fn a_failing_seed_shrinks_to_a_few_steps() {
    let (bug, _) = BUGS[0];
    let failing = (0..RINGS_WITHIN)
        .map(|seed| Plan::new(seed, Allowed::default()))
        .find(|plan| run(plan, Some(bug), false).failure.is_some())
        .expect("some seed notices it");
    let short = shrink(&failing, Some(bug));
    assert!(run(&short, Some(bug), false).failure.is_some());
    assert!(short.steps.len() <= 5, "{} steps", short.steps.len());
}
