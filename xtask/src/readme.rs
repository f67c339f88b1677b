//! README.md's commands and examples, run as they stand. The Rust example is a doctest of tests/conformance.

use std::fs;
use std::path::{Path, PathBuf};

use crate::counts::Counts;
use crate::paths;
use crate::products;
use crate::shell::{Outcome, Run};

const TEST_COMMAND: &str = "cargo xtask setup && cargo xtask test";

/// Every block: one test each.
pub fn count() -> Outcome<Counts> {
    products::npm_package()?;
    let text = fs::read_to_string(paths::root().join("README.md"))
        .map_err(|error| format!("README.md: {error}"))?;
    let directory = paths::root().join("target/readme");
    if directory.exists() {
        fs::remove_dir_all(&directory).map_err(|error| format!("target/readme: {error}"))?;
    }
    fs::create_dir_all(directory.join("node_modules"))
        .map_err(|error| format!("target/readme: {error}"))?;
    let mut counts = Counts::default();
    let mut check = |what: &str, result: Outcome<()>| {
        counts += Counts::one(result.is_ok());
        if let Err(error) = result {
            println!("README.md: {what}: {error}");
        }
    };
    let commands = blocks(&text, "sh");
    check(
        "the command that tests",
        one_line(&commands, "cargo xtask").and_then(|line| {
            (line == TEST_COMMAND)
                .then_some(())
                .ok_or(format!("is {line:?}, not {TEST_COMMAND:?}"))
        }),
    );
    check(
        "the command that runs",
        one_line(&commands, "python3").and_then(|line| install(&line, &directory)),
    );
    for example in blocks(&text, "python") {
        check("the Python example", python(&example, &directory));
    }
    for example in blocks(&text, "js") {
        check("the JavaScript example", javascript(&example, &directory));
    }
    for (language, least) in [("python", 1), ("js", 1), ("rust", 1)] {
        let there = blocks(&text, language).len();
        check(
            language,
            (there >= least)
                .then_some(())
                .ok_or("has no example".to_owned()),
        );
    }
    Ok(counts)
}

/// The text of every block of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        match (&mut block, line) {
            (Some(_), "```") => found.extend(block.take()),
            (Some(block), line) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, line) if line.strip_prefix("```") == Some(language) => {
                block = Some(String::new())
            }
            (None, _) => {}
        }
    }
    found
}

/// The one line that begins so.
fn one_line(commands: &[String], begin: &str) -> Outcome<String> {
    let lines: Vec<&str> = commands
        .iter()
        .flat_map(|block| block.lines())
        .filter(|line| line.starts_with(begin))
        .collect();
    match lines.as_slice() {
        [line] => Ok((*line).to_owned()),
        lines => Err(format!(
            "{} lines begin with {begin:?}, there must be one",
            lines.len()
        )),
    }
}

/// The command as it stands, but for where its environment goes.
fn install(line: &str, directory: &Path) -> Outcome<()> {
    let venv = directory.join("venv");
    let line = line.replace(".venv", &venv.to_string_lossy());
    Run::new("bash")
        .args(["-euo", "pipefail", "-c", &line])
        .run()
}

fn written(name: &str, example: &str, directory: &Path) -> Outcome<PathBuf> {
    let file = directory.join(name);
    fs::write(&file, example).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}

fn python(example: &str, directory: &Path) -> Outcome<()> {
    let file = written("example.py", example, directory)?;
    let installed = directory.join("venv/bin/python");
    Run::new(installed)
        .args(["-X", "dev", "-W", "error"])
        .arg(file)
        .run()
}

/// In a project that has the built package among its modules.
fn javascript(example: &str, directory: &Path) -> Outcome<()> {
    let package = directory.join("node_modules/ferrymq");
    if !package.exists() {
        fs::create_dir_all(&package).map_err(|error| format!("{}: {error}", package.display()))?;
        Run::new("cp")
            .args(["-R", "wasm/package.json", "wasm/dist"])
            .arg(&package)
            .run()?;
    }
    let file = written("example.mjs", example, directory)?;
    Run::new("node").arg(file).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_by_language() {
        let text = "a\n```sh\none\ntwo\n```\n```js\nthree\n```\n```sh\nfour\n```\n";
        assert_eq!(blocks(text, "sh"), ["one\ntwo\n", "four\n"]);
        assert_eq!(one_line(&blocks(text, "sh"), "tw").as_deref(), Ok("two"));
        assert!(one_line(&blocks(text, "sh"), "x").is_err());
    }
}
