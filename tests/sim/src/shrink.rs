//! Makes a failing plan short: leaves out steps for as long as it still fails.

use crate::bugs::Bug;
use crate::run::run;
use crate::workload::Plan;

/// The shortest plan that was found to fail still.
#[must_use]
pub fn shrink(plan: &Plan, bug: Option<Bug>) -> Plan {
    let mut best = plan.clone();
    let mut size = best.steps.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut shorter = false;
        while at < best.steps.len() {
            let mut candidate = best.clone();
            let to = (at + size).min(candidate.steps.len());
            candidate.steps.drain(at..to);
            if run(&candidate, bug, false).failure.is_some() {
                best = candidate;
                shorter = true;
            } else {
                at += size;
            }
        }
        match size {
            1 if !shorter => break,
            1 => {}
            _ => size = size.div_ceil(2),
        }
    }
    for outcomes in 1..best.outcomes {
        let candidate = Plan {
            outcomes,
            ..best.clone()
        };
        if run(&candidate, bug, false).failure.is_some() {
            return candidate;
        }
    }
    best
}
