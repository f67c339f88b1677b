//! The repository's tasks. `cargo xtask --help` lists them; CONTRIBUTING.md says when to use which.
#![forbid(unsafe_code)]

mod bench;
mod counts;
mod crash;
mod demo;
mod fuzz;
mod lint;
mod paths;
mod products;
mod readme;
mod setup;
mod shell;
mod stamp;
mod table;
mod test;
mod tidy;
mod vectors;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use shell::Outcome;

fn main() -> ExitCode {
    let matches = command().get_matches();
    match dispatch(&matches) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let rest = || {
        Arg::new("arguments")
            .num_args(0..)
            .trailing_var_arg(true)
            .allow_hyphen_values(true)
    };
    Command::new("cargo xtask")
        .about("FerryMQ's tasks")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("setup").about("Installs what building and testing need and is missing"))
        .subcommand(
            Command::new("test")
                .about("Builds everything and runs every test in all four homes")
                .arg(
                    Arg::new("only")
                        .long("only")
                        .value_name("STAGE")
                        .action(ArgAction::Append)
                        .value_parser(test::names())
                        .help("Runs this stage; may be given more than once"),
                ),
        )
        .subcommand(
            Command::new("vectors")
                .about("Runs a directory of conformance vectors in all four homes and says where they differ")
                .arg(
                    Arg::new("dir")
                        .long("dir")
                        .value_name("DIR")
                        .value_parser(value_parser!(PathBuf))
                        .help("The directory; tests/vectors unless given"),
                ),
        )
        .subcommand(Command::new("lint").about("Checks formats, lints, types, rooms and tidiness"))
        .subcommand(
            Command::new("demo")
                .about("Installs the Python package into target/venv and runs `ferrymq demo`")
                .arg(rest()),
        )
        .subcommand(fuzz::command())
        .subcommand(
            Command::new("crash")
                .about("Kills processes that work on a store, and looks whether its promises hold; --cycles N --seed S")
                .arg(rest()),
        )
        .subcommand(
            Command::new("bench")
                .about("Measures beside peers and writes docs/benchmarks.md")
                .arg(rest()),
        )
}

/// False: it ran, and something failed that was already said.
fn dispatch(matches: &ArgMatches) -> Outcome<bool> {
    let rest = |matches: &ArgMatches| -> Vec<String> {
        matches
            .get_many::<String>("arguments")
            .map(|arguments| arguments.cloned().collect())
            .unwrap_or_default()
    };
    match matches.subcommand() {
        Some(("setup", _)) => setup::run().map(|()| true),
        Some(("test", given)) => {
            let only: Vec<String> = given
                .get_many::<String>("only")
                .map(|names| names.cloned().collect())
                .unwrap_or_default();
            test::run(&only)
        }
        Some(("vectors", given)) => vectors::run(given.get_one::<PathBuf>("dir")),
        Some(("lint", _)) => lint::run(),
        Some(("demo", given)) => demo::run(&rest(given)).map(|()| true),
        Some(("crash", given)) => crash::run(&rest(given)).map(|()| true),
        Some(("fuzz", given)) => fuzz::run(given).map(|()| true),
        Some(("bench", given)) => bench::run(&rest(given)).map(|()| true),
        _ => unreachable!("clap asks for a subcommand"),
    }
}
