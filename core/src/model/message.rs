//! A message on its way in, waiting, and on its way out.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::limits::{KEY_BYTES_MAX, MESSAGE_BYTES_MAX, SPAN_MS_MAX};
use super::{Error, ErrorKind, Headers, MessageId, Result, Span, Time, Token, header};

/// A body: counted bytes, copied once on the way in and once on the way out.
pub type Body = Arc<[u8]>;

/// How safe a message is asked to be. Ordered: what is greater survives more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Survives nothing.
    Memory,
    /// In the operating system: survives a kill, not a power cut.
    Written,
    /// A sync covers it: survives a power cut.
    Durable,
}

impl Durability {
    /// The option's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Durability::Memory => "memory",
            Durability::Written => "written",
            Durability::Durable => "durable",
        }
    }
}

/// What a message carries beside its body. Shared between those who hold the message; most messages have none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Properties {
    /// Groups messages for ordering; the routing key when it was published.
    pub key: Option<String>,
    /// The user's own values, and `x-dead-*` on a dead letter.
    pub headers: Headers,
    /// What the body is, a MIME type.
    pub content_type: Option<String>,
    /// Ties a reply to its request.
    pub correlation_id: Option<String>,
    /// The queue a reply should go to.
    pub reply_to: Option<String>,
    /// Within a queue's `dedup_window` a second message with the same id is dropped.
    pub dedup_id: Option<Arc<str>>,
}

impl Properties {
    /// Whether nothing is set, so that nothing need be kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.key.is_none()
            && self.headers.is_empty()
            && self.content_type.is_none()
            && self.correlation_id.is_none()
            && self.reply_to.is_none()
            && self.dedup_id.is_none()
    }

    /// How many bytes they count for. Errors: `InvalidArgument` over a limit.
    pub fn check(&self) -> Result<usize> {
        let mut bytes = header::check(&self.headers)?;
        for (what, text) in [
            ("key", self.key.as_deref()),
            ("content_type", self.content_type.as_deref()),
            ("correlation_id", self.correlation_id.as_deref()),
            ("reply_to", self.reply_to.as_deref()),
            ("dedup_id", self.dedup_id.as_deref()),
        ] {
            let length = text.map_or(0, str::len);
            if length > KEY_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "{what} has {length} bytes, the limit is {KEY_BYTES_MAX}"
                )));
            }
            bytes += length;
        }
        if self.dedup_id.as_deref() == Some("") {
            return Err(Error::invalid(
                "dedup_id is empty; give an id of at least 1 byte, or leave it out",
            ));
        }
        Ok(bytes)
    }
}

/// A message as its producer hands it in.
///
/// ```
/// use ferrymq_core::model::Outgoing;
/// let message = Outgoing::new(b"hello".as_slice());
/// assert_eq!(&*message.body, b"hello");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The body.
    pub body: Body,
    /// Key, headers and the like; `None` when there are none.
    pub properties: Option<Arc<Properties>>,
    /// Higher goes first; below the queue's `priorities`.
    pub priority: u8,
    /// Not delivered before it is over.
    pub delay: Option<Span>,
    /// Expires so long after acceptance.
    pub ttl: Option<Span>,
    /// At most the queue's.
    pub durability: Option<Durability>,
}

impl Outgoing {
    /// A message with a body and nothing else.
    pub fn new(body: impl Into<Body>) -> Outgoing {
        Outgoing {
            body: body.into(),
            properties: None,
            priority: 0,
            delay: None,
            ttl: None,
            durability: None,
        }
    }

    /// Sets the properties, or none if they are empty.
    #[must_use]
    pub fn with_properties(mut self, properties: Properties) -> Outgoing {
        self.properties = (!properties.is_empty()).then(|| Arc::new(properties));
        self
    }

    /// The routing and ordering key.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.properties.as_ref()?.key.as_deref()
    }

    /// What tells it from others within a queue's `dedup_window`.
    #[must_use]
    #[inline]
    pub fn dedup_id(&self) -> Option<&Arc<str>> {
        self.properties.as_ref()?.dedup_id.as_ref()
    }

    /// Errors: `MessageTooLarge`, or `InvalidArgument` for everything else that is over a limit.
    #[inline]
    pub fn check(&self) -> Result<()> {
        if self.body.len() > MESSAGE_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::MessageTooLarge,
                format!(
                    "the body has {} bytes, the limit is {MESSAGE_BYTES_MAX}; store it elsewhere and send a reference",
                    self.body.len()
                ),
            ));
        }
        if let Some(properties) = &self.properties {
            properties.check()?;
        }
        for (what, span) in [("delay", self.delay), ("ttl", self.ttl)] {
            if let Some(Span(ms)) = span
                && ms > SPAN_MS_MAX
            {
                return Err(Error::invalid(format!(
                    "{what} is {ms} ms, the limit is {SPAN_MS_MAX} ms (100 years)"
                )));
            }
        }
        Ok(())
    }
}

/// A message as it is seen: by peek, or as part of a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Unique in the store, grows within the queue.
    pub id: MessageId,
    /// The body.
    pub body: Body,
    /// Key, headers and the like; `None` when there are none.
    pub properties: Option<Arc<Properties>>,
    /// Higher goes first.
    pub priority: u8,
    /// How often it was handed over and counted; 1 on the first delivery, 0 when peeked before it.
    pub attempt: u32,
    /// When it was accepted.
    pub produced_at: Time,
    /// Whether it had been handed over before.
    pub redelivered: bool,
}

/// A message handed over to a consumer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// What settles it; `None` with `auto_ack`, where there is nothing left to settle.
    pub token: Option<Token>,
    /// When the lease ends; `Time::NEVER` with `auto_ack`.
    pub deadline: Time,
}
