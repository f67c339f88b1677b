//! The simulator in short: a fixed range of seeds finds nothing wrong, a seed gives the same twice, and each deliberate bug rings.

use ferrymq_sim::bugs::BUGS;
use ferrymq_sim::run::{run, run_seed};
use ferrymq_sim::shrink::shrink;
use ferrymq_sim::workload::{Allowed, Plan};

/// How many seeds pass, in some seconds of a test build.
const SEEDS: u64 = 3_000;
/// Within so many seeds each deliberate bug has to ring.
const RINGS_WITHIN: u64 = 60;

#[test]
fn no_crash_takes_back_what_was_promised() {
    let mut crashes = 0;
    for seed in 0..SEEDS {
        let outcome = run_seed(seed, Allowed::default(), None);
        crashes += outcome.counts.crashes();
        assert_eq!(outcome.failure, None, "seed {seed}");
    }
    assert!(
        crashes > 50 * SEEDS,
        "only {crashes} crashes in {SEEDS} seeds"
    );
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
