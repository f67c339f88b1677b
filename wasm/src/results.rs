//! Replies into registers, and into the arena what does not fit there.

use ferrymq_core::engine::{Notice, Noticed, Reply};
use ferrymq_core::model::{
    Body, BrokerStats, Delivery, ErrorKind, Message, MessageId, QueueStats, Result, Time, Token,
    exposition,
};
use wasm_bindgen::JsValue;

use crate::registers::{RECORD_WORDS, Registers, delivery_record, message_record, token_words};
use crate::value::plain;
use crate::wire::{write_bytes, write_properties};

/// A call has its result; registers and arena hold it.
pub const DONE: u32 = 0;
/// A call is pending; the registers hold its number.
pub const PENDING: u32 = 1;
/// A call was refused; the registers hold the kind.
pub const FAILED: u32 = 2;

/// An arena larger than this is given back after the call that needed it.
const ARENA_BYTES_KEPT: usize = 1 << 20;

/// What the last call left for JavaScript to read.
#[derive(Default)]
pub struct Results {
    pub registers: Box<Registers>,
    /// The records of a batch; its properties and bodies are in the arena, in the same order.
    records: Vec<[u32; RECORD_WORDS]>,
    arena: Vec<u8>,
    /// Statistics, until JavaScript takes them.
    pub value: JsValue,
    /// Keeps the body of a single message where the registers say it is.
    body: Option<Body>,
}

impl Results {
    /// Puts a result where JavaScript reads it, and says which it is: [`DONE`] or [`FAILED`].
    pub fn store(&mut self, result: Result<Reply>) -> u32 {
        match result {
            Ok(reply) => {
                self.reply(reply);
                DONE
            }
            Err(error) => {
                let place = ErrorKind::ALL.iter().position(|kind| *kind == error.kind());
                self.registers
                    .set_error(place.unwrap_or(ErrorKind::ALL.len()));
                self.clear();
                self.arena.extend_from_slice(error.message().as_bytes());
                self.registers.set_bytes(&self.arena, 1);
                FAILED
            }
        }
    }

    fn reply(&mut self, reply: Reply) {
        match reply {
            Reply::Queue(id) => self.registers.set_handle(id.index, id.generation),
            Reply::Exchange(id, kind) => {
                self.registers.set_handle(id.index, id.generation);
                self.registers.set_kind(kind as u32);
            }
            Reply::Consumer(id) => self.registers.set_handle(id.index, id.generation),
            Reply::Session(id) => self.registers.set_number(u64::from(id.0)),
            Reply::Count(count) => self.registers.set_number(count),
            Reply::Produced(id) => self.registers.set_number(id.0),
            Reply::ProducedMany(ids) => self.ids(&ids),
            Reply::Delivery(delivery) => self.delivery(delivery),
            Reply::Deliveries(deliveries) => self.deliveries(&deliveries),
            Reply::Messages(messages) => self.messages(&messages),
            Reply::Lost(tokens) => self.lost(&tokens),
            Reply::Deadline(time) => self.registers.set_moment(time),
            Reply::Stats(stats) => self.value = plain(&*stats),
            Reply::Queues(all) => self.value = plain(&all),
            Reply::Broker(stats) => self.value = plain(&stats),
            Reply::Transaction(replies) => self.transaction(&replies),
            _ => {}
        }
    }

    /// Puts a single delivery where JavaScript reads it.
    #[inline]
    pub fn delivery(&mut self, delivery: Option<Delivery>) {
        let Some(delivery) = delivery else {
            self.registers.set_bytes(&[], 0);
            return;
        };
        if delivery.message.properties.is_none() {
            self.registers.set_record(delivery_record(&delivery, 0));
            self.registers.set_bytes(&delivery.message.body, 1);
            self.body = Some(delivery.message.body);
            return;
        }
        self.clear();
        let length = write_properties(&mut self.arena, delivery.message.properties.as_ref());
        self.arena.extend_from_slice(&delivery.message.body);
        self.registers
            .set_record(delivery_record(&delivery, length));
        self.registers.set_bytes(&self.arena, 1);
    }

    fn deliveries(&mut self, deliveries: &[Delivery]) {
        self.clear();
        self.records.reserve(deliveries.len());
        for delivery in deliveries {
            let properties = self.contents(&delivery.message);
            self.records.push(delivery_record(delivery, properties));
        }
        self.registers.set_batch(&self.records, &self.arena);
    }

    fn messages(&mut self, messages: &[Message]) {
        self.clear();
        for message in messages {
            let properties = self.contents(message);
            self.records
                .push(message_record(message, None, Time::NEVER, properties));
        }
        self.registers.set_batch(&self.records, &self.arena);
    }

    /// Appends a message's properties and body; returns how many bytes the properties have.
    #[inline]
    fn contents(&mut self, message: &Message) -> usize {
        let properties = write_properties(&mut self.arena, message.properties.as_ref());
        self.arena.extend_from_slice(&message.body);
        properties
    }

    fn ids(&mut self, ids: &[MessageId]) {
        self.clear();
        for id in ids {
            self.arena.extend_from_slice(&id.0.to_le_bytes());
        }
        self.registers.set_bytes(&self.arena, ids.len());
    }

    fn lost(&mut self, tokens: &[Token]) {
        self.clear();
        for token in tokens {
            for word in token_words(*token) {
                self.arena.extend_from_slice(&word.to_le_bytes());
            }
        }
        self.registers.set_bytes(&self.arena, tokens.len());
    }

    /// Per step two longs: what it is (0 nothing, 1 a message's id, 2 a count) and the number.
    fn transaction(&mut self, replies: &[Reply]) {
        self.clear();
        for reply in replies {
            let (kind, number) = match reply {
                Reply::Produced(id) => (1_u64, id.0),
                Reply::Count(count) => (2, *count),
                _ => (0, 0),
            };
            self.arena.extend_from_slice(&kind.to_le_bytes());
            self.arena.extend_from_slice(&number.to_le_bytes());
        }
        self.registers.set_bytes(&self.arena, replies.len());
    }

    /// The broker and its queues as Prometheus reads them.
    pub fn metrics(&mut self, broker: &BrokerStats, queues: &[QueueStats]) {
        self.clear();
        self.arena
            .extend_from_slice(exposition(broker, queues).as_bytes());
        self.registers.set_bytes(&self.arena, 1);
    }

    /// Per notice how often, the place of its sentence in `log.ts`, the queue, the reason of a dead letter.
    pub fn notices(&mut self, notices: &[Notice]) {
        self.clear();
        for Notice { queue, what, count } in notices {
            let (place, detail) = match what {
                Noticed::DeadLettered(cause) => (0, cause.name()),
                Noticed::Held => (1, ""),
                Noticed::Full => (2, ""),
                Noticed::LeaseEnded => (3, ""),
                _ => (4, ""),
            };
            self.longs(&[count]);
            self.arena.push(place);
            write_bytes(&mut self.arena, queue.as_bytes());
            write_bytes(&mut self.arena, detail.as_bytes());
        }
        self.registers.set_bytes(&self.arena, notices.len());
    }

    /// Texts, each with its length before it.
    #[cfg(feature = "store")]
    pub fn texts(&mut self, texts: &[String]) {
        self.clear();
        for text in texts {
            write_bytes(&mut self.arena, text.as_bytes());
        }
        self.registers.set_bytes(&self.arena, texts.len());
    }

    fn longs(&mut self, numbers: &[&u64]) {
        for number in numbers {
            self.arena.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn clear(&mut self) {
        self.body = None;
        if self.arena.capacity() > ARENA_BYTES_KEPT {
            self.arena = Vec::new();
            self.records = Vec::new();
        }
        self.arena.clear();
        self.records.clear();
    }
}
