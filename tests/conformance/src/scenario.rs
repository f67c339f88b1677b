//! Scenarios, read strictly: what is not known is an error.

use std::collections::BTreeMap;

use ferrymq_core::model::{Durability, Error, Span};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::text;

/// One file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Which promise, and why.
    #[serde(default)]
    pub about: String,
    /// Public names that it covers.
    #[serde(default)]
    pub covers: Vec<String>,
    /// How the broker is opened.
    #[serde(default)]
    pub open: Open,
    /// What is done.
    pub steps: Vec<Step>,
}

/// How the broker is opened.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Open {
    /// Which disk.
    pub storage: StorageName,
    /// Durability of queues that do not say.
    pub durability: Option<Durability>,
    /// Lease of queues that do not say.
    pub lease: Option<Span>,
    /// Memory that messages may take, bytes.
    pub memory_limit: Option<u64>,
    /// What stands in the store's directory before it is opened, by name.
    pub files: BTreeMap<String, Packed>,
}

/// A file of a golden store: its length, and by their place those sectors that are not zeros, in hexadecimal digits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packed {
    /// Bytes.
    pub len: usize,
    /// What is not zeros.
    pub sectors: BTreeMap<usize, String>,
}

impl Packed {
    /// The file's bytes. Errors: a sector that is no sector.
    pub fn unpack(&self) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; self.len];
        for (at, digits) in &self.sectors {
            let form = [("hex".to_owned(), Value::from(digits.as_str()))];
            let sector = text::hex_form(&form.into_iter().collect())?.unwrap_or_default();
            let place = bytes.get_mut(*at..at + sector.len());
            place
                .ok_or_else(|| format!("sector {at} is outside of its file"))?
                .copy_from_slice(&sector);
        }
        Ok(bytes)
    }
}

/// Which disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageName {
    /// None.
    #[default]
    Memory,
    /// Files in a directory, which complete by themselves.
    Store,
    /// One whose syncs complete when told.
    Manual,
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where the clock is moved before it.
    pub at: Option<u64>,
    /// What is done, by name.
    pub verb: String,
    /// What is done.
    pub action: Action,
    /// The name of the result.
    pub name: Option<String>,
    /// The result.
    pub expect: Option<Value>,
    /// The error's code.
    pub error: Option<String>,
}

/// What a message is said to be, beside its body.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ProduceOptions {
    pub key: Option<String>,
    pub priority: u8,
    pub delay: Option<Span>,
    pub ttl: Option<Span>,
    pub headers: Map<String, Value>,
    pub durability: Option<Durability>,
    pub content_type: Option<String>,
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    pub dedup_id: Option<String>,
    pub timeout: Option<Span>,
    pub mandatory: bool,
}

/// What an exchange is said to be, beside its kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExchangeOptions {
    /// Gets what no binding takes.
    pub alternate: Option<String>,
}

/// A binding: to a queue, or to an exchange.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct BindingStep {
    pub exchange: String,
    pub queue: Option<String>,
    pub to_exchange: Option<String>,
    #[serde(default)]
    pub pattern: String,
    #[serde(default)]
    pub headers: Map<String, Value>,
    #[serde(default)]
    pub r#match: Value,
}

/// How to consume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsumeOptions {
    /// Settled by being handed over.
    pub auto_ack: bool,
    /// `None`: not said, do not wait; `Some(None)`: for ever.
    #[serde(deserialize_with = "said")]
    pub timeout: Option<Option<Span>>,
}

/// How a push consumer is served.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct ConsumerOptions {
    pub prefetch: Option<u32>,
    pub auto_ack: bool,
}

/// What a request is said to be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct RequestOptions {
    /// `None`: not said; `Some(None)`: for ever.
    #[serde(deserialize_with = "said")]
    pub timeout: Option<Option<Span>>,
    pub key: Option<String>,
    pub priority: u8,
    pub headers: Map<String, Value>,
    pub durability: Option<Durability>,
    pub content_type: Option<String>,
}

impl RequestOptions {
    /// What its message is said to be.
    pub fn message(self) -> ProduceOptions {
        ProduceOptions {
            key: self.key,
            priority: self.priority,
            headers: self.headers,
            durability: self.durability,
            content_type: self.content_type,
            ..ProduceOptions::default()
        }
    }
}

/// How to subscribe to the bus.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubscribeOptions {
    /// Durable under this name.
    pub name: Option<String>,
}

/// How to produce a batch.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchOptions {
    /// How long to wait for room; `None`: for ever.
    pub timeout: Option<Span>,
}

/// One message of a batch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Item {
    pub body: Value,
    #[serde(default)]
    pub options: Value,
}

/// What a settling step settles.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A delivery, as an object.
    Delivery(&'a str),
    /// A delivery, by its token's bytes.
    TokenOf(&'a str),
    /// Bytes, shown to a queue as a token.
    Bytes(&'a str, &'a Value),
}

impl<'a> Target<'a> {
    /// Exactly one of the three ways must be written.
    pub fn of(
        delivery: &'a Option<String>,
        token_of: &'a Option<String>,
        queue: &'a Option<String>,
        token: &'a Option<Value>,
    ) -> Result<Target<'a>, String> {
        match (delivery, token_of, queue, token) {
            (Some(name), None, None, None) => Ok(Target::Delivery(name)),
            (None, Some(name), None, None) => Ok(Target::TokenOf(name)),
            (None, None, Some(queue), Some(bytes)) => Ok(Target::Bytes(queue, bytes)),
            _ => Err("name a delivery, or token_of, or queue and token".to_owned()),
        }
    }
}

/// What is done. The names are the format's.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum Action {
    Queue {
        queue: String,
        #[serde(default)]
        options: Value,
    },
    Alter {
        queue: String,
        #[serde(default)]
        options: Value,
    },
    DeleteQueue {
        queue: String,
    },
    Purge {
        queue: String,
    },
    Redrive {
        queue: String,
        #[serde(default)]
        max: Value,
    },
    Produce {
        queue: String,
        body: Value,
        #[serde(default)]
        options: Value,
    },
    ProduceMany {
        queue: String,
        items: Vec<Item>,
        #[serde(default)]
        options: Value,
    },
    Consume {
        queue: String,
        #[serde(default)]
        options: Value,
    },
    ConsumeMany {
        queue: String,
        max: Value,
        #[serde(default)]
        options: Value,
    },
    Consumer {
        queue: String,
        #[serde(default)]
        options: Value,
    },
    Cancel {
        consumer: String,
    },
    Handed {
        consumer: String,
    },
    Peek {
        queue: String,
        #[serde(default = "one")]
        max: Value,
    },
    Ack {
        #[serde(default)]
        delivery: Option<String>,
        #[serde(default)]
        token_of: Option<String>,
        #[serde(default)]
        queue: Option<String>,
        #[serde(default)]
        token: Option<Value>,
        #[serde(default)]
        durable: bool,
    },
    Nack {
        #[serde(default)]
        delivery: Option<String>,
        #[serde(default)]
        token_of: Option<String>,
        #[serde(default)]
        queue: Option<String>,
        #[serde(default)]
        token: Option<Value>,
        #[serde(default)]
        delay: Value,
        #[serde(default)]
        reason: Option<String>,
    },
    Reject {
        #[serde(default)]
        delivery: Option<String>,
        #[serde(default)]
        token_of: Option<String>,
        #[serde(default)]
        queue: Option<String>,
        #[serde(default)]
        token: Option<Value>,
        #[serde(default)]
        reason: Option<String>,
    },
    Release {
        #[serde(default)]
        delivery: Option<String>,
        #[serde(default)]
        token_of: Option<String>,
        #[serde(default)]
        queue: Option<String>,
        #[serde(default)]
        token: Option<Value>,
    },
    Extend {
        #[serde(default)]
        delivery: Option<String>,
        #[serde(default)]
        token_of: Option<String>,
        #[serde(default)]
        queue: Option<String>,
        #[serde(default)]
        token: Option<Value>,
        by: Value,
    },
    Keep {
        delivery: String,
        #[serde(default = "yes")]
        kept: bool,
    },
    AckMany {
        deliveries: Vec<String>,
    },
    Exchange {
        exchange: String,
        #[serde(default)]
        kind: Value,
        #[serde(default)]
        options: Value,
    },
    DeleteExchange {
        exchange: String,
    },
    Bind(BindingStep),
    Unbind(BindingStep),
    Publish {
        exchange: String,
        #[serde(default)]
        key: String,
        body: Value,
        #[serde(default)]
        options: Value,
    },
    Request {
        queue: String,
        body: Value,
        #[serde(default)]
        options: Value,
    },
    Reply {
        delivery: String,
        body: Value,
        #[serde(default)]
        options: Value,
    },
    SubscribeBus {
        pattern: String,
        #[serde(default)]
        options: Value,
    },
    UnsubscribeBus {
        subscription: String,
    },
    PublishBus {
        topic: String,
        body: Value,
        #[serde(default)]
        options: Value,
    },
    BusEvents {
        subscription: String,
    },
    Transaction {
        ops: Vec<Step>,
    },
    Stats {
        queue: String,
    },
    Queues {},
    Result {
        of: String,
    },
    Sync {},
    SyncFails {},
    Kill {},
    PowerCut {},
    Reopen {},
    Close {},
}

fn yes() -> bool {
    true
}

fn one() -> Value {
    Value::from(1)
}

/// Reads options or another value. A value that the API's types do not have is a refusal of the API, as in languages without these types.
pub fn typed<T: DeserializeOwned>(what: &str, value: &Value) -> Result<T, Error> {
    serde_json::from_value(value.clone())
        .map_err(|error| Error::invalid(format!("{what}: {error}")))
}

/// Reads options; not given, they are their defaults.
pub fn options<T: DeserializeOwned + Default>(value: &Value) -> Result<T, Error> {
    match value {
        Value::Null => Ok(T::default()),
        given => typed("options", given),
    }
}

/// Tells "not said" (the field is missing) from "said to be null".
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Span>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Scenario {
    /// Reads a file's text. The error says which step is wrong, and how.
    pub fn parse(text: &str) -> Result<Scenario, String> {
        serde_json::from_str(text).map_err(|error| format!("does not parse: {error}"))
    }

    /// The same on a store in a directory, if it is one in memory: it must give the same.
    pub fn on_store(&self) -> Option<Scenario> {
        (self.open.storage == StorageName::Memory).then(|| Scenario {
            open: Open {
                storage: StorageName::Store,
                ..self.open.clone()
            },
            ..self.clone()
        })
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Step, D::Error> {
        use serde::de::Error as _;
        let mut fields = Map::deserialize(deserializer)?;
        let whole = Value::Object(fields.clone()).to_string();
        let mut text = |name: &str| match fields.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(D::Error::custom(format!("{name} is {other}, not a name"))),
        };
        let (name, error) = (text("as")?, text("error")?);
        let at = match fields.remove("at") {
            None => None,
            Some(at) => Some(at.as_u64().ok_or_else(|| {
                D::Error::custom(format!(
                    "at is {at}; it must be milliseconds since the start"
                ))
            })?),
        };
        let expect = fields.remove("expect");
        if expect.is_some() && error.is_some() {
            return Err(D::Error::custom(format!(
                "{whole} has both expect and error"
            )));
        }
        let verb = match fields.get("do") {
            Some(Value::String(verb)) => verb.clone(),
            _ => return Err(D::Error::custom(format!("{whole} does not say what to do"))),
        };
        let action = serde_json::from_value(Value::Object(fields))
            .map_err(|error| D::Error::custom(format!("{error} in step {whole}")))?;
        Ok(Step {
            at,
            verb,
            action,
            name,
            expect,
            error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrymq_core::model::{ErrorKind, QueueOptions};

    fn parse_step(step: &str) -> Result<Scenario, String> {
        Scenario::parse(&format!(
            r#"{{"name": "n", "about": "a", "covers": ["c"], "steps": [{step}]}}"#
        ))
    }

    #[test]
    fn what_is_unknown_is_an_error() {
        assert!(parse_step(r#"{"do": "consume", "queue": "q"}"#).is_ok());
        for (step, hint) in [
            (r#"{"do": "frobnicate"}"#, "frobnicate"),
            (r#"{"do": "consume", "queue": "q", "colour": 1}"#, "colour"),
            (r#"{"do": "sync", "queue": "q"}"#, "queue"),
            (r#"{"do": "consume"}"#, "queue"),
            (r#"{"do": "sync", "expect": 1, "error": "Closed"}"#, "both"),
            (r#"{"do": "sync", "at": -1}"#, "at is -1"),
        ] {
            let error = parse_step(step).expect_err(step);
            assert!(error.contains(hint), "{step}: {error}");
        }
    }

    #[test]
    fn null_is_not_missing() {
        let scenario = parse_step(
            r#"{"do": "consume", "queue": "q", "options": {"timeout": null}, "expect": null}"#,
        )
        .unwrap();
        assert_eq!(scenario.steps[0].expect, Some(Value::Null));
        match &scenario.steps[0].action {
            Action::Consume { options: given, .. } => {
                let given: ConsumeOptions = options(given).unwrap();
                assert_eq!(given.timeout, Some(None));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn wrong_values_and_unknown_options_are_refused() {
        for wrong in [
            r#"{"capacity": -1}"#,
            r#"{"overflow": "explode"}"#,
            r#"{"colour": 1}"#,
        ] {
            let refused = options::<QueueOptions>(&serde_json::from_str(wrong).unwrap());
            assert_eq!(
                refused.unwrap_err().kind(),
                ErrorKind::InvalidArgument,
                "{wrong}"
            );
        }
    }
}
