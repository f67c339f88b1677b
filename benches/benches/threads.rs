//! Several threads, and several operations at once. Two threads produce, consume and ack on one queue and on two; transactions of one and of ten operations. 100-byte messages; peers, without acks, in the same run.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_queue::SegQueue;
use ferrymq_core::driver::{Broker, Options, Queue};
use ferrymq_core::engine::Operation;
use ferrymq_core::model::{Outgoing, QueueOptions, Token};

const BODY: [u8; 100] = [7; 100];
const THREADS: u64 = 2;
const OPERATIONS: u64 = 10;

fn broker() -> Broker {
    Broker::open(Options::default()).expect("the defaults are good")
}

fn queue(broker: &Broker, name: &str) -> Queue {
    broker
        .queue(name, QueueOptions::default())
        .expect("declared")
}

/// How long all threads together take for so many rounds each, from the moment in which all are there.
fn together<W: Fn() + Send>(rounds: u64, workers: Vec<W>) -> Duration {
    let barrier = Barrier::new(workers.len() + 1);
    thread::scope(|scope| {
        let running: Vec<_> = workers
            .into_iter()
            .map(|work| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    for _ in 0..rounds {
                        work();
                    }
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        for worker in running {
            worker.join().expect("a worker does not panic");
        }
        start.elapsed()
    })
}

/// Another thread may have taken what this one produced: it then takes what the other produced, sooner or later.
fn one(queue: &Queue) {
    queue.produce(black_box(BODY.as_slice())).expect("room");
    let delivery = queue.consume(None).expect("open").expect("a message");
    black_box(delivery.body());
    delivery.ack().expect("leased");
}

fn two_threads(c: &mut Criterion) {
    let mut group = c.benchmark_group("two_threads");
    group.throughput(Throughput::Elements(THREADS));
    let broker = broker();
    let (first, second) = (queue(&broker, "first"), queue(&broker, "second"));
    group.bench_function("ferrymq_one_queue", |b| {
        let on_first = || one(&first);
        b.iter_custom(|rounds| together(rounds, vec![on_first, on_first]));
    });
    group.bench_function("ferrymq_two_queues", |b| {
        b.iter_custom(|rounds| {
            let queues = [&first, &second];
            together(rounds, queues.map(|queue| move || one(queue)).into())
        });
    });
    let own = Broker::open(Options::default()).expect("the defaults are good");
    let apart = queue(&own, "apart");
    group.bench_function("ferrymq_two_brokers", |b| {
        b.iter_custom(|rounds| {
            let queues = [&first, &apart];
            together(rounds, queues.map(|queue| move || one(queue)).into())
        });
    });
    let segments: SegQueue<Box<[u8]>> = SegQueue::new();
    let push_pop = || {
        segments.push(Box::from(black_box(BODY.as_slice())));
        black_box(segments.pop());
    };
    group.bench_function("crossbeam_segqueue", |b| {
        b.iter_custom(|rounds| together(rounds, vec![push_pop, push_pop]));
    });
    let (sender, receiver) = flume::unbounded::<Box<[u8]>>();
    let send_recv = || {
        sender
            .send(Box::from(black_box(BODY.as_slice())))
            .expect("open");
        black_box(receiver.recv().expect("a message"));
    };
    group.bench_function("flume", |b| {
        b.iter_custom(|rounds| together(rounds, vec![send_recv, send_recv]));
    });
    group.finish();
}

/// Takes a message and produces the next in one transaction, as a step of a pipeline does, `operations` times two at once.
fn transactions(c: &mut Criterion) {
    let mut group = c.benchmark_group("transactions");
    let broker = broker();
    let (from, to) = (queue(&broker, "from"), queue(&broker, "to"));
    let token = |queue: &Queue| -> Token {
        queue.produce(BODY.as_slice()).expect("room");
        let delivery = queue.consume(None).expect("open").expect("a message");
        delivery.token().expect("a lease")
    };
    for steps in [1, OPERATIONS] {
        group.throughput(Throughput::Elements(steps));
        group.bench_function(format!("ferrymq_{steps}"), |b| {
            b.iter_custom(|rounds| {
                let mut taken = Duration::ZERO;
                for _ in 0..rounds {
                    let mut operations = Vec::with_capacity(steps as usize * 2);
                    for _ in 0..steps {
                        operations.push(Operation::Ack {
                            token: token(&from),
                        });
                        operations.push(Operation::Produce {
                            queue: to.id(),
                            message: Outgoing::new(BODY.as_slice()),
                        });
                    }
                    let start = Instant::now();
                    broker.transaction(operations).expect("it fits");
                    taken += start.elapsed();
                }
                to.purge().expect("open");
                taken
            });
        });
        group.bench_function(format!("ferrymq_apart_{steps}"), |b| {
            b.iter_custom(|rounds| {
                let mut taken = Duration::ZERO;
                for _ in 0..rounds {
                    let deliveries: Vec<_> = (0..steps)
                        .map(|_| {
                            from.produce(BODY.as_slice()).expect("room");
                            from.consume(None).expect("open").expect("a message")
                        })
                        .collect();
                    let start = Instant::now();
                    for delivery in &deliveries {
                        to.produce(black_box(BODY.as_slice())).expect("room");
                        delivery.ack().expect("leased");
                    }
                    taken += start.elapsed();
                }
                to.purge().expect("open");
                taken
            });
        });
    }
    group.finish();
}

criterion_group!(benches, two_threads, transactions);
criterion_main!(benches);
