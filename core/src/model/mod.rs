//! The nouns. Turns nothing into anything: values that every room speaks of.
//! Owns: ids, messages, properties, options, time as plain numbers, every limit by name, the error.
//! May use: nothing of ours. Never: knows a room.
//! Invariant: a value that exists is within its limits once it has passed its `check`.

mod binding;
pub mod collections;
pub mod deliberate;
mod departure;
mod error;
mod exposition;
mod forms;
mod header;
mod id;
mod lasting;
pub mod limits;
mod message;
mod options;
mod quoted;
mod stats;
mod time;
#[cfg(any(test, target_arch = "wasm32"))]
#[allow(missing_docs)] // Documented where these are the standard library's.
mod two_level;

pub use binding::{Binding, Destination, Match};
pub use departure::{Departure, Return};
pub use error::{Error, ErrorKind, Result};
pub use exposition::{EXPOSITION_TYPE, exposition};
pub use header::{HeaderValue, Headers};
pub use id::{CallId, ConsumerId, DeliveryNo, ExchangeId, MessageId, QueueId, SessionId, Token};
pub use lasting::{Numbered, SavedPart, SavedReply, SessionName};
pub use message::{Body, Delivery, Durability, Message, Outgoing, Properties};
pub use options::{
    Backoff, DeadLetter, Dispatch, ExchangeKind, Overflow, QueueOptions, QueueSpec, check_name,
};
pub use quoted::{Quoted, quoted};
pub use stats::{BrokerStats, QueueStats};
pub use time::{Span, Time};
