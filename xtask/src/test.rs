//! `cargo xtask test`: builds everything, runs every test in all four homes, and says how long each part took.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::bench;
use crate::counts::Counts;
use crate::crash;
use crate::lint;
use crate::paths;
use crate::products;
use crate::readme;
use crate::shell::{Outcome, Run};
use crate::table;
use crate::vectors;

/// How often a process is killed in the test command.
const CRASH_CYCLES: &str = "50";

type Stage = (&'static str, fn() -> Outcome<Counts>);

const STAGES: &[Stage] = &[
    ("rust", rust),
    ("python", python),
    ("crash", crash),
    ("node", node),
    ("browser", browser),
    ("vectors", all_vectors),
    ("lint", lint::count),
    ("readme", readme::count),
    ("benchmarks", benchmarks),
];

/// The names of the stages.
pub fn names() -> Vec<&'static str> {
    STAGES.iter().map(|(name, _)| *name).collect()
}

/// Runs the stages, all unless some are named. False: something failed.
pub fn run(only: &[String]) -> Outcome<bool> {
    let mut total = Counts::default();
    let mut rows = Vec::new();
    let started = Instant::now();
    for (name, stage) in STAGES {
        if !only.is_empty() && !only.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("\n== {name} ==");
        let began = Instant::now();
        let counts = stage().unwrap_or_else(|error| {
            println!("{name}: {error}");
            Counts::one(false)
        });
        total += counts;
        rows.push(row(name, began.elapsed(), counts));
    }
    rows.push(row("total", started.elapsed(), total));
    println!();
    table::print(&["stage", "seconds", "passed", "failed"], &rows);
    println!("\n{} passed, {} failed", total.passed, total.failed);
    Ok(total.failed == 0)
}

fn row(name: &str, took: Duration, counts: Counts) -> Vec<String> {
    vec![
        name.to_owned(),
        format!("{:.1}", took.as_secs_f64()),
        counts.passed.to_string(),
        counts.failed.to_string(),
    ]
}

fn rust() -> Outcome<Counts> {
    let printed = Run::new("cargo")
        .args(["test", "--quiet", "--no-fail-fast"])
        .watched()?;
    Ok(Counts::cargo(&printed))
}

fn python() -> Outcome<Counts> {
    products::python_package()?;
    let printed = Run::new(paths::venv_bin("python"))
        .args(["-m", "pytest", "-q", "tests/python"])
        .watched()?;
    Ok(Counts::pytest(&printed))
}

/// Some cycles of what `cargo xtask crash` does at length.
fn crash() -> Outcome<Counts> {
    crash::run(&["--cycles".to_owned(), CRASH_CYCLES.to_owned()])?;
    Ok(Counts::one(true))
}

fn node() -> Outcome<Counts> {
    products::npm_package()?;
    // Stores go from one home to another.
    products::python_package()?;
    node_tests("tests/node")
}

fn browser() -> Outcome<Counts> {
    products::npm_package()?;
    node_tests("tests/browser")
}

fn node_tests(directory: &str) -> Outcome<Counts> {
    let entries = fs::read_dir(paths::root().join(directory))
        .map_err(|error| format!("{directory}: {error}"))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.to_string_lossy().ends_with(".test.mjs"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(format!("{directory} has no *.test.mjs"));
    }
    let printed = Run::new("node")
        .args(["--test", "--test-reporter=spec"])
        .args(files)
        .watched()?;
    Ok(Counts::node(&printed))
}

/// Run small, so that they cannot rot; what they measure then says nothing.
fn benchmarks() -> Outcome<Counts> {
    bench::run(&["--quick".to_owned()]).map(|()| Counts::one(true))
}

fn all_vectors() -> Outcome<Counts> {
    vectors::count(None)
}
