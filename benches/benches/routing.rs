//! Routing: finding the 10 bindings of a topic exchange that take a key among more and more of them, beside a look at each; and one body of 1 KB published to many
//! queues.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ferrymq_core::engine::{Answer, Command, Config, Engine, Reply};
use ferrymq_core::model::{
    Binding, ExchangeId, ExchangeKind, Outgoing, QueueId, QueueOptions, QueueSpec, SessionId, Time,
};
use ferrymq_core::route::{matches, resolve};
use ferrymq_core::topology::Topology;

/// How many bindings take each key.
const MATCHES: usize = 10;
const BODY: [u8; 1024] = [7; 1024];
/// Messages that a queue gets before all are purged.
const ROUND: u64 = 20;

/// For each key ten patterns that take it and no other, with wildcards in every place but the first.
fn patterns(count: usize) -> (Vec<String>, Vec<String>) {
    let (mut patterns, mut keys) = (Vec::new(), Vec::new());
    for n in 0..count / MATCHES {
        let shop = format!("shop{n}");
        keys.push(format!("{shop}.order.new"));
        for rest in [
            "order.new",
            "order.*",
            "*.new",
            "*.*",
            "#",
            "order.#",
            "#.new",
            "*.#",
            "#.order.*",
            "order.new.#",
        ] {
            patterns.push(format!("{shop}.{rest}"));
        }
    }
    (patterns, keys)
}

fn bound(patterns: &[String]) -> (Topology, ExchangeId) {
    let mut topology = Topology::seeded(1);
    let exchange = topology.exchange_vacancy("e").expect("a good name");
    topology.add_exchange(exchange, "e", ExchangeKind::Topic, None);
    for (n, pattern) in patterns.iter().enumerate() {
        let queue = topology.vacancy();
        topology.add_queue(queue, &format!("q{n}"), QueueSpec::default());
        topology.bind(exchange, Binding::to_queue(queue, pattern.clone()));
    }
    (topology, exchange)
}

fn topic_routing(c: &mut Criterion) {
    let mut group = c.benchmark_group("topic_routing");
    group.throughput(Throughput::Elements(1));
    for count in [10, 100, 1_000, 10_000, 100_000] {
        let (patterns, keys) = patterns(count);
        let (topology, exchange) = bound(&patterns);
        for key in &keys {
            assert_eq!(resolve(&topology, exchange, key, None).len(), MATCHES);
        }
        // Keys far from each other in turn, so that none finds its way still in the processor's cache.
        let mut at = 0;
        let mut next = || {
            at = (at + 7_919) % keys.len();
            keys[at].as_str()
        };
        group.bench_function(BenchmarkId::new("ferrymq_index", count), |b| {
            b.iter(|| black_box(resolve(&topology, exchange, black_box(next()), None)));
        });
        group.bench_function(BenchmarkId::new("every_binding", count), |b| {
            b.iter(|| {
                let key = black_box(next());
                let taking = patterns
                    .iter()
                    .enumerate()
                    .filter(|(_, pattern)| matches(ExchangeKind::Topic, pattern, key));
                black_box(taking.map(|(n, _)| n).collect::<Vec<_>>())
            });
        });
    }
    group.finish();
}

struct FanOut {
    engine: Engine,
    exchange: ExchangeId,
    queues: Vec<QueueId>,
}

fn reply(answer: Answer) -> Reply {
    match answer {
        Answer::Done(Ok(reply)) => reply,
        other => panic!("unexpected answer {other:?}"),
    }
}

impl FanOut {
    fn new(count: usize) -> FanOut {
        let mut engine = Engine::memory(Config::default());
        let declare = Command::DeclareExchange {
            name: "e".to_owned(),
            kind: Some(ExchangeKind::Fanout),
            alternate: None,
            create: true,
        };
        let Reply::Exchange(exchange, _) = reply(engine.handle(Time(0), declare)) else {
            panic!("no exchange");
        };
        let declare = |n| Command::DeclareQueue {
            name: format!("q{n}"),
            options: QueueOptions::default(),
            create: true,
            session: SessionId(0),
        };
        let queues = (0..count).map(|n| {
            let Reply::Queue(queue) = reply(engine.handle(Time(0), declare(n))) else {
                panic!("no queue");
            };
            let binding = Binding::to_queue(queue, "");
            reply(engine.handle(Time(0), Command::Bind { exchange, binding }));
            queue
        });
        let queues = queues.collect();
        FanOut {
            engine,
            exchange,
            queues,
        }
    }

    fn publish(&mut self) {
        let publish = Command::Publish {
            exchange: self.exchange,
            key: String::new(),
            message: Outgoing::new(black_box(BODY.as_slice())),
            mandatory: false,
        };
        reply(self.engine.handle(Time(0), publish));
    }

    /// How long `count` publishes take, without the purges between.
    fn time(&mut self, mut count: u64) -> Duration {
        let mut taken = Duration::ZERO;
        while count > 0 {
            let round = count.min(ROUND);
            let start = Instant::now();
            for _ in 0..round {
                self.publish();
            }
            taken += start.elapsed();
            count -= round;
            for &queue in &self.queues {
                reply(self.engine.handle(Time(0), Command::Purge { queue }));
            }
        }
        taken
    }
}

fn fan_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan_out");
    for count in [10, 1_000] {
        let mut fan_out = FanOut::new(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("ferrymq_engine", count), |b| {
            b.iter_custom(|times| fan_out.time(times));
        });
        // The least that it could cost: a copy of the body, and a counted reference a queue.
        let mut lists: Vec<Vec<std::sync::Arc<[u8]>>> = vec![Vec::new(); count];
        group.bench_function(BenchmarkId::new("arc_to_vectors", count), |b| {
            b.iter_custom(|times| {
                let start = Instant::now();
                for n in 0..times {
                    let body: std::sync::Arc<[u8]> = black_box(BODY.as_slice()).into();
                    for list in &mut lists {
                        list.push(std::sync::Arc::clone(&body));
                        if n % ROUND == ROUND - 1 {
                            list.clear();
                        }
                    }
                }
                start.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, topic_routing, fan_out);
criterion_main!(benches);
