//! Messages to people do not use `Debug`: on WebAssembly it prints nothing (the module is compiled without it), and elsewhere it shows Rust's names. Names are quoted by `model::quoted`.

use std::fs;
use std::path::{Path, PathBuf};

/// The lines that format with `Debug`, comments and tests left out.
fn offenders(source: &str) -> Vec<&str> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .filter(|line| line.contains(":?}") || line.contains("{:#?}"))
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect()
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the sources are there") {
        let path = entry.expect("the sources can be read").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_message_of_the_engine_uses_debug() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    assert!(files.len() > 40, "only {} files were found", files.len());
    for file in files {
        // The driver is native only, and says so of broken invariants; a file of tests has no messages to people.
        if file.starts_with(source.join("driver")) || file.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a source is text");
        let found = offenders(&text);
        assert!(found.is_empty(), "{}: {found:?}", file.display());
    }
}

#[test]
fn the_check_rings() {
    assert_eq!(offenders("format!(\"queue {name:?} is full\")").len(), 1);
    assert_eq!(
        offenders("// {name:?}\n#[cfg(test)]\npanic!(\"{name:?}\")").len(),
        0
    );
}
