//! The whole state as records, for the first frame of a new log.

use std::sync::Arc;

use crate::model::collections::sorted;
use crate::model::{Durability, MessageId, Return, Time};
use crate::queue::Position;
use crate::store::{Record, Resident, State};

use super::Engine;

impl Engine {
    /// Everything that a log must say so that replaying it gives this state.
    pub(super) fn snapshot(&self) -> Vec<Record> {
        let mut records = vec![Record::Snapshot {
            last_message: self.last_message(),
            generation_floor: self.topology.unused_generation(),
        }];
        for (name, queue) in self.topology.queues() {
            let (Ok(declared), Some(Some(line))) = (
                self.topology.queue(queue),
                self.lines.get(queue.index as usize),
            ) else {
                continue;
            };
            records.push(Record::Queue {
                queue,
                name: name.to_owned(),
                spec: declared.spec.clone(),
            });
            let mut counts = line.counts.clone();
            for held in &line.held {
                counts.take_back_verdict(held.cause);
            }
            records.push(Record::Counts {
                queue,
                stats: Box::new(counts.stats(name, None)),
                removed: line.counts.removed,
            });
            let ids = line.ids.iter().flat_map(|ids| ids.iter());
            records.extend(ids.map(|original| Record::Remembered {
                queue,
                name: Arc::clone(&original.name),
                message: original.message,
                at: original.at,
            }));
        }
        for (exchange, declared) in self.topology.exchanges() {
            records.push(Record::Exchange {
                exchange,
                name: declared.name.clone(),
                kind: declared.kind,
                alternate: declared.alternate.clone(),
            });
        }
        // After all exchanges: a binding may lead to one of them.
        for (exchange, declared) in self.topology.exchanges() {
            self.topology.each_binding(declared, &mut |_, binding| {
                records.push(Record::Bound {
                    exchange,
                    binding: binding.clone(),
                });
            });
        }
        let logged = self
            .messages
            .iter()
            .filter(|(_, resident)| resident.level > Durability::Memory);
        let ids = logged.map(|(slot, resident)| (resident.id, slot)).collect();
        let dues = self.dues();
        for (_, slot) in sorted::<(MessageId, u32)>(ids) {
            if let Some(resident) = self.messages.get(slot) {
                self.keep(slot, resident, &dues, &mut records);
            }
        }
        records
    }

    /// One message, with the reason that it came back and why it is held.
    fn keep(
        &self,
        slot: u32,
        resident: &Resident,
        dues: &[(MessageId, Time)],
        records: &mut Vec<Record>,
    ) {
        let due = self.due_of(slot, resident, dues);
        records.push(Record::Kept(self.accepted(resident, due)));
        if let Some(reason) = self.reasons.get(&resident.id) {
            records.push(Record::Returned {
                message: resident.id,
                attempt: resident.attempt,
                due,
                cause: Return::LeaseEnded,
                reason: Some(reason.clone()),
            });
        }
        let held = self.lines[resident.queue as usize]
            .as_ref()
            .and_then(|line| {
                line.held
                    .iter()
                    .find(|held| held.position.id == resident.id)
            });
        if let Some(held) = held {
            records.push(Record::Held {
                message: resident.id,
                cause: held.cause,
                detail: held.detail.clone(),
            });
        }
    }

    /// When each delayed message falls due, in the order of the messages.
    fn dues(&self) -> Vec<(MessageId, Time)> {
        let mut dues = Vec::new();
        for line in self.lines.iter().flatten() {
            let delayed = &line.waiting.delayed;
            delayed.each(&mut |due| dues.push((MessageId(due.id), due.at)));
        }
        sorted(dues)
    }

    /// When a message that waits for its time falls due, also behind its key's head; the past for every other.
    fn due_of(&self, slot: u32, resident: &Resident, dues: &[(MessageId, Time)]) -> Time {
        let Some(Some(line)) = self.lines.get(resident.queue as usize) else {
            return Time(0);
        };
        let due = match resident.state {
            State::Delayed => {
                let after = dues.partition_point(|(message, _)| *message <= resident.id);
                let own = after.checked_sub(1).and_then(|at| dues.get(at));
                own.map(|(_, due)| *due)
            }
            State::Parked => {
                let properties = resident.properties.as_ref();
                let key = properties.and_then(|properties| properties.key.as_deref());
                let id = resident.id;
                line.waiting
                    .parked_due(key.unwrap_or_default(), Position { id, slot })
            }
            _ => None,
        };
        due.unwrap_or(Time(0))
    }
}
