//! Queue options from a plain object. TypeScript has checked every kind and made one form of each option (`options.ts`), so that values are taken as they come: the
//! core's own deserialisation takes all forms that a person may write, and would be a twentieth of the module.

use ferrymq_core::model::{
    Backoff, DeadLetter, Durability, Error, Overflow, QueueOptions, Result, Span,
};
use serde::{Deserialize, Deserializer};
use wasm_bindgen::JsValue;

/// One option's value; undefined: it was not passed.
#[derive(Default)]
struct Value(JsValue);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        serde_wasm_bindgen::preserve::deserialize(deserializer).map(Value)
    }
}

impl Value {
    /// What `read` makes of the value, if it was passed.
    fn read<T>(&self, read: impl Fn(&Value) -> T) -> Option<T> {
        (!self.0.is_undefined()).then(|| read(self))
    }

    fn float(&self) -> Option<f64> {
        self.0.as_f64()
    }

    /// A whole number: a number, or a bigint; null is none.
    fn long(&self) -> Option<u64> {
        match self.float() {
            Some(number) => Some(number as u64),
            None => u64::try_from(self.0.clone()).ok(),
        }
    }

    fn int(&self) -> Option<u32> {
        self.float().map(|number| number as u32)
    }

    fn span(&self) -> Option<Span> {
        self.long().map(Span)
    }
}

/// The options by name, the parts of `backoff` and the key of `deadLetter` among them.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Passed {
    capacity: Value,
    capacity_bytes: Value,
    overflow: Value,
    lease: Value,
    max_attempts: Value,
    backoff_initial: Value,
    backoff_factor: Value,
    backoff_max: Value,
    backoff_jitter: Value,
    dead_letter: Value,
    dead_letter_key: Value,
    ttl: Value,
    priorities: Value,
    ordered_keys: Value,
    durability: Value,
}

/// Errors: `InvalidArgument` when the object is not TypeScript's.
pub fn options_from(options: JsValue) -> Result<QueueOptions> {
    let passed: Passed = serde_wasm_bindgen::from_value(options)
        .map_err(|error| Error::invalid(format!("the queue's options do not fit: {error}")))?;
    Ok(QueueOptions {
        capacity: passed.capacity.read(Value::long),
        capacity_bytes: passed.capacity_bytes.read(Value::long),
        overflow: passed.overflow.int().map(overflow),
        lease: passed.lease.span(),
        max_attempts: passed.max_attempts.read(Value::int),
        backoff: passed.backoff(),
        dead_letter: passed
            .dead_letter
            .read(|value| dead_letter(value, &passed.dead_letter_key)),
        ttl: passed.ttl.read(Value::span),
        priorities: passed.priorities.int(),
        ordered_keys: passed.ordered_keys.0.as_bool(),
        durability: passed.durability.read(durability),
    })
}

impl Passed {
    /// None of its parts: it was not passed. Parts that are missing are their defaults.
    fn backoff(&self) -> Option<Backoff> {
        let default = Backoff::default();
        let parts = [
            &self.backoff_initial,
            &self.backoff_factor,
            &self.backoff_max,
            &self.backoff_jitter,
        ];
        parts
            .iter()
            .any(|part| !part.0.is_undefined())
            .then(|| Backoff {
                initial: self.backoff_initial.span().unwrap_or(default.initial),
                factor: self.backoff_factor.float().unwrap_or(default.factor),
                max: self.backoff_max.span().unwrap_or(default.max),
                jitter: self.backoff_jitter.float().unwrap_or(default.jitter),
            })
    }
}

/// By their place in `options.ts`.
fn overflow(place: u32) -> Overflow {
    match place {
        0 => Overflow::Reject,
        1 => Overflow::DropOldest,
        _ => Overflow::Block,
    }
}

fn durability(value: &Value) -> Option<Durability> {
    crate::config::durability(value.int().unwrap_or(0))
}

fn dead_letter(target: &Value, key: &Value) -> DeadLetter {
    match (target.0.as_string(), key.0.as_string()) {
        (Some(exchange), Some(key)) => DeadLetter::Exchange(exchange, key),
        (Some(queue), None) => DeadLetter::Queue(queue),
        _ if target.0.is_null() => DeadLetter::Default,
        _ => DeadLetter::Off,
    }
}
