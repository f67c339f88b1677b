//! Records as bytes: each field in its order, numbers of more than a byte as varints, texts and lists behind their length, an enum behind the number of its variant. These are
//! the bytes that postcard gives, which the tests compare with; by hand they take a third of the code, which WebAssembly downloads, and a body is copied at once.
//!
//! What is read is checked against its frame's checksum before. Bytes that fit nothing make the source bad, and everything read after that empty: so no step needs a way
//! out of its own, and whoever reads a record asks once, at its end.

use std::sync::Arc;

use crate::model::collections::BTreeMap;
use crate::model::limits::HEADER_DEPTH_MAX;
use crate::model::{
    Backoff, Binding, DeadLetter, DeliveryNo, Departure, Destination, Dispatch, Durability,
    ExchangeId, ExchangeKind, HeaderValue, Match, MessageId, Overflow, Properties, QueueId,
    QueueSpec, QueueStats, Return, SavedPart, SavedReply, SessionName, Span, Time, Token,
};

use super::record::{Accepted, Moved, Record, Sealed};

/// Bytes that are read from the front.
pub(super) struct Source<'a> {
    rest: &'a [u8],
    is_bad: bool,
    depth: usize,
}

impl<'a> Source<'a> {
    pub fn new(bytes: &'a [u8]) -> Source<'a> {
        Source {
            rest: bytes,
            is_bad: false,
            depth: 0,
        }
    }

    /// Whether nothing is left.
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether something did not fit.
    pub fn is_bad(&self) -> bool {
        self.is_bad
    }

    fn fails(&mut self) {
        self.is_bad = true;
        self.rest = &[];
    }

    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            self.fails();
            return &[];
        };
        self.rest = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn varint(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte();
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
        }
        self.fails();
        0
    }

    /// What stands behind its length.
    fn counted(&mut self) -> &'a [u8] {
        let length = self.varint();
        self.bytes(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn text(&mut self) -> &'a str {
        std::str::from_utf8(self.counted()).unwrap_or_else(|_| {
            self.fails();
            ""
        })
    }
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_counted(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// What stands in the log.
pub(super) trait Stored: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(from: &mut Source<'_>) -> Self;
}

impl Stored for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(*self, out);
    }

    fn take(from: &mut Source<'_>) -> u64 {
        from.varint()
    }
}

impl Stored for u32 {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(u64::from(*self), out);
    }

    fn take(from: &mut Source<'_>) -> u32 {
        u32::try_from(from.varint()).unwrap_or_else(|_| {
            from.fails();
            0
        })
    }
}

impl Stored for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn take(from: &mut Source<'_>) -> u8 {
        from.byte()
    }
}

impl Stored for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn take(from: &mut Source<'_>) -> bool {
        let byte = from.byte();
        if byte > 1 {
            from.fails();
        }
        byte == 1
    }
}

/// Sixteen bytes, as they are.
impl Stored for SessionName {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn take(from: &mut Source<'_>) -> SessionName {
        let bytes = from.bytes(size_of::<SessionName>());
        SessionName(bytes.try_into().unwrap_or_default())
    }
}

/// Small numbers are short, whatever their sign.
impl Stored for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(((self << 1) ^ (self >> 63)) as u64, out);
    }

    fn take(from: &mut Source<'_>) -> i64 {
        let value = from.varint();
        (value >> 1) as i64 ^ -((value & 1) as i64)
    }
}

impl Stored for f64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn take(from: &mut Source<'_>) -> f64 {
        let bytes = from.bytes(size_of::<f64>());
        bytes.try_into().map_or(0.0, f64::from_le_bytes)
    }
}

impl Stored for String {
    fn put(&self, out: &mut Vec<u8>) {
        put_counted(self.as_bytes(), out);
    }

    fn take(from: &mut Source<'_>) -> String {
        from.text().to_owned()
    }
}

impl Stored for Arc<str> {
    fn put(&self, out: &mut Vec<u8>) {
        put_counted(self.as_bytes(), out);
    }

    fn take(from: &mut Source<'_>) -> Arc<str> {
        from.text().into()
    }
}

impl Stored for Arc<[u8]> {
    fn put(&self, out: &mut Vec<u8>) {
        put_counted(self, out);
    }

    fn take(from: &mut Source<'_>) -> Arc<[u8]> {
        from.counted().into()
    }
}

impl Stored for Vec<u8> {
    fn put(&self, out: &mut Vec<u8>) {
        put_counted(self, out);
    }

    fn take(from: &mut Source<'_>) -> Vec<u8> {
        from.counted().to_vec()
    }
}

impl<T: Stored> Stored for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(from: &mut Source<'_>) -> Option<T> {
        bool::take(from).then(|| T::take(from))
    }
}

/// Lists are their length and what is in them.
macro_rules! lists {
    ($($item:ty),*) => {$(
impl Stored for Vec<$item> {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(self.len() as u64, out);
        for value in self {
            value.put(out);
        }
    }

    fn take(from: &mut Source<'_>) -> Vec<$item> {
        let mut values = Vec::new();
        for _ in 0..from.varint() {
            if from.is_at_end() {
                from.fails();
                break;
            }
            values.push(Stored::take(from));
        }
        values
    }
}
    )*};
}

lists!(HeaderValue, MessageId, SavedPart, Sealed, Token);

impl Stored for BTreeMap<String, HeaderValue> {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(self.len() as u64, out);
        for (name, value) in self {
            name.put(out);
            value.put(out);
        }
    }

    fn take(from: &mut Source<'_>) -> BTreeMap<String, HeaderValue> {
        let mut values = BTreeMap::new();
        for _ in 0..from.varint() {
            if from.is_at_end() {
                from.fails();
                break;
            }
            let name = String::take(from);
            values.insert(name, HeaderValue::take(from));
        }
        values
    }
}

impl<T: Stored> Stored for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }

    fn take(from: &mut Source<'_>) -> Box<T> {
        Box::new(T::take(from))
    }
}

impl Stored for Arc<Properties> {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }

    fn take(from: &mut Source<'_>) -> Arc<Properties> {
        Arc::new(Properties::take(from))
    }
}

/// Values within values are as deep as a message may have them, and no deeper.
impl Stored for HeaderValue {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            HeaderValue::Null => out.push(0),
            HeaderValue::Bool(value) => (1_u8, *value).put(out),
            HeaderValue::Int(value) => (2_u8, *value).put(out),
            HeaderValue::Float(value) => (3_u8, *value).put(out),
            HeaderValue::Str(value) => {
                out.push(4);
                value.put(out);
            }
            HeaderValue::Bytes(value) => {
                out.push(5);
                value.put(out);
            }
            HeaderValue::Timestamp(value) => (6_u8, *value).put(out),
            HeaderValue::List(values) => {
                out.push(7);
                values.put(out);
            }
            HeaderValue::Map(values) => {
                out.push(8);
                values.put(out);
            }
        }
    }

    fn take(from: &mut Source<'_>) -> HeaderValue {
        from.depth += 1;
        if from.depth > HEADER_DEPTH_MAX {
            from.fails();
        }
        let value = match from.byte() {
            0 => HeaderValue::Null,
            1 => HeaderValue::Bool(Stored::take(from)),
            2 => HeaderValue::Int(Stored::take(from)),
            3 => HeaderValue::Float(Stored::take(from)),
            4 => HeaderValue::Str(Stored::take(from)),
            5 => HeaderValue::Bytes(Stored::take(from)),
            6 => HeaderValue::Timestamp(Stored::take(from)),
            7 => HeaderValue::List(Stored::take(from)),
            8 => HeaderValue::Map(Stored::take(from)),
            _ => {
                from.fails();
                HeaderValue::Null
            }
        };
        from.depth -= 1;
        value
    }
}

impl<A: Stored, B: Stored> Stored for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(from: &mut Source<'_>) -> (A, B) {
        let first = A::take(from);
        (first, B::take(from))
    }
}

/// The fields of structs, in the order in which they stand. One that is forgotten does not compile.
macro_rules! fields {
    ($($name:ident { $($field:ident),* $(,)? })*) => {$(
        impl Stored for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let $name { $($field),* } = self;
                $($field.put(out);)*
            }

            fn take(source: &mut Source<'_>) -> $name {
                $(let $field = Stored::take(source);)*
                $name { $($field),* }
            }
        }
    )*};
}

/// Newtypes are what they hold.
macro_rules! newtypes {
    ($($name:ident),*) => {$(
        impl Stored for $name {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }

            fn take(from: &mut Source<'_>) -> $name {
                $name(Stored::take(from))
            }
        }
    )*};
}

/// Enums without fields, by the number of the variant.
macro_rules! words {
    ($($name:ident { $($variant:ident),* $(,)? })*) => {$(
        impl Stored for $name {
            fn put(&self, out: &mut Vec<u8>) {
                out.push(*self as u8);
            }

            fn take(from: &mut Source<'_>) -> $name {
                const ALL: &[$name] = &[$($name::$variant),*];
                let place = usize::from(from.byte());
                ALL.get(place).copied().unwrap_or_else(|| {
                    from.fails();
                    ALL[0]
                })
            }
        }
    )*};
}

/// Enums with fields: the number of each variant, and what it holds. The last is what bad bytes become.
macro_rules! variants {
    ($name:ident {
        $($number:literal => $variant:ident $({ $($field:ident),* $(,)? })? $(($($inner:ident),*))?),* $(,)?
    } else $bad:expr) => {
        impl Stored for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {$(
                    $name::$variant $({ $($field),* })? $(($($inner),*))? => {
                        out.push($number);
                        $($($field.put(out);)*)?
                        $($($inner.put(out);)*)?
                    }
                )*}
            }

            fn take(from: &mut Source<'_>) -> $name {
                match from.byte() {
                    $($number => {
                        $($(let $field = Stored::take(from);)*)?
                        $($(let $inner = Stored::take(from);)*)?
                        $name::$variant $({ $($field),* })? $(($($inner),*))?
                    })*
                    _ => {
                        from.fails();
                        $bad
                    }
                }
            }
        }
    };
}

newtypes!(DeliveryNo, MessageId, Span, Time);

words! {
    Departure { Acked, Taken, Rejected, Expired, MaxAttempts, Overflow }
    Dispatch { RoundRobin, Random, LeastLoaded }
    Durability { Memory, Written, Durable }
    ExchangeKind { Direct, Fanout, Topic, Headers }
    Match { All, Any }
    Overflow { Reject, DropOldest, Block }
    Return { Nacked, Released, LeaseEnded }
}

fields! {
    QueueId { index, generation }
    ExchangeId { index, generation }
    Binding { to, pattern, headers, matching }
    Backoff { initial, factor, max, jitter }
    Properties { key, headers, content_type, correlation_id, reply_to, dedup_id }
    QueueSpec {
        capacity, capacity_bytes, overflow, lease, max_attempts, backoff, dead_letter, ttl, priorities, ordered_keys, dispatch, single_active_consumer,
        dedup_window, expires, exclusive, auto_delete, durability,
    }
    QueueStats {
        name, ready, delayed, leased, held, bytes, produced, acked, nacked, rejected, released, expired, dead_lettered, redelivered, dropped, oldest_age,
        head, tail, size, capacity,
    }
    Accepted {
        queue, id, body, properties, priority, level, produced_at, due, expires_at, attempt, redelivered,
    }
    Moved { from, to, cause }
    Sealed { segment, first_lsn, end_lsn }
    Token { epoch, lease, delivery, message }
}

variants! { Destination {
    0 => Queue(queue),
    1 => Exchange(exchange),
} else Destination::Queue(QueueId { index: 0, generation: 0 }) }

variants! { DeadLetter {
    0 => Default,
    1 => Queue(name),
    2 => Exchange(name, key),
    3 => Off,
} else DeadLetter::Off }

variants! { SavedPart {
    0 => Done,
    1 => Count(count),
    2 => Produced(message),
} else SavedPart::Done }

variants! { SavedReply {
    0 => Done,
    1 => Queue(queue),
    2 => Exchange(exchange, kind),
    3 => Count(count),
    4 => Produced(message),
    5 => ProducedMany(messages),
    6 => Lost(tokens),
    7 => Transaction(parts),
} else SavedReply::Done }

variants! { Record {
    0 => Checkpoint { last_message, generation_floor, epoch, segments },
    1 => Queue { queue, name, spec },
    2 => Counts { queue, stats },
    3 => QueueDeleted { queue },
    4 => Accepted(accepted),
    5 => Recycled { segment },
    6 => Leased { message, attempt },
    7 => Returned { message, attempt, due, cause, reason },
    8 => Held { message, cause, detail },
    9 => Removed { message, cause },
    10 => Moved(moved),
    11 => Exchange { exchange, name, kind, alternate },
    12 => ExchangeDeleted { exchange },
    13 => Bound { exchange, binding },
    14 => Unbound { exchange, binding },
    15 => Remembered { queue, name, message, at },
    16 => Forgotten { queue, at, window },
    17 => SameBody(accepted),
    18 => Session { session, seen, heard },
    19 => SessionForgotten { session },
    20 => Answered { session, number, seen, at, reply },
} else Record::QueueDeleted { queue: QueueId { index: u32::MAX, generation: 0 } } }

#[cfg(test)]
mod tests;
