//! One thread, 100-byte messages: produce + consume + ack on the engine and the driver, beside what a channel does without acks, durability or leases.

use std::hint::black_box;
use std::sync::mpsc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_queue::SegQueue;
use ferrymq_core::driver::{Broker, Options};
use ferrymq_core::engine::{Answer, AtOnce, Command, Config, Engine, Reply, Wait};
use ferrymq_core::model::{Outgoing, QueueId, QueueOptions, SessionId, Time};

const BODY: [u8; 100] = [7; 100];
const BATCH: u32 = 1000;

struct Bench {
    engine: Engine,
    queue: QueueId,
    session: SessionId,
}

fn reply(answer: Answer) -> Reply {
    match answer {
        Answer::Done(Ok(reply)) => reply,
        other => panic!("unexpected answer {other:?}"),
    }
}

impl Bench {
    fn new() -> Bench {
        let mut engine = Engine::memory(Config::default());
        let declare = Command::DeclareQueue {
            name: "bench".to_owned(),
            options: QueueOptions::default(),
            create: true,
            session: SessionId::default(),
        };
        let Reply::Queue(queue) = reply(engine.handle(Time(0), declare)) else {
            panic!("no queue");
        };
        let Reply::Session(session) = reply(engine.handle(Time(0), Command::OpenSession)) else {
            panic!("no session");
        };
        Bench {
            engine,
            queue,
            session,
        }
    }

    fn one(&mut self, now: Time) {
        let produce = Command::Produce {
            queue: self.queue,
            message: Outgoing::new(black_box(BODY.as_slice())),
            wait: Wait::No,
        };
        reply(self.engine.handle(now, produce));
        let consume = Command::Consume {
            queue: self.queue,
            session: self.session,
            auto_ack: false,
            wait: Wait::No,
        };
        let Reply::Delivery(Some(delivery)) = reply(self.engine.handle(now, consume)) else {
            panic!("nothing was delivered");
        };
        let token = delivery.token.expect("a lease");
        black_box(&delivery.message.body);
        let ack = Command::Ack {
            token,
            durable: false,
        };
        reply(self.engine.handle(now, ack));
    }

    fn one_at_once(&mut self, now: Time) {
        let message = Outgoing::new(black_box(BODY.as_slice()));
        let produced = self.engine.produce_at_once(now, self.queue, message);
        assert!(matches!(produced, Ok(AtOnce::Produced(_))));
        let consumed = self
            .engine
            .consume_at_once(now, self.queue, self.session, false);
        let delivery = consumed.expect("open").expect("a message");
        black_box(&delivery.message.body);
        let token = delivery.token.expect("a lease");
        assert!(self.engine.ack_at_once(now, token).expect("leased"));
    }

    fn batch(&mut self, now: Time) {
        let messages = (0..BATCH)
            .map(|_| Outgoing::new(black_box(BODY.as_slice())))
            .collect();
        let produce = Command::ProduceMany {
            queue: self.queue,
            messages,
            wait: Wait::No,
        };
        reply(self.engine.handle(now, produce));
        let consume = Command::ConsumeMany {
            queue: self.queue,
            session: self.session,
            max: BATCH,
            auto_ack: false,
            wait: Wait::No,
        };
        let Reply::Deliveries(deliveries) = reply(self.engine.handle(now, consume)) else {
            panic!("nothing was delivered");
        };
        let tokens = deliveries.iter().filter_map(|d| d.token).collect();
        reply(self.engine.handle(now, Command::AckMany { tokens }));
    }
}

fn one_at_a_time(c: &mut Criterion) {
    let mut group = c.benchmark_group("one_at_a_time");
    group.throughput(Throughput::Elements(1));
    let mut bench = Bench::new();
    let mut now = 0;
    group.bench_function("ferrymq_engine_commands", |b| {
        b.iter(|| {
            now += 1;
            bench.one(Time(now / 1000));
        });
    });
    group.bench_function("ferrymq_engine", |b| {
        b.iter(|| {
            now += 1;
            bench.one_at_once(Time(now / 1000));
        });
    });
    let broker = Broker::open(Options::default()).expect("the defaults are good");
    let queue = broker
        .queue("bench", QueueOptions::default())
        .expect("declared");
    group.bench_function("ferrymq_driver", |b| {
        b.iter(|| {
            queue.produce(black_box(BODY.as_slice())).expect("room");
            let delivery = queue.consume(None).expect("open").expect("a message");
            black_box(delivery.body());
            delivery.ack().expect("leased");
        });
    });
    let segments: SegQueue<Box<[u8]>> = SegQueue::new();
    group.bench_function("crossbeam_segqueue", |b| {
        b.iter(|| {
            segments.push(Box::from(black_box(BODY.as_slice())));
            black_box(segments.pop());
        });
    });
    let (flume_in, flume_out) = flume::unbounded::<Box<[u8]>>();
    group.bench_function("flume", |b| {
        b.iter(|| {
            flume_in
                .send(Box::from(black_box(BODY.as_slice())))
                .expect("open");
            black_box(flume_out.recv().expect("a message"));
        });
    });
    let (std_in, std_out) = mpsc::channel::<Box<[u8]>>();
    group.bench_function("std_mpsc", |b| {
        b.iter(|| {
            std_in
                .send(Box::from(black_box(BODY.as_slice())))
                .expect("open");
            black_box(std_out.recv().expect("a message"));
        });
    });
    group.finish();
}

fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("batches_of_1000");
    group.throughput(Throughput::Elements(u64::from(BATCH)));
    let mut bench = Bench::new();
    group.bench_function("ferrymq_engine", |b| {
        b.iter_batched(|| (), |()| bench.batch(Time(0)), BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(benches, one_at_a_time, batches);
criterion_main!(benches);
