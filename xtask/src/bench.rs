//! `cargo xtask bench`: the benchmarks, in release.

use crate::shell::{Outcome, Run};

/// Runs the benchmark program with these arguments.
pub fn run(arguments: &[String]) -> Outcome<()> {
    Run::new("cargo")
        .args(["run", "--release", "--package", "ferrymq-bench", "--"])
        .args(arguments)
        .run()
}
