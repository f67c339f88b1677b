//! The way in: produce, and acceptance.

use std::sync::Arc;

use crate::model::deliberate::{self, Deliberate};
use crate::model::limits::{BATCH_MESSAGES_MAX, MESSAGE_OVERHEAD_BYTES};
use crate::model::{
    Durability, Error, MessageId, Outgoing, Overflow, Properties, QueueId, QueueSpec, Result, Time,
};
use crate::produce::{Load, Original, cost_of_id, durability, never_fits};
use crate::queue::{Claim, Hidden, Position};
use crate::store::{Accepted, Record, Resident, State};

use super::calls::Waits;
use super::room::{Demand, Full};
use super::{Engine, Noticed, Outcome, Reply, Step, Wait};

/// What `memory_limit` counts for a message that comes in: itself, and its dedup id, which is remembered.
#[inline]
pub(super) fn cost_coming_in(message: &Outgoing) -> u64 {
    let id = message.dedup_id().map_or(0, |id| cost_of_id(id));
    cost(&message.body, message.properties.as_ref()) + id
}

/// What `memory_limit` counts for a message.
pub(super) fn cost(body: &[u8], properties: Option<&Arc<Properties>>) -> u64 {
    let properties = properties.map_or(0, |properties| properties.check().unwrap_or(0));
    (body.len() + properties + MESSAGE_OVERHEAD_BYTES) as u64
}

/// Whether a message comes in.
pub(super) enum Admission {
    /// At once, as safe as this.
    Comes(Durability),
    /// It is in already; this one would be as safe as this.
    Duplicate(Durability),
    /// Room has to be made or waited for.
    Crowded,
}

impl Engine {
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    pub(super) fn produce(&mut self, queue: QueueId, message: Outgoing, wait: Wait) -> Step {
        match self.admit(queue, &message)? {
            Admission::Comes(level) => {
                let id = self.accept(queue.index, message, level);
                Ok(Outcome::Once(level, Reply::Produced(id)))
            }
            Admission::Duplicate(level) => {
                let original = self.as_original(queue.index, &message, level);
                Ok(original.expect("a duplicate has its original"))
            }
            Admission::Crowded => {
                let demand = Demand::of(&message);
                self.produce_crowded(queue, vec![message], false, wait, demand)
            }
        }
    }

    /// Whether the message can come in at once. Errors: it may never come in.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    pub(super) fn admit(&self, queue: QueueId, message: &Outgoing) -> Result<Admission> {
        message.check()?;
        let spec = &self.topology.queue(queue)?.spec;
        let level = self.admissible(spec, message)?;
        if self.original(queue.index, message).is_some() {
            return Ok(Admission::Duplicate(level));
        }
        let line = self.lines[queue.index as usize]
            .as_ref()
            .expect("a declared queue has a line");
        let turn = line.producers.is_empty() || spec.overflow != Overflow::Block;
        let fits = self.memory + cost_coming_in(message) <= self.config.memory_limit;
        let room = line.counts.usage().has_room(spec, Load::of(message));
        Ok(if fits && turn && room {
            Admission::Comes(level)
        } else {
            Admission::Crowded
        })
    }

    pub(super) fn produce_many(
        &mut self,
        queue: QueueId,
        messages: Vec<Outgoing>,
        wait: Wait,
    ) -> Step {
        check_batch("batch", messages.len(), BATCH_MESSAGES_MAX)?;
        let spec = &self.topology.queue(queue)?.spec;
        let mut demand = Demand::default();
        for message in &messages {
            message.check()?;
            self.admissible(spec, message)?;
            demand.add(message);
        }
        demand.check("batch")?;
        if messages.iter().any(|message| message.dedup_id().is_some()) {
            demand = self.fresh_demand(queue.index, &messages);
        }
        self.produce_crowded(queue, messages, true, wait, demand)
    }

    /// Errors: `InvalidArgument` when the message asks for what its queue does not have.
    #[inline]
    pub(super) fn admissible(&self, spec: &QueueSpec, message: &Outgoing) -> Result<Durability> {
        if u32::from(message.priority) >= spec.priorities {
            return Err(Error::invalid(format!(
                "priority is {}, the queue has priorities 0 to {}; declare it with priorities={} or more",
                message.priority,
                spec.priorities - 1,
                u32::from(message.priority) + 1
            )));
        }
        let queue = spec.durability.unwrap_or(self.config.durability);
        durability(message.durability, queue)
    }

    /// Takes all of them in, makes room first, waits, or refuses.
    fn produce_crowded(
        &mut self,
        queue: QueueId,
        messages: Vec<Outgoing>,
        many: bool,
        wait: Wait,
        demand: Demand,
    ) -> Step {
        let spec = &self.topology.queue(queue)?.spec;
        let Demand { load, memory } = demand;
        let blocks = spec.overflow == Overflow::Block;
        if never_fits(spec, load) {
            return Err(self.full(queue.index, &Full::Queue, Some(load)));
        }
        let turn = !blocks || load.messages == 0 || self.line(queue)?.producers.is_empty();
        let room = self.plan_room(queue.index, load, Load::default(), memory);
        match room {
            Ok(drops) if turn => {
                self.drop_oldest(&drops);
                Ok(self.accept_all(queue.index, messages, many))
            }
            refused => {
                let full = refused.err().unwrap_or(Full::Queue);
                let waits = match wait {
                    Wait::No => false,
                    Wait::Until(at) => at > self.now,
                    Wait::Forever => true,
                };
                if !blocks || !waits {
                    self.notice(queue.index, Noticed::Full);
                    return Err(self.full(queue.index, &full, None));
                }
                self.memory_short |= matches!(full, Full::Memory);
                let room = Waits::Room {
                    queue,
                    messages,
                    many,
                };
                let call = self.wait_until(room, wait, None)?;
                self.line(queue)?.producers.push_back(call);
                self.blocked.insert(queue.index);
                Ok(Outcome::Waits(call))
            }
        }
    }

    /// Takes in what has room.
    pub(super) fn accept_all(
        &mut self,
        index: u32,
        messages: Vec<Outgoing>,
        many: bool,
    ) -> Outcome {
        let most = self.durability_of(index);
        let mut level = Durability::Memory;
        let mut lsn = 0;
        let mut ids = Vec::with_capacity(messages.len());
        for message in messages {
            let own = message.durability.map_or(most, |asked| asked.min(most));
            level = level.max(own);
            let (id, frame) = self.accept_once(index, message, own);
            lsn = lsn.max(frame);
            ids.push(id);
            if deliberate::is(Deliberate::SplitBatches) {
                self.close_frame();
            }
        }
        let reply = match ids.as_slice() {
            [id] if !many => Reply::Produced(*id),
            _ => Reply::ProducedMany(ids),
        };
        Outcome::InFrame(lsn, level, reply)
    }

    /// How safe a message will be in a queue: what it asks for, at most what the queue has.
    pub(super) fn level_of(&self, index: u32, message: &Outgoing) -> Durability {
        let most = self.durability_of(index);
        message.durability.map_or(most, |asked| asked.min(most))
    }

    /// How safe a queue's messages are at most.
    fn durability_of(&self, index: u32) -> Durability {
        let queue = self.topology.queue_at(index);
        let own = queue.and_then(|queue| queue.spec.durability);
        own.unwrap_or(self.config.durability)
    }

    /// Gives a message its id and lets it in. There is room.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    pub(super) fn accept(&mut self, index: u32, message: Outgoing, level: Durability) -> MessageId {
        self.last_message.0 += 1;
        let id = self.last_message;
        let ttl = match (message.ttl, self.queue_ttl(index)) {
            (Some(own), Some(queue)) => Some(own.min(queue)),
            (own, queue) => own.or(queue),
        };
        let due = message.delay.map_or(Time(0), |delay| self.now.after(delay));
        if let Some(name) = message.dedup_id() {
            let name = Arc::clone(name);
            self.remember_new_id(index, name, level);
        }
        let resident = Resident {
            id,
            body: message.body,
            properties: message.properties,
            produced_at: self.now,
            expires_at: ttl.map_or(Time::NEVER, |ttl| self.now.after(ttl)),
            queue: index,
            attempt: 0,
            state: State::Ready,
            priority: message.priority,
            level,
            redelivered: false,
        };
        if self.log.is_some() && level > Durability::Memory {
            let record = Record::Accepted(self.accepted(&resident, due));
            self.record(&record);
        }
        self.enter(resident, due);
        id
    }

    #[cold]
    fn remember_new_id(&mut self, index: u32, name: Arc<str>, level: Durability) {
        let logged = self.log.as_ref().filter(|_| level > Durability::Memory);
        let original = Original {
            name,
            message: self.last_message,
            lsn: logged.map_or(0, |log| log.next_lsn()),
            at: self.now,
        };
        self.remember_id(index, original);
    }

    #[inline]
    fn queue_ttl(&self, index: u32) -> Option<crate::model::Span> {
        self.topology.queue_at(index)?.spec.ttl
    }

    /// A message as the log keeps it.
    pub(super) fn accepted(&self, resident: &Resident, due: Time) -> Accepted {
        let queue = self.topology.queue_id_at(resident.queue);
        Accepted {
            queue: queue.expect("a message's queue exists"),
            id: resident.id,
            body: Arc::clone(&resident.body),
            properties: resident.properties.clone(),
            priority: resident.priority,
            level: resident.level,
            produced_at: resident.produced_at,
            due,
            expires_at: resident.expires_at,
            attempt: resident.attempt,
            redelivered: resident.redelivered,
        }
    }

    /// Puts a message into its queue: the same for new, moved and recovered ones.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    pub(super) fn enter(&mut self, mut resident: Resident, due: Time) -> Position {
        let (index, priority, level) = (resident.queue, resident.priority, resident.level);
        let (id, expires_at) = (resident.id, resident.expires_at);
        self.memory += cost(&resident.body, resident.properties.as_ref());
        let lsn = self.log.as_ref().map_or(0, |log| log.next_lsn());
        let covered = self.log.is_none() || self.watermark.covers(lsn, level);
        let length = resident.body.len() as u64;
        let line = self.lines[index as usize]
            .as_mut()
            .expect("a declared queue has a line");
        line.counts.produced += 1;
        line.counts.bytes += length;
        let hidden = !covered || line.waiting.hides(priority);
        if hidden {
            resident.state = if due > self.now {
                State::HiddenDelayed
            } else {
                State::Hidden
            };
        }
        *line.counts.of(resident.state) += 1;
        let slot = self.messages.insert(resident);
        let position = Position { id, slot };
        let plain = expires_at == Time::NEVER && due <= self.now && !line.waiting.ordered_keys();
        if plain && !hidden {
            line.waiting.push(priority, position);
            if line.consumers.want() {
                self.serve(index);
            }
            return position;
        }
        if expires_at < Time::NEVER {
            line.waiting.expiring.push(position.due(expires_at));
            self.watch(index, expires_at);
        }
        if hidden {
            let hidden = Hidden {
                position,
                level,
                lsn,
                due,
            };
            self.line_at(index).waiting.hide(priority, hidden);
            self.hiding.insert(index);
        } else {
            self.reveal(index, position, due);
        }
        position
    }

    /// A message that may be seen takes its place: behind its key, on the schedule, or in line.
    #[inline]
    pub(super) fn reveal(&mut self, index: u32, position: Position, due: Time) {
        let line = self.lines[index as usize]
            .as_mut()
            .expect("a message's queue has a line");
        if line.waiting.ordered_keys()
            && let Some(resident) = self.messages.get(position.slot)
            && let Some(properties) = &resident.properties
            && let Some(key) = &properties.key
            && line.waiting.claim(key, position, due) == Claim::Parked
        {
            self.set_state(position.slot, State::Parked);
        } else if due > self.now {
            self.delay(index, position, due);
        } else {
            let Some(resident) = self.messages.get_mut(position.slot) else {
                return;
            };
            let priority = resident.priority;
            line.waiting.push(priority, position);
            if resident.state != State::Ready {
                self.set_state(position.slot, State::Ready);
            }
            self.serve(index);
        }
    }

    /// A message waits for its time.
    pub(super) fn delay(&mut self, index: u32, position: Position, due: Time) {
        self.set_state(position.slot, State::Delayed);
        let line = self.line_at(index);
        line.waiting.delayed.push(position.due(due));
        self.watch(index, due);
    }

    /// Moves a message from one count to another.
    pub(super) fn set_state(&mut self, slot: u32, state: State) {
        if let Some(resident) = self.messages.get_mut(slot) {
            let before = std::mem::replace(&mut resident.state, state);
            let index = resident.queue;
            let line = self.line_at(index);
            *line.counts.of(before) -= 1;
            *line.counts.of(state) += 1;
        }
    }
}

/// Errors: `InvalidArgument` for too many entries.
pub(super) fn check_batch(what: &str, len: usize, most: usize) -> Result<()> {
    if len > most {
        return Err(Error::invalid(format!(
            "the {what} has {len} entries, the limit is {most}; split it"
        )));
    }
    Ok(())
}
