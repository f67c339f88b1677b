//! Running programs: what is run is said, what fails says with what.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use crate::paths;

/// What a task gives, or a sentence about what went wrong.
pub type Outcome<T> = Result<T, String>;

/// A program to be run from the repository's root.
pub struct Run {
    command: Command,
    shown: String,
}

/// What a program printed, and whether it ended well.
pub struct Printed {
    /// Its standard output.
    pub text: String,
    /// Whether it ended with 0.
    pub ok: bool,
}

impl Run {
    /// A program by name or path.
    pub fn new(program: impl AsRef<OsStr>) -> Run {
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.current_dir(paths::root());
        if let Some(path) = path_with_tools() {
            command.env("PATH", path);
        }
        Run {
            command,
            shown: short(program),
        }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Run {
        self.shown.push(' ');
        self.shown.push_str(&short(arg.as_ref()));
        self.command.arg(arg);
        self
    }

    /// More arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Run {
        for arg in args {
            self = self.arg(arg);
        }
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Run {
        self.command.env(name, value);
        self
    }

    /// Runs it with its output where ours goes. Errors: it could not be started, or failed.
    pub fn run(mut self) -> Outcome<()> {
        println!("$ {}", self.shown);
        let status = self
            .command
            .stdin(Stdio::null())
            .status()
            .map_err(|error| format!("{}: {error}", self.shown))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{} failed ({status})", self.shown))
        }
    }

    /// Runs it, shows what it prints and keeps it. Errors: it could not be started.
    pub fn watched(mut self) -> Outcome<Printed> {
        println!("$ {}", self.shown);
        let failed = |error: std::io::Error| format!("{}: {error}", self.shown);
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let out = child.stdout.take().expect("standard output is piped");
        let mut text = String::new();
        for line in BufReader::new(out).split(b'\n') {
            let line = String::from_utf8_lossy(&line.map_err(failed)?).into_owned();
            println!("{line}");
            text.push_str(&line);
            text.push('\n');
        }
        let ok = child.wait().map_err(failed)?.success();
        Ok(Printed { text, ok })
    }

    /// Runs it in silence. Errors: it could not be started.
    pub fn output(mut self) -> Outcome<Output> {
        self.command
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", self.shown))
    }

    /// What it prints, trimmed, if it is there and ends well.
    pub fn answer(self) -> Option<String> {
        let output = self.output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    }

    /// Whether it is there and ends well.
    pub fn works(self) -> bool {
        self.answer().is_some()
    }
}

/// A Node that setup installed beside the repository goes before the machine's.
fn path_with_tools() -> Option<OsString> {
    let own = paths::node_bin();
    if !own.exists() {
        return None;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let parts = std::iter::once(own).chain(env::split_paths(&path));
    env::join_paths(parts).ok()
}

fn short(part: &OsStr) -> String {
    let text = part.to_string_lossy();
    let root = paths::root();
    match text.strip_prefix(&*root.to_string_lossy()) {
        Some(below) => below.trim_start_matches('/').to_owned(),
        None => text.into_owned(),
    }
}
