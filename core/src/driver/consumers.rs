//! Push consumers as Rust values.

use crate::engine::{Command, Reply};
use crate::model::limits::PREFETCH_DEFAULT;
use crate::model::{ConsumerId, Result, Span};

use super::handles::unexpected;
use super::{Broker, Consumed, Queue};

/// How a push consumer is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// Its credit: most messages that are reserved for it or in its hands, 1 to 65,535.
    pub prefetch: u32,
    /// Settled by being handed over.
    pub auto_ack: bool,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        ConsumerOptions {
            prefetch: PREFETCH_DEFAULT,
            auto_ack: false,
        }
    }
}

impl Queue {
    /// Registers a push consumer: messages are reserved for it as the queue's `dispatch` says. Errors: `InvalidArgument`, `NotFound`.
    pub fn consumer(&self, options: ConsumerOptions) -> Result<Consumer> {
        let opened = self.broker.call(Command::OpenConsumer {
            queue: self.id,
            session: self.broker.session(),
            prefetch: options.prefetch,
            auto_ack: options.auto_ack,
        });
        match opened? {
            Reply::Consumer(id) => Ok(Consumer {
                broker: self.broker.clone(),
                id,
            }),
            other => Err(unexpected(&other)),
        }
    }
}

/// A push consumer. Any number of threads may take from it. Dropping it closes it: what is reserved goes back, what it handed over stays with who has it.
///
/// ```
/// use ferrymq_core::driver::{Broker, Options};
/// let broker = Broker::open(Options::default())?;
/// let queue = broker.queue("orders", Default::default())?;
/// queue.produce(&b"first"[..])?;
/// let consumer = queue.consumer(Default::default())?;
/// while let Some(delivery) = consumer.try_next()? {
///     assert_eq!(delivery.body(), b"first");
///     delivery.ack()?;
/// }
/// # Ok::<(), ferrymq_core::model::Error>(())
/// ```
pub struct Consumer {
    broker: Broker,
    id: ConsumerId,
}

impl Consumer {
    /// Its id, for commands.
    #[must_use]
    pub fn id(&self) -> ConsumerId {
        self.id
    }

    /// The next message that is reserved for it; waits up to `timeout`, for ever with `None`. Its lease begins now.
    /// Errors: `Closed` once the consumer is closed, `NotFound` once its queue is deleted.
    pub fn next(&self, timeout: Option<Span>) -> Result<Option<Consumed>> {
        if let Some(delivery) = self.broker.take_at_once(self.id)? {
            return Ok(Some(Consumed {
                broker: self.broker.clone(),
                delivery,
            }));
        }
        let taken = self.broker.call(Command::Take {
            consumer: self.id,
            max: 1,
            wait: self.broker.wait(timeout),
        });
        match taken? {
            Reply::Deliveries(deliveries) => {
                Ok(deliveries.into_iter().next().map(|delivery| Consumed {
                    broker: self.broker.clone(),
                    delivery,
                }))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// The next message that is reserved for it, if there is one.
    pub fn try_next(&self) -> Result<Option<Consumed>> {
        self.next(Some(Span(0)))
    }

    /// Closes it: who waits in `next` gets `Closed`. Twice is once.
    pub fn close(&self) {
        self.broker
            .post(Command::CloseConsumer { consumer: self.id });
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.close();
    }
}
