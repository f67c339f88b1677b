//! Proves that every public name (verb, option, error, statistic, field of a message) in every language is used by a vector, minus the written list in
//! tests/vectors/uncovered.toml, and that the languages and docs/semantics.md have the same errors, options and statistics.
//!
//! The public names are read from the sources that users' tools read: Python's stubs, TypeScript's interfaces, Rust's types.

mod public;
mod used;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ferrymq_core::model::ErrorKind;
use serde::Deserialize;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// tests/vectors/uncovered.toml.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// A public name, or its beginning up to a dot, and the vectors' word for it.
    #[serde(default)]
    alias: BTreeMap<String, String>,
    /// A public name that no vector uses, and why.
    #[serde(default)]
    uncovered: BTreeMap<String, String>,
}

impl Written {
    fn read() -> Written {
        toml::from_str(&text("tests/vectors/uncovered.toml")).expect("uncovered.toml parses")
    }

    /// The vectors' word for a public name: by the longest alias that fits.
    fn word(&self, name: &str) -> String {
        let mut end = name.len();
        loop {
            if let Some(word) = self.alias.get(&name[..end]) {
                let whole = format!("{word}{}", &name[end..]);
                return whole.trim_start_matches('.').to_owned();
            }
            match name[..end].rfind('.') {
                Some(dot) => end = dot,
                None => return name.to_owned(),
            }
        }
    }
}

/// What is wrong with the coverage: names without a vector, and entries of the list that say what is not so.
fn gaps(public: &BTreeSet<String>, used: &BTreeSet<String>, written: &Written) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in public {
        let word = written.word(name);
        match (used.contains(&word), written.uncovered.contains_key(name)) {
            (false, false) => wrong.push(format!(
                "{name} is public and no vector uses {word}: write one, or say in tests/vectors/uncovered.toml why not"
            )),
            (true, true) => wrong.push(format!(
                "{name} is written down as uncovered, and a vector uses {word}: take it off the list"
            )),
            _ => {}
        }
    }
    for (name, reason) in &written.uncovered {
        if !public.contains(name) {
            wrong.push(format!(
                "{name} is written down as uncovered, and is not public"
            ));
        }
        if reason.len() < 10 {
            wrong.push(format!(
                "{name} is written down as uncovered without a reason"
            ));
        }
    }
    for name in written.alias.keys() {
        let below = format!("{name}.");
        if !public
            .iter()
            .any(|public| public == name || public.starts_with(&below))
        {
            wrong.push(format!("{name} has an alias, and is not public"));
        }
    }
    wrong
}

fn all_public() -> BTreeSet<String> {
    let mut names = public::rust(&root());
    names.extend(public::python(&root()));
    names.extend(public::typescript(&root()));
    names
}

#[test]
fn every_public_name_is_used_by_a_vector() {
    let wrong = gaps(
        &all_public(),
        &used::words(&root().join("tests/vectors")),
        &Written::read(),
    );
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn it_rings_for_a_name_that_no_vector_uses() {
    let used = used::words(&root().join("tests/vectors"));
    let mut public = all_public();
    for name in [
        "Queue.frobnicate",
        "option.colour",
        "error.Overheated",
        "Queue.produce.colour",
    ] {
        public.insert(name.to_owned());
        let wrong = gaps(&public, &used, &Written::read());
        assert!(
            wrong.iter().any(|line| line.starts_with(name)),
            "{name}: {wrong:?}"
        );
    }
}

#[test]
fn it_rings_for_a_list_that_is_not_true() {
    let used = BTreeSet::from(["queue".to_owned()]);
    let public = BTreeSet::from(["Broker.queue".to_owned()]);
    let written = |alias: &str, uncovered: &str| Written {
        alias: BTreeMap::from([(alias.to_owned(), "queue".to_owned())]),
        uncovered: BTreeMap::from([(
            uncovered.to_owned(),
            "a reason that is long enough".to_owned(),
        )]),
    };
    assert_eq!(
        gaps(&public, &used, &written("Broker.queue", "Broker.queue")).len(),
        1
    );
    assert_eq!(
        gaps(&public, &used, &written("Broker.queue", "Broker.gone")).len(),
        1
    );
    assert_eq!(
        gaps(&public, &used, &written("Broker.gone", "Broker.queue")).len(),
        1
    );
}

#[test]
fn each_language_shows_its_names() {
    let enough = |names: BTreeSet<String>, expected: &[&str]| {
        for name in expected {
            assert!(names.contains(*name), "{name} is not among {names:#?}");
        }
    };
    enough(
        public::rust(&root()),
        &[
            "Queue.consume_many",
            "Command.transaction",
            "option.dead_letter",
            "stats.oldest_age",
            "error.LeaseLost",
        ],
    );
    enough(
        public::python(&root()),
        &[
            "Queue.produce.correlation_id",
            "Delivery.nack.reason",
            "message.produced_at",
            "option.dead_letter",
            "stats.oldest_age",
            "error.LeaseLost",
        ],
    );
    enough(
        public::typescript(&root()),
        &[
            "Queue.produce_many",
            "Delivery.ack.durable",
            "message.produced_at",
            "option.dead_letter",
            "stats.oldest_age",
            "error.LeaseLost",
            "ConsumeOptions.auto_ack",
        ],
    );
}

/// The names of a kind, without the kind.
fn of_kind(names: &BTreeSet<String>, kind: &str) -> BTreeSet<String> {
    names
        .iter()
        .filter_map(|name| name.strip_prefix(kind)?.strip_prefix('.'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_language_has_the_same_errors() {
    let core: BTreeSet<String> = ErrorKind::ALL
        .iter()
        .map(|kind| kind.code().to_owned())
        .collect();
    assert_eq!(
        of_kind(&public::rust(&root()), "error"),
        core,
        "Rust's source and ErrorKind::ALL"
    );
    assert_eq!(
        of_kind(&public::typescript(&root()), "error"),
        core,
        "TypeScript's ErrorCode"
    );
    let python = of_kind(&public::python(&root()), "error");
    // The error of a forked process, which only Python's API names.
    let own = BTreeSet::from(["ForkError".to_owned()]);
    assert_eq!(
        python.difference(&core).cloned().collect::<BTreeSet<_>>(),
        own,
        "Python's errors"
    );
    assert!(
        core.is_subset(&python),
        "Python's errors lack {:?}",
        core.difference(&python)
    );
}

#[test]
fn the_promises_name_every_error() {
    let documented = public::documented_errors(&text("docs/semantics.md"));
    let all: BTreeSet<String> = ErrorKind::ALL
        .iter()
        .map(|kind| kind.code().to_owned())
        .collect();
    assert_eq!(documented, all, "docs/semantics.md's table of errors");
}

#[test]
fn every_language_has_the_same_options_and_statistics() {
    let (rust, python, typescript) = (
        public::rust(&root()),
        public::python(&root()),
        public::typescript(&root()),
    );
    for kind in ["option", "stats"] {
        let expected = of_kind(&rust, kind);
        assert!(expected.len() > 10, "{kind}: {expected:?}");
        assert_eq!(of_kind(&python, kind), expected, "Python's {kind}");
        assert_eq!(of_kind(&typescript, kind), expected, "TypeScript's {kind}");
    }
}
