//! The event bus: one topic exchange, and a queue for each subscription. The names are the same in every language, so that any two may be the ends of one bus.

use crate::engine::Command;
use crate::model::{DeadLetter, Durability, ExchangeKind, Outgoing, QueueOptions, Result, Span};

use super::{Broker, Consumed, Consumer, ConsumerOptions, Exchange, Queue, random_name};

const EXCHANGE: &str = "ferrymq.bus";
const DURABLE: &str = "ferrymq.bus.";
const TRANSIENT: &str = "ferrymq.bus.transient.";

/// Events: who publishes on a topic does not know who has subscribed to it. See [`Broker::bus`].
#[derive(Clone)]
pub struct Bus {
    broker: Broker,
    exchange: Exchange,
}

impl Broker {
    /// The event bus of this broker.
    ///
    /// ```
    /// use ferrymq_core::driver::{Broker, Options};
    /// let broker = Broker::open(Options::default())?;
    /// let bus = broker.bus()?;
    /// let orders = bus.subscribe("order.*", Some("audit"))?;
    /// assert_eq!(bus.publish("order.new", "7")?, 1);
    /// let event = orders.next(None)?.expect("it was published");
    /// assert_eq!(event.body(), b"7");
    /// event.ack()?;
    /// # Ok::<(), ferrymq_core::model::Error>(())
    /// ```
    pub fn bus(&self) -> Result<Bus> {
        Ok(Bus {
            broker: self.clone(),
            exchange: self.exchange(EXCHANGE, ExchangeKind::Topic)?,
        })
    }
}

impl Bus {
    /// Gives an event to every subscription whose pattern the topic matches; gives how many.
    pub fn publish(&self, topic: &str, message: impl Into<Outgoing>) -> Result<u64> {
        self.exchange.publish(topic, message, false)
    }

    /// Subscribes to the topics that match a pattern (`*` is one word, `#` none or more). With a name it is durable: its events wait while nobody is there, and those that subscribe
    /// under one name share them. Without one it begins now and ends with the value that this gives.
    pub fn subscribe(&self, pattern: &str, name: Option<&str>) -> Result<BusSubscription> {
        let (name, options, is_transient) = match name {
            Some(name) => (format!("{DURABLE}{name}"), QueueOptions::default(), false),
            None => (random_name(TRANSIENT), transient(), true),
        };
        let queue = self.broker.queue(&name, options)?;
        let subscription = self.exchange.bind(&queue, pattern).and_then(|()| {
            let consumer = queue.consumer(ConsumerOptions::default())?;
            Ok(BusSubscription {
                consumer,
                queue: queue.clone(),
                is_transient,
            })
        });
        if subscription.is_err() && is_transient {
            let _ = queue.delete();
        }
        subscription
    }
}

/// What a transient subscription's queue is: it ends with the subscription, and what it holds with it.
fn transient() -> QueueOptions {
    QueueOptions {
        durability: Some(Some(Durability::Memory)),
        dead_letter: Some(DeadLetter::Off),
        exclusive: Some(true),
        ..QueueOptions::default()
    }
}

/// A subscription to a bus. Dropping it ends it: what a durable one had not handed over waits for the next.
pub struct BusSubscription {
    consumer: Consumer,
    queue: Queue,
    is_transient: bool,
}

impl BusSubscription {
    /// The next event, to be settled like any message; waits up to `timeout`, for ever with `None`.
    pub fn next(&self, timeout: Option<Span>) -> Result<Option<Consumed>> {
        self.consumer.next(timeout)
    }
}

impl Drop for BusSubscription {
    fn drop(&mut self) {
        if self.is_transient {
            let queue = self.queue.id();
            self.queue.broker().post(Command::DeleteQueue { queue });
        }
    }
}
