//! The way back: frames of an earlier life through the same functions that live traffic uses.

use std::sync::Arc;

use crate::model::collections::BTreeMap;
use crate::model::{Departure, MessageId, QueueId, QueueSpec, Return, Time};
use crate::produce::Original;
use crate::queue::Position;
use crate::settle::InFlight;
use crate::store::{Accepted, Moved, Record, Resident, State, Table};
use crate::topology::Topology;

use super::Engine;
use super::entering::cost;
use super::line::Counts;

/// A message of the log as far as it has been replayed.
struct Kept {
    slot: u32,
    /// Not delivered before.
    due: Time,
    /// Somebody had it when the log ended.
    leased: bool,
    /// Dead, and waiting for room.
    held: Option<(Departure, Option<String>)>,
}

/// The messages of the log. None stands on a list before all is replayed: what is on a list must not leave and come back, because lists are cleaned lazily.
type Slots = BTreeMap<MessageId, Kept>;

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
        self.end_exclusive(&mut slots);
        let mut spent = Vec::new();
        for (id, kept) in slots {
            if kept.held.is_none() && kept.leased && self.is_spent(kept.slot) {
                spent.push(kept.slot);
            }
            self.place(id, kept);
        }
        // A message that kills whoever takes it must not do so for ever. Those that die now begin anew behind all that is there.
        for slot in spent {
            self.detach(slot);
            self.die(slot, Departure::MaxAttempts, None);
        }
        // Some of what took the room may have gone with the crash. Those that wait on stand in their targets' lists again.
        for source in self.holding.clone() {
            self.retry_held(source);
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
            Record::Queue { queue, name, spec } => self.replay_queue(queue, &name, spec),
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
                    self.forget_messages_of(queue.index, slots);
                    self.remove_queue(queue);
                }
            }
            Record::Accepted(accepted) => {
                self.remember_accepted(&accepted);
                self.replay_accepted(accepted, slots);
            }
            Record::Remembered {
                queue,
                name,
                message,
                at,
            } => self.remember_again(queue, name, message, at),
            Record::Forgotten { queue, at, window } if self.line(queue).is_ok() => {
                self.forget_over(queue.index, at, window);
            }
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
                alternate,
            } => self.topology.add_exchange(exchange, &name, kind, alternate),
            Record::ExchangeDeleted { exchange } => self.topology.remove_exchange(exchange),
            Record::Bound { exchange, binding } => self.topology.bind(exchange, binding),
            Record::Unbound { exchange, binding } => {
                // What the log unbinds it has bound before.
                let _ = self.topology.unbind(exchange, &binding);
            }
            of_message => self.replay_message(of_message, slots),
        }
    }

    fn replay_queue(&mut self, queue: QueueId, name: &str, spec: QueueSpec) {
        if self.topology.queue(queue).is_err() {
            return self.add_queue(queue, name, spec);
        }
        self.apply_options(queue, spec);
        self.watch_use(queue.index);
    }

    fn remember_accepted(&mut self, accepted: &Accepted) {
        if let Some(properties) = &accepted.properties
            && let Some(name) = &properties.dedup_id
        {
            let name = Arc::clone(name);
            self.remember_again(accepted.queue, name, accepted.id, accepted.produced_at);
        }
    }

    /// What is in the log is safe: a duplicate need not wait for it.
    fn remember_again(&mut self, queue: QueueId, name: Arc<str>, message: MessageId, at: Time) {
        if self.line(queue).is_ok() {
            let original = Original {
                name,
                message,
                lsn: 0,
                at,
            };
            self.remember_id(queue.index, original);
        }
    }

    /// Exclusive queues went with the session that they belonged to.
    fn end_exclusive(&mut self, slots: &mut Slots) {
        let all: Vec<QueueId> = self.topology.queues().map(|(_, queue)| queue).collect();
        for queue in all {
            if self.topology.queue(queue).is_ok_and(|q| q.spec.exclusive) {
                self.forget_messages_of(queue.index, slots);
                self.remove_queue(queue);
            }
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
        let Some(kept) = slots.get_mut(&message) else {
            return;
        };
        match record {
            // Whoever held it is gone with his process: it stays in its place, counted.
            Record::Leased { attempt, .. } => {
                kept.leased = true;
                kept.due = Time(0);
                if let Some(resident) = self.messages.get_mut(kept.slot) {
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
                kept.due = due;
                kept.leased = false;
                let slot = kept.slot;
                self.remember(message, reason);
                self.replay_return(slot, attempt, cause);
            }
            Record::Held { cause, detail, .. } => kept.held = Some((cause, detail)),
            Record::Removed { cause, .. } => {
                let slot = kept.slot;
                slots.remove(&message);
                self.take_out(slot, cause, false);
            }
            _ => {}
        }
    }

    fn replay_return(&mut self, slot: u32, attempt: u32, cause: Return) {
        let Some(resident) = self.messages.get_mut(slot) else {
            return;
        };
        resident.attempt = attempt;
        let index = resident.queue;
        let counts = &mut self.line_at(index).counts;
        match cause {
            Return::Nacked => counts.nacked += 1,
            Return::Released => counts.released += 1,
            Return::LeaseEnded => {}
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
        self.memory += cost(&resident.body, resident.properties.as_ref());
        let line = self.line_at(accepted.queue.index);
        line.counts.produced += 1;
        line.counts.ready += 1;
        line.counts.bytes += resident.body.len() as u64;
        let slot = self.messages.insert(resident);
        let kept = Kept {
            slot,
            due,
            leased: false,
            held: None,
        };
        slots.insert(id, kept);
    }

    /// Everything is replayed: the message takes its place.
    fn place(&mut self, id: MessageId, kept: Kept) {
        let Some(resident) = self.messages.get(kept.slot) else {
            return;
        };
        let (index, expires_at) = (resident.queue, resident.expires_at);
        let slot = kept.slot;
        let position = Position { id, slot };
        if expires_at < Time::NEVER {
            let line = self.line_at(index);
            line.waiting.expiring.push(position.due(expires_at));
            self.watch(index, expires_at);
        }
        match kept.held {
            Some((cause, detail)) => self.hold(slot, None, cause, detail),
            None => self.reveal(index, position, kept.due),
        }
    }

    fn forget_messages_of(&mut self, index: u32, slots: &mut Slots) {
        let of_queue = |kept: &Kept| {
            let resident = self.messages.get(kept.slot);
            resident.is_some_and(|resident| resident.queue == index)
        };
        let gone: Vec<MessageId> = slots
            .iter()
            .filter(|(_, kept)| of_queue(kept))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            if let Some(kept) = slots.remove(&id) {
                self.take_out(kept.slot, Departure::Taken, false);
            }
        }
    }

    fn replay_moved(&mut self, moved: Moved, slots: &mut Slots) {
        if let Some(from) = moved.from
            && let Some(kept) = slots.remove(&from)
        {
            let dead = moved.cause != Departure::Taken;
            self.take_out(kept.slot, moved.cause, dead);
        }
        self.replay_accepted(moved.to, slots);
    }

    /// A snapshot says everything: what was read before it is void.
    fn forget_everything(&mut self) {
        self.topology = Topology::seeded(self.config.seed);
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
