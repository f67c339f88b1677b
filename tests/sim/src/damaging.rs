//! Damage to what was synced: opening gives the same state, or names what is damaged; it never keeps silent about a loss, and nothing is there that was not before.

use ferrymq_core::engine::{Config, Engine, Loss};
use ferrymq_core::model::{Message, MessageId, Time};

use crate::check::Seen;
use crate::disk::SimDisk;
use crate::faults::Damage;
use crate::model::{Model, Verdict};
use crate::opening::{Attempt, open};
use crate::rng::Rng;
use crate::world::World;

/// How many damages of one state are looked at.
const DAMAGES: u64 = 6;
/// After so many waits what still happens (leases that end, retries) is left alone.
const SETTLINGS_MAX: u64 = 12;

/// Some damage.
pub(crate) fn draw(rng: &mut Rng) -> Damage {
    rng.pick(&[
        Damage::Flip,
        Damage::Flip,
        Damage::Zeroed,
        Damage::Zeroed,
        Damage::Block,
        Damage::Torn,
        Damage::Misdirected,
        Damage::Stale,
        Damage::Stale,
        Damage::Missing,
        Damage::Ghost,
    ])
}

impl World<'_> {
    /// Everything is synced and said to be; then copies of the disk are damaged and opened.
    pub fn damage(&mut self) -> Verdict {
        // Until nothing is written any more: then the log says of all of it that it was durable.
        let mut tickets = u64::MAX;
        for _ in 0..SETTLINGS_MAX {
            if self.tickets == tickets {
                break;
            }
            tickets = self.tickets;
            self.settle()?;
        }
        if self.tickets != tickets || self.is_crashing() || self.engine.has_failed() {
            return Ok(());
        }
        let live = Seen::look(&mut self.engine, self.model.now)?.ids();
        let before = match self.opened(&mut self.disk.clone())? {
            Some(mut engine) => Seen::look(&mut engine, self.model.now)?,
            None => return Err("it cannot be opened, though nothing is damaged".to_owned()),
        };
        for _ in 0..DAMAGES {
            let mut disk = self.disk.clone();
            let mut rng = Rng::new(self.rng.draw());
            let damage = draw(&mut rng);
            if disk.damage(damage, 0, &mut rng) {
                self.disk.counts.of_damage(damage);
                self.look_at_damage(damage, &mut disk, &live, &before)?;
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

    fn look_at_damage(
        &mut self,
        damage: Damage,
        disk: &mut SimDisk,
        live: &[MessageId],
        before: &Seen,
    ) -> Verdict {
        // Whoever refuses to open has named it.
        let Some(mut engine) = self.opened(disk)? else {
            self.disk.counts.named += 1;
            return Ok(());
        };
        let after = Seen::look(&mut engine, self.model.now)?;
        let named = names_damage(&engine);
        self.disk.counts.named += u64::from(named);
        self.model.checks += 1;
        let verdict = if named {
            let known = self.model.knows_all(&after);
            known.and_then(|()| self.model.is_named(engine.losses(), live, before, &after))
        } else if damage == Damage::Missing && after.queues.is_empty() {
            // What an opening left that a crash ended says nothing of the store that was made then: without that one it is a new store.
            Ok(())
        } else if after.hash() != before.hash() {
            Err("it is silent about a loss".to_owned())
        } else {
            self.judge_lasting(&mut engine, self.model.now, false)
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

/// Whether an engine that has opened a store says that something of it was damaged.
fn names_damage(engine: &Engine) -> bool {
    !engine.damage().is_empty()
}

impl Model {
    /// Errors: a message that is gone, and no loss names its queue and its id, or the id that it had before it died.
    fn is_named(
        &self,
        losses: &[Loss],
        live: &[MessageId],
        before: &Seen,
        after: &Seen,
    ) -> Verdict {
        let there = after.ids();
        for queue in &before.queues {
            let name = &queue.stats.name;
            // A queue that was declared there is lost with its name.
            let own = after.queues.iter().find(|queue| &queue.stats.name == name);
            let is_lost = own.is_none_or(|own| own.id != queue.id);
            // Messages may be there and wait unseen: for their time, behind their key.
            let mut hidden = own.map_or(0, |own| own.stats.size - own.messages.len() as u64);
            let at = self.slot_named(name).unwrap_or_default();
            // One that died may have done so again, or otherwise.
            let again = |message: &Message| {
                let mut others = after.queues.iter().flat_map(|own| &own.messages);
                others.any(|other| other.body == message.body)
            };
            let gone = |message: &&Message| !there.contains(&message.id) && !again(message);
            for message in queue.messages.iter().filter(gone) {
                let item = &self.items[self.find(at, message)? as usize];
                // It died as the store was opened, for which it has to be there; or what became of it was lost, and it has died for that.
                let died = self.slots[at as usize].is_grave && !live.contains(&message.id);
                let handed_over = item.attempts.1 > 0 || item.moved || message.redelivered;
                if died || handed_over || item.may_die || self.may_have_expired(item) {
                    continue;
                }
                let names = |loss: &Loss| {
                    let (first, last) = loss.messages.unwrap_or_default();
                    let mut ids = [Some(message.id), item.id, item.first_id]
                        .into_iter()
                        .flatten();
                    (is_lost || loss.queues.contains(name))
                        && ids.any(|id| first <= id && id <= last)
                };
                if losses.iter().any(names) {
                    continue;
                }
                if hidden > 0 {
                    hidden -= 1;
                } else {
                    return Err(format!(
                        "message {} of {name} is gone, and none of the losses names it: {losses:?}",
                        message.id.0
                    ));
                }
            }
        }
        Ok(())
    }

    /// Errors: a message that nobody produced. One whose ack was in what is damaged may be back.
    pub(crate) fn knows_all(&self, seen: &Seen) -> Verdict {
        for queue in &seen.queues {
            if queue.stats.name.starts_with("recovered.") {
                // Its declaration was in what is damaged.
                for message in &queue.messages {
                    self.knows(message)?;
                }
                continue;
            }
            let at = self.slot_named(&queue.stats.name);
            let at = at.ok_or_else(|| format!("{} was never declared", queue.stats.name))?;
            for message in &queue.messages {
                self.find(at, message)?;
            }
        }
        Ok(())
    }
}
