//! `cargo xtask demo`: the main job, from the sources as they are.

use crate::paths;
use crate::products;
use crate::shell::{Outcome, Run};

/// Runs `ferrymq demo` with these arguments.
pub fn run(arguments: &[String]) -> Outcome<()> {
    products::python_package()?;
    Run::new(paths::venv_bin("ferrymq"))
        .arg("demo")
        .args(arguments)
        .run()
}
