//! Queues, exchanges and deliveries as Rust values.

use crate::engine::{AtOnce, Command, Operation, Reply};
use crate::model::{
    self, Binding, Delivery, Destination, Error, ErrorKind, ExchangeId, ExchangeKind, Message,
    MessageId, Outgoing, QueueId, QueueOptions, QueueStats, Result, Span, Time, Token,
};

use super::Broker;

/// A reply of the wrong form would be a bug of the engine; it becomes an error, not a panic.
pub(super) fn unexpected(reply: &Reply) -> Error {
    Error::new(
        ErrorKind::Indeterminate,
        format!(
            "the engine answered {reply:?}, which does not belong to this call; please report it"
        ),
    )
}

macro_rules! expect {
    ($reply:expr, $form:pat => $value:expr) => {
        match $reply? {
            $form => Ok($value),
            other => Err(unexpected(&other)),
        }
    };
}

impl Broker {
    /// Declares a queue: creates it, or compares the options that are passed. Errors: `QueueConflict`, `InvalidArgument`.
    pub fn queue(&self, name: &str, options: QueueOptions) -> Result<Queue> {
        self.declare(name, options, true)
    }

    /// A queue that exists. Errors: `NotFound`.
    pub fn existing_queue(&self, name: &str) -> Result<Queue> {
        self.declare(name, QueueOptions::default(), false)
    }

    fn declare(&self, name: &str, options: QueueOptions, create: bool) -> Result<Queue> {
        let declared = self.call(Command::DeclareQueue {
            name: name.to_owned(),
            options,
            create,
            session: self.session(),
        });
        expect!(declared, Reply::Queue(id) => Queue { broker: self.clone(), id })
    }

    /// Declares an exchange: creates it, or compares what is passed. An empty name: the default exchange. Errors: `QueueConflict`, `InvalidArgument`.
    pub fn exchange(&self, name: &str, kind: impl Into<Option<ExchangeKind>>) -> Result<Exchange> {
        self.declare_exchange(name, kind.into(), None, true)
    }

    /// The same with an alternate: the name of the exchange that gets what no binding takes, which may be declared later.
    pub fn exchange_with_alternate(
        &self,
        name: &str,
        kind: impl Into<Option<ExchangeKind>>,
        alternate: &str,
    ) -> Result<Exchange> {
        self.declare_exchange(name, kind.into(), Some(alternate.to_owned()), true)
    }

    /// An exchange that exists. Errors: `NotFound`.
    pub fn existing_exchange(&self, name: &str) -> Result<Exchange> {
        self.declare_exchange(name, None, None, false)
    }

    fn declare_exchange(
        &self,
        name: &str,
        kind: Option<ExchangeKind>,
        alternate: Option<String>,
        create: bool,
    ) -> Result<Exchange> {
        let declared = self.call(Command::DeclareExchange {
            name: name.to_owned(),
            kind,
            alternate,
            create,
        });
        expect!(declared, Reply::Exchange(id, kind) => Exchange { broker: self.clone(), id, kind })
    }

    /// Does all operations or none. Errors: the first refusal.
    pub fn transaction(&self, operations: Vec<Operation>) -> Result<Vec<Reply>> {
        let committed = self.call(Command::Transaction { operations });
        expect!(committed, Reply::Transaction(replies) => replies)
    }

    /// All queues in numbers, by name.
    pub fn queues(&self) -> Result<Vec<QueueStats>> {
        expect!(self.call(Command::Queues), Reply::Queues(queues) => queues)
    }

    /// The broker and all queues, of one moment, in Prometheus' text format.
    pub fn metrics(&self) -> Result<String> {
        let (broker, queues) = self.snapshot();
        match (broker?, queues?) {
            (Reply::Broker(broker), Reply::Queues(queues)) => {
                Ok(model::exposition(&broker, &queues))
            }
            (other, _) => Err(unexpected(&other)),
        }
    }
}

/// A queue.
#[derive(Clone)]
pub struct Queue {
    pub(super) broker: Broker,
    pub(super) id: QueueId,
}

impl Queue {
    pub(super) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Its id, for commands and transactions.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Puts a message on the queue; waits for room where the queue says `block`. Errors: `QueueFull`, `MessageTooLarge`, `InvalidArgument`.
    pub fn produce(&self, message: impl Into<Outgoing>) -> Result<MessageId> {
        match self.broker.produce_at_once(self.id, message.into())? {
            AtOnce::Produced(id) => Ok(id),
            AtOnce::Waits(message) => {
                let produced = self.broker.call(Command::Produce {
                    queue: self.id,
                    message,
                    wait: self.broker.wait(None),
                });
                expect!(produced, Reply::Produced(id) => id)
            }
        }
    }

    /// Puts messages on the queue, all or none.
    pub fn produce_many(&self, messages: Vec<Outgoing>) -> Result<Vec<MessageId>> {
        let produced = self.broker.call(Command::ProduceMany {
            queue: self.id,
            messages,
            wait: self.broker.wait(None),
        });
        expect!(produced, Reply::ProducedMany(ids) => ids)
    }

    /// Takes the next message; waits up to `timeout`, for ever with `None`.
    pub fn consume(&self, timeout: Option<Span>) -> Result<Option<Consumed>> {
        if let Some(delivery) = self.broker.consume_at_once(self.id, false)? {
            return Ok(Some(self.consumed(delivery)));
        }
        let consumed = self.broker.call(Command::Consume {
            queue: self.id,
            session: self.broker.session(),
            auto_ack: false,
            wait: self.broker.wait(timeout),
        });
        expect!(consumed, Reply::Delivery(delivery) => delivery.map(|delivery| self.consumed(delivery)))
    }

    /// Takes up to `max` messages; waits for the first only.
    pub fn consume_many(&self, max: u32, timeout: Option<Span>) -> Result<Vec<Consumed>> {
        let consumed = self.broker.call(Command::ConsumeMany {
            queue: self.id,
            session: self.broker.session(),
            max,
            auto_ack: false,
            wait: self.broker.wait(timeout),
        });
        expect!(consumed, Reply::Deliveries(deliveries) =>
            deliveries.into_iter().map(|delivery| self.consumed(delivery)).collect())
    }

    fn consumed(&self, delivery: Delivery) -> Consumed {
        Consumed {
            broker: self.broker.clone(),
            delivery,
        }
    }

    /// Acks all of them. Gives the tokens that were no longer the caller's.
    pub fn ack_many(&self, deliveries: &[Consumed]) -> Result<Vec<Token>> {
        let tokens = deliveries.iter().filter_map(|d| d.delivery.token).collect();
        expect!(self.broker.call(Command::AckMany { tokens }), Reply::Lost(lost) => lost)
    }

    /// Looks at the next messages.
    pub fn peek(&self, max: u32) -> Result<Vec<Message>> {
        let peeked = self.broker.call(Command::Peek {
            queue: self.id,
            max,
        });
        expect!(peeked, Reply::Messages(messages) => messages)
    }

    /// The queue in numbers.
    pub fn stats(&self) -> Result<QueueStats> {
        expect!(self.broker.call(Command::Stats { queue: self.id }), Reply::Stats(stats) => *stats)
    }

    /// Changes options.
    pub fn alter(&self, options: QueueOptions) -> Result<()> {
        let altered = self.broker.call(Command::AlterQueue {
            queue: self.id,
            options,
        });
        expect!(altered, Reply::Done => ())
    }

    /// Removes all that waits; gives how many.
    pub fn purge(&self) -> Result<u64> {
        expect!(self.broker.call(Command::Purge { queue: self.id }), Reply::Count(count) => count)
    }

    /// On a dead-letter queue: sends messages back to where they came from; gives how many.
    pub fn redrive(&self, max: Option<u64>) -> Result<u64> {
        let redriven = self.broker.call(Command::Redrive {
            queue: self.id,
            max,
        });
        expect!(redriven, Reply::Count(count) => count)
    }

    /// Removes the queue and all that is in it; gives how many messages.
    pub fn delete(&self) -> Result<u64> {
        expect!(self.broker.call(Command::DeleteQueue { queue: self.id }), Reply::Count(count) => count)
    }
}

/// An exchange.
#[derive(Clone)]
pub struct Exchange {
    broker: Broker,
    id: ExchangeId,
    kind: ExchangeKind,
}

impl From<&Queue> for Destination {
    fn from(queue: &Queue) -> Destination {
        Destination::Queue(queue.id)
    }
}

impl From<&Exchange> for Destination {
    fn from(exchange: &Exchange) -> Destination {
        Destination::Exchange(exchange.id)
    }
}

impl Exchange {
    /// Its id, for commands and transactions.
    #[must_use]
    pub fn id(&self) -> ExchangeId {
        self.id
    }

    /// How it routes.
    #[must_use]
    pub fn kind(&self) -> ExchangeKind {
        self.kind
    }

    /// Leads messages whose key matches to a queue or another exchange. Errors: `NotFound`, `InvalidArgument`.
    pub fn bind(&self, to: impl Into<Destination>, pattern: &str) -> Result<()> {
        self.bind_as(Binding::new(to.into(), pattern))
    }

    /// The same with all that a binding says: headers and how many of them.
    pub fn bind_as(&self, binding: Binding) -> Result<()> {
        let exchange = self.id;
        let bound = self.broker.call(Command::Bind { exchange, binding });
        expect!(bound, Reply::Done => ())
    }

    /// Takes a binding away. Errors: `NotFound` if there is none.
    pub fn unbind(&self, to: impl Into<Destination>, pattern: &str) -> Result<()> {
        self.unbind_as(Binding::new(to.into(), pattern))
    }

    /// The same with all that a binding says.
    pub fn unbind_as(&self, binding: Binding) -> Result<()> {
        let exchange = self.id;
        let unbound = self.broker.call(Command::Unbind { exchange, binding });
        expect!(unbound, Reply::Done => ())
    }

    /// Removes the exchange, its bindings, and those that lead to it.
    pub fn delete(&self) -> Result<()> {
        let exchange = self.id;
        let deleted = self.broker.call(Command::DeleteExchange { exchange });
        expect!(deleted, Reply::Done => ())
    }

    /// Routes a message; gives the number of queues that it reached. Errors: `Unroutable` if it is mandatory and that is 0.
    pub fn publish(&self, key: &str, message: impl Into<Outgoing>, mandatory: bool) -> Result<u64> {
        let published = self.broker.call(Command::Publish {
            exchange: self.id,
            key: key.to_owned(),
            message: message.into(),
            mandatory,
        });
        expect!(published, Reply::Count(count) => count)
    }
}

/// A message in the caller's hands. Dropping it does nothing: its lease ends by itself.
#[derive(Clone)]
pub struct Consumed {
    pub(super) broker: Broker,
    pub(super) delivery: Delivery,
}

impl Consumed {
    pub(super) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.delivery.message
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.delivery.message.body
    }

    /// What settles it.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.delivery.token
    }

    fn settle(&self, command: impl FnOnce(Token) -> Command) -> Result<Reply> {
        let token = self.delivery.token.ok_or_else(|| {
            Error::invalid("the message was consumed with auto_ack: there is nothing to settle")
        })?;
        self.broker.call(command(token))
    }

    /// Done with it. Errors: `LeaseLost`.
    pub fn ack(&self) -> Result<()> {
        if let Some(token) = self.delivery.token
            && self.broker.ack_at_once(token)?
        {
            return Ok(());
        }
        let done = self.settle(|token| Command::Ack {
            token,
            durable: false,
        });
        expect!(done, Reply::Done => ())
    }

    /// Back later, counted; `None`: after the queue's backoff. Errors: `LeaseLost`.
    pub fn nack(&self, delay: Option<Span>, reason: Option<&str>) -> Result<()> {
        let reason = reason.map(str::to_owned);
        let done = self.settle(|token| Command::Nack {
            token,
            delay,
            reason,
        });
        expect!(done, Reply::Done => ())
    }

    /// Dead-letter now. Errors: `LeaseLost`.
    pub fn reject(&self, reason: Option<&str>) -> Result<()> {
        let reason = reason.map(str::to_owned);
        let done = self.settle(|token| Command::Reject { token, reason });
        expect!(done, Reply::Done => ())
    }

    /// Back to its place, not counted. Errors: `LeaseLost`.
    pub fn release(&self) -> Result<()> {
        expect!(self.settle(|token| Command::Release { token }), Reply::Done => ())
    }

    /// Has the lease renewed by itself as long as the guard lives: for work whose length nobody knows. Errors: `LeaseLost`.
    pub fn keep(&self) -> Result<Kept> {
        if let Some(token) = self.delivery.token {
            self.broker.keep(token, true)?;
        }
        Ok(Kept {
            broker: self.broker.clone(),
            token: self.delivery.token,
        })
    }

    /// The lease now ends `by` from now; gives when. Errors: `LeaseLost`.
    pub fn extend(&self, by: Span) -> Result<Time> {
        expect!(self.settle(|token| Command::Extend { token, by }), Reply::Deadline(at) => at)
    }
}

/// While this lives, the lease of its delivery is renewed when it would end, up to 12 hours after it began.
pub struct Kept {
    broker: Broker,
    token: Option<Token>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            self.broker.post(Command::Keep { token, kept: false });
        }
    }
}

impl From<&[u8]> for Outgoing {
    fn from(body: &[u8]) -> Outgoing {
        Outgoing::new(body)
    }
}

impl From<&str> for Outgoing {
    fn from(body: &str) -> Outgoing {
        Outgoing::new(body.as_bytes())
    }
}

impl From<Vec<u8>> for Outgoing {
    fn from(body: Vec<u8>) -> Outgoing {
        Outgoing::new(body)
    }
}
