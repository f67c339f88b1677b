//! Lasting sessions: who numbers his commands, so that one whose answer was lost can be sent again and is done once.

use serde::{Deserialize, Serialize};

use super::{ExchangeId, ExchangeKind, MessageId, QueueId, Token};

/// A lasting session's name: 128 bits that its owner draws at random, so that no two are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionName(pub [u8; 16]);

/// Which command of a lasting session one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// Whose.
    pub session: SessionName,
    /// Its number: the first has 1, each one after it the next. Numbers of commands that are never sent again may be missing: of refusals the engine knows nothing after a crash.
    pub number: u64,
    /// The owner has every answer up to this number, and asks for none of them again. 0: for none yet.
    pub seen: u64,
}

/// What a command that changed something was answered, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SavedReply {
    /// It is done.
    Done,
    /// The queue.
    Queue(QueueId),
    /// The exchange, and how it routes.
    Exchange(ExchangeId, ExchangeKind),
    /// How many.
    Count(u64),
    /// The message's id.
    Produced(MessageId),
    /// The messages' ids, in order.
    ProducedMany(Vec<MessageId>),
    /// Those deliveries that were no longer the caller's.
    Lost(Vec<Token>),
    /// What each operation of a transaction was answered.
    Transaction(Vec<SavedPart>),
}

/// What an operation of a transaction was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SavedPart {
    /// It is done.
    Done,
    /// How many queues were reached.
    Count(u64),
    /// The message's id.
    Produced(MessageId),
}

impl SavedReply {
    /// Bytes beside the value itself.
    #[must_use]
    pub fn list_bytes(&self) -> usize {
        match self {
            SavedReply::ProducedMany(ids) => size_of_val(ids.as_slice()),
            SavedReply::Lost(tokens) => size_of_val(tokens.as_slice()),
            SavedReply::Transaction(parts) => size_of_val(parts.as_slice()),
            _ => 0,
        }
    }
}
