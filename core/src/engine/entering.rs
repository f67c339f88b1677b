//! The way in: produce, publish, transactions; room; acceptance.

use std::sync::Arc;

use crate::model::collections::{BTreeMap, BTreeSet};
use crate::model::limits::{
    BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, KEY_BYTES_MAX, MESSAGE_OVERHEAD_BYTES,
    TRANSACTION_OPERATIONS_MAX,
};
use crate::model::{
    Departure, Durability, Error, ErrorKind, ExchangeId, MessageId, Outgoing, Overflow, Properties,
    QueueId, QueueSpec, Result, Time,
};
use crate::produce::{Load, durability, never_fits};
use crate::queue::{Claim, Hidden, Position};
use crate::route::matches;
use crate::store::{Accepted, Record, Resident, State};

use super::calls::Waits;
use super::{Engine, Operation, Outcome, Reply, Step, Wait};

/// Why there is no room.
enum Full {
    Queue,
    Memory,
}

/// What `memory_limit` counts for a message.
pub(super) fn cost(body: &[u8], properties: Option<&Arc<Properties>>) -> u64 {
    let properties = properties.map_or(0, |properties| properties.check().unwrap_or(0));
    (body.len() + properties + MESSAGE_OVERHEAD_BYTES) as u64
}

impl Engine {
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    pub(super) fn produce(&mut self, queue: QueueId, message: Outgoing, wait: Wait) -> Step {
        match self.admit(queue, &message)? {
            Some(level) => {
                let id = self.accept(queue.index, message, level);
                Ok(Outcome::Once(level, Reply::Produced(id)))
            }
            None => self.produce_crowded(queue, vec![message], false, wait),
        }
    }

    /// How safe the message will be if it can come in at once; `None` if room has to be made or waited for. Errors: it may never come in.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    pub(super) fn admit(&self, queue: QueueId, message: &Outgoing) -> Result<Option<Durability>> {
        message.check()?;
        let spec = &self.topology.queue(queue)?.spec;
        let level = self.admissible(spec, message)?;
        let line = self.lines[queue.index as usize]
            .as_ref()
            .expect("a declared queue has a line");
        let turn = line.producers.is_empty() || spec.overflow != Overflow::Block;
        let fits = self.memory + cost(&message.body, message.properties.as_ref())
            <= self.config.memory_limit;
        let room = line.counts.usage().has_room(spec, Load::of(message));
        Ok((fits && turn && room).then_some(level))
    }

    pub(super) fn produce_many(
        &mut self,
        queue: QueueId,
        messages: Vec<Outgoing>,
        wait: Wait,
    ) -> Step {
        let spec = &self.topology.queue(queue)?.spec;
        check_batch("batch", messages.len(), BATCH_MESSAGES_MAX, &messages)?;
        for message in &messages {
            message.check()?;
            self.admissible(spec, message)?;
        }
        self.produce_crowded(queue, messages, true, wait)
    }

    /// Errors: `InvalidArgument` when the message asks for what its queue does not have.
    #[inline]
    fn admissible(&self, spec: &QueueSpec, message: &Outgoing) -> Result<Durability> {
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
    ) -> Step {
        let spec = &self.topology.queue(queue)?.spec;
        let load = Load::of_all(&messages);
        let blocks = spec.overflow == Overflow::Block;
        if never_fits(spec, load) {
            return Err(self.full(queue.index, &Full::Queue, Some(load)));
        }
        let memory = memory_of(&messages);
        let turn = !blocks || self.line(queue)?.producers.is_empty();
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
    fn accept_all(&mut self, index: u32, messages: Vec<Outgoing>, many: bool) -> Outcome {
        let mut level = Durability::Memory;
        let mut ids = Vec::with_capacity(messages.len());
        for message in messages {
            let own = self.level_of(index, &message);
            level = level.max(own);
            ids.push(self.accept(index, message, own));
        }
        let reply = match ids.as_slice() {
            [id] if !many => Reply::Produced(*id),
            _ => Reply::ProducedMany(ids),
        };
        Outcome::Once(level, reply)
    }

    /// How safe a message will be in a queue: what it asks for, at most what the queue has.
    fn level_of(&self, index: u32, message: &Outgoing) -> Durability {
        let queue = self
            .topology
            .queue_at(index)
            .and_then(|queue| queue.spec.durability)
            .unwrap_or(self.config.durability);
        message.durability.map_or(queue, |asked| asked.min(queue))
    }

    #[cold]
    fn full(&self, index: u32, full: &Full, never: Option<Load>) -> Error {
        let Some(queue) = self.topology.queue_at(index) else {
            return super::gone();
        };
        let name = &queue.name;
        let limit = format!(
            "capacity {}, capacity_bytes {}",
            shown(queue.spec.capacity),
            shown(queue.spec.capacity_bytes)
        );
        let message = match (full, never) {
            (_, Some(load)) => format!(
                "{} messages of {} bytes never fit into queue {name:?} ({limit}); send smaller batches or raise the limits",
                load.messages, load.bytes
            ),
            (Full::Queue, None) => format!(
                "queue {name:?} is full ({limit}); consume, try later, raise the limits, or declare it with overflow \"block\" or \"drop_oldest\""
            ),
            (Full::Memory, None) => format!(
                "the broker's memory_limit of {} bytes is used up; consume, or open the broker with a higher memory_limit",
                self.config.memory_limit
            ),
        };
        Error::new(ErrorKind::QueueFull, message)
    }

    /// Whether `load` fits when `freed` has gone; with `drop_oldest`, which messages make room for it.
    fn plan_room(
        &self,
        index: u32,
        load: Load,
        freed: Load,
        memory: u64,
    ) -> std::result::Result<Vec<Position>, Full> {
        if self.memory + memory > self.config.memory_limit {
            return Err(Full::Memory);
        }
        let (Some(queue), Some(Some(line))) = (
            self.topology.queue_at(index),
            self.lines.get(index as usize),
        ) else {
            return Err(Full::Queue);
        };
        let mut usage = line.counts.usage();
        usage.messages -= freed.messages;
        usage.bytes -= freed.bytes;
        let mut drops = Vec::new();
        if usage.has_room(&queue.spec, load) {
            return Ok(drops);
        }
        if queue.spec.overflow != Overflow::DropOldest {
            return Err(Full::Queue);
        }
        let mut dropped = Load::default();
        for position in line.waiting.iter_dropping() {
            let Some(oldest) = self.ready(position) else {
                continue;
            };
            usage.messages -= 1;
            usage.bytes -= oldest.body.len() as u64;
            dropped.messages += 1;
            dropped.bytes += oldest.body.len() as u64;
            drops.push(position);
            if usage.has_room(&queue.spec, load) {
                let buried = self.has_room_for_dead(index, dropped);
                return if buried { Ok(drops) } else { Err(Full::Queue) };
            }
        }
        Err(Full::Queue)
    }

    /// The message at a position if it is ready.
    pub(super) fn ready(&self, position: Position) -> Option<&Resident> {
        self.messages
            .get(position.slot)
            .filter(|resident| resident.id == position.id && resident.state == State::Ready)
    }

    fn drop_oldest(&mut self, drops: &[Position]) {
        for position in drops {
            self.detach(position.slot);
            self.die(position.slot, Departure::Overflow, None);
        }
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
            if !line.consumers.is_empty() {
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

    pub(super) fn publish(
        &mut self,
        exchange: ExchangeId,
        key: &str,
        message: Outgoing,
        mandatory: bool,
    ) -> Step {
        let operation = Operation::Publish {
            exchange,
            key: key.to_owned(),
            message,
            mandatory,
        };
        match self.transact(vec![operation])? {
            Outcome::Once(level, Reply::Transaction(replies)) => {
                let reply = replies.into_iter().next();
                Ok(Outcome::Once(level, reply.unwrap_or(Reply::Count(0))))
            }
            other => Ok(other),
        }
    }

    /// The queues that a key reaches, each once, in the order of the bindings. Errors: `NotFound`, `Unroutable`.
    pub(super) fn targets(&self, exchange: ExchangeId, key: &str) -> Result<Vec<u32>> {
        let exchange = self.topology.exchange(exchange)?;
        let mut seen = BTreeSet::new();
        let bindings = exchange.bindings.iter();
        Ok(bindings
            .filter(|binding| matches(exchange.kind, &binding.pattern, key))
            .map(|binding| binding.queue.index)
            .filter(|index| seen.insert(*index))
            .collect())
    }

    /// All operations or none: first everything is checked against what is there, then everything is done.
    pub(super) fn transact(&mut self, operations: Vec<Operation>) -> Step {
        let plan = self.plan_transaction(&operations)?;
        for drops in plan.drops {
            self.drop_oldest(&drops);
        }
        let mut level = Durability::Memory;
        let mut replies = Vec::with_capacity(operations.len());
        let mut targets = plan.targets.into_iter();
        for operation in operations {
            replies.push(match operation {
                Operation::Produce { queue, message } => {
                    let own = self.level_of(queue.index, &message);
                    level = level.max(own);
                    Reply::Produced(self.accept(queue.index, message, own))
                }
                Operation::Publish { key, message, .. } => {
                    let reached = targets.next().unwrap_or_default();
                    level = level.max(self.copy_to(&reached, &key, message));
                    Reply::Count(reached.len() as u64)
                }
                Operation::Ack { token } => {
                    level = level.max(self.config.durability);
                    self.ack(token, false)?;
                    Reply::Done
                }
            });
        }
        Ok(Outcome::Once(level, Reply::Transaction(replies)))
    }

    /// One copy for every queue; they share the body. Priority and durability are at most the queue's.
    fn copy_to(&mut self, reached: &[u32], key: &str, mut message: Outgoing) -> Durability {
        let mut level = Durability::Memory;
        if !key.is_empty() {
            let properties = message.properties.get_or_insert_default();
            Arc::make_mut(properties).key = Some(key.to_owned());
        }
        for &index in reached {
            let mut copy = message.clone();
            if let Some(queue) = self.topology.queue_at(index) {
                let highest = queue.spec.priorities - 1;
                copy.priority = copy.priority.min(highest as u8);
            }
            let own = self.level_of(index, &copy);
            level = level.max(own);
            self.accept(index, copy, own);
        }
        level
    }

    fn plan_transaction(&self, operations: &[Operation]) -> Result<Plan> {
        let messages = operations.iter().filter_map(|operation| match operation {
            Operation::Produce { message, .. } | Operation::Publish { message, .. } => {
                Some(message)
            }
            Operation::Ack { .. } => None,
        });
        check_batch(
            "transaction",
            operations.len(),
            TRANSACTION_OPERATIONS_MAX,
            messages,
        )?;
        let mut plan = Plan::default();
        let mut acked = BTreeSet::new();
        for operation in operations {
            match operation {
                Operation::Produce { queue, message } => {
                    message.check()?;
                    self.admissible(&self.topology.queue(*queue)?.spec, message)?;
                    plan.add(queue.index, message);
                }
                Operation::Publish {
                    exchange,
                    key,
                    message,
                    mandatory,
                } => {
                    message.check()?;
                    let reached = self.reached(*exchange, key, *mandatory)?;
                    for &index in &reached {
                        plan.add(index, message);
                    }
                    plan.targets.push(reached);
                }
                Operation::Ack { token } => {
                    let lease = self.leases.find(*token)?;
                    if !acked.insert(token.delivery) {
                        return Err(Error::new(
                            ErrorKind::LeaseLost,
                            "the transaction acks the same delivery twice; ack it once",
                        ));
                    }
                    let length = self.messages.get(lease.slot).map_or(0, |m| m.body.len());
                    plan.free(lease.queue, length as u64);
                }
            }
        }
        for (index, load) in &plan.loads {
            let freed = plan.freed.get(index).copied().unwrap_or_default();
            let drops = self.plan_room(*index, *load, freed, plan.memory);
            plan.drops
                .push(drops.map_err(|full| self.full(*index, &full, None))?);
        }
        Ok(plan)
    }

    fn reached(&self, exchange: ExchangeId, key: &str, mandatory: bool) -> Result<Vec<u32>> {
        if key.len() > KEY_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the key has {} bytes, the limit is {KEY_BYTES_MAX}",
                key.len()
            )));
        }
        let reached = self.targets(exchange, key)?;
        if mandatory && reached.is_empty() {
            let name = &self.topology.exchange(exchange)?.name;
            return Err(Error::new(
                ErrorKind::Unroutable,
                format!(
                    "no queue is bound to exchange {name:?} for key {key:?}; bind one, or publish without mandatory"
                ),
            ));
        }
        Ok(reached)
    }

    /// Somebody may be waiting for the room that has come: dead letters first, they were there before.
    pub(super) fn use_room(&mut self) {
        while let Some(index) = self.freed.pop_first() {
            let Some(Some(line)) = self.lines.get(index as usize) else {
                continue;
            };
            for source in line.holders.clone() {
                self.retry_held(source);
            }
            self.admit_blocked(index);
        }
    }

    /// Lets in the producers that have waited longest, as far as there is room.
    fn admit_blocked(&mut self, index: u32) {
        while let Some(call) = self.line_at(index).producers.front().copied() {
            let Some(Waits::Room { messages, .. }) = self.calls.get(call).map(|call| &call.waits)
            else {
                self.line_at(index).producers.pop_front();
                continue;
            };
            let load = Load::of_all(messages);
            let memory = memory_of(messages);
            if let Err(full) = self.plan_room(index, load, Load::default(), memory) {
                self.memory_short |= matches!(full, Full::Memory);
                return;
            }
            self.line_at(index).producers.pop_front();
            if let Some(Waits::Room { messages, many, .. }) =
                self.calls.remove(call).map(|call| call.waits)
            {
                let outcome = self.accept_all(index, messages, many);
                self.conclude_later(call, outcome);
            }
        }
        self.blocked.remove(&index);
    }
}

/// What a transaction will do.
#[derive(Default)]
struct Plan {
    loads: BTreeMap<u32, Load>,
    freed: BTreeMap<u32, Load>,
    memory: u64,
    drops: Vec<Vec<Position>>,
    targets: Vec<Vec<u32>>,
}

impl Plan {
    fn add(&mut self, index: u32, message: &Outgoing) {
        let load = self.loads.entry(index).or_default();
        load.messages += 1;
        load.bytes += message.body.len() as u64;
        self.memory += cost(&message.body, message.properties.as_ref());
    }

    fn free(&mut self, index: u32, bytes: u64) {
        let freed = self.freed.entry(index).or_default();
        freed.messages += 1;
        freed.bytes += bytes;
    }
}

fn memory_of(messages: &[Outgoing]) -> u64 {
    let costs = messages
        .iter()
        .map(|message| cost(&message.body, message.properties.as_ref()));
    costs.sum()
}

fn check_batch<'a>(
    what: &str,
    len: usize,
    most: usize,
    messages: impl IntoIterator<Item = &'a Outgoing>,
) -> Result<()> {
    if len > most {
        return Err(Error::invalid(format!(
            "the {what} has {len} entries, the limit is {most}; split it"
        )));
    }
    let bytes: usize = messages.into_iter().map(|m| m.body.len()).sum();
    if bytes > BATCH_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::MessageTooLarge,
            format!(
                "the {what} has {bytes} bytes of bodies, the limit is {BATCH_BYTES_MAX}; split it"
            ),
        ));
    }
    Ok(())
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())
}
