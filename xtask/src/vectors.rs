//! `cargo xtask vectors`: one directory of scenarios in all four homes, and where they differ.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::counts::Counts;
use crate::paths;
use crate::products;
use crate::shell::{Outcome, Run};
use crate::table;

/// Runs every scenario below `directory`. False: one failed, or differs between homes.
pub fn run(directory: Option<&PathBuf>) -> Outcome<bool> {
    Ok(count(directory)?.failed == 0)
}

/// The same, with how many ran and failed.
pub fn count(directory: Option<&PathBuf>) -> Outcome<Counts> {
    let directory = match directory {
        Some(given) => given
            .canonicalize()
            .map_err(|error| format!("{} cannot be read: {error}", given.display()))?,
        None => paths::root().join("tests/vectors"),
    };
    products::rust_runner()?;
    products::python_package()?;
    products::npm_package()?;
    let homes: Vec<Home> = thread::scope(|scope| {
        let running: Vec<_> = runners(&directory)
            .into_iter()
            .map(|(name, run)| scope.spawn(move || Home::run(name, run)))
            .collect();
        running
            .into_iter()
            .map(|home| home.join().expect("a runner's thread does not panic"))
            .collect()
    });
    Ok(report(&directory, &homes))
}

fn runners(directory: &Path) -> Vec<(&'static str, Run)> {
    vec![
        (
            "rust",
            Run::new(paths::target().join("debug/ferrymq-vectors")),
        ),
        (
            "python",
            Run::new(paths::venv_bin("python")).arg("tests/python/run_vectors.py"),
        ),
        ("node", Run::new("node").arg("tests/node/run_vectors.mjs")),
        (
            "browser",
            Run::new("node").arg("tests/browser/run_vectors.mjs"),
        ),
    ]
    .into_iter()
    .map(|(name, run)| (name, run.arg("--dir").arg(directory)))
    .collect()
}

/// What one runner said. A browser's runner speaks for two homes: its main thread and a worker.
struct Home {
    runner: &'static str,
    results: BTreeMap<String, BTreeMap<String, Result<(), String>>>,
    broken: Option<String>,
    took: Duration,
}

impl Home {
    fn run(runner: &'static str, run: Run) -> Home {
        let started = Instant::now();
        let output = run.output();
        let mut home = Home {
            runner,
            results: BTreeMap::new(),
            broken: None,
            took: started.elapsed(),
        };
        match output {
            Err(error) => home.broken = Some(error),
            Ok(output) => {
                for line in String::from_utf8_lossy(&output.stdout).lines() {
                    if let Err(wrong) = home.read(line) {
                        home.broken = Some(wrong);
                    }
                }
                if !output.status.success() {
                    let said = String::from_utf8_lossy(&output.stderr);
                    home.broken = Some(format!("{}: {}", output.status, said.trim()));
                }
            }
        }
        home
    }

    fn read(&mut self, line: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(line)
            .map_err(|_| format!("printed a line that is no result: {line}"))?;
        let text = |name: &str| {
            value[name]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| format!("printed a result without {name}: {line}"))
        };
        let result = match value["ok"].as_bool() {
            Some(true) => Ok(()),
            Some(false) => Err(text("detail")?),
            None => return Err(format!("printed a result without ok: {line}")),
        };
        let results = self.results.entry(text("home")?).or_default();
        match results.insert(text("file")?, result) {
            None => Ok(()),
            Some(_) => Err(format!("printed two results of one scenario: {line}")),
        }
    }
}

fn report(directory: &Path, homes: &[Home]) -> Counts {
    let mut counts = Counts::default();
    let files: BTreeSet<&String> = homes
        .iter()
        .flat_map(|home| home.results.values().flat_map(BTreeMap::keys))
        .collect();
    let mut rows = Vec::new();
    for home in homes {
        for &name in expected(home) {
            let results = home.results.get(name);
            let passed =
                results.map_or(0, |results| results.values().filter(|r| r.is_ok()).count());
            let failed = files.len() - passed;
            counts += Counts {
                passed: passed as u64,
                failed: failed as u64,
            };
            rows.push(vec![
                name.to_owned(),
                files.len().to_string(),
                failed.to_string(),
                format!("{:.1}", home.took.as_secs_f64()),
            ]);
        }
    }
    println!();
    table::print(&["home", "scenarios", "failed", "seconds"], &rows);
    for home in homes {
        if let Some(broken) = &home.broken {
            println!("\n{}: the runner broke: {broken}", home.runner);
            counts.failed += 1;
        }
    }
    if files.is_empty() {
        println!("\nno scenario was found in {}", directory.display());
        counts.failed += 1;
    }
    for file in files {
        differences(file, homes);
    }
    counts
}

fn expected(home: &Home) -> &'static [&'static str] {
    match home.runner {
        "rust" => &["rust"],
        "python" => &["python"],
        "node" => &["node"],
        _ => &["browser", "browser-worker"],
    }
}

/// Says of one scenario in which homes it fails, and whether the homes differ.
fn differences(file: &str, homes: &[Home]) {
    let absent = Err("gave no result".to_owned());
    let all: Vec<(&str, &Result<(), String>)> = homes
        .iter()
        .flat_map(|home| expected(home).iter().map(move |name| (home, *name)))
        .map(|(home, name)| {
            let result = home.results.get(name).and_then(|results| results.get(file));
            (name, result.unwrap_or(&absent))
        })
        .collect();
    let failed = all.iter().filter(|(_, result)| result.is_err()).count();
    if failed == 0 {
        return;
    }
    let verdict = if failed == all.len() {
        "fails in every home"
    } else {
        "DIFFERS between homes"
    };
    println!("\n{file}: {verdict}");
    for (name, result) in all {
        match result {
            Ok(()) => println!("  {name:<15} as expected"),
            Err(detail) => println!("  {name:<15} {detail}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(runner: &'static str, lines: &[&str]) -> Home {
        let mut home = Home {
            runner,
            results: BTreeMap::new(),
            broken: None,
            took: Duration::ZERO,
        };
        for line in lines {
            if let Err(wrong) = home.read(line) {
                home.broken = Some(wrong);
            }
        }
        home
    }

    fn failed(homes: &[Home]) -> u64 {
        report(Path::new("."), homes).failed
    }

    const GOOD: &str =
        r#"{"home": "rust", "file": "a.json", "name": "a", "ok": true, "detail": ""}"#;

    #[test]
    fn a_home_that_differs_is_counted() {
        assert_eq!(failed(&[home("rust", &[GOOD])]), 0);
        let bad =
            r#"{"home": "node", "file": "a.json", "name": "a", "ok": false, "detail": "step 1"}"#;
        assert_eq!(failed(&[home("rust", &[GOOD]), home("node", &[bad])]), 1);
    }

    #[test]
    fn a_home_that_leaves_a_scenario_out_is_counted() {
        assert_eq!(failed(&[home("rust", &[GOOD]), home("node", &[])]), 1);
        // Both of the browser's threads.
        assert_eq!(failed(&[home("rust", &[GOOD]), home("browser", &[])]), 2);
    }

    #[test]
    fn a_runner_that_says_something_else_is_broken() {
        for line in [
            "hello",
            "{}",
            r#"{"home": "rust", "file": "a.json", "ok": false}"#,
        ] {
            assert!(home("rust", &[line]).broken.is_some(), "{line}");
        }
        assert!(home("rust", &[GOOD, GOOD]).broken.is_some(), "twice");
        assert_eq!(failed(&[home("rust", &[])]), 1, "nothing at all");
    }
}
