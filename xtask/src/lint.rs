//! `cargo xtask lint`: formats, lints, types, rooms, tidiness. Every check runs, whatever the ones before said.

use crate::counts::Counts;
use crate::paths;
use crate::products;
use crate::shell::{Outcome, Run};
use crate::tidy;

type Check = (&'static str, fn() -> Outcome<()>);

const CHECKS: &[Check] = &[
    ("tidy", tidy::run),
    ("rustfmt", rustfmt),
    ("clippy, native", clippy_native),
    ("clippy, wasm", clippy_wasm),
    ("rooms", rooms),
    ("ruff", ruff),
    ("mypy", mypy),
    ("stubtest", stubtest),
    ("tsc", tsc),
    ("biome", biome),
];

/// All checks. False: one failed.
pub fn run() -> Outcome<bool> {
    Ok(count()?.failed == 0)
}

/// All checks, counted.
pub fn count() -> Outcome<Counts> {
    let mut counts = Counts::default();
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        let result = check();
        counts += Counts::one(result.is_ok());
        if let Err(error) = result {
            println!("lint: {name}: {error}");
            failed.push(*name);
        }
    }
    match failed.is_empty() {
        true => println!("lint: {} checks passed", CHECKS.len()),
        false => println!("lint: failed: {}", failed.join(", ")),
    }
    Ok(counts)
}

fn rustfmt() -> Outcome<()> {
    Run::new("cargo").args(["fmt", "--all", "--check"]).run()
}

fn clippy_native() -> Outcome<()> {
    Run::new("cargo")
        .args([
            "clippy",
            "--quiet",
            "--workspace",
            "--exclude",
            "ferrymq-wasm",
            "--all-targets",
        ])
        .args(["--", "--deny", "warnings"])
        .run()
}

/// Debian's toolchain for WebAssembly has no clippy: there the crate is checked as native code, which it also compiles as.
fn clippy_wasm() -> Outcome<()> {
    // Both modules; with the first a core without a store, too.
    for features in ["--no-default-features", "--features=store"] {
        let mut clippy = Run::new("cargo").args(["clippy", "--quiet", "--package", "ferrymq-wasm"]);
        if products::wasm_toolchain() == "rustup" {
            clippy = clippy.args(["--target", "wasm32-unknown-unknown"]);
        }
        clippy.args([features, "--", "--deny", "warnings"]).run()?;
    }
    Ok(())
}

fn rooms() -> Outcome<()> {
    Run::new("cargo")
        .args([
            "test",
            "--quiet",
            "--package",
            "ferrymq-core",
            "--test",
            "rooms",
        ])
        .run()
}

fn ruff() -> Outcome<()> {
    let places = [
        "python",
        "tests/python",
        "tests/crash",
        "tests/golden",
        "examples",
    ];
    let ruff = || Run::new(paths::venv_bin("ruff"));
    let checked = ruff().arg("check").args(places).run();
    ruff().args(["format", "--check"]).args(places).run()?;
    checked
}

fn mypy() -> Outcome<()> {
    Run::new(paths::venv_bin("mypy")).run()
}

/// The stubs say what the installed package is.
fn stubtest() -> Outcome<()> {
    products::python_package()?;
    Run::new(paths::venv_bin("python"))
        .args(["-m", "mypy.stubtest", "ferrymq", "--concise"])
        .run()
}

/// The types include those of the built module.
fn tsc() -> Outcome<()> {
    products::npm_package()?;
    Run::new(paths::npm_bin("tsc"))
        .args(["--noEmit", "--project", "wasm/tsconfig.json"])
        .run()
}

fn biome() -> Outcome<()> {
    Run::new("npm")
        .args(["run", "--silent", "--prefix", "wasm", "lint"])
        .run()
}
