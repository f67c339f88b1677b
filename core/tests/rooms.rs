//! Proves that no room of core imports one that ARCHITECTURE.md's table forbids it. The table is read as it stands there, the imports as they stand in the sources:
//! `crate::room`, `crate::{a, b::c}`, and `super::` as often as it takes to leave the room.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Table = BTreeMap<String, BTreeSet<String>>;

fn core() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows below `| room | may import |`: each room with those that it may import.
fn table(text: &str) -> Table {
    text.lines()
        .skip_while(|line| !line.starts_with("| room | may import |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.split('|').skip(1).map(str::trim);
            let room = cells.next().unwrap_or_default().to_owned();
            let allowed = cells.next().unwrap_or_default();
            let allowed = allowed
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| name != "-")
                .collect();
            (room, allowed)
        })
        .collect()
}

/// The rooms that a source names. `depth` is how many `super::` it takes from its own module to the crate's root.
fn imports(source: &str, depth: usize) -> BTreeSet<String> {
    let code: String = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let part_of_a_name =
            code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        if !part_of_a_name {
            roots(&code[at + "crate::".len()..], &mut found);
        }
    }
    let leave = "super::".repeat(depth);
    for (at, _) in code.match_indices(&leave) {
        let rest = &code[at + leave.len()..];
        if !rest.starts_with("super::") {
            roots(rest, &mut found);
        }
    }
    found
}

/// The first names of a path, or of every path of a group.
fn roots(rest: &str, found: &mut BTreeSet<String>) {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        found.insert(word(rest));
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match (c, depth) {
            ('{', _) => depth += 1,
            (',', 0) | ('}', 0) => {
                found.insert(word(&group[start..at]));
                start = at + 1;
                if c == '}' {
                    return;
                }
            }
            ('}', _) => depth -= 1,
            _ => {}
        }
    }
}

/// Every Rust file below, with how deep its module is.
fn sources(directory: &Path, depth: usize, found: &mut Vec<(PathBuf, usize)>) {
    for entry in fs::read_dir(directory).expect("core/src can be read") {
        let path = entry.expect("core/src can be read").path();
        if path.is_dir() {
            sources(&path, depth + 1, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let is_room = path.file_stem().is_some_and(|stem| stem == "mod");
            found.push((path, if is_room { depth } else { depth + 1 }));
        }
    }
}

fn forbidden(room: &str, source: &str, depth: usize, table: &Table) -> Vec<String> {
    let allowed = &table[room];
    imports(source, depth)
        .into_iter()
        .filter(|name| table.contains_key(name) && name != room && !allowed.contains(name))
        .collect()
}

#[test]
fn no_room_imports_what_the_table_forbids() {
    let text =
        fs::read_to_string(core().join("../ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let table = table(&text);
    let mut wrong = Vec::new();
    for entry in fs::read_dir(core().join("src")).expect("core/src can be read") {
        let directory = entry.expect("core/src can be read").path();
        if !directory.is_dir() {
            continue;
        }
        let room = directory
            .file_name()
            .expect("it has a name")
            .to_string_lossy()
            .into_owned();
        assert!(
            table.contains_key(&room),
            "{room} is not in ARCHITECTURE.md's table of rooms"
        );
        let mut files = Vec::new();
        sources(&directory, 1, &mut files);
        assert!(!files.is_empty(), "{room} is empty");
        for (file, depth) in files {
            let source = fs::read_to_string(&file).expect("a source can be read");
            for name in forbidden(&room, &source, depth, &table) {
                wrong.push(format!("{}: {room} may not import {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_table_knows_no_room_that_is_not_there() {
    let text =
        fs::read_to_string(core().join("../ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let table = table(&text);
    assert!(table.len() >= 10, "the table has {} rooms", table.len());
    for (room, allowed) in &table {
        assert!(
            core().join("src").join(room).is_dir(),
            "there is no room {room}"
        );
        for name in allowed {
            assert!(
                table.contains_key(name),
                "{room} may import {name}, which is no room"
            );
        }
    }
}

#[test]
fn it_rings() {
    let table = table(
        "| room | may import | owns |\n|---|---|---|\n| model | - | x |\n| queue | model | x |\n| store | model | x |\n",
    );
    let ring = |source: &str, depth| forbidden("queue", source, depth, &table);
    for source in [
        "use crate::store::Log;",
        "use crate::{model::Time, store};",
        "use crate::{model::{Span, Time}, store::{Log, Frame}};",
        "use crate::{\n    model::Time,\n    store,\n};",
        "fn f(log: &crate::store::Log) {}",
        "pub(crate) use crate::store;",
    ] {
        assert_eq!(ring(source, 1), ["store"], "{source}");
    }
    assert_eq!(
        ring("use super::store::Log;", 1),
        ["store"],
        "from the room's own module"
    );
    assert_eq!(
        ring("use super::super::store::Log;", 2),
        ["store"],
        "from a file of the room"
    );
    for source in [
        "use crate::model::Time;",
        "use crate::{model::Time, queue::Waiting};",
        "use super::store;",
        "// use crate::store::Log;",
        "use othercrate::store::Log;",
        "use ferrymq_crate::store::Log;",
    ] {
        assert!(ring(source, 2).is_empty(), "{source}");
    }
}
