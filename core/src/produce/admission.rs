//! Room, and what a message may ask for.

use crate::model::{Durability, Error, Outgoing, QueueSpec, Result, quoted};

/// Messages and the bytes of their bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How many messages.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

impl Load {
    /// One message.
    #[must_use]
    #[inline]
    pub fn of(message: &Outgoing) -> Load {
        Load {
            messages: 1,
            bytes: message.body.len() as u64,
        }
    }
}

/// What a queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many messages.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

impl Usage {
    /// Whether `load` fits beside it.
    #[must_use]
    #[inline]
    pub fn has_room(self, spec: &QueueSpec, load: Load) -> bool {
        spec.capacity
            .is_none_or(|most| self.messages + load.messages <= most)
            && spec
                .capacity_bytes
                .is_none_or(|most| self.bytes + load.bytes <= most)
    }
}

/// Whether `load` does not even fit into the empty queue.
#[must_use]
pub fn never_fits(spec: &QueueSpec, load: Load) -> bool {
    !Usage::default().has_room(spec, load)
}

/// How safe a message will be. Errors: `InvalidArgument` if it asks for more than its queue.
#[inline]
pub fn durability(asked: Option<Durability>, queue: Durability) -> Result<Durability> {
    match asked {
        None => Ok(queue),
        Some(asked) if asked <= queue => Ok(asked),
        Some(asked) => Err(Error::invalid(format!(
            "the message asks for durability {}, its queue has {}; ask for no more than the queue, or alter the queue",
            quoted(asked.name()),
            quoted(queue.name())
        ))),
    }
}
