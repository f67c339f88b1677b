//! The Rust home's vector runner: every scenario under a directory, unchanged, through the public driver and its testing hooks, once as commands and once by the
//! driver's short ways, which must give the same; those in memory once more on a store in a directory.
//!
//! `tests/README.md` describes the format. A scenario that does not parse, or names something this runner does not know, fails; nothing is skipped.
#![forbid(unsafe_code)]

mod command;
mod compare;
mod scenario;
mod talking;
mod text;
mod world;

use std::any::Any;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use scenario::{Action, Scenario, Step};
use world::Way;

/// What became of one scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Which home ran it.
    pub home: &'static str,
    /// Path relative to the directory, with `/` on every system.
    pub file: String,
    /// The scenario's name; the file's, if it could not be read.
    pub name: String,
    /// Whether everything was as expected.
    pub ok: bool,
    /// The first difference; empty when there was none.
    pub detail: String,
}

/// Runs every `*.json` under `directory`, in the order of their paths. Errors: the directory cannot be read.
pub fn run_directory(directory: &Path) -> io::Result<Vec<Outcome>> {
    let mut files = Vec::new();
    collect(directory, &mut files)?;
    let mut named: Vec<(String, PathBuf)> = files
        .into_iter()
        .map(|path| (relative(directory, &path), path))
        .collect();
    named.sort();
    Ok(named
        .into_iter()
        .map(|(file, path)| run_file(file, &path))
        .collect())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    Ok(())
}

fn relative(directory: &Path, path: &Path) -> String {
    let below = path.strip_prefix(directory).unwrap_or(path);
    let parts: Vec<_> = below
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    parts.join("/")
}

fn run_file(file: String, path: &Path) -> Outcome {
    let read = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"));
    let parsed = read.and_then(|text| Scenario::parse(&text));
    let name = match &parsed {
        Ok(scenario) => scenario.name.clone(),
        Err(_) => path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default(),
    };
    let result = parsed.and_then(|scenario| {
        run_one(&scenario, Way::Commands)?;
        run_one(&scenario, Way::AtOnce).map_err(|detail| format!("{detail}, only at once"))?;
        match scenario.on_store() {
            None => Ok(()),
            Some(scenario) => run_one(&scenario, Way::Commands)
                .map_err(|detail| format!("{detail}, only on a store")),
        }
    });
    Outcome {
        home: "rust",
        file,
        name,
        ok: result.is_ok(),
        detail: result.err().unwrap_or_default(),
    }
}

/// Runs one scenario in one way. The error says which step differed, and how.
pub fn run_scenario(scenario: &Scenario) -> Result<(), String> {
    run_one(scenario, Way::Commands)
}

fn run_one(scenario: &Scenario, way: Way) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| world::run(scenario, way)))
        .unwrap_or_else(|panic| Err(format!("panicked: {}", panic_text(panic.as_ref()))))
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// The example in README.md runs as it stands.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
