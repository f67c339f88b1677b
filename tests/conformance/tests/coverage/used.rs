//! The words that the vectors use: `consume`, `consume.auto_ack`, `option.lease`, `error.QueueFull`, `stats.ready`, `message.body`, `open.storage`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

/// Every word of every vector below a directory.
pub fn words(directory: &Path) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    read(directory, &mut words);
    words
}

fn read(directory: &Path, words: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("tests/vectors can be read") {
        let path = entry.expect("tests/vectors can be read").path();
        if path.is_dir() {
            read(&path, words);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let text = fs::read_to_string(&path).expect("a vector can be read");
            let scenario: Value = serde_json::from_str(&text).expect("a vector is JSON");
            for name in scenario["open"].as_object().into_iter().flat_map(Map::keys) {
                words.insert(format!("open.{name}"));
            }
            steps(&scenario["steps"], words);
        }
    }
}

fn steps(steps: &Value, words: &mut BTreeSet<String>) {
    for step in steps.as_array().into_iter().flatten() {
        step_words(step.as_object().expect("a step is an object"), words);
    }
}

fn step_words(step: &Map<String, Value>, words: &mut BTreeSet<String>) {
    let verb = step["do"].as_str().expect("a step says what to do");
    words.insert(verb.to_owned());
    for (field, value) in step {
        match field.as_str() {
            "do" | "at" | "as" | "expect" => {}
            "error" => {
                words.insert(format!(
                    "error.{}",
                    value.as_str().expect("an error is a code")
                ));
            }
            "ops" => steps(value, words),
            "options" if matches!(verb, "queue" | "alter") => names("option", value, words),
            "options" => names(verb, value, words),
            // An item of a batch says what a message says.
            "items" => {
                words.insert("produce_many.items".to_owned());
                for item in value.as_array().into_iter().flatten() {
                    names("produce", &item["options"], words);
                }
            }
            "body" => {
                words.insert(format!("{verb}.body"));
                if value.get("json").is_some() {
                    words.insert(format!("{verb}.json"));
                }
            }
            field => {
                words.insert(format!("{verb}.{field}"));
            }
        }
    }
    let Some(expected) = step.get("expect") else {
        return;
    };
    match verb {
        "stats" => names("stats", expected, words),
        "consume" | "consume_many" | "peek" | "result" => {
            names("message", expected, words);
            for message in expected.as_array().into_iter().flatten() {
                names("message", message, words);
            }
        }
        _ => {}
    }
}

fn names(kind: &str, value: &Value, words: &mut BTreeSet<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        words.insert(format!("{kind}.{name}"));
        if name == "backoff" {
            names("backoff", value, words);
        }
    }
}
