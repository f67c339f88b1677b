//! What the log says. Replaying the records in order, through the same functions that live traffic uses, gives the state back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{
    Binding, Body, Departure, Durability, ExchangeId, ExchangeKind, MessageId, Properties, QueueId,
    QueueSpec, QueueStats, Return, SavedReply, SessionName, Span, Time,
};

/// A message as the log keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// Which queue.
    pub queue: QueueId,
    /// Which message.
    pub id: MessageId,
    /// Its body.
    pub body: Body,
    /// Its properties.
    pub properties: Option<Arc<Properties>>,
    /// Its priority.
    pub priority: u8,
    /// How safe it asked to be.
    pub level: Durability,
    /// When it was accepted.
    pub produced_at: Time,
    /// Not delivered before.
    pub due: Time,
    /// Expires then.
    pub expires_at: Time,
    /// How often it was handed over and counted.
    pub attempt: u32,
    /// Whether it was handed over before.
    pub redelivered: bool,
}

/// A message that goes from one queue to another and begins anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// Which message; `None`: a further copy.
    pub from: Option<MessageId>,
    /// How it is accepted there.
    pub to: Accepted,
    /// Why it left.
    pub cause: Departure,
}

/// A segment that is complete, in a checkpoint. One that is missing stays there, so that every opening reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Its number; 0: it was missing when it was the newest, and nobody can say.
    pub segment: u64,
    /// Its first frame.
    pub first_lsn: u64,
    /// Its last frame; 0 where nobody can say.
    pub end_lsn: u64,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// The first record of a checkpoint: what follows in its frame is everything that is not messages.
    Checkpoint {
        /// The last id that was given to a message.
        last_message: MessageId,
        /// Generations below this are used.
        generation_floor: u32,
        /// How often the store was opened.
        epoch: u32,
        /// The segments that are complete.
        segments: Vec<Sealed>,
    },
    /// A queue was declared, or its options changed.
    Queue {
        /// Which.
        queue: QueueId,
        /// Its name.
        name: String,
        /// Its options.
        spec: QueueSpec,
    },
    /// A queue's counts, in a checkpoint.
    Counts {
        /// Which queue.
        queue: QueueId,
        /// Its counts.
        stats: Box<QueueStats>,
    },
    /// A queue was deleted.
    QueueDeleted {
        /// Which.
        queue: QueueId,
    },
    /// A message was accepted.
    Accepted(Accepted),
    /// Nothing in this segment is needed any more: its file may be used again.
    Recycled {
        /// Which.
        segment: u64,
    },
    /// A message was handed over.
    Leased {
        /// Which.
        message: MessageId,
        /// How often it now was.
        attempt: u32,
    },
    /// A message came back.
    Returned {
        /// Which.
        message: MessageId,
        /// How often it was handed over and counted.
        attempt: u32,
        /// Not delivered before.
        due: Time,
        /// Why.
        cause: Return,
        /// The reason that was given.
        reason: Option<String>,
    },
    /// A message should be dead-lettered and waits for room there.
    Held {
        /// Which.
        message: MessageId,
        /// Why.
        cause: Departure,
        /// The reason that was given.
        detail: Option<String>,
    },
    /// A message is gone.
    Removed {
        /// Which.
        message: MessageId,
        /// Why.
        cause: Departure,
    },
    /// A message went to another queue: one atomic step.
    Moved(Moved),
    /// An exchange was declared.
    Exchange {
        /// Which.
        exchange: ExchangeId,
        /// Its name.
        name: String,
        /// How it routes.
        kind: ExchangeKind,
        /// The exchange that gets what no binding takes.
        alternate: Option<String>,
    },
    /// An exchange was deleted.
    ExchangeDeleted {
        /// Which.
        exchange: ExchangeId,
    },
    /// A binding was made.
    Bound {
        /// From.
        exchange: ExchangeId,
        /// To, and what it takes.
        binding: Binding,
    },
    /// A binding was taken away.
    Unbound {
        /// From.
        exchange: ExchangeId,
        /// To, and what it takes.
        binding: Binding,
    },
    /// A dedup id of a message that a queue accepted, in a snapshot.
    Remembered {
        /// Which queue.
        queue: QueueId,
        /// The id.
        name: Arc<str>,
        /// Its message.
        message: MessageId,
        /// When that was accepted.
        at: Time,
    },
    /// A queue's window was altered: the ids whose old or new window was over by then count no more, however long later windows are.
    Forgotten {
        /// Which queue.
        queue: QueueId,
        /// When.
        at: Time,
        /// The shorter of both windows.
        window: Span,
    },
    /// As `Accepted`, with the body that the record of a message before it in this frame had: a message in many queues has it once.
    SameBody(Accepted),
    /// A lasting session began; in a checkpoint: there is one.
    Session {
        /// Which.
        session: SessionName,
        /// It has every answer up to this number.
        seen: u64,
        /// When it was last heard of.
        heard: Time,
    },
    /// A lasting session ended, was idle for too long, or made room for another.
    SessionForgotten {
        /// Which.
        session: SessionName,
    },
    /// What a lasting session's command came to. It stands in the frame of what the command did.
    Answered {
        /// Whose.
        session: SessionName,
        /// Which command.
        number: u64,
        /// The session has every answer up to this number.
        seen: u64,
        /// When.
        at: Time,
        /// What it was answered.
        reply: SavedReply,
    },
}
