//! What no linter looks at: how long files are, and that nothing of anybody's machine is left in them.

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
