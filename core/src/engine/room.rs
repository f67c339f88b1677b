//! Room: whether it is there, what makes it, who waited for it.

use crate::model::limits::BATCH_BYTES_MAX;
use crate::model::{Departure, Error, ErrorKind, Outgoing, Overflow, Result, quoted};
use crate::produce::Load;
use crate::queue::Position;
use crate::store::{Resident, State};

use super::Engine;
use super::calls::Waits;
use super::entering::cost_coming_in;

/// Why there is no room.
pub(super) enum Full {
    Queue,
    Memory,
}

/// What messages need: room in their queue, and the broker's memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    pub load: Load,
    pub memory: u64,
}

impl Demand {
    pub fn of(message: &Outgoing) -> Demand {
        let mut demand = Demand::default();
        demand.add(message);
        demand
    }

    #[inline]
    pub fn add(&mut self, message: &Outgoing) {
        self.load.messages += 1;
        self.load.bytes += message.body.len() as u64;
        self.memory += cost_coming_in(message);
    }

    /// Errors: `MessageTooLarge` for more bytes than one frame of the log may have.
    pub fn check(&self, what: &str) -> Result<()> {
        if self.load.bytes <= BATCH_BYTES_MAX as u64 {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::MessageTooLarge,
            format!(
                "the {what} has {} bytes of bodies, the limit is {BATCH_BYTES_MAX}; split it",
                self.load.bytes
            ),
        ))
    }
}

impl Engine {
    #[cold]
    pub(super) fn full(&self, index: u32, full: &Full, never: Option<Load>) -> Error {
        let Some(queue) = self.topology.queue_at(index) else {
            return super::gone();
        };
        let name = quoted(&queue.name);
        let limit = format!(
            "capacity {}, capacity_bytes {}",
            shown(queue.spec.capacity),
            shown(queue.spec.capacity_bytes)
        );
        let message = match (full, never) {
            (_, Some(load)) => format!(
                "{} messages of {} bytes never fit into queue {name} ({limit}); send smaller batches or raise the limits",
                load.messages, load.bytes
            ),
            (Full::Queue, None) => format!(
                "queue {name} is full ({limit}); consume, try later, raise the limits, or declare it with overflow \"block\" or \"drop_oldest\""
            ),
            (Full::Memory, None) => format!(
                "the broker's memory_limit of {} bytes is used up; consume, shorten a dedup_window, or open the broker with a higher memory_limit",
                self.config.memory_limit
            ),
        };
        Error::new(ErrorKind::QueueFull, message)
    }

    /// Whether `load` fits when `freed` has gone; with `drop_oldest`, which messages make room for it.
    pub(super) fn plan_room(
        &self,
        index: u32,
        load: Load,
        freed: Load,
        memory: u64,
    ) -> std::result::Result<Vec<Position>, Full> {
        if load.messages == 0 {
            return Ok(Vec::new());
        }
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

    pub(super) fn drop_oldest(&mut self, drops: &[Position]) {
        for position in drops {
            self.detach(position.slot);
            self.die(position.slot, Departure::Overflow, None);
        }
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
            let Demand { load, memory } = self.fresh_demand(index, messages);
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

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())
}
