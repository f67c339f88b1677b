//! Options that can be written in several forms. Visitors, not untagged enums: those keep a value of any form first, which alone would be a twentieth of the WebAssembly module.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serializer};

use super::{Backoff, DeadLetter, Span};

/// A duration, or an object.
pub(super) fn backoff<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Backoff>, D::Error> {
    deserializer.deserialize_any(BackoffForms).map(Some)
}

struct BackoffForms;

impl<'de> Visitor<'de> for BackoffForms {
    type Value = Backoff;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("backoff: a duration, or initial, factor, max, jitter")
    }

    fn visit_u64<E: Error>(self, ms: u64) -> Result<Backoff, E> {
        Ok(Backoff::constant(Span(ms)))
    }

    fn visit_i64<E: Error>(self, ms: i64) -> Result<Backoff, E> {
        match u64::try_from(ms) {
            Ok(ms) => self.visit_u64(ms),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(ms), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, parts: A) -> Result<Backoff, A::Error> {
        Backoff::deserialize(MapAccessDeserializer::new(parts))
    }
}

/// A queue's name, null for `<queue>.dead`, an exchange and a key, or false.
pub(super) fn dead_letter<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DeadLetter>, D::Error> {
    deserializer.deserialize_any(DeadLetterForms).map(Some)
}

struct DeadLetterForms;

impl<'de> Visitor<'de> for DeadLetterForms {
    type Value = DeadLetter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dead_letter: a queue's name, null, [exchange, key], or false")
    }

    fn visit_bool<E: Error>(self, passed: bool) -> Result<DeadLetter, E> {
        if passed {
            return Err(E::custom(
                "dead_letter is true; leave it out for <queue>.dead, or name a queue",
            ));
        }
        Ok(DeadLetter::Off)
    }

    fn visit_str<E: Error>(self, queue: &str) -> Result<DeadLetter, E> {
        Ok(DeadLetter::Queue(queue.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<DeadLetter, E> {
        Ok(DeadLetter::Default)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<DeadLetter, A::Error> {
        let exchange = parts.next_element::<String>()?;
        let key = parts.next_element::<String>()?;
        match (exchange, key, parts.next_element::<String>()?) {
            (Some(exchange), Some(key), None) => Ok(DeadLetter::Exchange(exchange, key)),
            _ => Err(A::Error::invalid_type(Unexpected::Seq, &self)),
        }
    }
}

/// As it is read.
pub(super) fn dead_letter_shown<S: Serializer>(
    value: &Option<DeadLetter>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        None | Some(DeadLetter::Default) => serializer.serialize_unit(),
        Some(DeadLetter::Queue(queue)) => serializer.serialize_str(queue),
        Some(DeadLetter::Exchange(exchange, key)) => {
            let mut pair = serializer.serialize_tuple(2)?;
            pair.serialize_element(exchange)?;
            pair.serialize_element(key)?;
            pair.end()
        }
        Some(DeadLetter::Off) => serializer.serialize_bool(false),
    }
}
