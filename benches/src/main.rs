//! Measures what waiting messages cost, and prints it as JSON: the memory of one beside its body, of a delayed one too, the time that delays and priorities take, and
//! the memory of one body in many queues. The allocator counts; nothing is estimated.
//!
//! `cargo run --release -p ferrymq-bench [MESSAGES]` (1,000,000 unless told).

mod fan_out;
mod waiting;

use std::alloc::System;

use ferrymq_core::engine::{Answer, Command, Config, Engine, Reply, Wait};
use ferrymq_core::model::{Outgoing, QueueId, QueueOptions, SessionId, Time};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const BODY_BYTES: usize = 100;

fn declare(engine: &mut Engine, options: QueueOptions) -> QueueId {
    let command = Command::DeclareQueue {
        name: "bench".to_owned(),
        options,
        create: true,
        session: SessionId::default(),
    };
    match engine.handle(Time(0), command) {
        Answer::Done(Ok(Reply::Queue(queue))) => queue,
        other => panic!("declaring a queue answered {other:?}"),
    }
}

/// Bytes that are allocated more than before.
fn allocated(change: &Stats) -> i64 {
    change.bytes_allocated as i64 - change.bytes_deallocated as i64
        + change.bytes_reallocated as i64
}

/// What a waiting message takes beside its body.
fn overhead(messages: usize) -> f64 {
    let mut engine = Engine::memory(Config::default());
    let queue = declare(&mut engine, QueueOptions::default());
    let region = Region::new(ALLOCATOR);
    for _ in 0..messages {
        let message = Outgoing::new([7u8; BODY_BYTES].as_slice());
        let command = Command::Produce {
            queue,
            message,
            wait: Wait::No,
        };
        let answer = engine.handle(Time(0), command);
        assert!(matches!(answer, Answer::Done(Ok(_))), "{answer:?}");
    }
    let bodies = (messages * BODY_BYTES) as i64;
    (allocated(&region.change()) - bodies) as f64 / messages as f64
}

fn main() {
    let messages: usize = std::env::args()
        .nth(1)
        .map_or(1_000_000, |n| n.parse().expect("MESSAGES is a number"));
    let waiting = overhead(messages);
    let figures = waiting::measure(messages);
    let fields = [
        ("overhead_bytes_per_message", waiting),
        (
            "delayed_overhead_bytes_per_message",
            figures.delayed_overhead_bytes,
        ),
        ("delayed_insert_ns", figures.delayed_insert_ns),
        ("delayed_expiry_ns", figures.delayed_expiry_ns),
        ("delayed_together_ns", figures.delayed_together_ns),
        ("one_priority_ns", figures.one_priority_ns),
        ("ten_priorities_ns", figures.ten_priorities_ns),
        ("fan_out_10_bytes_a_queue", fan_out::bytes_a_queue(10)),
        ("fan_out_1000_bytes_a_queue", fan_out::bytes_a_queue(1000)),
    ];
    let fields = fields.map(|(name, value)| format!(r#""{name}": {value:.1}"#));
    println!(
        r#"{{"messages": {messages}, "body_bytes": {BODY_BYTES}, {}}}"#,
        fields.join(", ")
    );
}
