//! Everything that can go out: results of pending calls, and I/O tickets.

use serde::{Deserialize, Serialize};

use crate::model::{CallId, Result};
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
}

/// What `poll` gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Something happened.
    Event(Event),
    /// Something is to be done; the outcome goes to `io_done`.
    Io(Ticket),
}
