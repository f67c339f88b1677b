//! Measures the store beside the disk that it is on, and prints messages a second as JSON. `raw` overwrites a file that was written before, and syncs it: what the disk can do for one writer.
//! Every case runs in turn in every round, and the median of the rounds counts: on a shared machine only ratios within one run say anything.
//!
//! `cargo run --release -p ferrymq-bench --bin store [--directory DIR] [--quick]`

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ferrymq_core::driver::{Broker, Options, Queue, Started};
use ferrymq_core::engine::{Command, Wait};
use ferrymq_core::model::{Durability, Outgoing, QueueOptions, Span, Token};

const BODY: [u8; 100] = [7; 100];
/// About what a message of 100 bytes takes in the log, header of the frame and all.
const FRAME_BYTES: usize = 200;
const RAW_BYTES: usize = 4 * 1024 * 1024;
const BATCH: usize = 1000;
const THREADS: usize = 64;
const IN_FLIGHT: usize = 1000;

/// How long each case runs in each round, how many rounds, how many messages wait when a store is opened.
struct Scale {
    slice: Duration,
    rounds: usize,
    waiting: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_quick = arguments.iter().any(|own| own == "--quick");
    let at = arguments.iter().position(|own| own == "--directory");
    let directory = at
        .and_then(|at| arguments.get(at + 1))
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = directory.join(format!("ferrymq-bench-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("the directory can be made");
    let scale = if is_quick {
        Scale {
            slice: Duration::from_millis(50),
            rounds: 1,
            waiting: 10_000,
        }
    } else {
        Scale {
            slice: Duration::from_millis(700),
            rounds: 7,
            waiting: 1_000_000,
        }
    };
    let mut found: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..scale.rounds {
        for (name, case) in CASES {
            let store = directory.join("store");
            let rate = case(&store, scale.slice);
            found.entry(name).or_default().push(rate);
            let _ = fs::remove_dir_all(&store);
        }
    }
    let mut lines: Vec<String> = found
        .into_iter()
        .map(|(name, rates)| format!("  \"{name}\": {:.1}", median(rates)))
        .collect();
    let opening = opening(&directory.join("store"), scale.waiting);
    lines.push(format!("  \"opening, seconds\": {opening:.4}"));
    lines.push(format!("  \"opening, messages\": {}", scale.waiting));
    println!("{{\n{}\n}}", lines.join(",\n"));
    fs::remove_dir_all(&directory).expect("the directory can be removed");
}

type Case = fn(&Path, Duration) -> f64;

const CASES: [(&str, Case); 9] = [
    ("raw", raw),
    ("one producer", |store, slice| producers(store, slice, 1)),
    ("64 producers", |store, slice| {
        producers(store, slice, THREADS)
    }),
    ("1000 in flight", in_flight),
    ("batches, durable", |store, slice| {
        batches(store, slice, Durability::Durable)
    }),
    ("batches, written", |store, slice| {
        batches(store, slice, Durability::Written)
    }),
    ("consume and ack in batches, durable", settling),
    ("one producer, written", |store, slice| {
        one_by_one(store, slice, Durability::Written)
    }),
    ("consume and ack one by one", settling_one_by_one),
];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs until the time is over; messages a second.
fn rate(slice: Duration, mut step: impl FnMut() -> usize) -> f64 {
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < slice {
        count += step();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

fn raw(store: &Path, slice: Duration) -> f64 {
    fs::create_dir_all(store).expect("made");
    let mut options = OpenOptions::new();
    let file: File = options
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(store.join("raw"))
        .expect("made");
    file.write_all_at(&vec![1; RAW_BYTES], 0).expect("written");
    file.sync_all().expect("synced");
    let record = [7; FRAME_BYTES];
    let mut at = 0;
    rate(slice, || {
        file.write_all_at(&record, at).expect("written");
        file.sync_data().expect("synced");
        at = (at + FRAME_BYTES as u64) % (RAW_BYTES - FRAME_BYTES) as u64;
        1
    })
}

fn opened(store: &Path) -> (Broker, Queue) {
    let broker = Broker::open_path(store, Options::default()).expect("opened");
    let queue = broker
        .queue("bench", QueueOptions::default())
        .expect("declared");
    (broker, queue)
}

fn message(level: Durability) -> Outgoing {
    Outgoing {
        durability: Some(level),
        ..Outgoing::new(BODY.as_slice())
    }
}

fn one_by_one(store: &Path, slice: Duration, level: Durability) -> f64 {
    let (_broker, queue) = opened(store);
    rate(slice, || {
        queue.produce(message(level)).expect("confirmed");
        1
    })
}

fn producers(store: &Path, slice: Duration, threads: usize) -> f64 {
    let (_broker, queue) = opened(store);
    thread::scope(|scope| {
        let begun = Instant::now();
        let producing: Vec<_> = (0..threads)
            .map(|_| {
                let queue = queue.clone();
                scope.spawn(move || {
                    let mut count = 0;
                    while begun.elapsed() < slice {
                        queue.produce(BODY.as_slice()).expect("confirmed");
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let count: usize = producing
            .into_iter()
            .map(|one| one.join().expect("done"))
            .sum();
        count as f64 / begun.elapsed().as_secs_f64()
    })
}

/// One thread that starts the next produce as soon as one of so many is confirmed.
fn in_flight(store: &Path, slice: Duration) -> f64 {
    let (broker, queue) = opened(store);
    let room = Arc::new((Mutex::new(IN_FLIGHT), Condvar::new()));
    let confirmed = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut open = Vec::new();
    while begun.elapsed() < slice {
        let mut free = room.0.lock().expect("no panic");
        while *free == 0 {
            free = room.1.wait(free).expect("no panic");
        }
        let count = std::mem::take(&mut *free);
        drop(free);
        open.retain_mut(|pending: &mut ferrymq_core::driver::Pending| pending.try_take().is_none());
        for _ in 0..count {
            let command = Command::Produce {
                queue: queue.id(),
                message: message(Durability::Durable),
                wait: Wait::No,
            };
            let Started::Pending(mut pending) = broker.start(command) else {
                panic!("a durable produce waits")
            };
            let (room, confirmed) = (Arc::clone(&room), Arc::clone(&confirmed));
            pending.on_ready(Box::new(move || {
                confirmed.fetch_add(1, Ordering::Relaxed);
                *room.0.lock().expect("no panic") += 1;
                room.1.notify_one();
            }));
            open.push(pending);
        }
    }
    confirmed.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

fn batches(store: &Path, slice: Duration, level: Durability) -> f64 {
    let (_broker, queue) = opened(store);
    rate(slice, || {
        let batch = (0..BATCH).map(|_| message(level)).collect();
        queue.produce_many(batch).expect("confirmed").len()
    })
}

/// Consume and ack, each batch of acks durable before the next. Only what this takes is counted, not the produces before.
fn settling(store: &Path, slice: Duration) -> f64 {
    let (broker, queue) = opened(store);
    let (mut spent, mut count) = (Duration::ZERO, 0);
    while spent < slice {
        for _ in 0..20 {
            let batch = (0..BATCH).map(|_| message(Durability::Written)).collect();
            queue.produce_many(batch).expect("confirmed");
        }
        let begun = Instant::now();
        for _ in 0..20 {
            let taken = queue
                .consume_many(BATCH as u32, Some(Span(0)))
                .expect("there");
            let tokens: Vec<Token> = taken.iter().filter_map(|one| one.token()).collect();
            count += tokens.len();
            let operations = tokens
                .into_iter()
                .map(|token| ferrymq_core::engine::Operation::Ack { token })
                .collect();
            broker.transaction(operations).expect("leased");
        }
        spent += begun.elapsed();
    }
    count as f64 / spent.as_secs_f64()
}

fn settling_one_by_one(store: &Path, slice: Duration) -> f64 {
    let (_broker, queue) = opened(store);
    let (mut spent, mut count) = (Duration::ZERO, 0);
    while spent < slice {
        let batch = (0..BATCH).map(|_| message(Durability::Written)).collect();
        queue.produce_many(batch).expect("confirmed");
        let begun = Instant::now();
        while let Some(taken) = queue.consume(Some(Span(0))).expect("there") {
            taken.ack().expect("leased");
            count += 1;
        }
        spent += begun.elapsed();
    }
    count as f64 / spent.as_secs_f64()
}

/// Seconds that a store with so many waiting messages takes to open.
fn opening(store: &Path, waiting: usize) -> f64 {
    let (broker, queue) = opened(store);
    for _ in 0..waiting / BATCH {
        let batch = (0..BATCH).map(|_| message(Durability::Written)).collect();
        queue.produce_many(batch).expect("confirmed");
    }
    broker.close();
    drop((broker, queue));
    let times = (0..5).map(|_| {
        let begun = Instant::now();
        let broker = Broker::open_path(store, Options::default()).expect("opened");
        let took = begun.elapsed().as_secs_f64();
        let stats = broker
            .existing_queue("bench")
            .and_then(|queue| queue.stats())
            .expect("there");
        assert_eq!(stats.ready as usize, waiting / BATCH * BATCH);
        took
    });
    median(times.collect())
}
