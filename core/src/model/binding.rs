//! A way from an exchange: where it leads, and what it takes.

use serde::{Deserialize, Serialize};

use super::limits::KEY_BYTES_MAX;
use super::{Error, ExchangeId, Headers, QueueId, Result, header};

/// Where a binding leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Destination {
    /// Into a queue.
    Queue(QueueId),
    /// On to another exchange, which routes by its own bindings.
    Exchange(ExchangeId),
}

/// How many of a binding's headers a message must carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// Every one.
    #[default]
    All,
    /// At least one.
    Any,
}

/// One way from an exchange. Two that differ in anything are two bindings.
///
/// ```
/// use ferrymq_core::model::{Binding, QueueId};
/// let binding = Binding::to_queue(QueueId { index: 0, generation: 0 }, "order.*");
/// assert!(binding.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Binding {
    /// Where to.
    pub to: Destination,
    /// Which keys, in direct and topic exchanges.
    pub pattern: String,
    /// Which headers, in headers exchanges: name and value, or `Null` for a name alone.
    pub headers: Headers,
    /// How many of them.
    pub matching: Match,
}

impl Binding {
    /// By pattern alone.
    #[must_use]
    pub fn new(to: Destination, pattern: impl Into<String>) -> Binding {
        Binding {
            to,
            pattern: pattern.into(),
            headers: Headers::new(),
            matching: Match::All,
        }
    }

    /// By pattern, to a queue.
    #[must_use]
    pub fn to_queue(queue: QueueId, pattern: impl Into<String>) -> Binding {
        Binding::new(Destination::Queue(queue), pattern)
    }

    /// Whether it can be in a headers exchange only.
    #[must_use]
    pub fn asks_for_headers(&self) -> bool {
        !self.headers.is_empty() || self.matching == Match::Any
    }

    /// Whether they are one binding.
    #[must_use]
    pub fn is_alike(&self, other: &Binding) -> bool {
        self.to == other.to
            && self.pattern == other.pattern
            && self.matching == other.matching
            && header::are_alike(&self.headers, &other.headers)
    }

    /// Errors: `InvalidArgument` over a limit.
    pub fn check(&self) -> Result<()> {
        if self.pattern.len() > KEY_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the pattern has {} bytes, the limit is {KEY_BYTES_MAX}",
                self.pattern.len()
            )));
        }
        header::check(&self.headers).map(|_| ())
    }
}
