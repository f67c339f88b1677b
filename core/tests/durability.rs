//! The engine on a disk that completes when told, under random commands, kills and power cuts. After each crash: what was confirmed durable is there or was
//! settled, what was acked durably does not come back, nothing appears that was not produced, first deliveries keep their order, and opening twice changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use ferrymq_core::driver::{
    Broker, Consumed, Consumer, ConsumerOptions, Options, Pending, Queue, Started, Storage, Testing,
};
use ferrymq_core::engine::{Command, Reply, Wait};
use ferrymq_core::model::{
    DeadLetter, Durability, Outgoing, Properties, QueueOptions, Span, Time, Token,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Move {
    Produce { durable: bool, key: Option<u8> },
    Delayed(u64),
    Consume,
    OpenConsumer { prefetch: u32 },
    CloseConsumer,
    Take,
    Ack { durable: bool },
    Nack,
    Release,
    Sync,
    Pass(u64),
    Kill,
    PowerCut,
    ReopenTwice,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        6 => (any::<bool>(), prop::option::of(0u8..3))
            .prop_map(|(durable, key)| Move::Produce { durable, key }),
        1 => (1u64..300).prop_map(Move::Delayed),
        4 => Just(Move::Consume),
        1 => (1u32..4).prop_map(|prefetch| Move::OpenConsumer { prefetch }),
        1 => Just(Move::CloseConsumer),
        4 => Just(Move::Take),
        2 => any::<bool>().prop_map(|durable| Move::Ack { durable }),
        1 => Just(Move::Nack),
        1 => Just(Move::Release),
        3 => Just(Move::Sync),
        2 => (0u64..120).prop_map(Move::Pass),
        1 => Just(Move::Kill),
        1 => Just(Move::PowerCut),
        1 => Just(Move::ReopenTwice),
    ]
}

/// What the test knows of every message that it produced, by the number in its body.
#[derive(Default)]
struct Known {
    produced: BTreeSet<u64>,
    confirmed_durable: BTreeSet<u64>,
    confirmed_written: BTreeSet<u64>,
    /// Acked, whether or not that was durable.
    acked: BTreeSet<u64>,
    acked_durably: BTreeSet<u64>,
    /// How often each was handed over.
    handed: BTreeMap<u64, u32>,
}

struct Run {
    broker: Broker,
    testing: Testing,
    queue: Queue,
    known: Known,
    waiting: Vec<(u64, bool, Pending)>,
    acking: Vec<(u64, Pending)>,
    held: Vec<(u64, Token)>,
    consumers: Vec<Consumer>,
    now: u64,
}

impl Run {
    fn new(ordered_keys: bool) -> Run {
        let (broker, testing) =
            Broker::open_testing(Options::default(), Storage::Manual).expect("it opens");
        let options = QueueOptions {
            ordered_keys: Some(ordered_keys),
            max_attempts: Some(None),
            dead_letter: Some(DeadLetter::Off),
            lease: Some(Span(100)),
            ..QueueOptions::default()
        };
        let declare = Command::DeclareQueue {
            name: "q".to_owned(),
            options,
            create: true,
            session: broker.session(),
        };
        let Started::Pending(declares) = broker.start(declare) else {
            panic!("a declaration waits for its sync");
        };
        testing.sync();
        declares.wait().expect("declared");
        let queue = broker.existing_queue("q").expect("declared");
        Run {
            broker,
            testing,
            queue,
            known: Known::default(),
            waiting: Vec::new(),
            acking: Vec::new(),
            held: Vec::new(),
            consumers: Vec::new(),
            now: 0,
        }
    }

    fn step(&mut self, step: Move) {
        match step {
            Move::Produce { durable, key } => self.produce(durable, key, None),
            Move::Delayed(delay) => self.produce(true, None, Some(delay)),
            Move::Consume => {
                let consumed = self.queue.consume(Some(Span(0))).expect("open");
                self.handed(consumed);
            }
            Move::OpenConsumer { prefetch } => {
                let options = ConsumerOptions {
                    prefetch,
                    ..ConsumerOptions::default()
                };
                let consumer = self.queue.consumer(options).expect("open");
                self.consumers.push(consumer);
            }
            Move::CloseConsumer => {
                self.consumers.pop();
            }
            Move::Take => {
                if let Some(consumer) = self.consumers.first() {
                    let taken = consumer.try_next().expect("open");
                    self.handed(taken);
                    self.consumers.rotate_left(1);
                }
            }
            Move::Ack { durable } => self.ack(durable),
            Move::Nack => self.give_back(|token| Command::Nack {
                token,
                delay: Some(Span(20)),
                reason: Some("later".to_owned()),
            }),
            Move::Release => self.give_back(|token| Command::Release { token }),
            Move::Sync => self.testing.sync(),
            Move::Pass(span) => {
                self.now += span;
                self.testing.advance_to(Time(self.now));
            }
            Move::Kill => self.crash(false),
            Move::PowerCut => self.crash(true),
            Move::ReopenTwice => self.reopen_twice(),
        }
        self.collect();
    }

    fn produce(&mut self, durable: bool, key: Option<u8>, delay: Option<u64>) {
        let name = self.known.produced.len() as u64;
        self.known.produced.insert(name);
        let properties = Properties {
            key: key.map(|key| key.to_string()),
            ..Properties::default()
        };
        let message = Outgoing {
            durability: (!durable).then_some(Durability::Written),
            delay: delay.map(Span),
            ..Outgoing::new(name.to_be_bytes().as_slice())
        };
        let command = Command::Produce {
            queue: self.queue.id(),
            message: message.with_properties(properties),
            wait: Wait::No,
        };
        match self.broker.start(command) {
            Started::Pending(waits) => self.waiting.push((name, durable, waits)),
            Started::Done(result) => {
                result.expect("there is room");
                assert!(!durable, "a durable produce was confirmed before its sync");
                self.known.confirmed_written.insert(name);
            }
        }
    }

    fn handed(&mut self, delivery: Option<Consumed>) {
        let Some(delivery) = delivery else {
            return;
        };
        let name = u64::from_be_bytes(delivery.body().try_into().expect("a number"));
        assert!(
            self.known.produced.contains(&name),
            "{name} was never produced"
        );
        assert!(
            !self.known.acked_durably.contains(&name),
            "{name} was acked durably"
        );
        *self.known.handed.entry(name).or_default() += 1;
        self.held.retain(|(held, _)| *held != name);
        self.held.push((name, delivery.token().expect("a lease")));
    }

    fn ack(&mut self, durable: bool) {
        let Some((name, token)) = self.held.pop() else {
            return;
        };
        match self.broker.start(Command::Ack { token, durable }) {
            Started::Pending(waits) => {
                self.known.acked.insert(name);
                self.acking.push((name, waits));
            }
            Started::Done(Ok(_)) => {
                assert!(!durable, "a durable ack returned before its sync");
                self.known.acked.insert(name);
            }
            // Its lease ended meanwhile.
            Started::Done(Err(_)) => {}
        }
    }

    fn give_back(&mut self, command: impl FnOnce(Token) -> Command) {
        if let Some((_, token)) = self.held.pop() {
            let _ = self.broker.call(command(token));
        }
    }

    /// Takes in what has been confirmed since.
    fn collect(&mut self) {
        let known = &mut self.known;
        self.waiting
            .retain_mut(|(name, durable, waits)| match waits.try_take() {
                None => true,
                Some(result) => {
                    if result.is_ok() && *durable {
                        known.confirmed_durable.insert(*name);
                    } else if result.is_ok() {
                        known.confirmed_written.insert(*name);
                    }
                    false
                }
            });
        self.acking
            .retain_mut(|(name, waits)| match waits.try_take() {
                None => true,
                Some(result) => {
                    if result.is_ok() {
                        known.acked_durably.insert(*name);
                    }
                    false
                }
            });
    }

    /// A sync that nobody waited for makes acks durable as well; what is certain is only what was told.
    fn crash(&mut self, power: bool) {
        if power {
            self.testing.power_cut();
        } else {
            self.testing.kill();
        }
        self.collect();
        self.testing.reopen().expect("it opens again");
        // Handles of an earlier life: what they close now must be nobody's.
        self.consumers.clear();
        self.held.clear();
        self.waiting.clear();
        self.acking.clear();
        let there = self.names();
        for name in &self.known.confirmed_durable {
            let settled = self.known.acked.contains(name);
            assert!(
                there.contains_key(name) || settled,
                "{name} was confirmed and is lost"
            );
        }
        if !power {
            for name in &self.known.confirmed_written {
                let settled = self.known.acked.contains(name);
                assert!(
                    there.contains_key(name) || settled,
                    "{name} was written and is lost"
                );
            }
        }
        for (name, attempt) in &there {
            // What was only reserved was not handed over, and counts nothing.
            let handed = self.known.handed.get(name).copied().unwrap_or(0);
            assert!(
                *attempt <= handed,
                "{name} has {attempt} attempts, {handed} were made"
            );
            assert!(
                self.known.produced.contains(name),
                "{name} was never produced"
            );
            assert!(!self.known.acked_durably.contains(name), "{name} is back");
        }
        // What was written only may be gone after a power cut; what is seen then is durable, because opening syncs what it found.
        if power {
            self.known.confirmed_written.clear();
        }
        if self.shows_all() {
            self.known.confirmed_durable.extend(there.keys());
        }
    }

    /// Whether peek shows every message: none is delayed or parked.
    fn shows_all(&self) -> bool {
        let shown = self.queue.peek(100_000).expect("open").len() as u64;
        self.queue.stats().expect("open").size == shown
    }

    fn reopen_twice(&mut self) {
        self.crash(false);
        let once = (self.names(), self.counts());
        self.testing.reopen().expect("it opens again");
        assert_eq!((self.names(), self.counts()), once);
    }

    fn counts(&self) -> [u64; 6] {
        let stats = self.queue.stats().expect("open");
        [
            stats.ready,
            stats.delayed,
            stats.leased,
            stats.bytes,
            stats.head,
            stats.tail,
        ]
    }

    /// What the queue holds, with attempts. Peek shows neither what is delayed nor what is parked: while there is any, every message that was not acked counts as there.
    fn names(&self) -> BTreeMap<u64, u32> {
        let mut names = BTreeMap::new();
        let mut before = None;
        for message in self.queue.peek(100_000).expect("open") {
            let name = u64::from_be_bytes(message.body[..].try_into().expect("a number"));
            assert!(before < Some(message.id), "out of order");
            before = Some(message.id);
            names.insert(name, message.attempt);
        }
        if !self.shows_all() {
            for name in &self.known.produced {
                if !self.known.acked.contains(name) {
                    names.entry(*name).or_insert(0);
                }
            }
        }
        names
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_takes_nothing_back_that_was_confirmed(
        ordered_keys in any::<bool>(),
        steps in prop::collection::vec(moves(), 1..60),
    ) {
        let mut run = Run::new(ordered_keys);
        for step in steps {
            run.step(step);
        }
        run.crash(true);
    }
}

#[test]
fn the_same_commands_give_the_same_results() {
    let trace = |seed: u64| {
        let options = Options {
            seed,
            ..Options::default()
        };
        let (broker, testing) = Broker::open_testing(options, Storage::Memory).expect("it opens");
        let queue = broker
            .queue("q", QueueOptions::default())
            .expect("declared");
        queue.produce("a").expect("room");
        let mut times = Vec::new();
        for _ in 0..6 {
            let delivery = queue.consume(Some(Span(0))).expect("open").expect("ready");
            delivery.nack(None, None).expect("leased");
            // The jitter decides when it is back.
            while queue.peek(1).expect("open").is_empty() {
                testing.advance_to(Time(testing.now().0 + 1));
            }
            times.push(testing.now());
        }
        times
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}

#[test]
fn a_parked_message_keeps_its_delay_over_a_crash() {
    let mut run = Run::new(true);
    let message = |name: u64, delay: Option<u64>| {
        let properties = Properties {
            key: Some("k".to_owned()),
            ..Properties::default()
        };
        Outgoing {
            delay: delay.map(Span),
            ..Outgoing::new(name.to_be_bytes().as_slice())
        }
        .with_properties(properties)
    };
    for (name, delay) in [(0, None), (1, Some(1000))] {
        run.known.produced.insert(name);
        let command = Command::Produce {
            queue: run.queue.id(),
            message: message(name, delay),
            wait: Wait::No,
        };
        assert!(matches!(run.broker.start(command), Started::Pending(_)));
    }
    run.testing.sync();
    run.crash(true);
    let first = run
        .queue
        .consume(Some(Span(0)))
        .expect("open")
        .expect("the head");
    assert!(matches!(first.ack(), Ok(())));
    run.testing.sync();
    assert!(run.queue.consume(Some(Span(0))).expect("open").is_none());
    run.testing.advance_to(Time(1000));
    let Ok(Reply::Count(1)) = run.broker.call(Command::Size {
        queue: run.queue.id(),
    }) else {
        panic!("one is left");
    };
    assert!(run.queue.consume(Some(Span(0))).expect("open").is_some());
}
