//! Public names, read from the sources. `Class.method`, `Class.method.parameter`, and by kind `option.*`, `stats.*`, `message.*`, `error.*`; snake_case.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn text(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Classes whose fields are a kind of their own.
fn kind_of(class: &str) -> Option<&'static str> {
    Some(match class {
        "QueueOptions" => "option",
        "QueueStats" => "stats",
        "Message" => "message",
        "Backoff" => "backoff",
        _ => return None,
    })
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() {
            if !snake.is_empty() {
                snake.push('_');
            }
            snake.extend(c.to_lowercase());
        } else {
            snake.push(c);
        }
    }
    snake
}

/// The lines between `open` and the line that is `close`.
fn block<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    let lines: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with(open))
        .skip(1)
        .take_while(|line| *line != close)
        .collect();
    assert!(!lines.is_empty(), "no block {open:?}");
    lines
}

fn word(line: &str) -> &str {
    let end = line
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(line.len());
    &line[..end]
}

/// Rust: the commands, the typed handles, the fields of what is passed and shown, the errors.
pub fn rust(root: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let variants = |source: &str, open: &str| -> Vec<String> {
        block(source, open, "}")
            .iter()
            .filter_map(|line| line.strip_prefix("    "))
            .map(word)
            .filter(|name| name.starts_with(char::is_uppercase))
            .map(str::to_owned)
            .collect()
    };
    let command = text(root, "core/src/engine/command.rs");
    for variant in variants(&command, "pub enum Command {") {
        names.insert(format!("Command.{}", snake(&variant)));
    }
    let error = text(root, "core/src/model/error.rs");
    for variant in variants(&error, "pub enum ErrorKind {") {
        names.insert(format!("error.{variant}"));
    }
    for (file, class) in [
        ("options", "QueueOptions"),
        ("options", "Backoff"),
        ("stats", "QueueStats"),
        ("message", "Properties"),
        ("message", "Outgoing"),
        ("message", "Message"),
    ] {
        let source = text(root, &format!("core/src/model/{file}.rs"));
        let class_or_kind = kind_of(class).unwrap_or(class);
        for line in block(&source, &format!("pub struct {class} {{"), "}") {
            if let Some(field) = line.strip_prefix("    pub ") {
                names.insert(format!("{class_or_kind}.{}", word(field)));
            }
        }
    }
    names.extend(rust_handles(&text(root, "core/src/driver/handles.rs")));
    names
}

/// The public methods of every `impl Class {`, and their parameters.
fn rust_handles(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut class = String::new();
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("impl ") {
            class = word(rest).to_owned();
        } else if let Some(rest) = line.strip_prefix("    pub fn ") {
            names.insert(format!("{class}.{}", word(rest)));
        }
    }
    names
}

/// Python: the stubs of the native module, the plain types, the errors.
pub fn python(root: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let init = text(root, "python/ferrymq/__init__.py");
    let exported: BTreeSet<&str> = init.split('"').collect();
    let stubs = text(root, "python/ferrymq/_native.pyi");
    let mut class = "";
    for (at, line) in stubs.lines().enumerate() {
        if let Some(rest) = line.strip_prefix("class ") {
            class = word(rest);
        }
        let Some(rest) = line.strip_prefix("    def ") else {
            continue;
        };
        let method = word(rest);
        if method.starts_with('_') || !exported.contains(class) {
            continue;
        }
        let is_property = stubs.lines().nth(at - 1).map(str::trim) == Some("@property");
        let after: String = stubs.lines().skip(at).collect::<Vec<_>>().join(" ");
        if is_property || kind_of(class).is_some() {
            names.insert(format!("{}.{method}", kind_of(class).unwrap_or(class)));
            continue;
        }
        names.insert(format!("{class}.{method}"));
        for parameter in parameters(&after) {
            names.insert(format!("{class}.{method}.{parameter}"));
        }
    }
    let types = text(root, "python/ferrymq/_types.py");
    for class in ["QueueOptions", "QueueStats", "Backoff"] {
        let kind = kind_of(class).expect("it is a kind");
        let body = types
            .lines()
            .skip_while(|line| !line.starts_with(&format!("class {class}")))
            .skip(1)
            .take_while(|line| line.is_empty() || line.starts_with(' '));
        for line in body {
            let Some(field) = line.strip_prefix("    ") else {
                continue;
            };
            let name = word(field);
            if !name.is_empty() && field[name.len()..].starts_with(": ") {
                names.insert(format!("{kind}.{name}"));
            }
        }
    }
    let errors = text(root, "python/ferrymq/_errors.py");
    for line in errors
        .lines()
        .filter_map(|line| line.strip_prefix("class "))
    {
        if word(line) != "FerryError" {
            names.insert(format!("error.{}", word(line)));
        }
    }
    names
}

/// The names of parameters, from a `(` to its `)`; neither self nor `*` nor `**options`.
fn parameters(after: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in after.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        match (c, depth) {
            (')', 0) => break,
            (',', 1) => parts.push(String::new()),
            ('(', 1) => parts[0].clear(),
            (c, depth) if depth > 0 => parts.last_mut().expect("there is a part").push(c),
            _ => {}
        }
    }
    parts
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.starts_with('*') && *part != "self" && *part != "/")
        .map(|part| word(part).to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// TypeScript: the members of every public interface, the parameters that are objects, the codes of errors.
pub fn typescript(root: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let api = text(root, "wasm/ts/api.ts");
    let mut class = "";
    for line in api.lines() {
        if let Some(rest) = line.strip_prefix("export interface ") {
            class = word(rest);
        } else if line == "}" {
            class = "";
        }
        let Some(member) = line.strip_prefix("  ").filter(|_| !class.is_empty()) else {
            continue;
        };
        let member = member.strip_prefix("readonly ").unwrap_or(member);
        let name = word(member);
        let rest = &member[name.len()..];
        if name.is_empty() || !rest.starts_with([':', '?', '(', '<']) {
            continue;
        }
        let own = format!("{}.{}", kind_of(class).unwrap_or(class), snake(name));
        for field in inline_fields(rest) {
            names.insert(format!("{own}.{}", snake(&field)));
        }
        names.insert(own);
    }
    let errors = text(root, "wasm/ts/errors.ts");
    for line in block(&errors, "export type ErrorCode", "") {
        let code = line.split('"').nth(1).expect("a code stands in quotes");
        names.insert(format!("error.{code}"));
    }
    names
}

/// The fields of `options?: { readonly durable?: boolean }` within one line.
fn inline_fields(rest: &str) -> Vec<String> {
    if !rest.starts_with('(') {
        return Vec::new();
    }
    rest.split("readonly ")
        .skip(1)
        .map(word)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The first column of the table below `## Errors`.
pub fn documented_errors(text: &str) -> BTreeSet<String> {
    block(text, "## Errors", "\u{0}")
        .iter()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| word(line).to_owned())
        .collect()
}
