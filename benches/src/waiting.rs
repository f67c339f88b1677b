//! Messages that wait for their time, and messages of many priorities: what they cost in time and memory.

use std::time::{Duration, Instant};

use ferrymq_core::engine::{Answer, Command, Config, Engine, Reply};
use ferrymq_core::model::{Outgoing, QueueId, QueueOptions, SessionId, Span, Time};

use crate::{ALLOCATOR, BODY_BYTES, allocated, declare};

/// Due times are spread over so long.
const HOUR_MS: u64 = 60 * 60 * 1000;
/// How far the clock moves between two looks at what has become ready.
const STEP_MS: u64 = 100;
/// How many times each thing is measured; the median counts.
const ROUNDS: usize = 5;

/// Nanoseconds and bytes for one message.
pub struct Figures {
    /// Taking in a message with a random delay.
    pub delayed_insert_ns: f64,
    /// Its becoming ready and being taken out.
    pub delayed_expiry_ns: f64,
    /// The same when all of them fall due at once.
    pub delayed_together_ns: f64,
    /// What it takes beside its body while it waits.
    pub delayed_overhead_bytes: f64,
    /// Produce, consume, ack with one priority, all produced before the first is consumed.
    pub one_priority_ns: f64,
    /// The same with ten.
    pub ten_priorities_ns: f64,
}

/// Measures with so many messages.
pub fn measure(messages: usize) -> Figures {
    let each = |time: Duration| time.as_nanos() as f64 / messages as f64;
    let mut overhead = 0.0;
    let delays: Vec<u64> = random().map(|n| n % HOUR_MS).take(messages).collect();
    let mut insert = Vec::new();
    let mut expiry = Vec::new();
    let mut together = Vec::new();
    let mut one = Vec::new();
    let mut ten = Vec::new();
    for _ in 0..ROUNDS {
        let mut bench = Bench::new(1);
        let before = stats_alloc::Region::new(ALLOCATOR);
        insert.push(each(bench.delay(&delays)));
        overhead =
            (allocated(&before.change()) - (messages * BODY_BYTES) as i64) as f64 / messages as f64;
        expiry.push(each(bench.expire(messages, STEP_MS)));
        bench.delay(&delays);
        together.push(each(bench.expire(messages, HOUR_MS)));
        one.push(each(Bench::new(1).through(messages, 1)));
        ten.push(each(Bench::new(10).through(messages, 10)));
    }
    Figures {
        delayed_insert_ns: median(insert),
        delayed_expiry_ns: median(expiry),
        delayed_together_ns: median(together),
        delayed_overhead_bytes: overhead,
        one_priority_ns: median(one),
        ten_priorities_ns: median(ten),
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Numbers that are the same in every run (splitmix64).
fn random() -> impl Iterator<Item = u64> {
    (1u64..).map(|n| {
        let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

struct Bench {
    engine: Engine,
    queue: QueueId,
    session: SessionId,
    now: u64,
}

impl Bench {
    fn new(priorities: u32) -> Bench {
        let mut engine = Engine::memory(Config::default());
        let options = QueueOptions {
            priorities: Some(priorities),
            ..QueueOptions::default()
        };
        let queue = declare(&mut engine, options);
        let session = match engine.handle(Time(0), Command::OpenSession) {
            Answer::Done(Ok(Reply::Session(session))) => session,
            other => panic!("opening a session answered {other:?}"),
        };
        Bench {
            engine,
            queue,
            session,
            now: 0,
        }
    }

    fn produce(&mut self, message: Outgoing) {
        let queue = self.queue;
        let produced = self
            .engine
            .produce_at_once(Time(self.now), queue, message)
            .expect("room");
        assert!(matches!(
            produced,
            ferrymq_core::engine::AtOnce::Produced(_)
        ));
    }

    fn consume(&mut self, auto_ack: bool) -> bool {
        let (now, queue, session) = (Time(self.now), self.queue, self.session);
        let consumed = self.engine.consume_at_once(now, queue, session, auto_ack);
        let Some(delivery) = consumed.expect("open") else {
            return false;
        };
        if let Some(token) = delivery.token {
            assert!(self.engine.ack_at_once(now, token).expect("leased"));
        }
        true
    }

    fn delay(&mut self, delays: &[u64]) -> Duration {
        let began = Instant::now();
        for delay in delays {
            let mut message = Outgoing::new([7u8; BODY_BYTES].as_slice());
            message.delay = Some(Span(*delay));
            self.produce(message);
        }
        began.elapsed()
    }

    fn expire(&mut self, messages: usize, step: u64) -> Duration {
        let began = Instant::now();
        let mut out = 0;
        while out < messages {
            while self.consume(true) {
                out += 1;
            }
            self.now += step;
        }
        assert!(!matches!(
            self.engine.handle(Time(self.now), Command::Queues),
            Answer::Pending(_)
        ));
        began.elapsed()
    }

    fn through(&mut self, messages: usize, priorities: u8) -> Duration {
        let chosen: Vec<u8> = random()
            .map(|n| (n % u64::from(priorities)) as u8)
            .take(messages)
            .collect();
        let began = Instant::now();
        for priority in chosen {
            let mut message = Outgoing::new([7u8; BODY_BYTES].as_slice());
            message.priority = priority;
            self.produce(message);
        }
        while self.consume(false) {}
        began.elapsed()
    }
}
