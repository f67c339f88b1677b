//! Runs plans, and says what happened.

use crate::bugs::Bug;
use crate::faults::Counts;
use crate::workload::{Allowed, Plan};
use crate::world::World;

/// What a run of one plan gives.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is wrong, if anything is.
    pub failure: Option<String>,
    /// What happened, in one number: commands, answers, tickets, bytes.
    pub hash: u64,
    /// How often.
    pub counts: Counts,
    /// What happened, in words, if asked for.
    pub trace: Vec<String>,
}

/// Runs a plan.
#[must_use]
pub fn run(plan: &Plan, bug: Option<Bug>, trace: bool) -> Outcome {
    Bug::plant(bug);
    let mut world = World::new(plan, bug, trace);
    let mut failure = world.begin().err();
    let mut steps = 0;
    for &step in &plan.steps {
        if failure.is_some() {
            break;
        }
        steps += 1;
        failure = world.step(step).err();
    }
    if failure.is_none() && plan.drains {
        failure = world.drain().err();
    }
    let mut counts = world.counts();
    counts.steps = steps;
    Outcome {
        failure,
        hash: world.hash.0,
        counts,
        trace: world.trace.unwrap_or_default(),
    }
}

/// Runs a seed.
#[must_use]
pub fn run_seed(seed: u64, allowed: Allowed, bug: Option<Bug>) -> Outcome {
    run(&Plan::new(seed, allowed), bug, false)
}
