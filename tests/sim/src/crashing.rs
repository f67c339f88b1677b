//! The end of one life and the beginning of the next.

use ferrymq_core::engine::{Engine, Output};
use ferrymq_core::model::Time;

use crate::check::Seen;
use crate::disk::SimDisk;
use crate::model::{Ask, Verdict};
use crate::opening::{Mishaps, Opened, crash_and_open};
use crate::rng::Rng;
use crate::world::World;

/// So many syncs later other frames say that what a sync covered was durable.
const AGE: u64 = 6;

impl World<'_> {
    /// The crash. Several outcomes of it are looked at; the last one's world goes on.
    pub fn crash(&mut self) -> Verdict {
        self.say(|| "crash".to_owned());
        let waiting: Vec<Ask> = self.waiting.drain(..).map(|(_, ask)| ask).collect();
        self.model.crashed(&waiting);
        self.held.clear();
        self.sessions.clear();
        self.consumers.clear();
        self.crash_in = None;
        for _ in 1..self.plan.outcomes {
            let mut disk = self.disk.clone();
            let mut rng = Rng::new(self.rng.draw());
            let (now, peak, epoch) = (self.model.now, self.model.peak, self.config.epoch);
            self.outcome(&mut disk, &mut rng, false)?;
            self.disk.counts = disk.counts;
            (self.model.now, self.model.peak) = (now, peak);
            self.config.epoch = epoch;
        }
        let mut disk = std::mem::take(&mut self.disk);
        let mut rng = Rng::new(self.rng.draw());
        let verdict = self.outcome(&mut disk, &mut rng, true);
        self.disk = disk;
        self.hash.add(self.disk.hash());
        self.crashing = false;
        self.reverted = false;
        self.idle = 0;
        verdict?;
        self.open_session()?;
        self.find_exchange();
        for at in 0..self.plan.queues.len() as u8 {
            if self.model.slots[at as usize].bound.is_none() {
                self.bind(at)?;
            }
        }
        self.send_all_again()
    }

    /// One outcome of the crash. What it leaves is judged; if it is the one that goes on, it becomes what is known.
    fn outcome(&mut self, disk: &mut SimDisk, rng: &mut Rng, goes_on: bool) -> Verdict {
        disk.notes = self.trace.is_some().then(Vec::new);
        let verdict = self.judge_outcome(disk, rng, goes_on);
        // What led to an outcome that goes on, or to one that is wrong.
        if goes_on || verdict.is_err() {
            let notes = disk.notes.take().unwrap_or_default();
            if let Some(lines) = &mut self.trace {
                lines.extend(notes);
            }
        }
        verdict
    }

    fn judge_outcome(&mut self, disk: &mut SimDisk, rng: &mut Rng, goes_on: bool) -> Verdict {
        let damaged = !goes_on && self.plan.damage && rng.percent(20) && damage_old(disk, rng);
        let mishaps = Mishaps {
            clock: self.plan.clock,
            errors: self.plan.errors,
            still: false,
        };
        let mut config = self.config;
        let opened = match crash_and_open(disk, &mut config, self.model.now, mishaps, rng) {
            // Whoever refuses to open has named it.
            Err(_) if damaged => {
                disk.counts.named += 1;
                return Ok(());
            }
            other => other?,
        };
        self.config = config;
        let Opened {
            mut engine,
            now,
            peak,
            power,
        } = opened;
        self.model.now = now;
        self.model.peak = self.model.peak.max(peak);
        let power = power || self.reverted;
        let seen = Seen::look(&mut engine, now)?;
        if let Some(damage) = engine.damage().first() {
            if damaged {
                disk.counts.named += 1;
                return self.model.knows_all(&seen);
            }
            return Err(format!(
                "it speaks of damage where there is none: {damage:?}"
            ));
        }
        if !goes_on {
            self.judge_lasting(&mut engine, now, power)?;
        }
        if self.trace.is_some() && goes_on {
            let line = format!(
                "{now} ms: open again, power lost: {power}: {}",
                shown(&seen)
            );
            self.say(|| line);
        }
        let findings = self.model.judge(&seen, power).map_err(|what| {
            format!(
                "{what} (after a crash, power lost: {power}, {})",
                shown(&seen)
            )
        })?;
        if goes_on {
            self.engine = engine;
            self.foresee_lasting(power);
            self.model.adopt(&seen, &findings);
            self.hash.add(seen.hash());
        } else if rng.percent(25) {
            self.again(engine, disk, now, &seen, rng)?;
        }
        Ok(())
    }

    /// Opening once more changes nothing.
    fn again(
        &mut self,
        mut engine: Engine,
        disk: &mut SimDisk,
        now: u64,
        before: &Seen,
        rng: &mut Rng,
    ) -> Verdict {
        while let Some(output) = engine.poll() {
            if let Output::Io(ticket) = output {
                let id = ticket.id;
                if let Some(outcome) = disk.execute(ticket, rng) {
                    engine.io_done(Time(now), id, outcome);
                }
            }
        }
        disk.armed.clear();
        let quiet = Mishaps {
            clock: false,
            errors: false,
            still: true,
        };
        let mut config = self.config;
        let mut again = crash_and_open(disk, &mut config, now, quiet, rng)?;
        let seen = Seen::look(&mut again.engine, now)?;
        if seen.hash() != before.hash() {
            return Err(format!(
                "opening once more gives another state: {}, then {}",
                before.numbers(),
                seen.numbers()
            ));
        }
        Ok(())
    }
}

/// Damages what was durable for some syncs, so that what came after it says that it was there.
fn damage_old(disk: &mut SimDisk, rng: &mut Rng) -> bool {
    let damage = crate::damaging::draw(rng);
    let damaged = disk.damage(damage, AGE, rng);
    if damaged {
        disk.counts.of_damage(damage);
    }
    damaged
}

fn shown(seen: &Seen) -> String {
    let queue = |queue: &crate::check::SeenQueue| {
        let messages = queue.messages.iter().map(|message| {
            let name = crate::item::name_of(&message.body);
            format!(
                "{}#{}",
                name.map_or("?".to_owned(), |n| n.to_string()),
                message.id.0
            )
        });
        let messages: Vec<String> = messages.collect();
        format!(
            "{} {}+{}: {}",
            queue.stats.name,
            queue.stats.ready,
            queue.stats.delayed,
            messages.join(" ")
        )
    };
    let queues: Vec<String> = seen.queues.iter().map(queue).collect();
    format!("[{}]", queues.join("; "))
}
