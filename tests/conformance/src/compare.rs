//! What a call gave, beside what was expected of it. Only what is named is compared.

use std::collections::BTreeMap;

use ferrymq_core::engine::Reply;
use ferrymq_core::model::{HeaderValue, Message, MessageId, QueueStats};
use serde_json::Value;

use crate::text;

/// Integers up to here are numbers in every language; larger ones are written as decimal strings.
const EXACT_MAX: i128 = 1 << 53;

/// A result, as the vectors see it.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A count, a moment, an integer header.
    Int(i128),
    /// A float header.
    Float(f64),
    /// Text.
    Text(String),
    /// A message's body: expected as text, or as one of the forms of bodies.
    Body(Vec<u8>),
    /// A header of bytes: expected as `{"hex"}`.
    Bytes(Vec<u8>),
    /// In order.
    List(Vec<Shown>),
    /// By name.
    Fields(BTreeMap<String, Shown>),
}

impl Shown {
    fn text(value: Option<&String>) -> Shown {
        value.map_or(Shown::Null, |text| Shown::Text(text.clone()))
    }

    /// What a call on `queue` gave.
    pub fn reply(reply: &Reply, queue: &str) -> Shown {
        let id = |id: &MessageId| Shown::Int(id.0.into());
        match reply {
            Reply::Count(count) => Shown::Int((*count).into()),
            Reply::Produced(message) => id(message),
            Reply::ProducedMany(messages) => Shown::List(messages.iter().map(id).collect()),
            Reply::Delivery(delivery) => delivery.as_ref().map_or(Shown::Null, |delivery| {
                Shown::message(&delivery.message, queue)
            }),
            Reply::Deliveries(deliveries) => Shown::List(
                deliveries
                    .iter()
                    .map(|delivery| Shown::message(&delivery.message, queue))
                    .collect(),
            ),
            Reply::Messages(messages) => Shown::List(
                messages
                    .iter()
                    .map(|message| Shown::message(message, queue))
                    .collect(),
            ),
            Reply::Stats(stats) => Shown::stats(stats),
            Reply::Queues(queues) => Shown::List(
                queues
                    .iter()
                    .map(|stats| Shown::Text(stats.name.clone()))
                    .collect(),
            ),
            Reply::Transaction(replies) => Shown::List(
                replies
                    .iter()
                    .map(|reply| Shown::reply(reply, queue))
                    .collect(),
            ),
            _ => Shown::Null,
        }
    }

    /// A message and the queue it was found in.
    pub fn message(message: &Message, queue: &str) -> Shown {
        let properties = message.properties.as_deref();
        let fields = [
            ("body", Shown::Body(message.body.to_vec())),
            ("attempt", Shown::Int(message.attempt.into())),
            ("priority", Shown::Int(message.priority.into())),
            ("redelivered", Shown::Bool(message.redelivered)),
            ("produced_at", Shown::Int(message.produced_at.0.into())),
            ("queue", Shown::Text(queue.to_owned())),
            ("key", Shown::text(properties.and_then(|p| p.key.as_ref()))),
            (
                "content_type",
                Shown::text(properties.and_then(|p| p.content_type.as_ref())),
            ),
            (
                "correlation_id",
                Shown::text(properties.and_then(|p| p.correlation_id.as_ref())),
            ),
            (
                "reply_to",
                Shown::text(properties.and_then(|p| p.reply_to.as_ref())),
            ),
            (
                "headers",
                Shown::Fields(
                    properties
                        .into_iter()
                        .flat_map(|p| &p.headers)
                        .map(|(name, value)| (name.clone(), Shown::header(value)))
                        .collect(),
                ),
            ),
        ];
        Shown::fields(fields)
    }

    fn fields<const N: usize>(fields: [(&str, Shown); N]) -> Shown {
        Shown::Fields(
            fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    fn header(value: &HeaderValue) -> Shown {
        match value {
            HeaderValue::Null => Shown::Null,
            HeaderValue::Bool(value) => Shown::Bool(*value),
            HeaderValue::Int(value) | HeaderValue::Timestamp(value) => Shown::Int((*value).into()),
            HeaderValue::Float(value) => Shown::Float(*value),
            HeaderValue::Str(value) => Shown::Text(value.clone()),
            HeaderValue::Bytes(value) => Shown::Bytes(value.clone()),
            HeaderValue::List(values) => Shown::List(values.iter().map(Shown::header).collect()),
            HeaderValue::Map(values) => Shown::Fields(
                values
                    .iter()
                    .map(|(name, value)| (name.clone(), Shown::header(value)))
                    .collect(),
            ),
        }
    }

    /// A queue in numbers, under the names that serialisation gives them.
    pub fn stats(stats: &QueueStats) -> Shown {
        let value = serde_json::to_value(stats).expect("statistics are plain values");
        Shown::json(&value)
    }

    /// A plain value.
    pub fn json(value: &Value) -> Shown {
        match value {
            Value::Null => Shown::Null,
            Value::Bool(value) => Shown::Bool(*value),
            Value::Number(number) => integer(number)
                .map(Shown::Int)
                .or_else(|| number.as_f64().map(Shown::Float))
                .unwrap_or(Shown::Null),
            Value::String(text) => Shown::Text(text.clone()),
            Value::Array(values) => Shown::List(values.iter().map(Shown::json).collect()),
            Value::Object(fields) => Shown::Fields(
                fields
                    .iter()
                    .map(|(name, value)| (name.clone(), Shown::json(value)))
                    .collect(),
            ),
        }
    }

    /// For a sentence about a difference.
    pub fn brief(&self) -> String {
        match self {
            Shown::Null => "null".to_owned(),
            Shown::Bool(value) => value.to_string(),
            Shown::Int(value) => value.to_string(),
            Shown::Float(value) => value.to_string(),
            Shown::Text(text) => cut(&format!("{text:?}")),
            Shown::Body(bytes) | Shown::Bytes(bytes) => {
                cut(&format!("{:?}", String::from_utf8_lossy(bytes)))
            }
            Shown::List(values) => format!("a list of {}", values.len()),
            Shown::Fields(fields) => match fields.get("body") {
                Some(body) => format!("a message with body {}", body.brief()),
                None => format!("fields {:?}", fields.keys().collect::<Vec<_>>()),
            },
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

fn integer(number: &serde_json::Number) -> Option<i128> {
    number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from))
}

/// Compares what is named. The error says where the first difference is.
pub fn compare(expected: &Value, shown: &Shown) -> Result<(), String> {
    compare_at(expected, shown, &mut Vec::new())
}

fn compare_at(expected: &Value, shown: &Shown, path: &mut Vec<String>) -> Result<(), String> {
    let same = match (expected, shown) {
        (Value::Null, Shown::Null) => true,
        (Value::Bool(a), Shown::Bool(b)) => a == b,
        (Value::Number(a), Shown::Int(b)) => match integer(a) {
            Some(a) => a == *b,
            None => a.as_f64() == Some(*b as f64),
        },
        (Value::Number(a), Shown::Float(b)) => a.as_f64() == Some(*b),
        (Value::String(a), Shown::Int(b)) => b.abs() > EXACT_MAX && a.parse() == Ok(*b),
        (Value::String(a), Shown::Text(b)) => a == b,
        (Value::Object(form), Shown::Bytes(bytes)) => {
            text::hex_form(form)?.is_some_and(|expected| expected == *bytes)
        }
        (expected, Shown::Body(bytes)) => body_is(expected, bytes)?,
        (Value::Array(expected), Shown::List(shown)) => {
            return compare_lists(expected, shown, path);
        }
        (Value::Object(expected), Shown::Fields(shown)) => {
            for (name, value) in expected {
                path.push(name.clone());
                compare_at(value, shown.get(name).unwrap_or(&Shown::Null), path)?;
                path.pop();
            }
            return Ok(());
        }
        _ => false,
    };
    if same {
        return Ok(());
    }
    let what = if path.is_empty() {
        String::new()
    } else {
        format!("{} ", path.join("."))
    };
    Err(format!(
        "expected {what}{}, got {}",
        cut(&expected.to_string()),
        shown.brief()
    ))
}

fn compare_lists(
    expected: &[Value],
    shown: &[Shown],
    path: &mut Vec<String>,
) -> Result<(), String> {
    for (at, (expected, shown)) in expected.iter().zip(shown).enumerate() {
        path.push(at.to_string());
        compare_at(expected, shown, path)?;
        path.pop();
    }
    if expected.len() == shown.len() {
        return Ok(());
    }
    Err(format!(
        "expected {}a list of {}, got {}",
        path.iter()
            .map(|part| format!("{part}."))
            .collect::<String>(),
        expected.len(),
        shown.len()
    ))
}

fn body_is(expected: &Value, bytes: &[u8]) -> Result<bool, String> {
    if expected.is_null() {
        return Ok(false);
    }
    if let Some(value) = expected.get("json") {
        return Ok(serde_json::from_slice::<Value>(bytes).is_ok_and(|body| body == *value));
    }
    Ok(text::body(expected)? == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_named_is_compared() {
        let shown = Shown::json(&json!({"a": 1, "b": {"c": 2, "d": 3}}));
        assert_eq!(compare(&json!({"b": {"c": 2}}), &shown), Ok(()));
        assert_eq!(compare(&json!({"absent": null}), &shown), Ok(()));
        let wrong = compare(&json!({"b": {"c": 3}}), &shown);
        assert_eq!(wrong, Err("expected b.c 3, got 2".to_owned()));
    }

    #[test]
    fn lists_have_equal_lengths() {
        let shown = Shown::json(&json!([1, 2]));
        assert_eq!(compare(&json!([1, 2]), &shown), Ok(()));
        assert!(compare(&json!([1]), &shown).is_err());
        assert!(compare(&json!([1, 2, 3]), &shown).is_err());
    }

    #[test]
    fn integers_beyond_what_a_float_holds_are_strings() {
        assert_eq!(
            compare(&json!("9223372036854775807"), &Shown::Int(i64::MAX.into())),
            Ok(())
        );
        assert!(compare(&json!("9223372036854775806"), &Shown::Int(i64::MAX.into())).is_err());
        assert!(compare(&json!("1"), &Shown::Int(1)).is_err());
        assert_eq!(compare(&json!(2), &Shown::Float(2.0)), Ok(()));
    }

    #[test]
    fn bytes_are_not_text() {
        assert_eq!(
            compare(&json!({"hex": "61"}), &Shown::Bytes(b"a".to_vec())),
            Ok(())
        );
        assert!(compare(&json!("a"), &Shown::Bytes(b"a".to_vec())).is_err());
        assert_eq!(compare(&json!("a"), &Shown::Body(b"a".to_vec())), Ok(()));
        assert_eq!(
            compare(
                &json!({"json": {"a": 1}}),
                &Shown::Body(br#"{ "a":1}"#.to_vec())
            ),
            Ok(())
        );
    }
}
