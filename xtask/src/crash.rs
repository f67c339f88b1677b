//! `cargo xtask crash`: kills real processes that work on a store, and looks whether its promises hold.

use crate::paths;
use crate::products;
use crate::shell::{Outcome, Run};

/// Runs `tests/crash/run.py` with these arguments. Errors: a promise was broken; it says which, and where the store is.
pub fn run(arguments: &[String]) -> Outcome<()> {
    products::python_package()?;
    Run::new(paths::venv_bin("python"))
        .arg("tests/crash/run.py")
        .args(arguments)
        .run()
}
