//! Names for things, as small values. An index that can be used again carries a guard, so that an old name never means a new thing.

use serde::{Deserialize, Serialize};

use super::{Error, Result};

/// A declared queue: where it is in the table, and which of the queues that were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueueId {
    /// Place in the table of queues.
    pub index: u32,
    /// How many queues had this place before.
    pub generation: u32,
}

/// A declared exchange, as [`QueueId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExchangeId {
    /// Place in the table of exchanges.
    pub index: u32,
    /// How many exchanges had this place before.
    pub generation: u32,
}

/// A message's id: unique in the store, never used again, grows within a queue.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MessageId(pub u64);

/// A call that is pending: its result comes as an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u64);

/// Whoever holds leases together and gives them back together.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SessionId(pub u32);

/// A push consumer, as [`QueueId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConsumerId {
    /// Place in the table of consumers.
    pub index: u32,
    /// Which of the consumers that had this place.
    pub generation: u32,
}

impl SessionId {
    /// No session's id: who looks at a queue without using it, and owns nothing.
    pub const NOBODY: SessionId = SessionId(0);
}

/// The number of one handing over; never used again within an epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct DeliveryNo(pub u64);

/// What a consumer shows to settle a delivery: it names one handing over of one message.
///
/// ```
/// use ferrymq_core::model::{DeliveryNo, MessageId, Token};
/// let token = Token { epoch: 1, lease: 2, delivery: DeliveryNo(3), message: MessageId(4) };
/// assert_eq!(Token::from_bytes(&token.to_bytes()).unwrap(), token);
/// assert!(Token::from_bytes(b"short").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token {
    /// Which opening of the broker gave it out.
    pub epoch: u32,
    /// Place in the table of leases.
    pub lease: u32,
    /// Which handing over.
    pub delivery: DeliveryNo,
    /// Which message.
    pub message: MessageId,
}

impl Token {
    /// Length of a token's bytes.
    pub const BYTES: usize = 24;

    /// The token as bytes, big-endian fields in order.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..4].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.lease.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.delivery.0.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.message.0.to_be_bytes());
        bytes
    }

    /// Reads a token back. Errors: `InvalidArgument` when the length is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Token> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().map_err(|_| {
            Error::invalid(format!(
                "a token has {} bytes, this has {}; pass delivery.token as it was given",
                Self::BYTES,
                bytes.len()
            ))
        })?;
        let word = |at: usize| u32::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        let long = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
        Ok(Token {
            epoch: word(0),
            lease: word(4),
            delivery: DeliveryNo(long(8)),
            message: MessageId(long(16)),
        })
    }
}
