//! Proves that a store in a directory keeps what it confirmed, belongs to one owner, and says clearly why it cannot be opened, without touching anything.

#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    reason = "what is proved here is what becomes of files"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use ferrymq_core::driver::{Broker, Options, Queue, Storage};
use ferrymq_core::model::limits::FREE_SEGMENTS_MAX;
use ferrymq_core::model::{Durability, Error, ErrorKind, Outgoing, QueueOptions, Span};

fn open(directory: &Path) -> Broker {
    Broker::open_path(directory, Options::default()).expect("it opens")
}

fn refusal(directory: &Path) -> Error {
    match Broker::open_path(directory, Options::default()) {
        Ok(_) => panic!("{} was opened", directory.display()),
        Err(error) => error,
    }
}

fn queue(broker: &Broker) -> Queue {
    broker
        .queue("jobs", QueueOptions::default())
        .expect("declared")
}

fn bodies(broker: &Broker) -> Vec<String> {
    let queue = queue(broker);
    let mut bodies = Vec::new();
    while let Some(taken) = queue.consume(Some(Span(0))).expect("open") {
        bodies.push(String::from_utf8(taken.body().to_vec()).expect("text"));
        taken.ack().expect("leased");
    }
    bodies
}

/// What a directory holds: names, lengths and contents.
fn everything(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(directory)
        .expect("it is there")
        .map(|entry| entry.expect("read").path())
        .map(|path| {
            let name = path.file_name().expect("named").to_string_lossy().into();
            (name, fs::read(path).expect("read"))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn what_was_confirmed_is_there_when_it_is_opened_again() {
    let directory = tempfile::tempdir().expect("made");
    let store = directory.path().join("data");
    for turn in 0..3 {
        let broker = open(&store);
        for level in [Durability::Durable, Durability::Written, Durability::Memory] {
            let message = Outgoing {
                durability: Some(level),
                ..Outgoing::new(format!("{turn} {}", level as u8).into_bytes())
            };
            queue(&broker).produce(message).expect("confirmed");
        }
        // Closed or dropped: both leave everything safe.
        if turn % 2 == 0 {
            broker.close();
        }
    }
    let broker = open(&store);
    assert_eq!(
        bodies(&broker).len(),
        6,
        "what asked for memory was not kept"
    );
    drop(broker);
    assert!(bodies(&open(&store)).is_empty(), "acks are kept as well");
}

#[test]
fn without_a_close_what_is_written_stays() {
    let directory = tempfile::tempdir().expect("made");
    let copy = tempfile::tempdir().expect("made");
    let broker = open(directory.path());
    let jobs = queue(&broker);
    jobs.produce("first").expect("confirmed");
    jobs.produce_many(
        (0..1000)
            .map(|n| Outgoing::from(format!("{n}").as_bytes()))
            .collect(),
    )
    .expect("confirmed");
    // What a killed process leaves: everything but what it would have said at the end.
    for (name, bytes) in everything(directory.path()) {
        let bytes = if name == "OWNER" { Vec::new() } else { bytes };
        fs::write(copy.path().join(name), bytes).expect("copied");
    }
    let again = open(copy.path());
    assert_eq!(bodies(&again).len(), 1001);
}

#[test]
fn many_threads_share_syncs_and_lose_nothing() {
    let directory = tempfile::tempdir().expect("made");
    let broker = open(directory.path());
    let ids: BTreeSet<_> = thread::scope(|scope| {
        let producing: Vec<_> = (0..16)
            .map(|thread| {
                let jobs = queue(&broker);
                scope.spawn(move || {
                    let produce = |n| jobs.produce(format!("{thread} {n}").as_bytes());
                    (0..50)
                        .map(|n| produce(n).expect("confirmed"))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let ids = producing
            .into_iter()
            .flat_map(|one| one.join().expect("done"));
        ids.collect()
    });
    assert_eq!(ids.len(), 800);
    drop(broker);
    let found = bodies(&open(directory.path()));
    assert_eq!(found.len(), 800);
    for thread in 0..16 {
        let prefix = format!("{thread} ");
        let own: Vec<_> = found
            .iter()
            .filter(|body| body.starts_with(&prefix))
            .collect();
        let expected: Vec<_> = (0..50).map(|n| format!("{prefix}{n}")).collect();
        assert!(own.into_iter().eq(expected.iter()), "in order");
    }
}

#[test]
fn who_closes_in_the_middle_loses_nothing_that_was_confirmed() {
    for turn in 0..10 {
        let directory = tempfile::tempdir().expect("made");
        let broker = open(directory.path());
        let seen = thread::scope(|scope| {
            let jobs = queue(&broker);
            let working: Vec<_> = (0..12)
                .map(|thread| {
                    let jobs = jobs.clone();
                    scope.spawn(move || work_until_closed(&jobs, thread))
                })
                .collect();
            while jobs.stats().expect("open").produced < 50 + 7 * turn {
                thread::yield_now();
            }
            broker.close();
            let mut all = Seen::default();
            for one in working {
                let own = one.join().expect("no panic");
                all.confirmed.extend(own.confirmed);
                all.acked.extend(own.acked);
                all.unknown.extend(own.unknown);
            }
            all
        });
        let found = bodies(&open(directory.path()));
        let once: BTreeSet<String> = found.iter().cloned().collect();
        assert_eq!(once.len(), found.len(), "none twice");
        let settled = &seen.acked | &seen.unknown;
        let mut lost = seen.confirmed.difference(&settled);
        assert_eq!(lost.find(|own| !once.contains(*own)), None, "lost");
        assert_eq!(
            seen.acked.intersection(&once).next(),
            None,
            "acked, and back"
        );
    }
}

/// What threads were told.
#[derive(Default)]
struct Seen {
    confirmed: BTreeSet<String>,
    acked: BTreeSet<String>,
    /// An ack that was not answered.
    unknown: BTreeSet<String>,
}

/// Produces, and acks every third, until the broker is closed.
fn work_until_closed(jobs: &Queue, thread: usize) -> Seen {
    let mut seen = Seen::default();
    for n in 0.. {
        let level = [Durability::Durable, Durability::Written][(n + thread) % 2];
        let body = format!("{thread} {n}");
        let message = Outgoing {
            durability: Some(level),
            ..Outgoing::new(body.clone().into_bytes())
        };
        match jobs.produce(message) {
            Ok(_) => seen.confirmed.insert(body),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                break;
            }
        };
        if n % 3 == 0
            && let Ok(Some(taken)) = jobs.consume(Some(Span(0)))
        {
            let body = String::from_utf8(taken.body().to_vec()).expect("text");
            match taken.ack() {
                Ok(()) => seen.acked.insert(body),
                Err(_) => seen.unknown.insert(body),
            };
        }
    }
    seen
}

#[test]
fn segments_follow_each_other_and_are_used_again() {
    let directory = tempfile::tempdir().expect("made");
    let broker = open(directory.path());
    let jobs = queue(&broker);
    for _ in 0..10 {
        for _ in 0..8 {
            jobs.produce(vec![7; 1024 * 1024]).expect("confirmed");
        }
        while let Some(taken) = jobs.consume(Some(Span(0))).expect("open") {
            assert_eq!(taken.body().len(), 1024 * 1024);
            taken.ack().expect("leased");
        }
    }
    broker.close();
    let files = everything(directory.path());
    let segments = files.iter().filter(|(name, _)| name.ends_with(".seg"));
    assert!(segments.count() <= 4, "80 MiB went through");
    assert!(bodies(&open(directory.path())).is_empty());
}

#[test]
fn crashes_do_not_cost_a_file_each() {
    let directory = tempfile::tempdir().expect("made");
    let storage = Storage::Files(directory.path().join("data"));
    let (broker, testing) = Broker::open_testing(Options::default(), storage).expect("it opens");
    queue(&broker).produce("kept").expect("confirmed");
    for turn in 0..40 {
        queue(&broker).produce(vec![turn]).expect("confirmed");
        testing.kill();
        testing.reopen().expect("it opens again");
    }
    let files = everything(&directory.path().join("data"));
    let segments = files.iter().filter(|(name, _)| name.ends_with(".seg"));
    let count = segments.count();
    assert!(count <= FREE_SEGMENTS_MAX + 44, "{count} files");
    while let Some(taken) = queue(&broker).consume(Some(Span(0))).expect("open") {
        taken.ack().expect("leased");
    }
    for _ in 0..40 {
        testing.kill();
        testing.reopen().expect("it opens again");
    }
    let files = everything(&directory.path().join("data"));
    let segments = files.iter().filter(|(name, _)| name.ends_with(".seg"));
    let count = segments.count();
    assert!(count <= FREE_SEGMENTS_MAX + 4, "{count} files for nothing");
}

#[test]
fn one_owner_at_a_time() {
    let directory = tempfile::tempdir().expect("made");
    let broker = open(directory.path());
    let error = refusal(directory.path());
    assert_eq!(error.kind(), ErrorKind::StoreLocked);
    assert!(error.message().contains("this process"), "{error}");
    broker.close();
    open(directory.path());
}

#[test]
fn an_opening_has_a_new_number_where_nobody_knows_the_last_one() {
    let directory = tempfile::tempdir().expect("made");
    let claim = directory.path().join("OWNER");
    let epoch = || -> u32 {
        let text = fs::read_to_string(&claim).expect("read");
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("epoch "));
        lines
            .next()
            .and_then(|epoch| epoch.parse().ok())
            .expect("said")
    };
    open(directory.path()).close();
    assert_eq!(epoch(), 1);
    open(directory.path()).close();
    assert_eq!(epoch(), 2);
    fs::write(&claim, "garbled").expect("written");
    open(directory.path()).close();
    let after = epoch();
    assert!(after > 1_000_000_000, "{after}");
    open(directory.path()).close();
    assert_eq!(epoch(), after + 1);
}

#[test]
fn an_owner_without_locks_is_honoured_while_it_lives() {
    let directory = tempfile::tempdir().expect("made");
    open(directory.path()).close();
    let claim = directory.path().join("OWNER");
    let of = |pid: u32, boot: &str| {
        format!("format 1\npid {pid}\nboot {boot}\nstart 0\nepoch 9\nhome node\n")
    };
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // The parent of a test lives as long as the test.
    fs::write(&claim, of(std::os::unix::process::parent_id(), boot.trim())).expect("written");
    let error = refusal(directory.path());
    assert_eq!(error.kind(), ErrorKind::StoreLocked);
    fs::write(
        &claim,
        of(std::os::unix::process::parent_id(), "an earlier boot"),
    )
    .expect("written");
    open(directory.path());
}

#[test]
fn a_store_that_was_taken_over_is_not_written_to() {
    let directory = tempfile::tempdir().expect("made");
    let broker = open(directory.path());
    let jobs = queue(&broker);
    let claim = directory.path().join("OWNER");
    let other = fs::read_to_string(&claim)
        .expect("read")
        .replace("epoch 1", "epoch 2");
    fs::write(&claim, other).expect("written");
    // It is noticed when the next segment begins.
    let produce = || jobs.produce(vec![7; 4 * 1024 * 1024]);
    let error = (0..8).find_map(|_| produce().err()).expect("noticed");
    assert_eq!(error.kind(), ErrorKind::Indeterminate);
    assert!(error.message().contains("taken the store over"), "{error}");
    let later = produce().expect_err("for good");
    assert_eq!(later.kind(), ErrorKind::StoreFailed);
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("made");
    fs::write(directory.path().join("letter.txt"), "dear").expect("written");
    let file = directory.path().join("letter.txt");
    let missing = directory.path().join("no").join("such");
    let before = everything(directory.path());
    for (path, kind, what) in [
        (directory.path(), ErrorKind::InvalidArgument, "letter.txt"),
        (file.as_path(), ErrorKind::InvalidArgument, "is a file"),
        (
            missing.as_path(),
            ErrorKind::StoreFailed,
            "make the directory above it first",
        ),
    ] {
        let error = refusal(path);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(what), "{error}");
    }
    assert_eq!(everything(directory.path()), before);
}

#[test]
fn a_store_of_which_nothing_can_be_read_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("made");
    let broker = open(directory.path());
    queue(&broker).produce("first").expect("confirmed");
    broker.close();
    let files = everything(directory.path());
    let (name, mut bytes) = files
        .into_iter()
        .find(|(name, _)| name.ends_with(".seg"))
        .expect("a segment");
    // Its frames stay; what they belong to, and the first of them, is gone.
    bytes[..1100].fill(0xFF);
    fs::write(directory.path().join(&name), &bytes).expect("written");
    let error = refusal(directory.path());
    assert_eq!(error.kind(), ErrorKind::StoreCorrupt, "{error}");
    assert_eq!(fs::read(directory.path().join(name)).expect("read"), bytes);
}
