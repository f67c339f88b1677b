//! One broker: the calls beside a message's way.

use ferrymq_core::engine::{Answer, Command, Operation, Reply};
use ferrymq_core::model::{ExchangeId, ExchangeKind, QueueId};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::config::time;
use crate::native::{Native, closed};
use crate::results::DONE;
use crate::value::options_from;
use crate::wire::Reader;

/// Queues.
#[wasm_bindgen]
impl Native {
    /// Declares a queue, or finds it. The scratch memory holds its name in `length` bytes; `options` are `QueueOptions` by their names in Rust.
    pub fn declare_queue(
        &mut self,
        now: f64,
        length: usize,
        create: bool,
        options: JsValue,
    ) -> u32 {
        let name = Reader::new(&self.scratch[..length]).text();
        let session = self.session;
        match options_from(options) {
            Ok(options) => self.run(
                now,
                Command::DeclareQueue {
                    name,
                    options,
                    create,
                    session,
                },
            ),
            Err(error) => self.results.store(Err(error)),
        }
    }

    /// Changes options, which are as those of `declare_queue`.
    pub fn alter_queue(&mut self, now: f64, index: u32, generation: u32, options: JsValue) -> u32 {
        let queue = QueueId { index, generation };
        match options_from(options) {
            Ok(options) => self.run(now, Command::AlterQueue { queue, options }),
            Err(error) => self.results.store(Err(error)),
        }
    }

    /// `verb`: 0 delete, 1 purge, 2 size, 3 statistics, 4 peek at `max`, 5 redrive at most `max` (not a number: all).
    pub fn queue_verb(
        &mut self,
        now: f64,
        verb: u32,
        index: u32,
        generation: u32,
        max: f64,
    ) -> u32 {
        let queue = QueueId { index, generation };
        let command = match verb {
            0 => Command::DeleteQueue { queue },
            1 => Command::Purge { queue },
            2 => Command::Size { queue },
            3 => Command::Stats { queue },
            4 => Command::Peek {
                queue,
                max: max as u32,
            },
            _ => Command::Redrive {
                queue,
                max: (!max.is_nan()).then_some(max as u64),
            },
        };
        self.run(now, command)
    }

    /// All queues in numbers, or the broker.
    pub fn overview(&mut self, now: f64, broker: bool) -> u32 {
        self.run(
            now,
            if broker {
                Command::BrokerStats
            } else {
                Command::Queues
            },
        )
    }
}

/// Watching.
#[wasm_bindgen]
impl Native {
    /// The broker and its queues, of one moment, as text for Prometheus.
    pub fn metrics(&mut self, now: f64) -> u32 {
        let Some(engine) = &mut self.engine else {
            return self.results.store(Err(closed()));
        };
        let now = time(now);
        match (
            engine.handle(now, Command::BrokerStats),
            engine.handle(now, Command::Queues),
        ) {
            (Answer::Done(Ok(Reply::Broker(broker))), Answer::Done(Ok(Reply::Queues(queues)))) => {
                self.results.metrics(&broker, &queues);
                DONE
            }
            (Answer::Done(Err(error)), _) | (_, Answer::Done(Err(error))) => {
                self.results.store(Err(error))
            }
            _ => unreachable!("statistics are answered at once"),
        }
    }
}

/// Routing and transactions.
#[wasm_bindgen]
impl Native {
    /// Declares an exchange, or finds it. The scratch memory holds its name, and its alternate if there is one, in `length` bytes.
    /// `kind`: 0 direct, 1 fanout, 2 topic, 3 headers; any other: not said.
    pub fn declare_exchange(&mut self, now: f64, length: usize, kind: u32, create: bool) -> u32 {
        let kind = match kind {
            0 => Some(ExchangeKind::Direct),
            1 => Some(ExchangeKind::Fanout),
            2 => Some(ExchangeKind::Topic),
            3 => Some(ExchangeKind::Headers),
            _ => None,
        };
        let mut reader = Reader::new(&self.scratch[..length]);
        let command = Command::DeclareExchange {
            name: reader.text(),
            kind,
            alternate: (!reader.is_empty()).then(|| reader.text()),
            create,
        };
        self.run(now, command)
    }

    /// Removes an exchange.
    pub fn delete_exchange(&mut self, now: f64, index: u32, generation: u32) -> u32 {
        let exchange = ExchangeId { index, generation };
        self.run(now, Command::DeleteExchange { exchange })
    }

    /// The scratch memory holds a binding in `length` bytes: makes it, or takes it away.
    pub fn bind(&mut self, now: f64, length: usize, remove: bool) -> u32 {
        let (exchange, binding) = Reader::new(&self.scratch[..length]).binding();
        let command = if remove {
            Command::Unbind { exchange, binding }
        } else {
            Command::Bind { exchange, binding }
        };
        self.run(now, command)
    }

    /// The scratch memory holds one publish as a transaction has it.
    pub fn publish(&mut self, now: f64, length: usize) -> u32 {
        let Operation::Publish {
            exchange,
            key,
            message,
            mandatory,
        } = Reader::new(&self.scratch[..length]).operation()
        else {
            unreachable!("exchange.ts writes a publish");
        };
        let command = Command::Publish {
            exchange,
            key,
            message,
            mandatory,
        };
        self.run(now, command)
    }

    /// The scratch memory holds `count` operations in `length` bytes.
    pub fn transaction(&mut self, now: f64, length: usize, count: usize) -> u32 {
        let mut reader = Reader::new(&self.scratch[..length]);
        let operations = (0..count).map(|_| reader.operation()).collect();
        self.run(now, Command::Transaction { operations })
    }
}
