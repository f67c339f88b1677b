//! What is done to the engine: a plan of steps that follows from the seed. Each seed draws its own queues, its own mix of steps and its own way to fail (swarm testing), so that
//! rare combinations come up. A step carries a salt from which its details follow, so that leaving out one step does not change the others.

use ferrymq_core::model::{
    Backoff, DeadLetter, Dispatch, Durability, ExchangeKind, Overflow, QueueOptions, Span,
};

use crate::faults::Fault;
use crate::rng::Rng;

/// A kind of step. Its details follow from the salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Produce one.
    Produce,
    /// Produce several.
    ProduceMany,
    /// Publish to the exchange.
    Publish,
    /// Produces, publishes and acks together.
    Transaction,
    /// Take one.
    Consume,
    /// Take several.
    ConsumeMany,
    /// Open a push consumer.
    OpenConsumer,
    /// Take what is reserved for one.
    Take,
    /// Close one.
    CloseConsumer,
    /// Done with one.
    Ack,
    /// Done with several.
    AckMany,
    /// Back later.
    Nack,
    /// Dead.
    Reject,
    /// Back at once.
    Release,
    /// Send a numbered command again.
    Again,
    /// Hold longer.
    Extend,
    /// Empty a queue.
    Purge,
    /// Delete a queue.
    Delete,
    /// Declare a queue that is gone.
    Declare,
    /// Send dead letters back.
    Redrive,
    /// Change options.
    Alter,
    /// Look.
    Peek,
    /// Open a session.
    OpenSession,
    /// Close one.
    CloseSession,
    /// Give up a call that waits.
    Cancel,
    /// Time passes.
    Pass,
    /// The clock jumps, back or forth.
    Jump,
    /// A sync ends.
    Sync,
    /// Everything is synced, and time passes until nothing is owed.
    Settle,
    /// A sync fails.
    SyncFails,
    /// The next operation of a kind fails.
    Arm(Fault),
    /// The disk is nearly full.
    NoRoom,
    /// The crash comes within the next tickets.
    CrashSoon,
    /// Power or process goes now.
    Crash,
    /// Damage to what was synced, then a crash.
    Damage,
}

/// One step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What.
    pub op: Op,
    /// Its details.
    pub salt: u64,
}

/// A queue of the plan.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// Its options.
    pub options: QueueOptions,
}

/// Which faults a run may draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// I/O errors, full disks, failed syncs.
    pub errors: bool,
    /// Clocks that jump.
    pub clock: bool,
    /// Damage to what was synced.
    pub damage: bool,
}

impl Default for Allowed {
    fn default() -> Self {
        Allowed {
            errors: true,
            clock: true,
            damage: true,
        }
    }
}

/// All that one seed does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The broker's durability.
    pub durability: Durability,
    /// Its queues.
    pub queues: Vec<Planned>,
    /// Its exchange, bound to every queue.
    pub exchange: Option<ExchangeKind>,
    /// Whether there is a lasting session, which sends its commands again.
    pub lasting: bool,
    /// How many of a hundred steps end a sync by themselves.
    pub eager: u64,
    /// How many outcomes of each crash are looked at.
    pub outcomes: u64,
    /// Whether clocks may jump.
    pub clock: bool,
    /// Whether I/O errors come.
    pub errors: bool,
    /// Whether what was synced is damaged.
    pub damage: bool,
    /// Whether everything is consumed in the end.
    pub drains: bool,
    /// What is done.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64, allowed: Allowed) -> Plan {
        let mut rng = Rng::new(seed);
        let queues = 1 + rng.below(3);
        let durability = match rng.percent(75) {
            true => Durability::Durable,
            false => Durability::Written,
        };
        let exchange = rng.percent(50).then(|| {
            rng.pick(&[
                ExchangeKind::Direct,
                ExchangeKind::Fanout,
                ExchangeKind::Topic,
            ])
        });
        let mut plan = Plan {
            seed,
            durability,
            queues: (0..queues)
                .map(|nth| Planned {
                    name: format!("q{nth}"),
                    options: options(&mut rng),
                })
                .collect(),
            exchange,
            lasting: rng.percent(50),
            eager: rng.pick(&[5, 30, 80]),
            outcomes: 3 + rng.below(4),
            clock: allowed.clock,
            errors: allowed.errors,
            damage: allowed.damage,
            drains: rng.percent(40),
            steps: Vec::new(),
        };
        plan.draw_steps(allowed, &mut rng);
        plan
    }

    fn draw_steps(&mut self, allowed: Allowed, rng: &mut Rng) {
        let mut mix = mix(allowed, self.exchange.is_some(), rng);
        if self.lasting {
            mix.push((Op::Again, 4));
        }
        let total: u64 = mix.iter().map(|(_, weight)| weight).sum();
        let lives = 4 + rng.below(8);
        for _ in 0..lives {
            for _ in 0..3 + rng.below(16) {
                let mut at = rng.below(total);
                let drawn = mix.iter().find(|(_, weight)| {
                    let here = at < *weight;
                    at = at.saturating_sub(*weight);
                    here
                });
                if let Some((op, _)) = drawn {
                    self.push(*op, rng);
                }
            }
            let end = match rng.below(4) {
                0 => Op::CrashSoon,
                1 if allowed.damage => Op::Damage,
                _ => Op::Crash,
            };
            self.push(end, rng);
        }
    }

    fn push(&mut self, op: Op, rng: &mut Rng) {
        let salt = rng.draw();
        self.steps.push(Step { op, salt });
    }
}

/// How often each step comes: some never, some often, as the seed says.
fn mix(allowed: Allowed, exchange: bool, rng: &mut Rng) -> Vec<(Op, u64)> {
    let mut mix = vec![(Op::Produce, 12), (Op::Consume, 6), (Op::Sync, 6)];
    let mut draw = |op, weight: u64| {
        let times = rng.pick(&[0, 1, 1, 3]);
        mix.push((op, weight * times));
    };
    draw(Op::ProduceMany, 4);
    draw(Op::Transaction, 4);
    draw(Op::ConsumeMany, 3);
    draw(Op::OpenConsumer, 1);
    draw(Op::Take, 3);
    draw(Op::CloseConsumer, 1);
    draw(Op::Ack, 8);
    draw(Op::AckMany, 2);
    draw(Op::Nack, 3);
    draw(Op::Reject, 3);
    draw(Op::Release, 2);
    draw(Op::Extend, 1);
    draw(Op::Purge, 1);
    draw(Op::Delete, 1);
    draw(Op::Declare, 1);
    draw(Op::Redrive, 2);
    draw(Op::Alter, 1);
    draw(Op::Peek, 2);
    draw(Op::OpenSession, 1);
    draw(Op::CloseSession, 1);
    draw(Op::Cancel, 1);
    draw(Op::Pass, 5);
    draw(Op::Settle, 3);
    if exchange {
        draw(Op::Publish, 5);
    }
    if allowed.clock {
        draw(Op::Jump, 1);
    }
    if allowed.errors {
        draw(Op::SyncFails, 1);
        draw(Op::NoRoom, 1);
        for fault in [
            Fault::FailCreate,
            Fault::FailDelete,
            Fault::FailSyncDir,
            Fault::FailRead,
            Fault::StickyRead,
            Fault::FailWrite,
            Fault::ShortRead,
            Fault::ShortWrite,
        ] {
            draw(Op::Arm(fault), 1);
        }
    }
    mix
}

/// The longest that a queue of the plan lets a nacked message wait by itself.
pub const BACKOFF_MAX: u64 = 100;

fn options(rng: &mut Rng) -> QueueOptions {
    let ordered = rng.percent(20);
    let priorities = match ordered {
        false if rng.percent(30) => 3,
        _ => 1,
    };
    let backoff = Backoff {
        initial: Span(rng.pick(&[0, 1, 20])),
        factor: 2.0,
        max: Span(BACKOFF_MAX / 2),
        jitter: rng.pick(&[0.0, 0.5]),
    };
    let dead_letter = match rng.below(5) {
        0 => DeadLetter::Off,
        1 | 2 => DeadLetter::Queue("grave".to_owned()),
        _ => DeadLetter::Default,
    };
    let level = match rng.below(10) {
        0 => Some(Durability::Memory),
        1 | 2 => Some(Durability::Written),
        3 | 4 => Some(Durability::Durable),
        _ => None,
    };
    QueueOptions {
        capacity: rng.percent(30).then(|| Some(2 + rng.below(6))),
        capacity_bytes: rng.percent(10).then_some(Some(2000)),
        overflow: Some(rng.pick(&[Overflow::Reject, Overflow::DropOldest, Overflow::Block])),
        lease: Some(Span(rng.pick(&[20, 100, 5000]))),
        max_attempts: Some(rng.pick(&[None, Some(1), Some(2), Some(5)])),
        backoff: Some(backoff),
        dead_letter: Some(dead_letter),
        ttl: rng.percent(20).then(|| Some(Span(20 + rng.below(400)))),
        priorities: Some(priorities),
        ordered_keys: Some(ordered),
        dispatch: Some(rng.pick(&[
            Dispatch::RoundRobin,
            Dispatch::Random,
            Dispatch::LeastLoaded,
        ])),
        single_active_consumer: Some(rng.percent(10)),
        dedup_window: rng
            .percent(30)
            .then(|| Some(Span(rng.pick(&[50, 400, 100_000])))),
        durability: Some(level),
        ..QueueOptions::default()
    }
}
