//! What follows from an answer.

use ferrymq_core::engine::Reply;
use ferrymq_core::model::{Durability, ErrorKind, MessageId, QueueId, Result as CoreResult};

use crate::item::{Accept, Removal};
use crate::model::{Ask, Asked, Exists, Model, Part, Verdict};

impl Model {
    /// An answer. `None` in the result's place: it is `Ok`.
    pub fn told(&mut self, ask: &Ask, result: &CoreResult<Reply>) -> Verdict {
        match result {
            Ok(reply) if self.poisoned && waits(&ask.what) => Err(format!(
                "{reply:?} was confirmed after an I/O error had been reported"
            )),
            Ok(reply) => self.granted(ask, reply),
            Err(error) => {
                let unknown = matches!(error.kind(), ErrorKind::Indeterminate | ErrorKind::Closed);
                match unknown {
                    true => self.may_have_taken(ask),
                    false => self.refused(ask),
                }
                Ok(())
            }
        }
    }

    fn refused(&mut self, ask: &Ask) {
        let mut refuse = |index: u32| self.items[index as usize].accept = Accept::Refused;
        match &ask.what {
            Asked::Produce(items) | Asked::Publish(items) => {
                items.iter().for_each(|item| refuse(*item));
            }
            Asked::Transaction(parts, group) => {
                self.groups[*group as usize].acks.clear();
                for part in parts {
                    match part {
                        Part::Produce(item) => refuse(*item),
                        Part::Publish(items) => items.iter().for_each(|item| refuse(*item)),
                        Part::Ack(_) => {}
                    }
                }
                for part in parts {
                    if let Part::Ack(item) = part {
                        self.unask_removal(*item);
                    }
                }
            }
            Asked::Ack(item, _) => self.unask_removal(*item),
            _ => {}
        }
    }

    fn granted(&mut self, ask: &Ask, reply: &Reply) -> Verdict {
        let broker = self.durability == Durability::Durable;
        match (&ask.what, reply) {
            (Asked::Produce(items), Reply::Produced(id)) => {
                self.accepted(ask, items[0], Some(*id))?;
                self.synced_by(ask, items);
            }
            (Asked::Produce(items), Reply::ProducedMany(ids)) => {
                for (item, id) in items.iter().zip(ids) {
                    self.accepted(ask, *item, Some(*id))?;
                }
                self.synced_by(ask, items);
            }
            (Asked::Publish(items), _) => self.published(ask, items)?,
            (Asked::Transaction(parts, _), Reply::Transaction(replies)) => {
                for (part, reply) in parts.iter().zip(replies) {
                    match (part, reply) {
                        (Part::Produce(item), Reply::Produced(id)) => {
                            self.accepted(ask, *item, Some(*id))?;
                            self.synced_by(ask, &[*item]);
                        }
                        (Part::Publish(items), _) => self.published(ask, items)?,
                        (Part::Ack(item), _) => {
                            self.removed(*item, broker);
                            self.synced(ask, broker);
                        }
                        _ => {}
                    }
                }
            }
            (Asked::Ack(item, durable), _) => {
                self.removed(*item, *durable);
                self.synced(ask, *durable);
            }
            (Asked::AckMany(tokens), Reply::Lost(lost)) => {
                for (token, item) in tokens {
                    match lost.contains(token) {
                        true => self.unask_removal(*item),
                        false => self.removed(*item, false),
                    }
                }
            }
            (Asked::Nack(item, Some(delay)), _) => {
                let told = self.step;
                let item = &mut self.items[*item as usize];
                if !item.may_die {
                    item.back = Some(crate::item::Back {
                        told,
                        place: item.place,
                        due: ask.at + delay,
                    });
                }
            }
            (Asked::Purge(_) | Asked::Redrive(_), _) => self.synced(ask, broker),
            (Asked::Bind(at), _) => {
                let slot = &mut self.slots[*at as usize];
                slot.bound_told = slot.bound == Some(true);
            }
            (Asked::Other { durable }, _) => self.synced(ask, *durable && broker),
            (Asked::Delete(at, before), _) => {
                self.slots[*at as usize].exists = match broker {
                    true => Exists::No,
                    false => Exists::Deleted,
                };
                self.emptied(*at, *before, broker);
                self.synced(ask, broker);
            }
            (Asked::Declare(at), Reply::Queue(id)) => self.declared(*at, *id)?,
            _ => {}
        }
        Ok(())
    }

    /// A durable confirmation: what was known before it was asked for is synced too.
    fn synced(&mut self, ask: &Ask, durable: bool) {
        if durable {
            self.through = self.through.max(ask.step);
        }
    }

    /// The same for a produce: the most that any of its messages asks for, unless it may have been a duplicate.
    fn synced_by(&mut self, ask: &Ask, items: &[u32]) {
        let of = |index: &u32| &self.items[*index as usize];
        let durable = items
            .iter()
            .any(|item| of(item).level == Durability::Durable && !of(item).unsure);
        let once = items.iter().any(|item| of(item).dedup.is_some());
        self.synced(ask, durable && !once);
    }

    fn published(&mut self, ask: &Ask, items: &[u32]) -> Verdict {
        for item in items {
            self.accepted(ask, *item, None)?;
        }
        self.synced_by(ask, items);
        Ok(())
    }

    fn declared(&mut self, at: u8, id: QueueId) -> Verdict {
        self.checks += 1;
        let taken = self.slots.iter().enumerate();
        for (other, slot) in taken {
            if other != at as usize && slot.id == Some(id) && slot.exists == Exists::Solid {
                return Err(format!(
                    "{} has the handle of {}",
                    self.slots[at as usize].name, slot.name
                ));
            }
        }
        let durable = self.durability == Durability::Durable;
        let slot = &mut self.slots[at as usize];
        slot.id = Some(id);
        if slot.exists != Exists::Solid {
            slot.exists = if durable {
                Exists::Solid
            } else {
                Exists::Unsure
            };
        }
        Ok(())
    }

    /// A message is in. `None`: its id is not told.
    fn accepted(&mut self, ask: &Ask, index: u32, id: Option<MessageId>) -> Verdict {
        self.checks += 1;
        if self.items[index as usize].unsure {
            return Ok(());
        }
        if self.items[index as usize].dedup.is_some() && self.is_duplicate(ask, index, id)? {
            return Ok(());
        }
        let step = self.step;
        let now = self.peak;
        let item = &mut self.items[index as usize];
        if let Some(id) = id {
            if id <= ask.last_id {
                return Err(format!(
                    "message {} got id {}, though {} was given before",
                    item.name, id.0, ask.last_id.0
                ));
            }
            if !item.ever_moved && item.id.is_some_and(|known| known != id) {
                return Err(format!("message {} was seen under another id", item.name));
            }
            item.id = item.id.or(Some(id));
            item.first_id = Some(id);
        }
        item.accept = Accept::Told;
        item.told = item.told.min(step);
        if item.told_at == u64::MAX {
            item.told_at = now;
        }
        item.due_max = item.due_max.min(now + item.delay);
        item.written |= item.level >= Durability::Written;
        item.remembered = !item.forgotten;
        if item.level == Durability::Durable {
            item.solid = true;
            let id = item.id.unwrap_or_default();
            self.solid_id = self.solid_id.max(id);
        }
        Ok(())
    }

    /// Whether a message was dropped because its dedup id was there, which it must be while that is surely remembered.
    fn is_duplicate(
        &mut self,
        ask: &Ask,
        index: u32,
        id: Option<MessageId>,
    ) -> Result<bool, String> {
        let (slot, dedup) = (
            self.items[index as usize].slot,
            self.items[index as usize].dedup,
        );
        let window = self.slots[slot as usize].dedup;
        let (least, most) = window.unwrap_or_default();
        let same = |other: &&u32| {
            let original = &self.items[**other as usize];
            let same = original.slot == slot && original.dedup == dedup;
            **other != index && same && original.accept != Accept::Refused
        };
        // One that was handed in later may have come before one that waited for room.
        let later = |other: &u32| {
            let other = &self.items[*other as usize];
            let same = other.slot == slot && other.dedup == dedup;
            same && other.accept == Accept::Asked && !other.gone
        };
        let mut unsure = id.is_none() || self.dedups.iter().any(|own| *own > index && later(own));
        let mut must = None;
        for &other in self.dedups.iter().filter(same) {
            let original = &self.items[other as usize];
            // What a crash has taken may have left its id to another.
            let taken = !original.remembered && !original.solid;
            if taken && original.first_id == id {
                unsure = true;
            } else if id.is_some() && original.first_id == id {
                if original.told_at.saturating_add(most) <= ask.at && original.told_at < u64::MAX {
                    return Err(format!(
                        "message {} was dropped as a duplicate after the window",
                        self.items[index as usize].name
                    ));
                }
                self.items[index as usize].accept = Accept::Refused;
                return Ok(true);
            }
            if other > index {
                // One that was handed in later may have come before this one, which waited for room.
                unsure |= original.first_id.is_none();
                continue;
            }
            unsure |= original.accept == Accept::Asked || original.first_id.is_none();
            if id.is_some() && original.remembered && original.asked_at + least > self.peak {
                must = Some(original.name);
            }
        }
        if let Some(original) = must {
            return Err(format!(
                "message {} was accepted though message {original} with its dedup id is remembered",
                self.items[index as usize].name
            ));
        }
        if unsure {
            // Nobody can say whether it is in, or another in its place.
            self.items[index as usize].may_go = true;
        }
        Ok(unsure)
    }

    /// A queue is gone: so are the messages that were in it, but for those that may have died before.
    fn emptied(&mut self, at: u8, before: u32, durable: bool) {
        for nth in 0..self.live.len() {
            let index = self.live[nth];
            let item = &self.items[index as usize];
            let elsewhere = item.may_die || self.may_have_expired(item);
            if item.slot == at && index < before && !elsewhere {
                self.removed(index, durable);
            }
        }
    }

    pub(crate) fn removed(&mut self, index: u32, durable: bool) {
        let removal = &mut self.items[index as usize].removal;
        *removal = Some(Removal {
            told: removal.and_then(|before| before.told).or(Some(self.step)),
            durable: durable || removal.is_some_and(|before| before.durable),
            asked: removal.map_or(0, |before| before.asked.saturating_sub(1)),
        });
    }
}

/// Whether an answer says that something is as safe as asked.
fn waits(what: &Asked) -> bool {
    !matches!(what, Asked::Other { durable: false } | Asked::Declare(_))
}
