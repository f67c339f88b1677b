//! Many seeds on several threads, until enough crashes were simulated or one seed fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::bugs::Bug;
use crate::faults::Counts;
use crate::run::run_seed;
use crate::workload::Allowed;

/// How often whoever watches is told.
const WATCH_MS: u64 = 50;
/// So many seeds a thread runs before it looks up.
const SEEDS_AT_ONCE: u64 = 8;

/// What is to be simulated.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed.
    pub seed: u64,
    /// So many seeds at most.
    pub seeds: u64,
    /// Until so many crashes.
    pub crashes: u64,
    /// For so long.
    pub time: Duration,
    /// On so many threads.
    pub threads: u64,
    /// With these faults.
    pub allowed: Allowed,
    /// With this bug.
    pub bug: Option<Bug>,
}

impl Campaign {
    /// One without an end, on one thread, with all faults.
    #[must_use]
    pub fn endless() -> Campaign {
        Campaign {
            seed: 0,
            seeds: u64::MAX,
            crashes: u64::MAX,
            time: Duration::MAX,
            threads: 1,
            allowed: Allowed::default(),
            bug: None,
        }
    }

    /// Runs it. `watch` hears now and then what was counted so far.
    pub fn run(&self, mut watch: impl FnMut(&Counts)) -> Findings {
        let shared = Shared::default();
        let began = Instant::now();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|_| scope.spawn(|| self.work(&shared)))
                .collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                std::thread::sleep(Duration::from_millis(WATCH_MS));
                let counts = shared.counts();
                let enough = counts.crashes() >= self.crashes || began.elapsed() >= self.time;
                shared.stop.fetch_or(enough, Ordering::Relaxed);
                watch(&counts);
            }
        });
        Findings {
            counts: shared.counts(),
            took: began.elapsed(),
            failure: shared
                .failure
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn work(&self, shared: &Shared) {
        while !shared.stop.load(Ordering::Relaxed) {
            let first = shared.next.fetch_add(SEEDS_AT_ONCE, Ordering::Relaxed);
            let mut counts = Counts::default();
            for nth in first..(first + SEEDS_AT_ONCE).min(self.seeds) {
                let seed = self.seed + nth;
                // A panic is a finding as well, and its seed is what one wants to know.
                let run = || run_seed(seed, self.allowed, self.bug);
                match catch_unwind(AssertUnwindSafe(run)) {
                    Ok(outcome) => {
                        counts.add(&outcome.counts);
                        if let Some(what) = outcome.failure {
                            shared.fails(seed, what);
                        }
                    }
                    Err(_) => shared.fails(seed, "it panicked".to_owned()),
                }
            }
            let mut total = shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
            total.add(&counts);
            if first + SEEDS_AT_ONCE >= self.seeds {
                return;
            }
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    next: AtomicU64,
    stop: AtomicBool,
    counts: Mutex<Counts>,
    failure: Mutex<Option<(u64, String)>>,
}

impl Shared {
    fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fails(&self, seed: u64, what: String) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.as_ref().is_none_or(|(other, _)| seed < *other) {
            *failure = Some((seed, what));
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Findings {
    /// What was counted.
    pub counts: Counts,
    /// How long it took.
    pub took: Duration,
    /// The lowest seed that failed, and why.
    pub failure: Option<(u64, String)>,
}
