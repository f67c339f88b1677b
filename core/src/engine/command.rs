//! Everything that can come in, and what each command answers.

use serde::{Deserialize, Serialize};

use crate::model::{
    Binding, BrokerStats, CallId, ConsumerId, Delivery, ExchangeId, ExchangeKind, Message,
    MessageId, Outgoing, QueueId, QueueOptions, QueueStats, Result, SessionId, Span, Time, Token,
};

/// How long a call may wait for room or for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// Answer at once.
    No,
    /// Until this moment.
    Until(Time),
    /// As long as it takes.
    Forever,
}

/// What a binding leads to, and a transaction produces to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Operation {
    /// As [`Command::Produce`].
    Produce {
        /// Where to.
        queue: QueueId,
        /// What.
        message: Outgoing,
    },
    /// As [`Command::Publish`].
    Publish {
        /// Where to.
        exchange: ExchangeId,
        /// The routing key.
        key: String,
        /// What.
        message: Outgoing,
        /// Whether it must reach a queue.
        mandatory: bool,
    },
    /// As [`Command::Ack`].
    Ack {
        /// Which delivery.
        token: Token,
    },
}

/// A command to the engine. Plain values: the vectors write them in JSON, the link carries them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Command {
    /// Declares a queue, or compares the options passed with those in force. Answers [`Reply::Queue`].
    DeclareQueue {
        /// Its name.
        name: String,
        /// What is said of it.
        options: QueueOptions,
        /// False: `NotFound` if it does not exist.
        create: bool,
        /// Who declares it: an exclusive queue belongs to its session. `SessionId::NOBODY` only looks, which is no use of the queue.
        session: SessionId,
    },
    /// Changes options. Answers [`Reply::Done`].
    AlterQueue {
        /// Which queue.
        queue: QueueId,
        /// What changes.
        options: QueueOptions,
    },
    /// Removes a queue and all that is in it. Answers [`Reply::Count`].
    DeleteQueue {
        /// Which queue.
        queue: QueueId,
    },
    /// Removes all that waits in a queue. Answers [`Reply::Count`].
    Purge {
        /// Which queue.
        queue: QueueId,
    },
    /// Sends dead letters back to where they came from. Answers [`Reply::Count`].
    Redrive {
        /// The dead-letter queue.
        queue: QueueId,
        /// At most so many.
        max: Option<u64>,
    },
    /// Puts a message on a queue. Answers [`Reply::Produced`].
    Produce {
        /// Where to.
        queue: QueueId,
        /// What.
        message: Outgoing,
        /// How long to wait for room where the queue says `block`.
        wait: Wait,
    },
    /// Puts messages on a queue, all or none. Answers [`Reply::ProducedMany`].
    ProduceMany {
        /// Where to.
        queue: QueueId,
        /// What, in order.
        messages: Vec<Outgoing>,
        /// As for `Produce`.
        wait: Wait,
    },
    /// Takes the next message. Answers [`Reply::Delivery`].
    Consume {
        /// Where from.
        queue: QueueId,
        /// Who holds the lease.
        session: SessionId,
        /// Settled by being handed over.
        auto_ack: bool,
        /// How long to wait for one.
        wait: Wait,
    },
    /// Takes up to `max` messages; waits for the first only. Answers [`Reply::Deliveries`].
    ConsumeMany {
        /// Where from.
        queue: QueueId,
        /// Who holds the leases.
        session: SessionId,
        /// At most so many, at least 1.
        max: u32,
        /// Settled by being handed over.
        auto_ack: bool,
        /// How long to wait for the first.
        wait: Wait,
    },
    /// Registers a push consumer: messages are reserved for it as the queue's `dispatch` says, up to its credit. Answers [`Reply::Consumer`].
    OpenConsumer {
        /// Where from.
        queue: QueueId,
        /// Who holds the leases.
        session: SessionId,
        /// The credit: most messages reserved for it or in its hands, 1 to 65,535.
        prefetch: u32,
        /// Settled by being handed over.
        auto_ack: bool,
    },
    /// Hands over what is reserved for a push consumer; waits for the first only. Answers [`Reply::Deliveries`].
    Take {
        /// Which consumer.
        consumer: ConsumerId,
        /// At most so many, at least 1.
        max: u32,
        /// How long to wait for the first.
        wait: Wait,
    },
    /// Ends a push consumer: what is reserved for it goes back, uncounted, and who waits in `Take` gets `Closed`. What it was handed stays with it. Twice is once.
    /// Answers [`Reply::Done`].
    CloseConsumer {
        /// Which consumer.
        consumer: ConsumerId,
    },
    /// Done with it. Answers [`Reply::Done`].
    Ack {
        /// Which delivery.
        token: Token,
        /// Wait for a sync that covers it.
        durable: bool,
    },
    /// Done with all of them. Answers [`Reply::Lost`] with those that were no longer the caller's.
    AckMany {
        /// Which deliveries.
        tokens: Vec<Token>,
    },
    /// Back later, counted. Answers [`Reply::Done`].
    Nack {
        /// Which delivery.
        token: Token,
        /// When; `None`: the queue's backoff.
        delay: Option<Span>,
        /// Why.
        reason: Option<String>,
    },
    /// Dead-letter now. Answers [`Reply::Done`].
    Reject {
        /// Which delivery.
        token: Token,
        /// Why.
        reason: Option<String>,
    },
    /// Back to its place, not counted. Answers [`Reply::Done`].
    Release {
        /// Which delivery.
        token: Token,
    },
    /// The lease now ends `by` from now. Answers [`Reply::Deadline`].
    Extend {
        /// Which delivery.
        token: Token,
        /// How long from now.
        by: Span,
    },
    /// While it is kept, a lease that would end is renewed by the lease of its queue, up to 12 hours after it began: for as long as a handler or a block works on it. Answers [`Reply::Done`].
    Keep {
        /// Which delivery.
        token: Token,
        /// False: not any more.
        kept: bool,
    },
    /// Looks at the next messages. Answers [`Reply::Messages`].
    Peek {
        /// Where.
        queue: QueueId,
        /// At most so many.
        max: u32,
    },
    /// A queue in numbers. Answers [`Reply::Stats`].
    Stats {
        /// Which queue.
        queue: QueueId,
    },
    /// The number of messages in a queue: ready + delayed + leased. Answers [`Reply::Count`].
    Size {
        /// Which queue.
        queue: QueueId,
    },
    /// All queues in numbers, by name. Answers [`Reply::Queues`].
    Queues,
    /// The broker in numbers. Answers [`Reply::Broker`].
    BrokerStats,
    /// Declares an exchange, or compares what is passed with what is in force. Answers [`Reply::Exchange`].
    DeclareExchange {
        /// Its name; empty: the default exchange, which is always there.
        name: String,
        /// How it routes. `None`: not compared; topic when it is created.
        kind: Option<ExchangeKind>,
        /// The name of the exchange that gets what no binding takes. `None`: not compared; none when it is created.
        alternate: Option<String>,
        /// False: `NotFound` if it does not exist.
        create: bool,
    },
    /// Removes an exchange, its bindings, and those that lead to it. Answers [`Reply::Done`].
    DeleteExchange {
        /// Which exchange.
        exchange: ExchangeId,
    },
    /// Leads messages to a queue or another exchange. Twice is once. Answers [`Reply::Done`].
    Bind {
        /// From.
        exchange: ExchangeId,
        /// To, and what it takes.
        binding: Binding,
    },
    /// Takes a binding away; `NotFound` if there is none. Answers [`Reply::Done`].
    Unbind {
        /// From.
        exchange: ExchangeId,
        /// To, and what it takes.
        binding: Binding,
    },
    /// Routes a message to every queue that its key reaches. Answers [`Reply::Count`] with how many.
    Publish {
        /// Where to.
        exchange: ExchangeId,
        /// The routing key; becomes the message's key.
        key: String,
        /// What.
        message: Outgoing,
        /// `Unroutable` if no queue is reached.
        mandatory: bool,
    },
    /// All of them or none. Answers [`Reply::Transaction`].
    Transaction {
        /// In order.
        operations: Vec<Operation>,
    },
    /// A new holder of leases. Answers [`Reply::Session`].
    OpenSession,
    /// Gives back all it holds and ends its waiting calls with `Closed`. Answers [`Reply::Done`].
    CloseSession {
        /// Which session.
        session: SessionId,
    },
    /// Ends a waiting call without an effect; a message that it was just given goes back, uncounted. Answers [`Reply::Done`].
    Cancel {
        /// Which call.
        call: CallId,
    },
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reply {
    /// It is done.
    Done,
    /// The queue.
    Queue(QueueId),
    /// The exchange, and how it routes.
    Exchange(ExchangeId, ExchangeKind),
    /// The session.
    Session(SessionId),
    /// The push consumer.
    Consumer(ConsumerId),
    /// How many.
    Count(u64),
    /// The message's id.
    Produced(MessageId),
    /// The messages' ids, in order.
    ProducedMany(Vec<MessageId>),
    /// The next message, if there is one.
    Delivery(Option<Delivery>),
    /// The next messages.
    Deliveries(Vec<Delivery>),
    /// Those deliveries that were no longer the caller's.
    Lost(Vec<Token>),
    /// When the lease now ends.
    Deadline(Time),
    /// What would come next.
    Messages(Vec<Message>),
    /// A queue in numbers.
    Stats(Box<QueueStats>),
    /// All queues in numbers.
    Queues(Vec<QueueStats>),
    /// The broker in numbers.
    Broker(Box<BrokerStats>),
    /// What each operation answered.
    Transaction(Vec<Reply>),
}

/// The answer to `handle`.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a pending call's result comes as an event and must be waited for"]
pub enum Answer {
    /// The result.
    Done(Result<Reply>),
    /// The result comes as [`super::Event::Resolved`] with this id.
    Pending(CallId),
}
