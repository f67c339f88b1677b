//! `cargo xtask fuzz`: the fuzz targets at length, in libFuzzer's hands. The tests run the same targets in short.

use std::fs;

use clap::{Arg, ArgMatches, Command, value_parser};

use crate::paths;
use crate::shell::{Outcome, Run};

/// The targets of fuzz/fuzz_targets.
const TARGETS: [&str; 3] = ["frames", "recovery", "operations"];
const CARGO_FUZZ: &str = "0.13.2";
/// How many inputs it begins with.
const SEEDS: &str = "300";
/// Most memory of a run, megabytes: no input may take memory without a bound.
const MEGABYTES_MAX: &str = "1024";
/// Longest time of one input, seconds.
const INPUT_SECONDS_MAX: &str = "20";

/// What the command takes.
pub fn command() -> Command {
    Command::new("fuzz")
        .about("Hands the fuzz targets to libFuzzer, one after the other")
        .arg(
            Arg::new("target")
                .value_parser(TARGETS)
                .help("Only this one"),
        )
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_name("N")
                .default_value("60")
                .value_parser(value_parser!(u64))
                .help("So long each"),
        )
}

/// Runs the targets. Errors: one of them found something; libFuzzer says where the input is.
pub fn run(given: &ArgMatches) -> Outcome<()> {
    let seconds = given.get_one::<u64>("seconds").copied().unwrap_or(60);
    let only = given.get_one::<String>("target");
    install()?;
    for target in TARGETS {
        if only.is_none_or(|only| only == target) {
            fuzz(target, seconds)?;
        }
    }
    Ok(())
}

/// cargo-fuzz, into target/tools, the first time.
fn install() -> Outcome<()> {
    let program = paths::tools().join("bin/cargo-fuzz");
    if Run::new(program).arg("--version").works() {
        return Ok(());
    }
    println!("fuzz: building cargo-fuzz {CARGO_FUZZ} into target/tools, this takes a minute");
    Run::new("cargo")
        .args(["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--root"])
        .arg(paths::tools())
        .env("CARGO_TARGET_DIR", paths::root().join("target/tools-build"))
        .run()
}

fn fuzz(target: &str, seconds: u64) -> Outcome<()> {
    let corpus = paths::root().join("target/fuzz").join(target);
    fs::create_dir_all(&corpus).map_err(|error| format!("target/fuzz: {error}"))?;
    Run::new("cargo")
        .args(["run", "--quiet", "--package", "ferrymq-fuzz-targets"])
        .args(["--bin", "seeds", "--", target])
        .arg(&corpus)
        .arg(SEEDS)
        .run()?;
    // libFuzzer's flags are the compiler's unstable ones; the stable compiler takes them when it is told to. Core has no unsafe code, so that no sanitizer is needed.
    let mut run = Run::new(paths::tools().join("bin/cargo-fuzz"))
        .args(["run", "--sanitizer", "none", target])
        .arg(&corpus)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", paths::root().join("target/fuzz-build"));
    let found = paths::root().join("fuzz/found").join(target);
    if found.exists() {
        run = run.arg(found);
    }
    run.arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={MEGABYTES_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .args(["-max_len=32768", "-print_final_stats=1"])
        .run()
}
