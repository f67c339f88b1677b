//! Proves that within its window a dedup id lets in one message and no second, whatever happens to the message, the store and the process: random produces, batches and
//! transactions over few ids, with acks, purges, passing time, crashes and new windows between them, against a list of what was accepted.

use std::collections::BTreeSet;

use ferrymq_core::driver::{Broker, Options, Queue, Started, Storage, Testing};
use ferrymq_core::engine::{Command, Operation, Wait};
use ferrymq_core::model::{DeadLetter, Durability, Outgoing, Properties, QueueOptions, Span, Time};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Move {
    Produce(u8, Durability),
    Batch(Vec<u8>),
    Transaction(Vec<u8>),
    Take,
    Purge,
    Pass(u64),
    Sync,
    Kill,
    PowerCut,
    Window(u64),
}

fn moves() -> impl Strategy<Value = Move> {
    let id = 0..5_u8;
    let level = prop_oneof![
        Just(Durability::Memory),
        Just(Durability::Written),
        Just(Durability::Durable)
    ];
    prop_oneof![
        6 => (id.clone(), level).prop_map(|(id, level)| Move::Produce(id, level)),
        2 => prop::collection::vec(id.clone(), 1..6).prop_map(Move::Batch),
        2 => prop::collection::vec(id, 1..6).prop_map(Move::Transaction),
        2 => Just(Move::Take),
        1 => Just(Move::Purge),
        4 => (0..60_u64).prop_map(Move::Pass),
        2 => Just(Move::Sync),
        1 => Just(Move::Kill),
        1 => Just(Move::PowerCut),
        1 => (1..150_u64).prop_map(Move::Window),
    ]
}

/// What was accepted under an id, and how safe it is.
#[derive(Clone, Copy, Debug)]
struct Original {
    id: u8,
    at: u64,
    level: Durability,
    synced: bool,
}

struct Run {
    broker: Broker,
    testing: Testing,
    queue: Queue,
    now: u64,
    window: u64,
    originals: Vec<Original>,
}

fn message(id: u8, level: Durability) -> Outgoing {
    let properties = Properties {
        dedup_id: Some(format!("id-{id}").into()),
        ..Properties::default()
    };
    Outgoing {
        durability: Some(level),
        ..Outgoing::new(&b"body"[..])
    }
    .with_properties(properties)
}

fn window(span: u64) -> QueueOptions {
    QueueOptions {
        dedup_window: Some(Some(Span(span))),
        dead_letter: Some(DeadLetter::Off),
        ..QueueOptions::default()
    }
}

impl Run {
    fn new() -> Run {
        let (broker, testing) =
            Broker::open_testing(Options::default(), Storage::Manual).expect("it opens");
        let declare = Command::DeclareQueue {
            name: "q".to_owned(),
            options: window(100),
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
            now: 0,
            window: 100,
            originals: Vec::new(),
        }
    }

    /// Starts a command with these ids, and checks how many messages came in.
    fn bring(&mut self, ids: &[u8], level: Durability, command: Command) {
        let mut fresh = 0;
        let mut counts: BTreeSet<u8> = self.counting().collect();
        for &id in ids {
            if counts.insert(id) {
                fresh += 1;
                self.originals.push(Original {
                    id,
                    at: self.now,
                    level,
                    synced: false,
                });
            }
        }
        let before = self.queue.stats().expect("open").produced;
        // Who waits for a sync is answered or lost later; what came in is seen at once.
        let _ = self.broker.start(command);
        let after = self.queue.stats().expect("open").produced;
        assert_eq!(after - before, fresh, "of {ids:?} at {}", self.now);
    }

    fn counting(&self) -> impl Iterator<Item = u8> {
        let counts = |original: &&Original| original.at + self.window > self.now;
        self.originals.iter().filter(counts).map(|own| own.id)
    }

    fn step(&mut self, step: Move) {
        let queue = self.queue.id();
        match step {
            Move::Produce(id, level) => {
                let message = message(id, level);
                let wait = Wait::No;
                let command = Command::Produce {
                    queue,
                    message,
                    wait,
                };
                self.bring(&[id], level, command);
            }
            Move::Batch(ids) => {
                let level = Durability::Durable;
                let messages = ids.iter().map(|id| message(*id, level)).collect();
                let wait = Wait::No;
                let command = Command::ProduceMany {
                    queue,
                    messages,
                    wait,
                };
                self.bring(&ids, level, command);
            }
            Move::Transaction(ids) => {
                let level = Durability::Durable;
                let produce = |id: &u8| Operation::Produce {
                    queue,
                    message: message(*id, level),
                };
                let operations = ids.iter().map(produce).collect();
                self.bring(&ids, level, Command::Transaction { operations });
            }
            Move::Take => {
                if let Some(taken) = self.queue.consume(Some(Span(0))).expect("open") {
                    taken.ack().expect("leased");
                }
            }
            Move::Purge => drop(self.broker.start(Command::Purge { queue })),
            Move::Pass(span) => {
                self.now += span;
                self.testing.advance_to(Time(self.now));
            }
            Move::Sync => self.sync(),
            Move::Kill => {
                self.write();
                self.testing.kill();
                self.reopen(|own| own.level > Durability::Memory);
            }
            Move::PowerCut => {
                self.testing.power_cut();
                self.reopen(|own| own.synced);
            }
            Move::Window(span) => {
                // What is over is forgotten for good, also where the new window is longer.
                let (now, old) = (self.now, self.window.min(span));
                self.originals.retain(|own| own.at + old > now);
                let options = QueueOptions {
                    dead_letter: None,
                    ..window(span)
                };
                let alter = Command::AlterQueue { queue, options };
                drop(self.broker.start(alter));
                self.window = span;
                self.sync();
            }
        }
    }

    /// What waits for a sync may not be written yet; who asks for no more has it written, and all before it.
    fn write(&self) {
        let command = Command::Produce {
            queue: self.queue.id(),
            message: Outgoing {
                durability: Some(Durability::Written),
                ..Outgoing::new(&b"body"[..])
            },
            wait: Wait::No,
        };
        drop(self.broker.start(command));
    }

    fn sync(&mut self) {
        self.testing.sync();
        for own in &mut self.originals {
            own.synced = own.level > Durability::Memory;
        }
    }

    fn reopen(&mut self, kept: impl Fn(&Original) -> bool) {
        self.originals.retain(kept);
        self.testing.reopen().expect("it opens");
        self.sync();
        self.queue = self.broker.existing_queue("q").expect("it was durable");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_id_lets_in_one_message_in_its_window(steps in prop::collection::vec(moves(), 1..80)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
    }
}
