//! A queue's options: as they are passed (only what is said), and in force (everything decided).

use serde::{Deserialize, Deserializer, Serialize};

use super::limits::{
    LEASE_MS_DEFAULT, LEASE_MS_MAX, LEASE_MS_MIN, MAX_ATTEMPTS_DEFAULT, NAME_BYTES_MAX,
    PRIORITIES_MAX, SPAN_MS_MAX,
};
use super::{Durability, Error, ErrorKind, Result, Span, forms, quoted};

/// Refuses names that are empty, too long or hold control characters. `what` is "queue" or "exchange".
pub fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(format!(
            "the {what}'s name is empty; give it a name of 1 to {NAME_BYTES_MAX} bytes"
        )));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the {what}'s name has {} bytes, the limit is {NAME_BYTES_MAX}",
            name.len()
        )));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "the {what}'s name {} holds control characters; use printable ones",
            quoted(name)
        )));
    }
    Ok(())
}

/// What happens to a produce that finds no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// Refused with `QueueFull`.
    #[default]
    Reject,
    /// The oldest ready message of the lowest priority makes room.
    DropOldest,
    /// Waits its turn.
    Block,
}

/// How long a nacked message waits: `initial * factor^(attempt-1)`, at most `max`, spread by `jitter`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backoff {
    /// After the first attempt.
    pub initial: Span,
    /// How much longer each time; at least 1.
    pub factor: f64,
    /// Never longer than this.
    pub max: Span,
    /// Part of the wait by which it is spread, evenly to both sides; 0 to 1.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            initial: Span(1000),
            factor: 2.0,
            max: Span(300_000),
            jitter: 0.1,
        }
    }
}

impl Backoff {
    /// The same wait every time.
    #[must_use]
    pub fn constant(wait: Span) -> Backoff {
        Backoff {
            initial: wait,
            factor: 1.0,
            max: wait,
            jitter: 0.0,
        }
    }

    fn check(&self) -> Result<()> {
        if !self.factor.is_finite() || self.factor < 1.0 {
            return Err(Error::invalid(format!(
                "backoff.factor is {}; it must be a number of at least 1",
                thousandths(self.factor)
            )));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(Error::invalid(format!(
                "backoff.jitter is {}; it must be between 0 and 1",
                thousandths(self.jitter)
            )));
        }
        check_span("backoff.initial", self.initial, 0, SPAN_MS_MAX)?;
        check_span("backoff.max", self.max, 0, SPAN_MS_MAX)?;
        if self.initial > self.max {
            return Err(Error::invalid(format!(
                "backoff.initial ({} ms) is above backoff.max ({} ms)",
                self.initial.0, self.max.0
            )));
        }
        Ok(())
    }
}

/// Where messages go that cannot be handled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeadLetter {
    /// `<queue>.dead`, created when first needed. Expired messages are discarded.
    #[default]
    Default,
    /// A queue, created when first needed.
    Queue(String),
    /// An exchange and a routing key.
    Exchange(String, String),
    /// Nowhere: discarded and counted.
    Off,
}

/// Which push consumer gets the next message, among those with credit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dispatch {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Anyone, by the broker's seed.
    Random,
    /// Who has the fewest messages; among equals, one after the other.
    LeastLoaded,
}

/// A queue's options as they are passed: what is left out takes its default in a new queue and is not compared with an old one's.
///
/// Serialised, these are the names of every language; durations are milliseconds; `null` means "no limit".
///
/// ```
/// use ferrymq_core::model::{Overflow, QueueOptions};
/// let options = QueueOptions { capacity: Some(Some(10)), overflow: Some(Overflow::Block), ..Default::default() };
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueOptions {
    /// Most messages at once (ready + delayed + leased); `Some(None)`: no limit.
    #[serde(deserialize_with = "passed", skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Option<u64>>,
    /// Most bytes of bodies at once; `Some(None)`: no limit.
    #[serde(deserialize_with = "passed", skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<Option<u64>>,
    /// What a produce does that finds no room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow: Option<Overflow>,
    /// How long a delivery is its consumer's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<Span>,
    /// Dead-lettered after so many attempts; `Some(None)`: never.
    #[serde(deserialize_with = "passed", skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<Option<u32>>,
    /// How long a nacked message waits.
    #[serde(
        deserialize_with = "forms::backoff",
        skip_serializing_if = "Option::is_none"
    )]
    pub backoff: Option<Backoff>,
    /// Where dead letters go: a name, `null` for `<queue>.dead`, `[exchange, key]`, or `false`.
    #[serde(
        deserialize_with = "forms::dead_letter",
        serialize_with = "forms::dead_letter_shown",
        skip_serializing_if = "Option::is_none"
    )]
    pub dead_letter: Option<DeadLetter>,
    /// How long a message may wait; `Some(None)`: for ever.
    #[serde(deserialize_with = "passed", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Option<Span>>,
    /// How many priorities there are, 1 to 255.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priorities: Option<u32>,
    /// At most one message of a key is out at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordered_keys: Option<bool>,
    /// Which push consumer gets the next message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispatch: Option<Dispatch>,
    /// Only the push consumer that was opened first gets messages, and after it the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single_active_consumer: Option<bool>,
    /// How long a dedup id is remembered after its message was accepted; `Some(None)`: not at all.
    #[serde(deserialize_with = "passed", skip_serializing_if = "Option::is_none")]
    pub dedup_window: Option<Option<Span>>,
    /// Deleted when it was unused so long; `Some(None)`: never.
    #[serde(deserialize_with = "passed", skip_serializing_if = "Option::is_none")]
    pub expires: Option<Option<Span>>,
    /// Belongs to the session that declares it, and goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive: Option<bool>,
    /// Deleted when its last consumer goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_delete: Option<bool>,
    /// How safe its messages are; `Some(None)`: as the broker.
    #[serde(deserialize_with = "passed", skip_serializing_if = "Option::is_none")]
    pub durability: Option<Option<Durability>>,
}

/// A queue's options in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueSpec {
    /// Most messages at once.
    pub capacity: Option<u64>,
    /// Most bytes of bodies at once.
    pub capacity_bytes: Option<u64>,
    /// What a produce does that finds no room.
    pub overflow: Overflow,
    /// How long a delivery is its consumer's.
    pub lease: Span,
    /// Dead-lettered after so many attempts.
    pub max_attempts: Option<u32>,
    /// How long a nacked message waits.
    pub backoff: Backoff,
    /// Where dead letters go.
    pub dead_letter: DeadLetter,
    /// How long a message may wait.
    pub ttl: Option<Span>,
    /// How many priorities there are.
    pub priorities: u32,
    /// At most one message of a key is out at a time.
    pub ordered_keys: bool,
    /// Which push consumer gets the next message.
    pub dispatch: Dispatch,
    /// Only the push consumer that was opened first gets messages, and after it the next.
    pub single_active_consumer: bool,
    /// How long a dedup id is remembered after its message was accepted.
    pub dedup_window: Option<Span>,
    /// Deleted when it was unused so long.
    pub expires: Option<Span>,
    /// Belongs to the session that declared it, and goes with it.
    pub exclusive: bool,
    /// Deleted when its last consumer goes.
    pub auto_delete: bool,
    /// How safe its messages are; `None`: as the broker.
    pub durability: Option<Durability>,
}

impl Default for QueueSpec {
    fn default() -> Self {
        QueueSpec {
            capacity: None,
            capacity_bytes: None,
            overflow: Overflow::Reject,
            lease: Span(LEASE_MS_DEFAULT),
            max_attempts: Some(MAX_ATTEMPTS_DEFAULT),
            backoff: Backoff::default(),
            dead_letter: DeadLetter::Default,
            ttl: None,
            priorities: 1,
            ordered_keys: false,
            dispatch: Dispatch::RoundRobin,
            single_active_consumer: false,
            dedup_window: None,
            expires: None,
            exclusive: false,
            auto_delete: false,
            durability: None,
        }
    }
}

impl QueueSpec {
    /// The options in force once `passed` is applied to these. Errors: `InvalidArgument` naming option, value and limit.
    pub fn with(&self, name: &str, passed: &QueueOptions) -> Result<QueueSpec> {
        let mut spec = self.clone();
        macro_rules! take {
            ($($field:ident),*) => {$(
                if let Some(value) = &passed.$field {
                    spec.$field = value.clone();
                }
            )*};
        }
        take!(
            capacity,
            capacity_bytes,
            overflow,
            lease,
            max_attempts,
            backoff,
            dead_letter,
            ttl,
            priorities,
            ordered_keys,
            dispatch,
            single_active_consumer,
            dedup_window,
            expires,
            exclusive,
            auto_delete,
            durability
        );
        spec.check(name)?;
        Ok(spec)
    }

    /// Errors: `QueueConflict` naming the first option of `passed` that differs from these.
    pub fn compare(&self, name: &str, passed: &QueueOptions) -> Result<()> {
        macro_rules! same {
            ($($field:ident),*) => {$(
                if let Some(value) = &passed.$field
                    && *value != self.$field
                {
                    let values = [self.$field.shown(), value.shown()];
                    return Err(conflict(name, stringify!($field), &values));
                }
            )*};
        }
        same!(
            capacity,
            capacity_bytes,
            overflow,
            lease,
            max_attempts,
            backoff,
            dead_letter,
            ttl,
            priorities,
            ordered_keys,
            dispatch,
            single_active_consumer,
            dedup_window,
            expires,
            exclusive,
            auto_delete,
            durability
        );
        Ok(())
    }

    fn check(&self, name: &str) -> Result<()> {
        for (what, limit) in [
            ("capacity", self.capacity),
            ("capacity_bytes", self.capacity_bytes),
            ("max_attempts", self.max_attempts.map(u64::from)),
        ] {
            if limit == Some(0) {
                return Err(Error::invalid(format!(
                    "{what} is 0; give at least 1, or None for no limit"
                )));
            }
        }
        check_span("lease", self.lease, LEASE_MS_MIN, LEASE_MS_MAX)?;
        if let Some(ttl) = self.ttl {
            check_span("ttl", ttl, 0, SPAN_MS_MAX)?;
        }
        for (what, span) in [
            ("dedup_window", self.dedup_window),
            ("expires", self.expires),
        ] {
            if let Some(span) = span {
                check_span(what, span, 1, SPAN_MS_MAX)?;
            }
        }
        self.backoff.check()?;
        if self.priorities == 0 || self.priorities > PRIORITIES_MAX {
            return Err(Error::invalid(format!(
                "priorities is {}; it must be 1 to {PRIORITIES_MAX}",
                self.priorities
            )));
        }
        if self.ordered_keys && self.priorities > 1 {
            return Err(Error::invalid(
                "ordered_keys and priorities above 1 exclude each other: a later message of a key must not overtake; choose one",
            ));
        }
        match &self.dead_letter {
            DeadLetter::Queue(target) if target == name => Err(Error::invalid(format!(
                "queue {} names itself as dead_letter; name another queue, or False to discard",
                quoted(name)
            ))),
            DeadLetter::Queue(target) => check_name("dead-letter queue", target),
            // The default exchange has no name.
            DeadLetter::Exchange(exchange, _) if exchange.is_empty() => Ok(()),
            DeadLetter::Exchange(exchange, _) => check_name("dead-letter exchange", exchange),
            DeadLetter::Default => check_name("dead-letter queue", &format!("{name}.dead")),
            DeadLetter::Off => Ok(()),
        }
    }
}

#[cold]
fn conflict(name: &str, option: &str, [there, here]: &[String; 2]) -> Error {
    Error::new(
        ErrorKind::QueueConflict,
        format!(
            "queue {} exists with {option} = {there}, this declares {here}; declare it with the same value, leave the option out, or alter the queue",
            quoted(name)
        ),
    )
}

/// A value of an option as it stands in a message to people.
trait Shown {
    fn shown(&self) -> String;
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), T::shown)
    }
}

macro_rules! shown_as {
    ($($kind:ty: $value:ident => $text:expr),* $(,)?) => {$(
        impl Shown for $kind {
            fn shown(&self) -> String {
                let $value = self;
                $text
            }
        }
    )*};
}

shown_as! {
    u64: number => number.to_string(),
    u32: number => number.to_string(),
    bool: flag => flag.to_string(),
    Span: span => format!("{} ms", span.0),
    Durability: level => quoted(level.name()).to_string(),
    Overflow: policy => match policy {
        Overflow::Reject => "\"reject\"",
        Overflow::DropOldest => "\"drop_oldest\"",
        Overflow::Block => "\"block\"",
    }.to_owned(),
    Dispatch: policy => match policy {
        Dispatch::RoundRobin => "\"round_robin\"",
        Dispatch::Random => "\"random\"",
        Dispatch::LeastLoaded => "\"least_loaded\"",
    }.to_owned(),
    Backoff: backoff => format!(
        "{} ms times {} up to {} ms, jitter {}",
        backoff.initial.0,
        thousandths(backoff.factor),
        backoff.max.0,
        thousandths(backoff.jitter)
    ),
    DeadLetter: target => match target {
        DeadLetter::Default => "the default".to_owned(),
        DeadLetter::Queue(name) => quoted(name).to_string(),
        DeadLetter::Exchange(exchange, key) => format!("({}, {})", quoted(exchange), quoted(key)),
        DeadLetter::Off => "off".to_owned(),
    },
}

/// A factor with three decimals, by whole numbers: printing floats exactly would bring 10 KB into WebAssembly.
fn thousandths(value: f64) -> String {
    if !value.is_finite() {
        return "not a finite number".to_owned();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let whole = (value.abs() * 1000.0).round() as u64;
    format!("{sign}{}.{:03}", whole / 1000, whole % 1000)
}

fn check_span(what: &str, Span(ms): Span, min: u64, max: u64) -> Result<()> {
    if (min..=max).contains(&ms) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{what} is {ms} ms; it must be {min} to {max} ms"
    )))
}

/// Tells "not passed" (the field is missing) from "passed as null".
fn passed<'de, T, D>(deserializer: D) -> std::result::Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// How an exchange routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExchangeKind {
    /// The key equals the pattern.
    Direct,
    /// Every binding.
    Fanout,
    /// Words separated by dots; `*` is one word, `#` none or more.
    Topic,
    /// The message's headers, all or any of the binding's.
    Headers,
}

impl ExchangeKind {
    /// The option's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ExchangeKind::Direct => "direct",
            ExchangeKind::Fanout => "fanout",
            ExchangeKind::Topic => "topic",
            ExchangeKind::Headers => "headers",
        }
    }
}
