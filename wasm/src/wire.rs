//! Messages, properties and transactions as bytes between TypeScript (`writer.ts`) and here. Little-endian; texts and lists carry their length
//! before them. Private to one package, both halves of which are always of the same build: it is no format that anything keeps, and bytes that
//! end early are a defect, which traps.

use std::sync::Arc;

use ferrymq_core::engine::Operation;
use ferrymq_core::model::{
    Binding, Body, DeliveryNo, Destination, ExchangeId, HeaderValue, Headers, Match, MessageId,
    Outgoing, Properties, QueueId, Token,
};

use crate::config::{durability, span};

const KEY: u8 = 1;
const CONTENT_TYPE: u8 = 2;
const CORRELATION_ID: u8 = 3;
const REPLY_TO: u8 = 4;
const HEADERS: u8 = 5;
const TEXT: u8 = 6;
const JSON: u8 = 7;
const DEDUP_ID: u8 = 8;

/// What a text body's `content_type` is.
const TEXT_TYPE: &str = "text/plain; charset=utf-8";
/// What a JSON body's `content_type` is.
const JSON_TYPE: &str = "application/json";

/// Reads what TypeScript wrote.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let bytes = self.take(N);
        std::array::from_fn(|i| bytes[i])
    }

    pub fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn float(&mut self) -> f64 {
        f64::from_le_bytes(self.array())
    }

    fn long(&mut self) -> i64 {
        i64::from_le_bytes(self.array())
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = self.word() as usize;
        self.take(length)
    }

    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// One message: lengths, delay, ttl, priority with durability, properties, body.
    pub fn message(&mut self) -> Outgoing {
        let properties = self.word() as usize;
        let body = self.word() as usize;
        let delay = self.float();
        let ttl = self.float();
        let level = self.word();
        let properties = properties_from(self.take(properties));
        Outgoing {
            body: Body::from(self.take(body)),
            properties,
            priority: level as u8,
            delay: span(delay),
            ttl: span(ttl),
            durability: durability(level >> 8),
        }
    }

    /// One token, as [`crate::registers::token_words`] has it.
    pub fn token(&mut self) -> Token {
        let mut words = [0; 6];
        for word in &mut words {
            *word = self.word();
        }
        token_from(words)
    }

    /// One step of a transaction.
    pub fn operation(&mut self) -> Operation {
        match self.word() {
            0 => Operation::Produce {
                queue: self.queue(),
                message: self.message(),
            },
            1 => Operation::Publish {
                exchange: self.exchange(),
                mandatory: self.word() != 0,
                key: self.text(),
                message: self.message(),
            },
            _ => Operation::Ack {
                token: self.token(),
            },
        }
    }

    /// An exchange and a binding of it: flags (1: to an exchange, 2: any of the headers), place and generation of both ends, pattern, headers.
    pub fn binding(&mut self) -> (ExchangeId, Binding) {
        let flags = self.word();
        let exchange = self.exchange();
        let to = if flags & 1 != 0 {
            Destination::Exchange(self.exchange())
        } else {
            Destination::Queue(self.queue())
        };
        let mut binding = Binding::new(to, self.text());
        binding.headers = self.map();
        if flags & 2 != 0 {
            binding.matching = Match::Any;
        }
        (exchange, binding)
    }

    fn exchange(&mut self) -> ExchangeId {
        ExchangeId {
            index: self.word(),
            generation: self.word(),
        }
    }

    fn queue(&mut self) -> QueueId {
        QueueId {
            index: self.word(),
            generation: self.word(),
        }
    }

    fn properties(&mut self) -> Properties {
        let mut properties = Properties::default();
        while !self.is_empty() {
            match self.byte() {
                KEY => properties.key = Some(self.text()),
                CONTENT_TYPE => properties.content_type = Some(self.text()),
                CORRELATION_ID => properties.correlation_id = Some(self.text()),
                REPLY_TO => properties.reply_to = Some(self.text()),
                DEDUP_ID => properties.dedup_id = Some(self.text().into()),
                TEXT => properties.content_type = Some(TEXT_TYPE.to_owned()),
                JSON => properties.content_type = Some(JSON_TYPE.to_owned()),
                _ => properties.headers = self.map(),
            }
        }
        properties
    }

    fn map(&mut self) -> Headers {
        let mut headers = Headers::new();
        for _ in 0..self.word() {
            let name = self.text();
            headers.insert(name, self.value());
        }
        headers
    }

    /// A header's value, or an option's.
    pub fn value(&mut self) -> HeaderValue {
        match self.byte() {
            0 => HeaderValue::Null,
            1 => HeaderValue::Bool(false),
            2 => HeaderValue::Bool(true),
            3 => HeaderValue::Int(self.long()),
            4 => HeaderValue::Float(self.float()),
            5 => HeaderValue::Str(self.text()),
            6 => HeaderValue::Bytes(self.bytes().to_vec()),
            7 => HeaderValue::Timestamp(self.long()),
            8 => {
                let mut values = Vec::new();
                for _ in 0..self.word() {
                    values.push(self.value());
                }
                HeaderValue::List(values)
            }
            _ => HeaderValue::Map(self.map()),
        }
    }
}

/// A token from its words.
pub fn token_from([epoch, lease, d1, d0, m1, m0]: [u32; 6]) -> Token {
    let long = |high: u32, low: u32| (u64::from(high) << 32) | u64::from(low);
    Token {
        epoch,
        lease,
        delivery: DeliveryNo(long(d1, d0)),
        message: MessageId(long(m1, m0)),
    }
}

/// Properties from their bytes; none when there are none.
pub fn properties_from(bytes: &[u8]) -> Option<Arc<Properties>> {
    if bytes.is_empty() {
        return None;
    }
    let properties = Reader::new(bytes).properties();
    (!properties.is_empty()).then(|| Arc::new(properties))
}

/// Appends properties as [`properties_from`] reads them; returns how many bytes.
pub fn write_properties(out: &mut Vec<u8>, properties: Option<&Arc<Properties>>) -> usize {
    let from = out.len();
    let Some(properties) = properties else {
        return 0;
    };
    match properties.content_type.as_deref() {
        Some(TEXT_TYPE) => out.push(TEXT),
        Some(JSON_TYPE) => out.push(JSON),
        other => write_field(out, CONTENT_TYPE, other),
    }
    write_field(out, KEY, properties.key.as_deref());
    write_field(out, CORRELATION_ID, properties.correlation_id.as_deref());
    write_field(out, REPLY_TO, properties.reply_to.as_deref());
    if !properties.headers.is_empty() {
        out.push(HEADERS);
        write_map(out, &properties.headers);
    }
    out.len() - from
}

fn write_field(out: &mut Vec<u8>, tag: u8, text: Option<&str>) {
    if let Some(text) = text {
        out.push(tag);
        write_bytes(out, text.as_bytes());
    }
}

pub fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn write_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&(length as u32).to_le_bytes());
}

fn write_map(out: &mut Vec<u8>, headers: &Headers) {
    write_length(out, headers.len());
    for (name, value) in headers {
        write_bytes(out, name.as_bytes());
        write_value(out, value);
    }
}

fn write_value(out: &mut Vec<u8>, value: &HeaderValue) {
    match value {
        HeaderValue::Null => out.push(0),
        HeaderValue::Bool(value) => out.push(1 + u8::from(*value)),
        HeaderValue::Int(value) => {
            out.push(3);
            out.extend_from_slice(&value.to_le_bytes());
        }
        HeaderValue::Float(value) => {
            out.push(4);
            out.extend_from_slice(&value.to_le_bytes());
        }
        HeaderValue::Str(text) => {
            out.push(5);
            write_bytes(out, text.as_bytes());
        }
        HeaderValue::Bytes(bytes) => {
            out.push(6);
            write_bytes(out, bytes);
        }
        HeaderValue::Timestamp(ms) => {
            out.push(7);
            out.extend_from_slice(&ms.to_le_bytes());
        }
        HeaderValue::List(values) => {
            out.push(8);
            write_length(out, values.len());
            for value in values {
                write_value(out, value);
            }
        }
        HeaderValue::Map(headers) => {
            out.push(9);
            write_map(out, headers);
        }
    }
}
