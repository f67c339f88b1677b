//! A step's action as a command to the driver: the mapping that every home's runner has.

use std::sync::Arc;

use ferrymq_core::engine::{Command, Operation};
use ferrymq_core::model::limits::PREFETCH_DEFAULT;
use ferrymq_core::model::{
    Binding, Body, Destination, Error, Match, Outgoing, Properties, Span, Token,
};
use serde_json::Value;

use crate::scenario::{
    Action, BatchOptions, BindingStep, ConsumeOptions, ConsumerOptions, ExchangeOptions, Item,
    ProduceOptions, Step, Target, options, typed,
};
use crate::text;
use crate::world::{Trouble, World};

impl Action {
    /// The queue it is about.
    pub fn queue(&self) -> Option<&str> {
        match self {
            Action::Consume { queue, .. }
            | Action::ConsumeMany { queue, .. }
            | Action::Consumer { queue, .. }
            | Action::Peek { queue, .. } => Some(queue),
            _ => None,
        }
    }

    /// Whether it changes what exists, and so syncs by itself on a manual disk.
    pub fn declares(&self) -> bool {
        matches!(
            self,
            Action::Queue { .. }
                | Action::Alter { .. }
                | Action::DeleteQueue { .. }
                | Action::Exchange { .. }
                | Action::DeleteExchange { .. }
                | Action::Bind(_)
                | Action::Unbind(_)
        )
    }
}

impl World {
    pub(crate) fn command(&self, action: &Action) -> Result<Command, Trouble> {
        match action {
            Action::Queue { .. }
            | Action::Alter { .. }
            | Action::DeleteQueue { .. }
            | Action::Purge { .. }
            | Action::Redrive { .. }
            | Action::Peek { .. }
            | Action::Stats { .. }
            | Action::Queues {} => self.queue_command(action),
            Action::Produce { .. }
            | Action::ProduceMany { .. }
            | Action::Consume { .. }
            | Action::ConsumeMany { .. }
            | Action::Consumer { .. }
            | Action::Cancel { .. } => self.message_command(action),
            Action::Ack { .. }
            | Action::Nack { .. }
            | Action::Reject { .. }
            | Action::Release { .. }
            | Action::Extend { .. }
            | Action::Keep { .. }
            | Action::AckMany { .. } => self.settle_command(action),
            _ => self.routing_command(action),
        }
    }

    fn queue_command(&self, action: &Action) -> Result<Command, Trouble> {
        Ok(match action {
            Action::Queue {
                queue,
                options: given,
            } => Command::DeclareQueue {
                name: queue.clone(),
                options: options(given)?,
                create: true,
                session: self.broker().session(),
            },
            Action::Alter {
                queue,
                options: given,
            } => Command::AlterQueue {
                queue: self.queue(queue)?,
                options: options(given)?,
            },
            Action::DeleteQueue { queue } => Command::DeleteQueue {
                queue: self.queue(queue)?,
            },
            Action::Purge { queue } => Command::Purge {
                queue: self.queue(queue)?,
            },
            Action::Redrive { queue, max } => Command::Redrive {
                queue: self.queue(queue)?,
                max: typed("max", max)?,
            },
            Action::Peek { queue, max } => Command::Peek {
                queue: self.queue(queue)?,
                max: typed("max", max)?,
            },
            Action::Stats { queue } => Command::Stats {
                queue: self.queue(queue)?,
            },
            _ => Command::Queues,
        })
    }

    fn message_command(&self, action: &Action) -> Result<Command, Trouble> {
        Ok(match action {
            Action::Produce {
                queue,
                body,
                options: given,
            } => {
                let given: ProduceOptions = options(given)?;
                Command::Produce {
                    queue: self.queue(queue)?,
                    wait: self.broker().wait(given.timeout),
                    message: outgoing(body, given)?,
                }
            }
            Action::ProduceMany {
                queue,
                items,
                options: given,
            } => {
                let given: BatchOptions = options(given)?;
                Command::ProduceMany {
                    queue: self.queue(queue)?,
                    messages: items.iter().map(item).collect::<Result<_, _>>()?,
                    wait: self.broker().wait(given.timeout),
                }
            }
            Action::Consume {
                queue,
                options: given,
            } => {
                let given: ConsumeOptions = options(given)?;
                Command::Consume {
                    queue: self.queue(queue)?,
                    session: self.broker().session(),
                    auto_ack: given.auto_ack,
                    wait: self.broker().wait(given.timeout.unwrap_or(Some(Span(0)))),
                }
            }
            Action::ConsumeMany {
                queue,
                max,
                options: given,
            } => {
                let given: ConsumeOptions = options(given)?;
                Command::ConsumeMany {
                    queue: self.queue(queue)?,
                    session: self.broker().session(),
                    max: typed("max", max)?,
                    auto_ack: given.auto_ack,
                    wait: self.broker().wait(given.timeout.unwrap_or(Some(Span(0)))),
                }
            }
            Action::Consumer {
                queue,
                options: given,
            } => {
                let given: ConsumerOptions = options(given)?;
                Command::OpenConsumer {
                    queue: self.queue(queue)?,
                    session: self.broker().session(),
                    prefetch: given.prefetch.unwrap_or(PREFETCH_DEFAULT),
                    auto_ack: given.auto_ack,
                }
            }
            Action::Cancel { consumer } => Command::CloseConsumer {
                consumer: self.consumer(consumer)?,
            },
            other => return Err(Trouble::Wrong(format!("{other:?} moves no message"))),
        })
    }

    fn settle_command(&self, action: &Action) -> Result<Command, Trouble> {
        Ok(match action {
            Action::Ack {
                delivery,
                token_of,
                queue,
                token,
                durable,
            } => Command::Ack {
                token: self.token(Target::of(delivery, token_of, queue, token)?)?,
                durable: *durable,
            },
            Action::Nack {
                delivery,
                token_of,
                queue,
                token,
                delay,
                reason,
            } => Command::Nack {
                token: self.token(Target::of(delivery, token_of, queue, token)?)?,
                delay: typed("delay", delay)?,
                reason: reason.clone(),
            },
            Action::Reject {
                delivery,
                token_of,
                queue,
                token,
                reason,
            } => Command::Reject {
                token: self.token(Target::of(delivery, token_of, queue, token)?)?,
                reason: reason.clone(),
            },
            Action::Release {
                delivery,
                token_of,
                queue,
                token,
            } => Command::Release {
                token: self.token(Target::of(delivery, token_of, queue, token)?)?,
            },
            Action::Extend {
                delivery,
                token_of,
                queue,
                token,
                by,
            } => Command::Extend {
                token: self.token(Target::of(delivery, token_of, queue, token)?)?,
                by: typed("by", by)?,
            },
            Action::Keep { delivery, kept } => Command::Keep {
                token: self.token(Target::Delivery(delivery))?,
                kept: *kept,
            },
            Action::AckMany { deliveries } => Command::AckMany {
                tokens: deliveries
                    .iter()
                    .map(|name| self.token(Target::Delivery(name)))
                    .collect::<Result<_, _>>()?,
            },
            other => return Err(Trouble::Wrong(format!("{other:?} settles nothing"))),
        })
    }

    fn token(&self, target: Target<'_>) -> Result<Token, Trouble> {
        let of = |name: &str| {
            let delivery = self.delivery(name)?;
            delivery.token.ok_or_else(|| {
                Trouble::Wrong(format!("{name:?} was acked when it was handed over"))
            })
        };
        match target {
            Target::Delivery(name) => of(name),
            Target::TokenOf(name) => Ok(Token::from_bytes(&of(name)?.to_bytes())?),
            Target::Bytes(queue, bytes) => {
                self.queue(queue)?;
                Ok(Token::from_bytes(&text::body(bytes)?)?)
            }
        }
    }

    fn routing_command(&self, action: &Action) -> Result<Command, Trouble> {
        Ok(match action {
            Action::Exchange {
                exchange,
                kind,
                options: given,
            } => {
                let given: ExchangeOptions = options(given)?;
                Command::DeclareExchange {
                    name: exchange.clone(),
                    kind: typed("kind", kind)?,
                    alternate: given.alternate,
                    create: true,
                }
            }
            Action::DeleteExchange { exchange } => Command::DeleteExchange {
                exchange: self.exchange(exchange)?,
            },
            Action::Bind(step) => Command::Bind {
                exchange: self.exchange(&step.exchange)?,
                binding: self.binding(step)?,
            },
            Action::Unbind(step) => Command::Unbind {
                exchange: self.exchange(&step.exchange)?,
                binding: self.binding(step)?,
            },
            Action::Publish {
                exchange,
                key,
                body,
                options: given,
            } => {
                let given: ProduceOptions = options(given)?;
                Command::Publish {
                    exchange: self.exchange(exchange)?,
                    key: key.clone(),
                    mandatory: given.mandatory,
                    message: outgoing(body, given)?,
                }
            }
            Action::Transaction { ops } => Command::Transaction {
                operations: ops
                    .iter()
                    .map(|step| self.operation(step))
                    .collect::<Result<_, _>>()?,
            },
            other => return Err(Trouble::Wrong(format!("{other:?} is no command"))),
        })
    }

    fn binding(&self, step: &BindingStep) -> Result<Binding, Trouble> {
        let to = match (&step.queue, &step.to_exchange) {
            (Some(queue), None) => Destination::Queue(self.queue(queue)?),
            (None, Some(exchange)) => Destination::Exchange(self.exchange(exchange)?),
            _ => return Err(Trouble::Wrong("name queue or to_exchange".to_owned())),
        };
        let mut binding = Binding::new(to, step.pattern.clone());
        binding.headers = text::headers(&step.headers).map_err(Error::invalid)?;
        let matching: Option<Match> = typed("match", &step.r#match)?;
        binding.matching = matching.unwrap_or_default();
        Ok(binding)
    }

    fn operation(&self, step: &Step) -> Result<Operation, Trouble> {
        if step.at.is_some() || step.expect.is_some() || step.error.is_some() {
            return Err(Trouble::Wrong(
                "an operation of a transaction has no time and no result of its own".to_owned(),
            ));
        }
        Ok(match self.command(&step.action)? {
            Command::Produce { queue, message, .. } => Operation::Produce { queue, message },
            Command::Publish {
                exchange,
                key,
                message,
                mandatory,
            } => Operation::Publish {
                exchange,
                key,
                message,
                mandatory,
            },
            Command::Ack { token, .. } => Operation::Ack { token },
            _ => {
                return Err(Trouble::Wrong(format!(
                    "{} cannot be part of a transaction",
                    step.verb
                )));
            }
        })
    }
}

fn item(item: &Item) -> Result<Outgoing, Trouble> {
    outgoing(&item.body, options(&item.options)?)
}

pub(crate) fn outgoing(body: &Value, given: ProduceOptions) -> Result<Outgoing, Trouble> {
    let properties = Properties {
        key: given.key,
        headers: text::headers(&given.headers).map_err(Error::invalid)?,
        content_type: given.content_type,
        correlation_id: given.correlation_id,
        reply_to: given.reply_to,
        dedup_id: given.dedup_id.map(Arc::from),
    };
    let mut message = Outgoing::new(Body::from(text::body(body)?));
    message.properties = (!properties.is_empty()).then(|| Arc::new(properties));
    message.priority = given.priority;
    message.delay = given.delay;
    message.ttl = given.ttl;
    message.durability = given.durability;
    Ok(message)
}
