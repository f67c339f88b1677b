//! `ferrymq-vectors --dir DIR`: a JSON line per scenario on standard output. Ends with 0 when they could be run, 2 when not.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(flag), Some(directory), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        eprintln!("usage: ferrymq-vectors --dir DIR");
        return ExitCode::from(2);
    };
    if flag != "--dir" {
        eprintln!("usage: ferrymq-vectors --dir DIR");
        return ExitCode::from(2);
    }
    match run(&PathBuf::from(directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ferrymq-vectors: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(directory: &std::path::Path) -> io::Result<()> {
    let outcomes = ferrymq_conformance::run_directory(directory).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("{} cannot be read: {error}", directory.display()),
        )
    })?;
    let mut out = io::stdout().lock();
    for outcome in &outcomes {
        serde_json::to_writer(&mut out, outcome)?;
        writeln!(out)?;
    }
    out.flush()
}
