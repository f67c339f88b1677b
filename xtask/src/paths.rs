//! Where things are.

use std::env;
use std::path::{Path, PathBuf};

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository")
        .to_path_buf()
}

/// What is built.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The Python environment of tests and checks.
pub fn venv() -> PathBuf {
    root().join("target/venv")
}

/// A program of the Python environment.
pub fn venv_bin(name: &str) -> PathBuf {
    venv().join("bin").join(name)
}

/// Programs that setup builds for this repository only.
pub fn tools() -> PathBuf {
    root().join("target/tools")
}

/// Where setup puts Node, if the machine's is missing or too old.
pub fn node_bin() -> PathBuf {
    root().join("target/node/bin")
}

/// A program of the npm package's development dependencies.
pub fn npm_bin(name: &str) -> PathBuf {
    root().join("wasm/node_modules/.bin").join(name)
}
