//! Measures the memory that a waiting message costs beside its body, and prints it as JSON. The allocator counts; nothing is estimated.
//!
//! `cargo run --release -p ferrymq-bench [MESSAGES]` (1,000,000 unless told).

use std::alloc::System;

use ferrymq_core::engine::{Answer, Command, Config, Engine, Reply, Wait};
use ferrymq_core::model::{Outgoing, QueueId, QueueOptions, SessionId, Time};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const BODY_BYTES: usize = 100;

fn declare(engine: &mut Engine) -> QueueId {
    let command = Command::DeclareQueue {
        name: "bench".to_owned(),
        options: QueueOptions::default(),
        create: true,
        session: SessionId::default(),
    };
    match engine.handle(Time(0), command) {
        Answer::Done(Ok(Reply::Queue(queue))) => queue,
        other => panic!("declaring a queue answered {other:?}"),
    }
}

fn main() {
    let messages: usize = std::env::args()
        .nth(1)
        .map_or(1_000_000, |n| n.parse().expect("MESSAGES is a number"));
    let mut engine = Engine::memory(Config::default());
    let queue = declare(&mut engine);
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
    let change = region.change();
    let allocated = change.bytes_allocated as i64 - change.bytes_deallocated as i64
        + change.bytes_reallocated as i64;
    let overhead = (allocated - (messages * BODY_BYTES) as i64) as f64 / messages as f64;
    println!(
        r#"{{"messages": {messages}, "body_bytes": {BODY_BYTES}, "overhead_bytes_per_message": {overhead:.1}}}"#
    );
}
