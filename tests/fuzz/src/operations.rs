//! Commands, faults and crashes of the simulator, chosen by bytes: eight for the world (queues, options, exchange), then three for each step.

use ferrymq_sim::faults::Fault;
use ferrymq_sim::rng::Rng;
use ferrymq_sim::run::run;
use ferrymq_sim::workload::{Allowed, Op, Plan, Step};

use crate::{Target, Verdict, mutate};

/// See the module.
pub const TARGET: Target = Target {
    name: "operations",
    judge,
    seed: |nth| {
        let mut rng = Rng::new(nth);
        let steps = 20 + rng.below(100);
        (0..8 + 3 * steps).map(|_| rng.draw() as u8).collect()
    },
    mutate: |input, other, rng| mutate::bytes(input, other, rng),
};

/// Most steps of an input.
const STEPS_MAX: usize = 400;
/// Bytes that choose the world.
const WORLD_BYTES: usize = 8;

/// The kinds of steps; what comes more often stands more often.
const OPS: [Op; 48] = [
    Op::Produce,
    Op::Produce,
    Op::Produce,
    Op::Produce,
    Op::ProduceMany,
    Op::Publish,
    Op::Transaction,
    Op::Transaction,
    Op::Consume,
    Op::Consume,
    Op::Consume,
    Op::ConsumeMany,
    Op::OpenConsumer,
    Op::Take,
    Op::CloseConsumer,
    Op::Ack,
    Op::Ack,
    Op::Ack,
    Op::AckMany,
    Op::Nack,
    Op::Reject,
    Op::Release,
    Op::Extend,
    Op::Purge,
    Op::Delete,
    Op::Declare,
    Op::Redrive,
    Op::Alter,
    Op::Peek,
    Op::OpenSession,
    Op::CloseSession,
    Op::Cancel,
    Op::Pass,
    Op::Pass,
    Op::Sync,
    Op::Sync,
    Op::Settle,
    Op::SyncFails,
    Op::Arm(Fault::FailCreate),
    Op::Arm(Fault::FailDelete),
    Op::Arm(Fault::FailSyncDir),
    Op::Arm(Fault::FailRead),
    Op::Arm(Fault::StickyRead),
    Op::Arm(Fault::FailWrite),
    Op::NoRoom,
    Op::CrashSoon,
    Op::Crash,
    Op::Crash,
];

/// Every input is a plan; the shortest have no steps.
#[must_use]
pub fn plan(input: &[u8]) -> Plan {
    let mut world = [0; WORLD_BYTES];
    let (head, steps) = input.split_at(input.len().min(WORLD_BYTES));
    world[..head.len()].copy_from_slice(head);
    let mut plan = Plan::new(u64::from_le_bytes(world), Allowed::default());
    let (steps, _) = steps.as_chunks::<3>();
    plan.steps = steps
        .iter()
        .take(STEPS_MAX)
        .map(|[op, low, high]| Step {
            op: OPS[usize::from(*op) % OPS.len()],
            salt: u64::from(u16::from_le_bytes([*low, *high])),
        })
        .collect();
    plan
}

/// The simulator's model is the judge.
pub fn judge(input: &[u8]) -> Verdict {
    let plan = plan(input);
    let outcome = run(&plan, None, false);
    if let Some(failure) = outcome.failure {
        let trace = run(&plan, None, true).trace.join("\n");
        panic!("{failure}\n{trace}");
    }
    match outcome.counts.crashes() {
        0 => Verdict::Shallow,
        _ => Verdict::Deep,
    }
}
