//! Everything that can go out: results of pending calls, and I/O tickets.

use serde::{Deserialize, Serialize};

use crate::model::{CallId, Departure, Result};
use crate::store::Ticket;

use super::Reply;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Event {
    /// A pending call has its result.
    Resolved {
        /// Which call.
        call: CallId,
        /// Its result.
        result: Result<Reply>,
    },
    /// Something worth a line in a log. Only with [`Config::notices`](super::Config::notices).
    Noticed(Notice),
}

/// Something worth a line in a log. It never holds a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The queue; empty where it is about the broker.
    pub queue: String,
    /// What happened.
    pub what: Noticed,
    /// How often, one after the other.
    pub count: u64,
}

/// What is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Noticed {
    /// A message was moved to its dead-letter queue.
    DeadLettered(Departure),
    /// A dead letter waits in its queue, because its dead-letter queue is full, or no queue is bound.
    Held,
    /// A produce was refused, because the queue was full.
    Full,
    /// A lease ended before its delivery was settled.
    LeaseEnded,
    /// A write or sync failed: nothing succeeds any more.
    StoreFailed,
    /// A reply came that nobody waits for. The driver's own.
    Stray,
}

/// What `poll` gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Something happened.
    Event(Event),
    /// Something is to be done; the outcome goes to `io_done`.
    Io(Ticket),
}
