//! Stores that programs of this format version left behind (`tests/golden`), opened by this one: every queue, message, attempt, delay, dedup id, exchange and binding is there.

use std::fs;
use std::path::Path;

use ferrymq_conformance::{Scenario, run_scenario};
use serde_json::Value;

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../golden")
        .join(name);
    let text = fs::read_to_string(path).expect("tests/golden can be read");
    serde_json::from_str(&text).expect("it is JSON")
}

/// The steps beside one store, run on the files of another.
fn scenario(steps: &str, files: &str) -> Scenario {
    let mut scenario = read(&format!("{steps}.json"));
    scenario["open"]["files"] = read(&format!("{files}.store.json"))["files"].take();
    Scenario::parse(&scenario.to_string()).expect("it is a scenario")
}

#[test]
fn each_has_in_it_what_was_put_there() {
    for name in ["killed", "closed"] {
        assert_eq!(run_scenario(&scenario(name, name)), Ok(()), "{name}");
    }
}

#[test]
fn one_that_says_something_else_is_noticed() {
    let told = run_scenario(&scenario("closed", "killed")).expect_err("they differ");
    assert!(
        told.starts_with("step 10 (stats): expected released 2"),
        "{told}"
    );
}
