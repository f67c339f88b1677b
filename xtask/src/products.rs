//! What is built from the sources: the Python package, the npm package, the runners. Only what changed is built.

use std::fs;

use crate::paths;
use crate::shell::{Outcome, Run};
use crate::stamp::Stamp;

/// Which toolchain compiles to WebAssembly: `rustup` or `debian`. `setup` writes it down.
pub fn wasm_toolchain() -> String {
    fs::read_to_string(paths::root().join("target/stamps/wasm-toolchain"))
        .unwrap_or_else(|_| "rustup".to_owned())
}

/// Builds the wheel and installs it into the test environment.
pub fn python_package() -> Outcome<()> {
    let stamp = Stamp::of(
        "python",
        &[
            "Cargo.toml",
            "Cargo.lock",
            "pyproject.toml",
            "core/Cargo.toml",
            "core/src",
            "python",
        ],
    )?;
    let installed = Run::new(paths::venv_bin("python"))
        .args([
            "-c",
            "import ferrymq, sys; sys.exit('site-packages' not in ferrymq.__file__)",
        ])
        .works();
    if stamp.is_fresh() && installed {
        return Ok(());
    }
    let wheels = paths::root().join("target/wheels");
    if wheels.exists() {
        fs::remove_dir_all(&wheels).map_err(|error| format!("target/wheels: {error}"))?;
    }
    Run::new(paths::venv_bin("maturin"))
        .args(["build", "--release", "--out"])
        .arg(&wheels)
        .arg("--interpreter")
        .arg(paths::venv_bin("python"))
        .run()?;
    Run::new(paths::venv_bin("pip"))
        .args([
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--force-reinstall",
            "--find-links",
        ])
        .arg(&wheels)
        .arg("ferrymq")
        .run()?;
    stamp.write()
}

/// Builds the npm package into wasm/dist; the script itself builds only what changed.
pub fn npm_package() -> Outcome<()> {
    Run::new("node")
        .arg("wasm/build.mjs")
        .env("FERRYMQ_WASM_CARGO", wasm_toolchain())
        .run()
}

/// Builds the Rust vector runner.
pub fn rust_runner() -> Outcome<()> {
    Run::new("cargo")
        .args([
            "build",
            "--quiet",
            "--package",
            "ferrymq-conformance",
            "--bin",
            "ferrymq-vectors",
        ])
        .run()
}
