//! The driver with real threads and the real clock: nothing lost, nothing doubled, everyone woken. No test sleeps; each waits for what it is about, and a hang is the failure.

// core/clippy.toml bans clocks, locks and threads from the engine; the driver is what has them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ferrymq_core::driver::{
    Broker, Consumed, Consumer, ConsumerOptions, Options, Queue, Started, Storage,
};
use ferrymq_core::engine::{Command, Reply, Wait};
use ferrymq_core::model::limits::QUEUE_CONSUMERS_MAX;
use ferrymq_core::model::{
    DeadLetter, Dispatch, ErrorKind, Outgoing, Overflow, QueueOptions, Span, Time,
};

fn broker() -> Broker {
    Broker::open(Options::default()).expect("the defaults are good")
}

fn queue(broker: &Broker, options: QueueOptions) -> Queue {
    broker.queue("q", options).expect("the options are good")
}

fn consume(broker: &Broker, queue: &Queue) -> Command {
    Command::Consume {
        queue: queue.id(),
        session: broker.session(),
        auto_ack: false,
        wait: Wait::Forever,
    }
}

#[test]
fn many_threads_lose_nothing_and_double_nothing() {
    const THREADS: u64 = 6;
    const EACH: u64 = 4000;
    let broker = broker();
    // A small capacity makes producers wait for room all the time.
    let queue = queue(
        &broker,
        QueueOptions {
            capacity: Some(Some(64)),
            overflow: Some(Overflow::Block),
            ..QueueOptions::default()
        },
    );
    let seen = Mutex::new(HashSet::new());
    let left = AtomicU64::new(THREADS * EACH);
    thread::scope(|scope| {
        for producer in 0..THREADS {
            let queue = queue.clone();
            scope.spawn(move || {
                for n in 0..EACH {
                    let name = (producer << 32 | n).to_be_bytes();
                    queue.produce(name.as_slice()).expect("room comes");
                }
            });
        }
        for consumer in 0..THREADS {
            let (queue, broker, seen, left) = (queue.clone(), broker.clone(), &seen, &left);
            scope.spawn(move || {
                while let Ok(Some(delivery)) = queue.consume(None) {
                    if delivery.message().id.0 % 7 == consumer {
                        delivery.release().expect("still leased");
                        continue;
                    }
                    let name = delivery.body().to_vec();
                    delivery.ack().expect("still leased");
                    assert!(seen.lock().expect("not poisoned").insert(name));
                    if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                        broker.close();
                    }
                }
            });
        }
    });
    assert_eq!(
        seen.into_inner().expect("not poisoned").len() as u64,
        THREADS * EACH
    );
}

#[test]
fn a_blocked_consumer_wakes_for_a_message_and_for_the_end() {
    let broker = broker();
    let queue = queue(&broker, QueueOptions::default());
    thread::scope(|scope| {
        let waits = scope.spawn(|| queue.consume(None));
        queue.produce("a").expect("room");
        let delivery = waits.join().expect("no panic").expect("open");
        assert_eq!(delivery.expect("a message").body(), b"a");

        let closed: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| queue.consume(None)))
            .collect();
        broker.close();
        for waits in closed {
            let error = waits.join().expect("no panic").err().expect("closed");
            assert_eq!(error.kind(), ErrorKind::Closed);
        }
    });
    assert_eq!(
        queue.produce("b").map_err(|error| error.kind()),
        Err(ErrorKind::Closed)
    );
}

#[test]
fn timers_wake_without_another_call() {
    let broker = broker();
    let queue = queue(
        &broker,
        QueueOptions {
            lease: Some(Span(30)),
            ..QueueOptions::default()
        },
    );
    let later = Outgoing {
        delay: Some(Span(20)),
        ..Outgoing::new(&b"later"[..])
    };
    queue.produce(later).expect("room");
    let first = queue.consume(None).expect("open").expect("due by itself");
    // Nobody settles it: the lease ends by itself and the message comes again.
    let second = queue.consume(None).expect("open").expect("back by itself");
    assert_eq!(second.message().attempt, 2);
    assert_eq!(
        first.ack().map_err(|error| error.kind()),
        Err(ErrorKind::LeaseLost)
    );
    second.ack().expect("leased");
    let nothing = queue.consume(Some(Span(15))).expect("open");
    assert!(nothing.is_none(), "the wait ended by itself");
}

#[test]
fn a_call_that_is_dropped_loses_nothing_and_counts_nothing() {
    let broker = broker();
    let queue = queue(&broker, QueueOptions::default());
    let Started::Pending(waits) = broker.start(consume(&broker, &queue)) else {
        panic!("there is nothing to consume yet");
    };
    drop(waits);
    queue.produce("a").expect("room");
    assert_eq!(
        queue.stats().expect("open").leased,
        0,
        "nobody stands in line"
    );

    let other = queue.consume(None).expect("open").expect("a message");
    let Started::Pending(mut waits) = broker.start(consume(&broker, &queue)) else {
        panic!("there is nothing to consume");
    };
    let (woken, wakes) = mpsc::channel();
    waits.on_ready(Box::new(move || woken.send(()).expect("somebody listens")));
    other.release().expect("leased");
    wakes.recv().expect("the message was handed over");
    drop(waits);
    let again = queue.consume(None).expect("open").expect("given back");
    assert_eq!(again.message().attempt, 1);
}

#[test]
fn a_slice_of_waiting_ends_and_the_call_goes_on() {
    let broker = broker();
    let queue = queue(&broker, QueueOptions::default());
    let Started::Pending(mut waits) = broker.start(consume(&broker, &queue)) else {
        panic!("there is nothing to consume");
    };
    assert!(waits.wait_for(Duration::from_millis(1)).is_none());
    queue.produce("a").expect("room");
    let reply = waits.wait_for(Duration::from_secs(60));
    assert!(matches!(reply, Some(Ok(Reply::Delivery(Some(_))))));
}

#[test]
fn the_ring_takes_what_finalisers_hand_over_from_many_threads() {
    let broker = broker();
    let queue = queue(&broker, QueueOptions::default());
    const MESSAGES: usize = 2000;
    let messages = (0..MESSAGES).map(|_| Outgoing::new(&b"x"[..])).collect();
    queue.produce_many(messages).expect("room");
    let deliveries = queue.consume_many(MESSAGES as u32, None).expect("open");
    thread::scope(|scope| {
        for part in deliveries.chunks(MESSAGES / 4) {
            let broker = &broker;
            scope.spawn(move || {
                for delivery in part {
                    let token = delivery.token().expect("leased");
                    broker.post(Command::Release { token });
                }
            });
        }
    });
    let stats = queue.stats().expect("open");
    assert_eq!(
        (stats.ready, stats.released),
        (MESSAGES as u64, MESSAGES as u64)
    );
}

#[test]
fn a_produce_that_waits_for_a_sync_is_told_when_the_broker_is_killed() {
    let (broker, testing) =
        Broker::open_testing(Options::default(), Storage::Manual).expect("it opens");
    let Started::Pending(declares) = broker.start(Command::DeclareQueue {
        name: "q".to_owned(),
        options: QueueOptions {
            dead_letter: Some(DeadLetter::Off),
            ..QueueOptions::default()
        },
        create: true,
        session: broker.session(),
    }) else {
        panic!("a declaration waits for its sync");
    };
    testing.sync();
    let Ok(Reply::Queue(queue)) = declares.wait() else {
        panic!("declared");
    };
    let Started::Pending(produces) = broker.start(Command::Produce {
        queue,
        message: Outgoing::new(&b"a"[..]),
        wait: Wait::No,
    }) else {
        panic!("a durable produce waits for its sync");
    };
    testing.kill();
    assert_eq!(
        produces.wait().map_err(|error| error.kind()),
        Err(ErrorKind::Closed)
    );
    testing.reopen().expect("it opens again");
    testing.advance_to(Time(1));
    let stats = broker
        .call(Command::Stats { queue })
        .expect("the queue is there");
    let Reply::Stats(stats) = stats else {
        panic!("statistics");
    };
    assert_eq!(stats.ready, 1, "what was written survives the process");
}

fn consumer(queue: &Queue, prefetch: u32) -> Consumer {
    let options = ConsumerOptions {
        prefetch,
        ..ConsumerOptions::default()
    };
    queue.consumer(options).expect("the options are good")
}

#[test]
fn consumers_that_come_and_go_lose_nothing_and_double_nothing() {
    const THREADS: u64 = 6;
    const EACH: u64 = 3000;
    let broker = broker();
    let queue = queue(
        &broker,
        QueueOptions {
            capacity: Some(Some(64)),
            overflow: Some(Overflow::Block),
            dispatch: Some(Dispatch::LeastLoaded),
            ..QueueOptions::default()
        },
    );
    let shared = consumer(&queue, 5);
    let seen = Mutex::new(HashSet::new());
    let left = AtomicU64::new(THREADS * EACH);
    let done = |delivery: &Consumed| {
        let name = delivery.body().to_vec();
        delivery.ack().expect("still leased");
        assert!(seen.lock().expect("not poisoned").insert(name));
        if left.fetch_sub(1, Ordering::AcqRel) == 1 {
            broker.close();
        }
    };
    thread::scope(|scope| {
        for producer in 0..THREADS {
            let queue = queue.clone();
            scope.spawn(move || {
                for n in 0..EACH {
                    let name = (producer << 32 | n).to_be_bytes();
                    queue.produce(name.as_slice()).expect("room comes");
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while let Ok(Some(delivery)) = shared.next(None) {
                    done(&delivery);
                }
            });
        }
        for own in 1..4 {
            let (queue, done) = (queue.clone(), &done);
            scope.spawn(move || {
                // Each lives for a few messages and leaves others reserved.
                while let Ok(short) = queue.consumer(ConsumerOptions {
                    prefetch: own * 3,
                    ..ConsumerOptions::default()
                }) {
                    for _ in 0..own {
                        match short.next(None) {
                            Ok(Some(delivery)) => done(&delivery),
                            _ => return,
                        }
                    }
                }
            });
        }
    });
    let seen = seen.into_inner().expect("not poisoned");
    assert_eq!(seen.len() as u64, THREADS * EACH);
}

#[test]
fn a_consumer_that_waits_wakes_for_a_message_and_for_every_end() {
    let broker = broker();
    let queue = queue(&broker, QueueOptions::default());
    let waits_at = |consumer: Consumer| {
        thread::spawn(move || {
            let first = consumer.next(None);
            (consumer, first)
        })
    };
    let waiting = |count: u64| {
        while !matches!(broker.call(Command::BrokerStats), Ok(Reply::Broker(stats)) if stats.waiting == count)
        {
            thread::yield_now();
        }
    };
    let thread = waits_at(consumer(&queue, 1));
    waiting(1);
    queue.produce("a").expect("room");
    let (first, delivery) = thread.join().expect("no panic");
    assert_eq!(delivery.expect("open").expect("a message").body(), b"a");
    first.close();
    let ended = |result: Result<Option<Consumed>, _>| {
        let error: ferrymq_core::model::Error = result.err().expect("it has ended");
        error.kind()
    };
    assert_eq!(ended(first.next(None)), ErrorKind::Closed);

    let closed = consumer(&queue, 1);
    let id = closed.id();
    let thread = waits_at(closed);
    waiting(1);
    let done = broker.call(Command::CloseConsumer { consumer: id });
    assert_eq!(done, Ok(Reply::Done));
    assert_eq!(ended(thread.join().expect("no panic").1), ErrorKind::Closed);

    let thread = waits_at(consumer(&queue, 1));
    waiting(1);
    queue.delete().expect("it is there");
    assert_eq!(
        ended(thread.join().expect("no panic").1),
        ErrorKind::NotFound
    );

    let anew = broker.queue("q", QueueOptions::default()).expect("open");
    let thread = waits_at(consumer(&anew, 1));
    waiting(1);
    broker.close();
    assert_eq!(ended(thread.join().expect("no panic").1), ErrorKind::Closed);
}

#[test]
fn a_dropped_consumer_gives_back_what_it_did_not_hand_out() {
    let broker = broker();
    let queue = queue(&broker, QueueOptions::default());
    queue
        .produce_many(vec!["a".into(), "b".into()])
        .expect("room");
    let consumer = consumer(&queue, 2);
    let first = consumer.try_next().expect("open").expect("reserved");
    assert_eq!(queue.stats().expect("open").ready, 0);
    drop(consumer);
    assert_eq!(queue.stats().expect("open").ready, 1);
    first
        .ack()
        .expect("what was handed out stays with who has it");
}

#[test]
fn a_guard_keeps_a_lease() {
    let (broker, testing) =
        Broker::open_testing(Options::default(), Storage::Memory).expect("it opens");
    let queue = queue(
        &broker,
        QueueOptions {
            lease: Some(Span(100)),
            ..QueueOptions::default()
        },
    );
    queue.produce("a").expect("room");
    let delivery = queue.consume(Some(Span(0))).expect("open").expect("ready");
    let kept = delivery.keep().expect("leased");
    testing.advance_to(Time(1050));
    assert!(queue.consume(Some(Span(0))).expect("open").is_none());
    drop(kept);
    testing.advance_to(Time(1100));
    let again = queue.consume(Some(Span(0))).expect("open").expect("back");
    assert_eq!(again.message().attempt, 2);
    let lost = delivery.keep().err().map(|error| error.kind());
    assert_eq!(lost, Some(ErrorKind::LeaseLost));
}

#[test]
fn the_number_of_consumers_has_a_bound() {
    let broker = broker();
    let queue = queue(&broker, QueueOptions::default());
    let mut consumers: Vec<Consumer> = (0..QUEUE_CONSUMERS_MAX)
        .map(|_| consumer(&queue, 1))
        .collect();
    let refused = queue.consumer(ConsumerOptions::default()).err();
    assert_eq!(
        refused.map(|error| error.kind()),
        Some(ErrorKind::Unavailable)
    );
    consumers.pop();
    consumers.push(consumer(&queue, 1));
    // A message for each, and one more.
    let messages = (0..=QUEUE_CONSUMERS_MAX).map(|n| n.to_string().as_str().into());
    queue.produce_many(messages.collect()).expect("room");
    assert_eq!(queue.stats().expect("open").ready, 1);
}
