//! Why a message leaves its queue.

use serde::{Deserialize, Serialize};

/// Why a message leaves its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Departure {
    /// Acknowledged.
    Acked,
    /// Purged or redriven.
    Taken,
    /// A consumer rejected it.
    Rejected,
    /// Its time to live is over.
    Expired,
    /// It has used its attempts.
    MaxAttempts,
    /// It made room for another.
    Overflow,
}

impl Departure {
    /// What `x-dead-reason` says of it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Departure::Acked => "acked",
            Departure::Taken => "taken",
            Departure::Rejected => "rejected",
            Departure::Expired => "expired",
            Departure::MaxAttempts => "max_attempts",
            Departure::Overflow => "overflow",
        }
    }
}

/// Why a message comes back to its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Return {
    /// Given back, counted.
    Nacked,
    /// Given back, not counted.
    Released,
    /// Its lease ended.
    LeaseEnded,
}
