//! `cargo xtask bench`: measures beside peers in one run and writes docs/benchmarks.md with its charts.

use std::fs;
use std::path::{Path, PathBuf};

use crate::paths;
use crate::products;
use crate::shell::{Outcome, Run};

/// What the benchmark programs print, by program.
struct Printed {
    memory: PathBuf,
    python: PathBuf,
    node: PathBuf,
    package: PathBuf,
    store: PathBuf,
    python_store: PathBuf,
}

/// Measures everything. `--quick` asks only whether the benchmarks still run: few messages, and the page goes to target/bench instead of docs.
pub fn run(arguments: &[String]) -> Outcome<()> {
    let quick = match arguments {
        [] => false,
        [only] if only == "--quick" => true,
        other => return Err(format!("bench takes --quick, not {other:?}")),
    };
    products::python_package()?;
    products::npm_package()?;
    let directory = paths::target().join("bench");
    fs::create_dir_all(&directory).map_err(|error| format!("target/bench: {error}"))?;
    core(quick)?;
    let printed = Printed {
        memory: directory.join("memory.json"),
        python: directory.join("python.jsonl"),
        node: directory.join("node.json"),
        package: directory.join("package.json"),
        store: directory.join("store.json"),
        python_store: directory.join("python-store.jsonl"),
    };
    measure(quick, &printed)?;
    measure_store(quick, &printed, &directory)?;
    let out = if quick {
        directory.join("page")
    } else {
        paths::root().join("docs")
    };
    report(&printed, &out)
}

fn core(quick: bool) -> Outcome<()> {
    let bench = Run::new("cargo").args(["bench", "--package", "ferrymq-bench", "--"]);
    let times: &[&str] = if quick {
        &[
            "--warm-up-time",
            "0.1",
            "--measurement-time",
            "0.2",
            "--sample-size",
            "10",
        ]
    } else {
        &["--warm-up-time", "1", "--measurement-time", "4"]
    };
    bench.args(times).arg("--noplot").run()
}

fn measure(quick: bool, printed: &Printed) -> Outcome<()> {
    let messages = if quick { "20000" } else { "1000000" };
    let memory = Run::new("cargo")
        .args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "ferrymq-bench",
            "--bin",
            "ferrymq-bench",
            "--",
        ])
        .arg(messages);
    keep(memory, &printed.memory)?;
    let quickly: &[&str] = if quick { &["--quick"] } else { &[] };
    let python = Run::new(paths::venv_bin("python")).arg("benches/python/bench.py");
    keep(python.args(quickly), &printed.python)?;
    let node = Run::new("node").arg("benches/node/bench.mjs");
    keep(node.args(quickly), &printed.node)?;
    keep(
        Run::new("node").arg("benches/node/size.mjs"),
        &printed.package,
    )
}

/// The store, on the disk that this directory is on.
fn measure_store(quick: bool, printed: &Printed, directory: &Path) -> Outcome<()> {
    let quickly: &[&str] = if quick { &["--quick"] } else { &[] };
    let rust = Run::new("cargo").args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "ferrymq-bench",
        "--bin",
        "store",
        "--",
        "--directory",
    ]);
    keep(rust.arg(directory).args(quickly), &printed.store)?;
    let python =
        Run::new(paths::venv_bin("python")).args(["benches/python/store.py", "--directory"]);
    keep(python.arg(directory).args(quickly), &printed.python_store)
}

/// Runs a program and keeps what it prints. Errors: it fails.
fn keep(run: Run, file: &Path) -> Outcome<()> {
    let output = run.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("a benchmark failed: {said}"));
    }
    fs::write(file, output.stdout)
        .map_err(|error| format!("{} cannot be written: {error}", file.display()))
}

fn report(printed: &Printed, out: &Path) -> Outcome<()> {
    Run::new(paths::venv_bin("python"))
        .args(["benches/report.py", "--criterion"])
        .arg(paths::target().join("criterion"))
        .arg("--memory")
        .arg(&printed.memory)
        .arg("--python")
        .arg(&printed.python)
        .arg("--node")
        .arg(&printed.node)
        .arg("--package")
        .arg(&printed.package)
        .arg("--store")
        .arg(&printed.store)
        .arg("--python-store")
        .arg(&printed.python_store)
        .arg("--out")
        .arg(out)
        .run()
}
