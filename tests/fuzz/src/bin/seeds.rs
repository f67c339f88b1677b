//! `seeds TARGET DIRECTORY COUNT`: writes inputs to begin with to a directory, for libFuzzer.

use std::path::Path;
use std::process::ExitCode;

use ferrymq_fuzz_targets::TARGETS;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match write(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

fn write(arguments: &[String]) -> Result<(), String> {
    let [name, directory, count] = arguments else {
        return Err("usage: seeds TARGET DIRECTORY COUNT".to_owned());
    };
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.ok_or_else(|| {
        let names = TARGETS.map(|target| target.name).join(", ");
        format!("there is no target {name}; there are {names}")
    })?;
    let count: u64 = count
        .parse()
        .map_err(|_| format!("{count} is no number of inputs"))?;
    let failed = |error: std::io::Error| format!("{directory}: {error}");
    std::fs::create_dir_all(directory).map_err(failed)?;
    for nth in 0..count {
        let file = Path::new(directory).join(format!("seed-{nth}"));
        std::fs::write(file, (target.seed)(nth)).map_err(failed)?;
    }
    Ok(())
}
