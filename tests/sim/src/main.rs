//! `ferrymq-sim`: simulates crashes, counts them, replays a seed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ferrymq_sim::bugs::{BUGS, Bug};
use ferrymq_sim::faults::Counts;
use ferrymq_sim::run::{run, run_seed};
use ferrymq_sim::shrink::shrink;
use ferrymq_sim::workload::{Allowed, Plan};

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
    seconds: Option<u64>,
    crashes: Option<u64>,
    seed: u64,
    threads: u64,
    allowed: Allowed,
    faults: String,
    bug: Option<Bug>,
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
        seconds: None,
        crashes: None,
        seed: 0,
        threads: 1,
        allowed: Allowed::default(),
        faults: "errors,clock,damage".to_owned(),
        bug: None,
        replay: None,
    };
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
            "--seconds" => options.seconds = Some(number()?),
            "--crashes" => options.crashes = Some(number()?),
            "--seed" => options.seed = number()?,
            "--threads" => options.threads = number()?.max(1),
            "--replay" => options.replay = Some(number()?),
            "--faults" => {
                let has = |fault| value.split(',').any(|named| named == fault);
                options.allowed = Allowed {
                    errors: has("errors"),
                    clock: has("clock"),
                    damage: has("damage"),
                };
                options.faults.clone_from(&value);
            }
            "--bug" => {
                let bug = BUGS.iter().find(|(_, name)| *name == value);
                options.bug = Some(bug.ok_or(format!("there is no bug {value}; see --bugs"))?.0);
            }
            other => return Err(format!("there is no option {other}")),
        }
    }
    if options.replay.is_none() && options.seconds.is_none() && options.crashes.is_none() {
        return Err("say how long: --seconds, --crashes or --replay".to_owned());
    }
    Ok(options)
}

struct Shared {
    next: AtomicU64,
    stop: AtomicBool,
    total: Mutex<Counts>,
    failed: Mutex<Option<(u64, String)>>,
}

fn simulate(options: &Options) -> bool {
    let shared = Arc::new(Shared {
        next: AtomicU64::new(options.seed),
        stop: AtomicBool::new(false),
        total: Mutex::default(),
        failed: Mutex::default(),
    });
    let began = Instant::now();
    let workers: Vec<_> = (0..options.threads)
        .map(|_| {
            let (shared, options) = (Arc::clone(&shared), options.clone());
            std::thread::spawn(move || work(&shared, &options))
        })
        .collect();
    watch(&shared, options, began);
    for worker in workers {
        if worker.join().is_err() {
            println!("a worker panicked");
            return false;
        }
    }
    let total = *shared.total.lock().expect("no worker panics in it");
    report(&total, options, began.elapsed());
    let failed = shared.failed.lock().expect("no worker panics in it").take();
    let Some((seed, what)) = failed else {
        return true;
    };
    println!("\nseed {seed} fails: {what}");
    println!("replay it with: {}", replay_command(seed, options));
    replay(seed, options);
    false
}

fn replay_command(seed: u64, options: &Options) -> String {
    let bug = BUGS.iter().find(|(bug, _)| Some(*bug) == options.bug);
    let bug = bug.map_or(String::new(), |(_, name)| format!(" --bug {name}"));
    format!(
        "cargo run --release -p ferrymq-sim -- --faults {}{bug} --replay {seed}",
        options.faults
    )
}

fn work(shared: &Shared, options: &Options) {
    while !shared.stop.load(Ordering::Relaxed) {
        let mut counts = Counts::default();
        for _ in 0..16 {
            let seed = shared.next.fetch_add(1, Ordering::Relaxed);
            let outcome = run_seed(seed, options.allowed, options.bug);
            counts.add(&outcome.counts);
            if let Some(what) = outcome.failure {
                shared.stop.store(true, Ordering::Relaxed);
                let mut failed = shared.failed.lock().expect("no worker panics in it");
                failed.get_or_insert((seed, what));
                break;
            }
        }
        shared
            .total
            .lock()
            .expect("no worker panics in it")
            .add(&counts);
    }
}

/// Prints how far it is, and says when it is enough.
fn watch(shared: &Shared, options: &Options, began: Instant) {
    let mut shown = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
        let total = *shared.total.lock().expect("no worker panics in it");
        let elapsed = began.elapsed();
        let late = options
            .seconds
            .is_some_and(|most| elapsed.as_secs() >= most);
        if late || options.crashes.is_some_and(|most| total.crashes() >= most) {
            shared.stop.store(true, Ordering::Relaxed);
        }
        if elapsed.as_secs() / 5 > shown {
            shown = elapsed.as_secs() / 5;
            println!(
                "{} s: {} seeds, {} crashes",
                elapsed.as_secs(),
                total.seeds,
                total.crashes()
            );
        }
    }
}

fn report(total: &Counts, options: &Options, took: Duration) {
    println!("crashes: {}", total.crashes());
    for (name, count) in total.rows() {
        println!("  {name}: {count}");
    }
    let rate = total.crashes() as f64 / took.as_secs_f64();
    println!(
        "{:.1} s on {} threads from seed {}: {rate:.0} crashes a second",
        took.as_secs_f64(),
        options.threads,
        options.seed
    );
}

fn replay(seed: u64, options: &Options) -> bool {
    let plan = Plan::new(seed, options.allowed);
    if run(&plan, options.bug, false).failure.is_none() {
        let outcome = run(&plan, options.bug, true);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        println!("seed {seed} passes: trace {:016x}", outcome.hash);
        return true;
    }
    let short = shrink(&plan, options.bug);
    let outcome = run(&short, options.bug, true);
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
