//! `ferrymq-sim`: simulates crashes, counts them, replays a seed.

use std::time::Duration;

use ferrymq_sim::bugs::{BUGS, Bug};
use ferrymq_sim::campaign::{Campaign, Findings};
use ferrymq_sim::faults::Counts;
use ferrymq_sim::run::run;
use ferrymq_sim::shrink::shrink;
use ferrymq_sim::workload::{Allowed, Plan};
use indicatif::{ProgressBar, ProgressStyle};

const USAGE: &str = "ferrymq-sim: simulates crashes of the engine's store

  --seconds N       run so long
  --crashes N       run until so many crashes were simulated
  --seed S          begin with this seed (0)
  --threads T       on so many threads (1)
  --faults WHICH    comma-separated: errors, clock, damage, none (errors,clock,damage)
  --bug NAME        with a deliberate bug: see --bugs
  --bugs            list the deliberate bugs
  --replay S        replay one seed, and print what happens";

#[derive(Clone, Debug)]
struct Options {
    campaign: Campaign,
    faults: String,
    replay: Option<u64>,
}

fn main() -> std::process::ExitCode {
    let options = match parse() {
        Ok(options) => options,
        Err(what) => {
            eprintln!("{what}\n\n{USAGE}");
            return std::process::ExitCode::from(2);
        }
    };
    let well = match options.replay {
        Some(seed) => replay(seed, &options),
        None => simulate(&options),
    };
    match well {
        true => std::process::ExitCode::SUCCESS,
        false => std::process::ExitCode::FAILURE,
    }
}

fn parse() -> Result<Options, String> {
    let mut options = Options {
        campaign: Campaign::endless(),
        faults: "errors,clock,damage".to_owned(),
        replay: None,
    };
    let campaign = &mut options.campaign;
    let mut ends = false;
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        if name == "--bugs" {
            for (_, name) in BUGS {
                println!("{name}");
            }
            std::process::exit(0);
        }
        let value = args.next().ok_or(format!("{name} needs a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{name} {value} is no number"))
        };
        match name.as_str() {
            "--seconds" => (campaign.time, ends) = (Duration::from_secs(number()?), true),
            "--crashes" => (campaign.crashes, ends) = (number()?, true),
            "--seed" => campaign.seed = number()?,
            "--threads" => campaign.threads = number()?.max(1),
            "--replay" => (options.replay, ends) = (Some(number()?), true),
            "--faults" => {
                let has = |fault| value.split(',').any(|named| named == fault);
                campaign.allowed = Allowed {
                    errors: has("errors"),
                    clock: has("clock"),
                    damage: has("damage"),
                };
                options.faults.clone_from(&value);
            }
            "--bug" => {
                campaign.bug = Some(bug_named(&value)?);
            }
            other => return Err(format!("there is no option {other}")),
        }
    }
    if !ends {
        return Err("say how long: --seconds, --crashes or --replay".to_owned());
    }
    Ok(options)
}

fn bug_named(name: &str) -> Result<Bug, String> {
    let bug = BUGS.iter().find(|(_, own)| *own == name);
    Ok(bug.ok_or(format!("there is no bug {name}; see --bugs"))?.0)
}

fn simulate(options: &Options) -> bool {
    let bar = progress_bar(options);
    let findings = options.campaign.run(|counts| show(&bar, options, counts));
    bar.finish_and_clear();
    report(&findings, options);
    let Some((seed, what)) = findings.failure else {
        return true;
    };
    println!("\nseed {seed} fails: {what}");
    println!("replay it with: {}", replay_command(seed, options));
    replay(seed, options);
    false
}

/// How far it is, on a terminal.
fn progress_bar(options: &Options) -> ProgressBar {
    let Campaign { crashes, time, .. } = options.campaign;
    let length = match crashes {
        u64::MAX => time.as_millis() as u64,
        crashes => crashes,
    };
    let bar = ProgressBar::new(length);
    let template = "{wide_bar} {percent}%  {msg}  {eta} left";
    bar.set_style(ProgressStyle::with_template(template).expect("the template is valid"));
    bar
}

fn show(bar: &ProgressBar, options: &Options, counts: &Counts) {
    bar.set_position(match options.campaign.crashes {
        u64::MAX => bar.elapsed().as_millis() as u64,
        _ => counts.crashes(),
    });
    let rate = counts.crashes() as f64 / bar.elapsed().as_secs_f64().max(0.001);
    bar.set_message(format!("{} crashes, {rate:.0} a second", counts.crashes()));
}

fn replay_command(seed: u64, options: &Options) -> String {
    let bug = BUGS
        .iter()
        .find(|(bug, _)| Some(*bug) == options.campaign.bug);
    let bug = bug.map_or(String::new(), |(_, name)| format!(" --bug {name}"));
    format!(
        "cargo run --release -p ferrymq-sim -- --faults {}{bug} --replay {seed}",
        options.faults
    )
}

/// A table of what was counted.
fn report(findings: &Findings, options: &Options) {
    let Findings { counts, took, .. } = findings;
    let seconds = took.as_secs_f64();
    let mut rows = vec![("crashes".to_owned(), counts.crashes().to_string())];
    rows.extend(
        counts
            .rows()
            .map(|(name, count)| (name.to_owned(), count.to_string())),
    );
    rows.push(("threads".to_owned(), options.campaign.threads.to_string()));
    rows.push(("first seed".to_owned(), options.campaign.seed.to_string()));
    rows.push(("seconds".to_owned(), format!("{seconds:.1}")));
    let rate = |seconds: f64| format!("{:.0}", counts.crashes() as f64 / seconds);
    rows.push(("crashes a second".to_owned(), rate(seconds)));
    if let Some(cpu) = cpu_seconds() {
        rows.push(("seconds of processor time".to_owned(), format!("{cpu:.1}")));
        rows.push(("crashes a second of processor time".to_owned(), rate(cpu)));
    }
    let width = |of: fn(&(String, String)) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let (left, right) = (width(|row| row.0.len()), width(|row| row.1.len()));
    for (name, value) in &rows {
        println!("{name:left$}  {value:>right$}");
    }
}

/// Processor time of this process so far, where the system says it: Linux, in hundredths of a second.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields = stat.rsplit(')').next()?.split_whitespace();
    let times: Vec<f64> = fields
        .skip(11)
        .take(2)
        .filter_map(|own| own.parse().ok())
        .collect();
    Some(times.iter().sum::<f64>() / 100.0).filter(|seconds| *seconds > 0.0)
}

fn replay(seed: u64, options: &Options) -> bool {
    let bug = options.campaign.bug;
    let plan = Plan::new(seed, options.campaign.allowed);
    if run(&plan, bug, false).failure.is_none() {
        let outcome = run(&plan, bug, true);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        println!("seed {seed} passes: trace {:016x}", outcome.hash);
        return true;
    }
    let short = shrink(&plan, bug);
    let outcome = run(&short, bug, true);
    for queue in &short.queues {
        println!("{}: {:?}", queue.name, queue.options);
    }
    outcome.trace.iter().for_each(|line| println!("{line}"));
    println!(
        "seed {seed} fails, in {} of {} steps: {}",
        short.steps.len(),
        plan.steps.len(),
        outcome.failure.unwrap_or_default()
    );
    false
}
