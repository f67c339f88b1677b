//! Proves that the Rust home keeps every promise that tests/vectors writes down, and that the runner fails a scenario that it should fail.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ferrymq_conformance::{Scenario, run_directory};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}

#[test]
fn every_scenario_holds() {
    let outcomes = run_directory(&vectors()).expect("tests/vectors can be read");
    assert!(outcomes.len() >= 250, "only {} scenarios", outcomes.len());
    let failed: Vec<String> = outcomes
        .iter()
        .filter(|outcome| !outcome.ok)
        .map(|outcome| format!("{}: {}", outcome.file, outcome.detail))
        .collect();
    assert!(failed.is_empty(), "\n{}\n", failed.join("\n"));
}

#[test]
fn each_scenario_says_what_it_is_for() {
    let mut names = BTreeMap::new();
    for outcome in run_directory(&vectors()).expect("tests/vectors can be read") {
        let path = vectors().join(&outcome.file);
        let scenario = Scenario::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(
            path.file_stem().and_then(|stem| stem.to_str()),
            Some(scenario.name.as_str()),
            "{} is named otherwise than its file",
            outcome.file
        );
        assert!(
            scenario.about.len() > 20,
            "{} does not say why",
            outcome.file
        );
        assert!(
            !scenario.covers.is_empty(),
            "{} covers nothing",
            outcome.file
        );
        if let Some(other) = names.insert(scenario.name, outcome.file.clone()) {
            panic!("{} and {other} have one name", outcome.file);
        }
    }
}

/// What is wrong, the step, and what the detail must speak of.
const WRONG: [(&str, &str, &str); 9] = [
    (
        "other-result",
        r#"{"do": "stats", "queue": "q", "expect": {"size": 1}}"#,
        "expected size 1, got 0",
    ),
    (
        "other-error",
        r#"{"do": "stats", "queue": "r", "error": "Closed"}"#,
        "expected error Closed, got NotFound",
    ),
    (
        "no-error",
        r#"{"do": "stats", "queue": "q", "error": "Closed"}"#,
        "expected error Closed, got",
    ),
    (
        "not-pending",
        r#"{"do": "consume", "queue": "q", "expect": "pending"}"#,
        "pending",
    ),
    (
        "pending",
        r#"{"do": "consume", "queue": "q", "options": {"timeout": null}}"#,
        "pending",
    ),
    ("unknown-verb", r#"{"do": "frobnicate"}"#, "frobnicate"),
    (
        "unknown-field",
        r#"{"do": "purge", "queue": "q", "soon": true}"#,
        "soon",
    ),
    (
        "unknown-option",
        r#"{"do": "queue", "queue": "r", "options": {"colour": 1}}"#,
        "colour",
    ),
    (
        "unknown-name",
        r#"{"do": "ack", "delivery": "nobody"}"#,
        "nobody",
    ),
];

#[test]
fn what_is_wrong_fails() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wrong-vectors");
    fs::create_dir_all(directory.join("below")).unwrap();
    for (name, step, _) in WRONG {
        let scenario = format!(
            r#"{{"name": "{name}", "about": "a", "covers": ["c"], "open": {{"storage": "memory"}}, "steps": [{{"do": "queue", "queue": "q"}}, {step}]}}"#
        );
        fs::write(
            directory.join("below").join(format!("{name}.json")),
            scenario,
        )
        .unwrap();
    }
    fs::write(directory.join("not-json.json"), "{").unwrap();
    let outcomes = run_directory(&directory).unwrap();
    assert_eq!(outcomes.len(), WRONG.len() + 1);
    for outcome in outcomes {
        assert!(!outcome.ok, "{} passed", outcome.file);
        let hint = WRONG.iter().find(|(name, ..)| *name == outcome.name);
        let hint = hint.map_or("does not parse", |(.., hint)| hint);
        assert!(
            outcome.detail.contains(hint),
            "{}: {}",
            outcome.name,
            outcome.detail
        );
    }
}

#[test]
fn the_program_ends_with_two_when_it_cannot_run() {
    let program = env!("CARGO_BIN_EXE_ferrymq-vectors");
    for arguments in [&["--dir", "/nowhere/at/all"][..], &["--dir"], &[]] {
        let ended = Command::new(program).args(arguments).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}");
        assert!(!ended.stderr.is_empty());
    }
    let worked = vectors().join("worked");
    let ended = Command::new(program)
        .arg("--dir")
        .arg(worked)
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8(ended.stdout).unwrap().lines().count(), 12);
}
