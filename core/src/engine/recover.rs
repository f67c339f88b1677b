//! The way back: frames of an earlier life through the same functions that live traffic uses.

use std::sync::Arc;

use crate::deliver::Consumers;
use crate::model::collections::BTreeMap;
use crate::model::deliberate::{self, Deliberate};
use crate::model::limits::{PRIORITIES_MAX, QUEUES_MAX};
use crate::model::{Departure, ExchangeId, MessageId, QueueId, QueueSpec, Return, Time};
use crate::produce::Original;
use crate::queue::Position;
use crate::reclaim::Note;
use crate::settle::InFlight;
use crate::store::{Accepted, Found, FoundFrame, Moved, Record, Resident, State};
use crate::topology::DeclaredQueue;

use super::Engine;
use super::entering::cost;
use super::losses::Gaps;

/// A message of the log as far as it has been replayed.
#[derive(Debug)]
pub(super) struct Kept {
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

/// How far the replay has come.
#[derive(Debug)]
pub(super) enum Replay {
    /// Nothing was found yet, or something was and more may come.
    On {
        slots: Slots,
        /// The newest checkpoint; what is before it says nothing but what became of messages.
        checkpoint: u64,
        /// The time of the newest frame.
        time: Time,
        /// Frames that were not found.
        gaps: Gaps,
    },
    /// All was replayed.
    Over,
}

impl Default for Replay {
    fn default() -> Self {
        Replay::On {
            slots: Slots::new(),
            checkpoint: 0,
            time: Time(0),
            gaps: Gaps::default(),
        }
    }
}

/// What a queue is called whose declaration is damaged.
fn revived_name(queue: QueueId) -> String {
    format!("recovered.{}.{}", queue.index, queue.generation)
}

impl Engine {
    /// Takes in what was found of an earlier life. Nothing is recorded meanwhile, because it is in the log already.
    pub(super) fn take_found(&mut self, found: Found) {
        let Replay::On {
            mut slots,
            mut checkpoint,
            mut time,
            mut gaps,
        } = std::mem::take(&mut self.replay)
        else {
            return;
        };
        match found {
            Found::Checkpoint(frame) => {
                checkpoint = frame.lsn;
                for record in frame.records {
                    self.replay_checkpoint(record);
                }
            }
            Found::Segment { segment, frames } => {
                self.reclaim.begin(segment);
                for frame in frames {
                    if !deliberate::is(Deliberate::TurnBackTime) {
                        time = time.max(Time(frame.time));
                    }
                    gaps.take(&frame);
                    let lsn = frame.lsn;
                    self.replay_frame(frame, checkpoint, &mut slots);
                    self.settle_notes_of(lsn);
                }
            }
            Found::End => {
                self.end_replay(slots, time);
                return self.judge_losses(&gaps);
            }
        }
        self.replay = Replay::On {
            slots,
            checkpoint,
            time,
            gaps,
        };
    }

    fn replay_frame(&mut self, frame: FoundFrame, checkpoint: u64, slots: &mut Slots) {
        for record in frame.records {
            if frame.lsn > checkpoint {
                self.replay(record, slots);
            } else if frame.lsn < checkpoint {
                match record {
                    Record::Accepted(accepted) => self.replay_accepted(accepted, slots),
                    Record::Moved(moved) => self.replay_moved(moved, slots),
                    of_message => self.replay_message(of_message, slots),
                }
            } else if let Record::Counts { queue, stats } = record
                && let Ok(line) = self.line(queue)
            {
                line.counts.restore(&stats);
            }
        }
    }

    /// What a checkpoint says of everything that is not messages; its counts come when the messages before it have been counted.
    fn replay_checkpoint(&mut self, record: Record) {
        match record {
            Record::Checkpoint {
                last_message,
                generation_floor,
                epoch,
                ..
            } => {
                self.last_message = last_message;
                self.topology.raise_floor(generation_floor);
                self.config.epoch = self.config.epoch.max(epoch.saturating_add(1));
            }
            Record::Counts { .. } => {}
            record => self.replay(record, &mut Slots::new()),
        }
    }

    /// Goes on with the state that the log gives. What follows from the opening itself (whose consumer is gone, what is spent) is recorded like everything else.
    fn end_replay(&mut self, mut slots: Slots, time: Time) {
        self.leases = InFlight::new(self.config.epoch);
        self.consumers = Consumers::new(self.config.epoch);
        if let Some(log) = &mut self.log {
            log.begin(time.0);
            let progress = log.progress();
            self.keep_up(progress);
        }
        self.settle_notes();
        self.open_sessions();
        self.end_exclusive(&mut slots);
        self.forget_over_by(time);
        let mut spent = Vec::new();
        for (id, mut kept) in slots {
            // What was due when the log ended is due, whatever the clock says now: it may have been seen.
            if kept.due <= time {
                kept.due = Time(0);
            }
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
        self.seal();
        self.replay = Replay::Over;
        // What fell due meanwhile is due now.
        self.next_due = Time(0);
        self.sync_now();
    }

    fn replay(&mut self, record: Record, slots: &mut Slots) {
        match record {
            Record::Queue { queue, name, spec } => self.replay_queue(queue, &name, spec, slots),
            Record::QueueDeleted { queue } => self.replay_deletion(queue, slots),
            Record::Accepted(accepted) => {
                self.revive(accepted.queue, slots);
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
            Record::Moved(moved) => {
                self.revive(moved.to.queue, slots);
                self.replay_moved(moved, slots);
            }
            Record::Exchange {
                exchange,
                name,
                kind,
                alternate,
            } => {
                while let Some(gone) = self.displaced_exchange(exchange, &name) {
                    self.topology.remove_exchange(gone);
                }
                self.topology.add_exchange(exchange, &name, kind, alternate);
            }
            Record::ExchangeDeleted { exchange } => self.topology.remove_exchange(exchange),
            // What it leads to may have had its record where damage is now.
            Record::Bound { exchange, binding } => {
                if self.topology.check_binding(exchange, &binding) == Ok(true) {
                    self.topology.bind(exchange, binding);
                }
            }
            Record::Unbound { exchange, binding } => {
                // What the log unbinds it has bound before.
                let _ = self.topology.unbind(exchange, &binding);
            }
            of_session @ (Record::Session { .. }
            | Record::SessionForgotten { .. }
            | Record::Answered { .. }) => self.replay_session(of_session),
            of_message => self.replay_message(of_message, slots),
        }
    }

    fn replay_queue(&mut self, queue: QueueId, name: &str, spec: QueueSpec, slots: &mut Slots) {
        let is_altered = self.topology.queue(queue).is_ok_and(|there| {
            // What a queue keeps as long as it is there.
            there.name == name
                && there.spec.priorities == spec.priorities
                && there.spec.ordered_keys == spec.ordered_keys
        });
        if is_altered {
            self.apply_options(queue, spec);
            return self.watch_use(queue.index);
        }
        let of_revived = |there: &DeclaredQueue| there.name == revived_name(queue);
        if self.topology.queue(queue).is_ok_and(of_revived) {
            return self.adopt(queue, name, spec, slots);
        }
        // A place and a name have one queue at a time: what had them was deleted, though the record of that is damaged.
        let there = self.topology.queue_id_at(queue.index);
        for gone in there.into_iter().chain(self.topology.queue_named(name)) {
            self.replay_deletion(gone, slots);
        }
        self.add_queue(queue, name, spec);
    }

    /// An exchange in the way of one whose record comes, in the same way.
    fn displaced_exchange(&self, exchange: ExchangeId, name: &str) -> Option<ExchangeId> {
        let mut all = self.topology.exchanges();
        let displaced = all.find(|(id, own)| id.index == exchange.index || own.name == name);
        displaced.map(|(id, _)| id)
    }

    /// A queue that has messages was declared, though the record of that is damaged. Its messages are served, under another name and with the options of a queue that does not say, but for the priorities.
    fn revive(&mut self, queue: QueueId, slots: &mut Slots) {
        if self.line(queue).is_ok() || queue.index as usize >= QUEUES_MAX {
            return;
        }
        let name = revived_name(queue);
        let spec = QueueSpec {
            priorities: PRIORITIES_MAX,
            ..QueueSpec::default()
        };
        self.replay_queue(queue, &name, spec, slots);
    }

    /// A queue that was revived has its name again, from a record that alters it.
    fn adopt(&mut self, queue: QueueId, name: &str, spec: QueueSpec, slots: &mut Slots) {
        if let Some(gone) = self.topology.queue_named(name) {
            self.replay_deletion(gone, slots);
        }
        let highest = spec.priorities.saturating_sub(1);
        for kept in slots.values() {
            if let Some(resident) = self.messages.get_mut(kept.slot)
                && resident.queue == queue.index
            {
                resident.priority = u32::from(resident.priority).min(highest) as u8;
            }
        }
        let old = self.lines[queue.index as usize].take();
        self.topology.remove_queue(queue);
        self.add_queue(queue, name, spec);
        if let Some(old) = old {
            let line = self.line_at(queue.index);
            line.counts = old.counts;
            line.ids = old.ids;
        }
    }

    fn replay_deletion(&mut self, queue: QueueId, slots: &mut Slots) {
        if self.line(queue).is_ok() {
            self.forget_messages_of(queue.index, slots);
            self.remove_queue(queue);
        }
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

    /// Dedup ids whose window was over when the log ended count no more, whatever the clock says now.
    fn forget_over_by(&mut self, time: Time) {
        let all: Vec<u32> = self
            .topology
            .queues()
            .map(|(_, queue)| queue.index)
            .collect();
        for index in all {
            if let Some(window) = self.dedup_window(index) {
                self.forget_over(index, time, window);
            }
        }
    }

    /// Exclusive queues went with the session that they belonged to.
    fn end_exclusive(&mut self, slots: &mut Slots) {
        let all: Vec<QueueId> = self.topology.queues().map(|(_, queue)| queue).collect();
        for queue in all {
            if self.topology.queue(queue).is_ok_and(|q| q.spec.exclusive) {
                self.record(&Record::QueueDeleted { queue });
                self.replay_deletion(queue, slots);
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
        self.notes.push(Note::About(message));
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
        let id = accepted.id;
        let Ok(queue) = self.topology.queue(accepted.queue) else {
            // Where the record of a queue is lost, its messages must not be another's that is declared later.
            let used = accepted.queue.generation.saturating_add(1);
            return self.topology.raise_floor(used);
        };
        let priority = u32::from(accepted.priority).min(queue.spec.priorities - 1) as u8;
        if slots.contains_key(&id) {
            return;
        }
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
            priority,
            level: accepted.level,
            redelivered: accepted.redelivered,
        };
        self.memory += cost(&resident.body, resident.properties.as_ref());
        let line = self.line_at(accepted.queue.index);
        line.counts.produced += 1;
        line.counts.ready += 1;
        line.counts.bytes += resident.body.len() as u64;
        let slot = self.messages.insert(resident);
        self.notes.push(Note::Accepted(id));
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
            self.notes.push(Note::About(from));
            let dead = moved.cause != Departure::Taken;
            self.take_out(kept.slot, moved.cause, dead);
        }
        self.replay_accepted(moved.to, slots);
    }
}
