//! Every target in short: inputs that follow from a seed, one mutated from the other, and those that once found something (`fuzz/found`).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use ferrymq_fuzz_targets::{TARGETS, Target, Verdict};
use ferrymq_sim::rng::Rng;
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Most memory that all of it takes at once: a queue that says that it is the millionth takes the room of as many.
const HEAP_MEGABYTES_MAX: f32 = 768.0;
/// No input takes longer.
const INPUT_TIME_MAX: Duration = Duration::from_secs(20);

fn target(name: &str) -> Target {
    let mut all = TARGETS.into_iter();
    all.find(|own| own.name == name).expect("it is a target")
}

/// Judges an input; what panics is written to where it can be looked at.
fn judge(target: &Target, input: &[u8]) -> Verdict {
    let began = Instant::now();
    let verdict = std::panic::catch_unwind(|| (target.judge)(input));
    let Ok(verdict) = verdict else {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(target.name);
        std::fs::create_dir_all(&directory).expect("the directory of tests can be written");
        let file = directory.join("failing");
        std::fs::write(&file, input).expect("the directory of tests can be written");
        panic!("this input fails: {}", file.display());
    };
    let took = began.elapsed();
    assert!(took < INPUT_TIME_MAX, "an input took {took:?}");
    let peak = HEAP.peak_usage_as_mb();
    assert!(peak < HEAP_MEGABYTES_MAX, "{peak} MB were in use at once");
    verdict
}

/// Begins with `seeds` inputs, and mutates `count` times what went deepest or anything else.
fn fuzz(name: &str, seeds: u64, count: u64) -> BTreeMap<Verdict, u64> {
    let target = target(name);
    let mut verdicts = BTreeMap::new();
    let mut pool: Vec<Vec<u8>> = found(name);
    pool.extend((0..seeds).map(target.seed));
    for input in &pool {
        *verdicts.entry(judge(&target, input)).or_default() += 1;
    }
    let begun = pool.len();
    let mut rng = Rng::new(1);
    for _ in 0..count {
        let at = rng.below(pool.len() as u64) as usize;
        let other = rng.below(pool.len() as u64) as usize;
        let mut input = pool[at].clone();
        (target.mutate)(&mut input, &pool[other], &mut rng);
        let verdict = judge(&target, &input);
        *verdicts.entry(verdict).or_default() += 1;
        // Some mutants replace earlier mutants, so that changes add up; what begun stays.
        if verdict == Verdict::Deep && rng.percent(20) {
            match pool.len() < 2 * begun {
                true => pool.push(input),
                false => {
                    let at = begun + rng.below(begun as u64) as usize;
                    pool[at] = input;
                }
            }
        }
    }
    println!("{name}: {verdicts:?}");
    verdicts
}

/// Inputs that once found something.
fn found(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/found");
    let Ok(entries) = std::fs::read_dir(directory.join(name)) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let read = |path| std::fs::read(path).expect("the repository can be read");
    paths.into_iter().map(read).collect()
}

#[test]
fn frames_and_records_of_any_bytes() {
    let verdicts = fuzz("frames", 40, scaled(60_000));
    assert!(verdicts[&Verdict::Deep] > 1_000);
    assert!(verdicts[&Verdict::Refused] > 1_000);
}

#[test]
fn any_bytes_open_or_are_refused() {
    let verdicts = fuzz("recovery", 60, scaled(3_000));
    assert!(verdicts[&Verdict::Deep] > 1_000);
    assert!(verdicts[&Verdict::Refused] > 100);
}

#[test]
fn any_commands_faults_and_crashes_keep_the_promises() {
    let verdicts = fuzz("operations", 40, scaled(3_000));
    assert!(verdicts[&Verdict::Deep] > 1_000);
}

/// More than the tests do, where somebody has the time: so many times as much.
fn scaled(count: u64) -> u64 {
    let times = std::env::var("FERRYMQ_FUZZ_TIMES").ok();
    count * times.and_then(|times| times.parse().ok()).unwrap_or(1)
}
