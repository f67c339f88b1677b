//! From a crash to an open store: the crash itself, and every crash and I/O error that comes while the store is being opened, to the third depth.

use ferrymq_core::engine::{Answer, Command, Config, Engine, Output};
use ferrymq_core::model::Time;
use ferrymq_core::store::{DiskOp, DiskOutcome, Ticket};

use crate::disk::SimDisk;
use crate::faults::{Cut, Order, SyncEnd};
use crate::rng::Rng;

/// How deep crashes nest while a store is being opened.
pub const DEPTH_MAX: u64 = 3;

/// More tickets than any opening of a store this small can need.
pub const TICKETS_MAX: u64 = 5_000;

/// After so many failed openings nothing fails any more, and the next has to succeed.
const FAILURES_MAX: u64 = 3;

/// A store that is open again.
pub struct Opened {
    /// Its engine.
    pub engine: Engine,
    /// Its clock.
    pub now: u64,
    /// The latest that any clock was on the way.
    pub peak: u64,
    /// Whether power was lost on the way, or the cache as if it had been.
    pub power: bool,
}

/// What may happen on the way.
#[derive(Clone, Copy, Debug)]
pub struct Mishaps {
    /// The clock may jump.
    pub clock: bool,
    /// I/O errors may come.
    pub errors: bool,
    /// No time passes.
    pub still: bool,
}

pub(crate) enum Attempt {
    Open(Box<Engine>),
    Crashed,
    Failed { reverted: bool, what: String },
}

/// Crashes, and opens until it is open.
pub fn crash_and_open(
    disk: &mut SimDisk,
    config: &mut Config,
    now: u64,
    mishaps: Mishaps,
    rng: &mut Rng,
) -> Result<Opened, String> {
    let mut way = Opened {
        engine: Engine::memory(*config),
        now,
        peak: now,
        power: false,
    };
    let mut depth = 0;
    let mut failures = 0;
    loop {
        crash(disk, depth, &mut way.power, rng);
        if !mishaps.still {
            way.now = next_clock(disk, way.now, mishaps.clock, rng);
        }
        way.peak = way.peak.max(way.now);
        config.epoch += 1;
        let engine = Engine::open(*config, Time(way.now));
        let cut = (depth < DEPTH_MAX && rng.percent(25)).then(|| rng.below(10));
        let errors = mishaps.errors && failures < FAILURES_MAX;
        if !errors {
            disk.armed.clear();
            disk.unreadable = None;
        }
        match open(engine, disk, way.now, cut, errors, rng)? {
            Attempt::Open(engine) => {
                way.engine = *engine;
                return Ok(way);
            }
            Attempt::Crashed => depth += 1,
            Attempt::Failed { what, .. } if failures >= FAILURES_MAX => {
                return Err(format!(
                    "it cannot be opened, though the disk is well: {what}"
                ));
            }
            Attempt::Failed { reverted, .. } => {
                way.power |= reverted;
                failures += 1;
                disk.unreadable = None;
            }
        }
    }
}

fn crash(disk: &mut SimDisk, depth: u64, power: &mut bool, rng: &mut Rng) {
    disk.counts.nested += u64::from(depth > 0);
    if rng.percent(65) {
        *power = true;
        disk.counts.power_cuts += 1;
        let cut = draw_cut(rng);
        disk.note(|| format!("  power cut: {cut:?}"));
        disk.power_cut(cut, rng);
    } else {
        disk.counts.kills += 1;
        disk.note(|| "  kill".to_owned());
        disk.kill();
    }
}

fn draw_cut(rng: &mut Rng) -> Cut {
    Cut {
        order: match rng.percent(70) {
            true => Order::Any,
            false => Order::Prefix,
        },
        survives: rng.pick(&[0, 10, 50, 50, 90, 100]),
        torn: rng.pick(&[0, 0, 20, 60]),
        garbage: rng.percent(20),
    }
}

fn next_clock(disk: &mut SimDisk, now: u64, jumps: bool, rng: &mut Rng) -> u64 {
    if jumps && rng.percent(15) {
        disk.counts.clock_jumps += 1;
        return match rng.percent(50) {
            true => now.saturating_sub(rng.below(500)),
            false => now + rng.below(20_000),
        };
    }
    now + rng.pick(&[0, 0, 1, 10, 60])
}

/// Opens, until it is open, crashes before its `cut`th ticket, or fails.
pub(crate) fn open(
    mut engine: Engine,
    disk: &mut SimDisk,
    now: u64,
    mut cut: Option<u64>,
    errors: bool,
    rng: &mut Rng,
) -> Result<Attempt, String> {
    disk.counts.openings += 1;
    disk.note(|| format!("  at {now} ms it is opened"));
    let mut reverted = false;
    let mut asked = 0;
    loop {
        while let Some(output) = engine.poll() {
            let Output::Io(ticket) = output else {
                continue;
            };
            disk.note(|| format!("    {}", brief(&ticket)));
            asked += 1;
            if asked > TICKETS_MAX {
                return Err(format!("opening asks without end: {}", brief(&ticket)));
            }
            if cut == Some(0) {
                disk.note(|| "    which the next crash cuts off".to_owned());
                disk.interrupt(ticket, rng);
                return Ok(Attempt::Crashed);
            }
            cut = cut.map(|left| left - 1);
            let id = ticket.id;
            if let Some(outcome) = disk.execute(ticket, rng) {
                engine.io_done(Time(now), id, outcome);
            }
        }
        if engine.has_failed() {
            disk.note(|| "    opening fails".to_owned());
            let what = refusal(&mut engine, now);
            return Ok(Attempt::Failed { reverted, what });
        }
        if engine.is_open() {
            return Ok(Attempt::Open(Box::new(engine)));
        }
        if disk.syncs() == 0 {
            return Err(
                "opening comes to a halt: no ticket is open, and the store is not".to_owned(),
            );
        }
        let end = match errors && rng.percent(2) {
            true => rng.pick(&[SyncEnd::Clean, SyncEnd::Reverted]),
            false => SyncEnd::Well,
        };
        let nth = rng.below(disk.syncs() as u64) as usize;
        let (id, outcome) = disk.end_sync(nth, end, rng);
        disk.note(|| format!("    the sync of ticket {} ends: {end:?}", id.0));
        reverted |= end == SyncEnd::Reverted;
        engine.io_done(Time(now), id, outcome);
    }
}

/// What an engine that has failed says.
fn refusal(engine: &mut Engine, now: u64) -> String {
    match engine.handle(Time(now), Command::Queues) {
        Answer::Done(Err(error)) => error.to_string(),
        other => format!("{other:?}"),
    }
}

/// Whether a failure of this operation must poison the engine. Deletions only tidy up.
#[must_use]
pub fn poisons(op: &DiskOp) -> bool {
    !matches!(op, DiskOp::Delete { .. })
}

/// Whether it failed.
#[must_use]
pub fn has_failed(outcome: &DiskOutcome) -> bool {
    matches!(outcome, DiskOutcome::Failed(_))
}

/// A ticket without its bytes.
#[must_use]
pub fn brief(ticket: &Ticket) -> String {
    let number = ticket.id.0;
    match &ticket.op {
        DiskOp::WriteAt {
            file,
            offset,
            bytes,
        } => format!(
            "ticket {number}: {} bytes to file {} at {offset}",
            bytes.len(),
            file.0
        ),
        op => format!("ticket {number}: {op:?}"),
    }
}
