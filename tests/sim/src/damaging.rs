//! Damage to what was synced: opening gives the same state, or names what is damaged; it never keeps silent about a loss, and nothing is there that was not before.

use ferrymq_core::engine::{Config, Engine};
use ferrymq_core::model::Time;

use crate::check::Seen;
use crate::disk::SimDisk;
use crate::faults::Damage;
use crate::model::{Model, Verdict};
use crate::opening::{Attempt, open};
use crate::rng::Rng;
use crate::world::World;

/// How many damages of one state are looked at.
const DAMAGES: u64 = 6;

impl World<'_> {
    /// Everything is synced and said to be; then copies of the disk are damaged and opened.
    pub fn damage(&mut self) -> Verdict {
        self.settle()?;
        self.settle()?;
        if self.is_crashing() || self.engine.has_failed() {
            return Ok(());
        }
        let before = match self.opened(&mut self.disk.clone())? {
            Some(mut engine) => Seen::look(&mut engine, self.model.now)?,
            None => return Err("it cannot be opened, though nothing is damaged".to_owned()),
        };
        for _ in 0..DAMAGES {
            let mut disk = self.disk.clone();
            let mut rng = Rng::new(self.rng.draw());
            let damage = rng.pick(&[
                Damage::Flip,
                Damage::Flip,
                Damage::Zeroed,
                Damage::Misdirected,
                Damage::Zeroed,
                Damage::Ghost,
            ]);
            if disk.damage(damage, &mut rng) {
                disk.counts.damaged += 1;
                self.disk.counts.damaged += 1;
                self.look_at_damage(damage, &mut disk, &before)?;
            }
        }
        Ok(())
    }

    fn opened(&mut self, disk: &mut SimDisk) -> Result<Option<Engine>, String> {
        disk.kill();
        disk.armed.clear();
        disk.unreadable = None;
        disk.notes = self.trace.is_some().then(Vec::new);
        let config = Config {
            epoch: self.config.epoch + 1,
            ..self.config
        };
        let engine = Engine::open(config, Time(self.model.now));
        let attempt = open(engine, disk, self.model.now, None, false, &mut self.rng)?;
        self.disk.counts.kills += 1;
        match attempt {
            Attempt::Open(engine) => Ok(Some(*engine)),
            Attempt::Failed { what, .. } => {
                self.say(|| format!("refused: {what}"));
                Ok(None)
            }
            Attempt::Crashed => Err("nobody asked for a crash".to_owned()),
        }
    }

    fn look_at_damage(&mut self, damage: Damage, disk: &mut SimDisk, before: &Seen) -> Verdict {
        // Whoever refuses to open has named it.
        let Some(mut engine) = self.opened(disk)? else {
            return Ok(());
        };
        let after = Seen::look(&mut engine, self.model.now)?;
        let named = names_damage(&engine);
        self.model.checks += 1;
        let verdict = if named {
            self.model.knows_all(&after)
        } else if after.hash() != before.hash() {
            Err("it is silent about a loss".to_owned())
        } else {
            Ok(())
        };
        verdict.map_err(|what| {
            let notes = disk.notes.take().unwrap_or_default().join("\n");
            format!(
                "{what}: {damage:?}, named: {named}\n{notes}\nbefore {}after {}",
                before.numbers(),
                after.numbers()
            )
        })
    }
}

impl Model {
    /// Errors: a message that nobody produced. One whose ack was in what is damaged may be back.
    fn knows_all(&self, seen: &Seen) -> Verdict {
        for queue in &seen.queues {
            let at = self.slot_named(&queue.stats.name);
            let at = at.ok_or_else(|| format!("{} was never declared", queue.stats.name))?;
            for message in &queue.messages {
                self.find(at, message)?;
            }
        }
        Ok(())
    }
}

/// Whether an engine that has opened a store says that something of it was damaged.
fn names_damage(engine: &Engine) -> bool {
    !engine.damage().is_empty()
}
