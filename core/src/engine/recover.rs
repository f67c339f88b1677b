//! The way back: frames of an earlier life through the same functions that live traffic uses.

use crate::model::collections::BTreeMap;
use crate::model::{MessageId, Return, Time};
use crate::queue::Position;
use crate::settle::InFlight;
use crate::store::{Accepted, Moved, Record, Resident, State, Table};
use crate::topology::{Binding, Topology};

use super::Engine;
use super::line::Counts;

/// Where the messages of the log are now.
type Slots = BTreeMap<MessageId, u32>;

impl Engine {
    /// Replays the frames, then begins a new log with the state they give.
    ///
    /// While it replays there is no log, so that nothing is recorded twice and nothing is hidden: what was read is there.
    pub(super) fn recover(&mut self, frames: Vec<Vec<Record>>) {
        let log = self.log.take();
        let mut slots = Slots::new();
        for record in frames.into_iter().flatten() {
            self.replay(record, &mut slots);
        }
        self.log = log;
        let snapshot = self.snapshot();
        if let Some(log) = &mut self.log {
            log.begin(&snapshot);
        }
    }

    fn replay(&mut self, record: Record, slots: &mut Slots) {
        match record {
            Record::Snapshot {
                last_message,
                generation_floor,
            } => {
                self.forget_everything();
                slots.clear();
                self.last_message = last_message;
                self.topology.raise_floor(generation_floor);
            }
            Record::Queue { queue, name, spec } => match self.topology.queue(queue) {
                Ok(_) => self.topology.alter_queue(queue, spec),
                Err(_) => self.add_queue(queue, &name, spec),
            },
            Record::Counts {
                queue,
                stats,
                removed,
            } => {
                if let Ok(line) = self.line(queue) {
                    line.counts = Counts::restored(&stats, removed);
                }
            }
            Record::QueueDeleted { queue } => {
                if self.line(queue).is_ok() {
                    self.remove_queue(queue);
                }
            }
            Record::Accepted(accepted) => self.replay_accepted(accepted, slots),
            Record::Kept(accepted) => {
                let queue = accepted.queue;
                self.replay_accepted(accepted, slots);
                if let Ok(line) = self.line(queue) {
                    line.counts.produced -= 1;
                }
            }
            Record::Moved(moved) => self.replay_moved(moved, slots),
            Record::Exchange {
                exchange,
                name,
                kind,
            } => self.topology.add_exchange(exchange, &name, kind),
            Record::ExchangeDeleted { exchange } => self.topology.remove_exchange(exchange),
            Record::Bound {
                exchange,
                queue,
                pattern,
            } => self.topology.bind(exchange, Binding { queue, pattern }),
            Record::Unbound {
                exchange,
                queue,
                pattern,
            } => {
                self.topology.unbind(exchange, &Binding { queue, pattern });
            }
            of_message => self.replay_message(of_message, slots),
        }
    }

    /// What happened to one message after it was accepted.
    fn replay_message(&mut self, record: Record, slots: &mut Slots) {
        let message = match &record {
            Record::Leased { message, .. }
            | Record::Returned { message, .. }
            | Record::Held { message, .. }
            | Record::Removed { message, .. } => *message,
            _ => return,
        };
        let Some(&slot) = slots.get(&message) else {
            return;
        };
        match record {
            // Whoever held it is gone with his process: it stays in its place, counted.
            Record::Leased { attempt, .. } => {
                if let Some(resident) = self.messages.get_mut(slot) {
                    let again = std::mem::replace(&mut resident.redelivered, true);
                    resident.attempt = attempt;
                    let index = resident.queue;
                    self.line_at(index).counts.redelivered += u64::from(again);
                }
            }
            Record::Returned {
                attempt,
                due,
                cause,
                reason,
                ..
            } => {
                self.remember(message, reason);
                self.replay_return(slot, attempt, due, cause);
            }
            Record::Held { cause, detail, .. } => {
                self.detach(slot);
                self.hold(slot, None, cause, detail);
            }
            Record::Removed { cause, .. } => {
                self.detach(slot);
                self.take_out(slot, cause, false);
                slots.remove(&message);
            }
            _ => {}
        }
    }

    fn replay_return(&mut self, slot: u32, attempt: u32, due: Time, cause: Return) {
        let Some(resident) = self.messages.get_mut(slot) else {
            return;
        };
        resident.attempt = attempt;
        let (index, id, state) = (resident.queue, resident.id, resident.state);
        let counts = &mut self.line_at(index).counts;
        match cause {
            Return::Nacked => counts.nacked += 1,
            Return::Released => counts.released += 1,
            Return::LeaseEnded => {}
        }
        if state == State::Ready && due > self.now {
            self.detach(slot);
            self.delay(index, Position { id, slot }, due);
        }
    }

    fn replay_accepted(&mut self, accepted: Accepted, slots: &mut Slots) {
        self.last_message = self.last_message.max(accepted.id);
        if self.line(accepted.queue).is_err() {
            return;
        }
        let id = accepted.id;
        let due = accepted.due;
        let resident = Resident {
            id,
            body: accepted.body,
            properties: accepted.properties,
            produced_at: accepted.produced_at,
            expires_at: accepted.expires_at,
            queue: accepted.queue.index,
            attempt: accepted.attempt,
            state: State::Ready,
            priority: accepted.priority,
            level: accepted.level,
            redelivered: accepted.redelivered,
        };
        let position = self.enter(resident, due);
        slots.insert(id, position.slot);
    }

    fn replay_moved(&mut self, moved: Moved, slots: &mut Slots) {
        if let Some(from) = moved.from
            && let Some(slot) = slots.remove(&from)
        {
            self.detach(slot);
            let dead = moved.cause != crate::model::Departure::Taken;
            self.take_out(slot, moved.cause, dead);
        }
        self.replay_accepted(moved.to, slots);
    }

    /// A snapshot says everything: what was read before it is void.
    fn forget_everything(&mut self) {
        self.topology = Topology::default();
        self.lines.clear();
        self.messages = Table::default();
        self.memory = 0;
        self.leases = InFlight::new(self.config.epoch);
        self.reasons.clear();
        self.holding.clear();
        self.hiding.clear();
        self.agenda.clear();
    }
}
