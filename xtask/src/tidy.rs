//! What no linter looks at: how long files are, that nothing of anybody's machine is left in them, that documents link to what is there, and that every dependency has its reason.

use std::fs;

use crate::paths;
use crate::shell::{Outcome, Run};

/// Where a source file must have been split.
const LINES_MAX: usize = 1000;
/// Ends of names of files that people write and read as sources.
const SOURCES: [&str; 6] = [".rs", ".py", ".pyi", ".ts", ".mjs", ".js"];
/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: [&str; 5] = ["/root/", "/home/", "/Users/", "/tmp/", "/work/"];

/// Errors: everything that is untidy.
pub fn run() -> Outcome<()> {
    let listed = Run::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .answer()
        .ok_or("git cannot list the files; run this in a clone")?;
    let mut untidy = Vec::new();
    for name in listed
        .lines()
        .filter(|name| !name.ends_with("xtask/src/tidy.rs"))
    {
        // What is no text (an image, say) has no lines.
        if let Ok(text) = fs::read_to_string(paths::root().join(name)) {
            untidy.extend(look_at(name, &text));
            if name.ends_with(".md") {
                untidy.extend(dead_links(name, &text));
            }
            if name.ends_with("Cargo.toml") {
                untidy.extend(dependencies_without_reason(name, &text));
            }
        }
    }
    match untidy.is_empty() {
        true => Ok(()),
        false => Err(format!("\n  {}", untidy.join("\n  "))),
    }
}

fn look_at(name: &str, text: &str) -> Vec<String> {
    let mut untidy = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX && SOURCES.iter().any(|end| name.ends_with(end)) {
        untidy.push(format!(
            "{name} has {lines} lines; split it, {LINES_MAX} is where to stop"
        ));
    }
    if name.ends_with(".lock") || name.ends_with("package-lock.json") {
        return untidy;
    }
    for (number, line) in text.lines().enumerate() {
        if let Some(path) = MACHINE_PATHS.iter().find(|path| names_a_path(line, path)) {
            untidy.push(format!(
                "{name}:{}: names {path}, a path of one machine",
                number + 1
            ));
        }
    }
    untidy
}

/// Links to files of the repository that are not there.
fn dead_links(name: &str, text: &str) -> Vec<String> {
    let directory = paths::root().join(name);
    let directory = directory.parent().expect("a file lies in a directory");
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next())
        .filter(|link| !link.is_empty() && !link.contains("://"))
        .filter(|link| !directory.join(link).exists())
        .map(|link| format!("{name}: links to {link}, which is not there"))
        .collect()
}

/// Dependencies without a comment above that says why; those of our own crates need none.
fn dependencies_without_reason(name: &str, text: &str) -> Vec<String> {
    let mut untidy = Vec::new();
    let (mut inside, mut reason) = (false, false);
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]") && !line.contains("workspace");
            reason = false;
        } else if line.starts_with('#') {
            reason = true;
        } else if line.is_empty() {
            reason = false;
        } else if inside && !reason && !line.starts_with("ferrymq-") {
            untidy.push(format!("{name}: no comment says why there is {line}"));
        }
    }
    untidy
}

/// Whether the path begins there, rather than being part of a longer one or of an address.
fn names_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '*' | '/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rings() {
        assert_eq!(look_at("a.rs", "open(\"/home/me/x\")").len(), 1);
        assert_eq!(look_at("a.rs", &"x\n".repeat(LINES_MAX + 1)).len(), 1);
        assert!(look_at("a.json", &"x\n".repeat(LINES_MAX + 1)).is_empty());
    }

    #[test]
    fn links_and_dependencies_ring() {
        assert_eq!(dead_links("README.md", "[a](nowhere/at-all.md)").len(), 1);
        let good = "[a](README.md) [b](xtask/src#x) [c](https://example.org) [d](#here)";
        assert!(dead_links("README.md", good).is_empty());
        let bare = "[dependencies]\nserde = 1\n";
        assert_eq!(dependencies_without_reason("Cargo.toml", bare).len(), 1);
        let said = "[package]\nname = 1\n\n[dependencies]\n# Why.\nserde = 1\nserde_json = 1\nferrymq-core = 1\n";
        assert!(dependencies_without_reason("Cargo.toml", said).is_empty());
    }

    #[test]
    fn a_part_of_another_path_is_none() {
        for line in [
            "target/tmp/x",
            "https://example.org/home/x",
            "../work/x",
            "${dir}/tmp/x",
        ] {
            assert!(look_at("a.rs", line).is_empty(), "{line}");
        }
    }
}
