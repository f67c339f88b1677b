//! Queue options as `options.ts` writes them: per option its place in the list there and one value. TypeScript has checked every kind and made one form of each
//! option, so that values are taken as they come: the core's own deserialisation takes all forms that a person may write, and would be a twentieth of the module.

use ferrymq_core::model::{
    Backoff, DeadLetter, Dispatch, Durability, HeaderValue, Overflow, QueueOptions, Span,
};

use crate::wire::Reader;

/// The options that TypeScript wrote.
pub fn options_from(mut reader: Reader<'_>) -> QueueOptions {
    let mut options = QueueOptions::default();
    while !reader.is_empty() {
        let place = reader.byte();
        let value = reader.value();
        match place {
            0 => options.capacity = Some(long(&value)),
            1 => options.capacity_bytes = Some(long(&value)),
            2 => options.overflow = Some(overflow(&value)),
            3 => options.lease = span(&value),
            4 => options.max_attempts = Some(int(&value)),
            5 => options.backoff = Some(backoff(&value)),
            6 => options.dead_letter = Some(dead_letter(value)),
            7 => options.ttl = Some(span(&value)),
            8 => options.priorities = int(&value),
            9 => options.ordered_keys = Some(flag(&value)),
            10 => options.durability = Some(durability(&value)),
            11 => options.dispatch = Some(dispatch(&value)),
            12 => options.single_active_consumer = Some(flag(&value)),
            13 => options.dedup_window = Some(span(&value)),
            14 => options.expires = Some(span(&value)),
            15 => options.exclusive = Some(flag(&value)),
            _ => options.auto_delete = Some(flag(&value)),
        }
    }
    options
}

/// A number; null is none.
fn float(value: &HeaderValue) -> Option<f64> {
    match value {
        HeaderValue::Int(number) => Some(*number as f64),
        HeaderValue::Float(number) => Some(*number),
        _ => None,
    }
}

/// A whole number of 64 bits, whose highest bit is no sign; null is none.
fn long(value: &HeaderValue) -> Option<u64> {
    match value {
        HeaderValue::Int(number) => Some(*number as u64),
        HeaderValue::Float(number) => Some(*number as u64),
        _ => None,
    }
}

fn int(value: &HeaderValue) -> Option<u32> {
    long(value).map(|number| number as u32)
}

fn span(value: &HeaderValue) -> Option<Span> {
    long(value).map(Span)
}

fn flag(value: &HeaderValue) -> bool {
    *value == HeaderValue::Bool(true)
}

/// By its place in `options.ts`.
fn overflow(place: &HeaderValue) -> Overflow {
    match int(place) {
        Some(0) => Overflow::Reject,
        Some(1) => Overflow::DropOldest,
        _ => Overflow::Block,
    }
}

/// By its place in `options.ts`.
fn dispatch(place: &HeaderValue) -> Dispatch {
    match int(place) {
        Some(0) => Dispatch::RoundRobin,
        Some(1) => Dispatch::Random,
        _ => Dispatch::LeastLoaded,
    }
}

fn durability(value: &HeaderValue) -> Option<Durability> {
    crate::config::durability(int(value).unwrap_or(0))
}

/// A list of initial, factor, max and jitter; null: its default.
fn backoff(value: &HeaderValue) -> Backoff {
    let mut backoff = Backoff::default();
    if let HeaderValue::List(parts) = value
        && let [initial, factor, max, jitter] = parts.as_slice()
    {
        backoff.initial = span(initial).unwrap_or(backoff.initial);
        backoff.factor = float(factor).unwrap_or(backoff.factor);
        backoff.max = span(max).unwrap_or(backoff.max);
        backoff.jitter = float(jitter).unwrap_or(backoff.jitter);
    }
    backoff
}

/// A queue's name, a list of exchange and key, null for the default, or false.
fn dead_letter(value: HeaderValue) -> DeadLetter {
    match value {
        HeaderValue::Null => DeadLetter::Default,
        HeaderValue::Str(queue) => DeadLetter::Queue(queue),
        HeaderValue::List(mut pair) => match (pair.pop(), pair.pop()) {
            (Some(HeaderValue::Str(key)), Some(HeaderValue::Str(exchange))) => {
                DeadLetter::Exchange(exchange, key)
            }
            _ => DeadLetter::Off,
        },
        _ => DeadLetter::Off,
    }
}
