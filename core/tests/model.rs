//! The engine against a small model. Random commands on a queue and its dead-letter queue; after each, what the engine answers and what its statistics say must be
//! what the model says. The model is slow and plain: a list of messages, searched from front to back.

#[path = "model/reference.rs"]
mod reference;

use ferrymq_core::engine::{Answer, Command, Config, Engine, Reply, Wait};
use ferrymq_core::model::{
    Backoff, ConsumerId, DeadLetter, Delivery, Dispatch, ErrorKind, Message, Outgoing, Overflow,
    QueueId, QueueOptions, SessionId, Span, Time, Token,
};
use proptest::prelude::*;
use reference::{Expected, Reference, Rules};

/// A random step. Deliveries are chosen by number among all that were ever handed over, so that stale tokens are tried as well.
#[derive(Clone, Debug)]
enum Move {
    Produce {
        priority: u8,
        delay: Option<u64>,
        ttl: Option<u64>,
    },
    Consume,
    AutoAck,
    Ack(usize),
    Nack(usize, Option<u64>),
    Reject(usize),
    Release(usize),
    Extend(usize, u64),
    Pass(u64),
    Purge,
    Redrive(Option<u64>),
    ConsumeDead,
    OpenConsumer {
        prefetch: u32,
        auto_ack: bool,
    },
    CloseConsumer(usize),
    Take(usize),
    Keep(usize, bool),
}

fn moves() -> impl Strategy<Value = Move> {
    let short = || prop::option::weighted(0.3, 1u64..200);
    prop_oneof![
        6 => (0u8..3, short(), short())
            .prop_map(|(priority, delay, ttl)| Move::Produce { priority, delay, ttl }),
        6 => Just(Move::Consume),
        1 => Just(Move::AutoAck),
        3 => any::<usize>().prop_map(Move::Ack),
        3 => (any::<usize>(), short()).prop_map(|(at, delay)| Move::Nack(at, delay)),
        1 => any::<usize>().prop_map(Move::Reject),
        2 => any::<usize>().prop_map(Move::Release),
        1 => (any::<usize>(), 1u64..300).prop_map(|(at, by)| Move::Extend(at, by)),
        3 => (0u64..120).prop_map(Move::Pass),
        1 => Just(Move::Purge),
        1 => prop::option::of(1u64..3).prop_map(Move::Redrive),
        1 => Just(Move::ConsumeDead),
        1 => (1u32..4, prop::bool::weighted(0.2))
            .prop_map(|(prefetch, auto_ack)| Move::OpenConsumer { prefetch, auto_ack }),
        1 => any::<usize>().prop_map(Move::CloseConsumer),
        6 => any::<usize>().prop_map(Move::Take),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(at, kept)| Move::Keep(at, kept)),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    (
        prop::option::of(1u64..6),
        any::<bool>(),
        prop::option::of(1u32..4),
        any::<bool>(),
        prop::option::weighted(0.3, 1u64..150),
        any::<bool>(),
        (any::<bool>(), prop::bool::weighted(0.2)),
    )
        .prop_map(
            |(capacity, drop_oldest, max_attempts, named, ttl, dead, (least_loaded, single))| {
                Rules {
                    capacity,
                    drop_oldest,
                    max_attempts,
                    dead_letter_named: named,
                    dead_letter_off: !dead,
                    ttl,
                    lease: 100,
                    backoff: 30,
                    priorities: 3,
                    least_loaded,
                    single_active_consumer: single,
                }
            },
        )
}

struct Run {
    engine: Engine,
    session: SessionId,
    queue: QueueId,
    model: Reference,
    /// Every token that was ever given out, with the delivery's number in the model.
    tokens: Vec<(Token, u64)>,
    /// Every consumer that was ever opened.
    consumers: Vec<ConsumerId>,
    produced: u64,
    now: u64,
}

impl Run {
    fn new(rules: Rules) -> Run {
        let mut engine = Engine::memory(Config::default());
        let options = QueueOptions {
            capacity: Some(rules.capacity),
            overflow: Some(if rules.drop_oldest {
                Overflow::DropOldest
            } else {
                Overflow::Reject
            }),
            lease: Some(Span(rules.lease)),
            max_attempts: Some(rules.max_attempts),
            backoff: Some(Backoff {
                initial: Span(rules.backoff),
                factor: 2.0,
                max: Span(1000),
                jitter: 0.0,
            }),
            dead_letter: Some(match (rules.dead_letter_off, rules.dead_letter_named) {
                (true, _) => DeadLetter::Off,
                (false, true) => DeadLetter::Queue("q.dead".to_owned()),
                (false, false) => DeadLetter::Default,
            }),
            ttl: Some(rules.ttl.map(Span)),
            priorities: Some(rules.priorities),
            dispatch: Some(if rules.least_loaded {
                Dispatch::LeastLoaded
            } else {
                Dispatch::RoundRobin
            }),
            single_active_consumer: Some(rules.single_active_consumer),
            ..QueueOptions::default()
        };
        let declare = Command::DeclareQueue {
            name: "q".to_owned(),
            options,
            create: true,
            session: SessionId(0),
        };
        let Answer::Done(Ok(Reply::Queue(queue))) = engine.handle(Time(0), declare) else {
            panic!("the queue is declared");
        };
        let Answer::Done(Ok(Reply::Session(session))) =
            engine.handle(Time(0), Command::OpenSession)
        else {
            panic!("a session opens");
        };
        Run {
            engine,
            session,
            queue,
            model: Reference::new(rules),
            tokens: Vec::new(),
            consumers: Vec::new(),
            produced: 0,
            now: 0,
        }
    }

    fn handle(&mut self, command: Command) -> Result<Reply, ErrorKind> {
        match self.engine.handle(Time(self.now), command) {
            Answer::Done(result) => result.map_err(|error| error.kind()),
            Answer::Pending(call) => panic!("{call:?} waits although nothing was to wait"),
        }
    }

    fn dead_queue(&mut self) -> Option<QueueId> {
        let declare = Command::DeclareQueue {
            name: "q.dead".to_owned(),
            options: QueueOptions::default(),
            create: false,
            session: self.session,
        };
        match self.handle(declare) {
            Ok(Reply::Queue(queue)) => Some(queue),
            _ => None,
        }
    }

    fn step(&mut self, step: Move) {
        match step {
            Move::Produce {
                priority,
                delay,
                ttl,
            } => self.produce(priority, delay, ttl),
            Move::Consume => self.consume(self.queue, false),
            Move::AutoAck => self.consume(self.queue, true),
            Move::ConsumeDead => {
                if let Some(dead) = self.dead_queue() {
                    self.consume(dead, true);
                }
            }
            Move::Pass(span) => {
                self.now += span;
                self.engine.advance(Time(self.now));
                self.model.pass(self.now);
            }
            Move::Purge => {
                let queue = self.queue;
                let purged = self.handle(Command::Purge { queue });
                assert_eq!(purged, Ok(Reply::Count(self.model.purge())));
            }
            Move::Redrive(max) => {
                if let Some(queue) = self.dead_queue() {
                    let moved = self.handle(Command::Redrive { queue, max });
                    assert_eq!(moved, Ok(Reply::Count(self.model.redrive(max))));
                }
            }
            Move::OpenConsumer { prefetch, auto_ack } => self.open_consumer(prefetch, auto_ack),
            Move::CloseConsumer(at) => {
                if let Some(at) = chosen(at, self.consumers.len()) {
                    let consumer = self.consumers[at];
                    let closed = self.handle(Command::CloseConsumer { consumer });
                    assert_eq!(closed, Ok(Reply::Done));
                    self.model.close_consumer(at);
                }
            }
            Move::Take(at) => self.take(at),
            Move::Keep(at, kept) => {
                if let Some(at) = chosen(at, self.tokens.len()) {
                    let (token, delivery) = self.tokens[at];
                    let done = self.handle(Command::Keep { token, kept }).is_ok();
                    assert_eq!(done, self.model.keep(delivery, kept));
                }
            }
            Move::Ack(_)
            | Move::Nack(..)
            | Move::Reject(_)
            | Move::Release(_)
            | Move::Extend(..) => self.settle(&step),
        }
    }

    fn open_consumer(&mut self, prefetch: u32, auto_ack: bool) {
        let opened = self.handle(Command::OpenConsumer {
            queue: self.queue,
            session: self.session,
            prefetch,
            auto_ack,
        });
        let Ok(Reply::Consumer(consumer)) = opened else {
            panic!("opening answered {opened:?}");
        };
        self.consumers.push(consumer);
        self.model.open_consumer(prefetch as usize, auto_ack);
    }

    fn take(&mut self, at: usize) {
        let Some(at) = chosen(at, self.consumers.len()) else {
            return;
        };
        let taken = self.handle(Command::Take {
            consumer: self.consumers[at],
            max: 1,
            wait: Wait::No,
        });
        let Some(expected) = self.model.take(at) else {
            assert_eq!(taken, Err(ErrorKind::Closed));
            return;
        };
        let Ok(Reply::Deliveries(mut deliveries)) = taken else {
            panic!("take answered {taken:?}");
        };
        assert!(deliveries.len() <= 1);
        self.got(deliveries.pop(), expected);
    }

    fn produce(&mut self, priority: u8, delay: Option<u64>, ttl: Option<u64>) {
        let name = self.produced;
        self.produced += 1;
        let message = Outgoing {
            priority,
            delay: delay.map(Span),
            ttl: ttl.map(Span),
            ..Outgoing::new(name.to_be_bytes().as_slice())
        };
        let queue = self.queue;
        let wait = Wait::No;
        let produced = self.handle(Command::Produce {
            queue,
            message,
            wait,
        });
        let expected = self.model.produce(name, priority, delay, ttl);
        assert_eq!(produced.is_ok(), expected, "{produced:?}");
        if let Err(kind) = produced {
            assert_eq!(kind, ErrorKind::QueueFull);
        }
    }

    fn consume(&mut self, queue: QueueId, auto_ack: bool) {
        let consumed = self.handle(Command::Consume {
            queue,
            session: self.session,
            auto_ack,
            wait: Wait::No,
        });
        let Ok(Reply::Delivery(delivery)) = consumed else {
            panic!("consume answered {consumed:?}");
        };
        let expected = self.model.consume(queue != self.queue, auto_ack);
        self.got(delivery, expected);
    }

    /// A delivery, or none, must be what the model says.
    fn got(&mut self, delivery: Option<Delivery>, expected: Option<Expected>) {
        let got = delivery
            .as_ref()
            .map(|d| (name(&d.message), d.message.attempt, d.message.redelivered));
        assert_eq!(got, expected.map(|e| (e.name, e.attempt, e.redelivered)));
        if let (Some(token), Some(expected)) = (delivery.and_then(|d| d.token), expected) {
            self.tokens.push((token, expected.delivery));
        }
    }

    fn settle(&mut self, step: &Move) {
        let (Move::Ack(at)
        | Move::Nack(at, _)
        | Move::Reject(at)
        | Move::Release(at)
        | Move::Extend(at, _)) = step
        else {
            return;
        };
        if self.tokens.is_empty() {
            return;
        }
        let (token, delivery) = self.tokens[at % self.tokens.len()];
        let (command, expected) = match *step {
            Move::Ack(_) => {
                let durable = false;
                (Command::Ack { token, durable }, self.model.ack(delivery))
            }
            Move::Nack(_, delay) => {
                let nack = Command::Nack {
                    token,
                    delay: delay.map(Span),
                    reason: None,
                };
                (nack, self.model.nack(delivery, delay))
            }
            Move::Reject(_) => {
                let reason = None;
                (
                    Command::Reject { token, reason },
                    self.model.reject(delivery),
                )
            }
            Move::Release(_) => (Command::Release { token }, self.model.release(delivery)),
            Move::Extend(_, by) => {
                let by_span = Span(by);
                let extend = Command::Extend { token, by: by_span };
                (extend, self.model.extend(delivery, by))
            }
            _ => return,
        };
        let settled = self.handle(command);
        assert_eq!(settled.is_ok(), expected, "{step:?}: {settled:?}");
        if let Err(kind) = settled {
            assert_eq!(kind, ErrorKind::LeaseLost);
        }
    }

    fn compare(&mut self) {
        let queue = self.queue;
        let Ok(Reply::Stats(stats)) = self.handle(Command::Stats { queue }) else {
            panic!("statistics are there");
        };
        let model = self.model.stats();
        assert_eq!((stats.ready, stats.delayed, stats.leased), model.states);
        assert_eq!(stats.size, stats.ready + stats.delayed + stats.leased);
        assert_eq!(stats.bytes, stats.size * 8);
        assert_eq!(
            (stats.expired, stats.dead_lettered, stats.dropped),
            (model.expired, model.dead_lettered, model.dropped)
        );
        if let Some(capacity) = stats.capacity {
            assert!(stats.size <= capacity);
            assert_eq!((stats.head + stats.size) % capacity, stats.tail);
        } else {
            assert_eq!(stats.head + stats.size, stats.tail);
        }
        let peeked = self.handle(Command::Peek { queue, max: 100 });
        let Ok(Reply::Messages(messages)) = peeked else {
            panic!("peek answered {peeked:?}");
        };
        let names: Vec<u64> = messages.iter().map(name).collect();
        assert_eq!(names, self.model.ready_names());
    }
}

/// One of so many, by any number.
fn chosen(at: usize, count: usize) -> Option<usize> {
    (count > 0).then(|| at % count)
}

fn name(message: &Message) -> u64 {
    u64::from_be_bytes(message.body[..].try_into().expect("the body is a number"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_does_what_the_model_says(
        rules in rules(),
        steps in prop::collection::vec(moves(), 1..120),
    ) {
        let mut run = Run::new(rules);
        for step in steps {
            run.step(step);
            run.model.reserve();
            run.compare();
        }
    }

    #[test]
    fn random_tokens_never_open_anything(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut run = Run::new(Rules { capacity: None, drop_oldest: false, max_attempts: None,
            dead_letter_named: false, dead_letter_off: false, ttl: None, lease: 100, backoff: 1, priorities: 3,
            least_loaded: false, single_active_consumer: false });
        run.step(Move::Produce { priority: 0, delay: None, ttl: None });
        run.step(Move::Consume);
        match Token::from_bytes(&bytes) {
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::InvalidArgument),
            Ok(token) => {
                prop_assert_eq!(run.handle(Command::Release { token }), Err(ErrorKind::LeaseLost));
            }
        }
        run.compare();
    }
}
