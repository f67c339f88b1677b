//! Steps that are no commands but what the driver makes of several: requests and replies, the event bus.

use std::collections::HashMap;

use ferrymq_core::driver::{Bus, BusSubscription, Started};
use ferrymq_core::engine::{Command, Reply};
use ferrymq_core::model::{Error, Span};
use serde_json::Value;

use crate::command::outgoing;
use crate::scenario::{Action, ProduceOptions, RequestOptions, SubscribeOptions, options};
use crate::world::{Call, State, Trouble, World};

/// How long a request waits where it does not say.
const REQUEST_TIMEOUT: Span = Span(30_000);

/// What a scenario has subscribed to.
#[derive(Default)]
pub struct Subscriptions(HashMap<String, BusSubscription>);

impl World {
    /// The call of such a step; `None` for any other step.
    pub(crate) fn talk(
        &mut self,
        action: &Action,
        name: Option<&String>,
    ) -> Option<Result<Call, String>> {
        let result = match action {
            Action::Request {
                queue,
                body,
                options,
            } => self.request(queue, body, options),
            Action::Reply {
                delivery,
                body,
                options,
            } => self.reply(delivery, body, options),
            Action::SubscribeBus { pattern, options } => self.subscribe(pattern, options, name),
            Action::PublishBus {
                topic,
                body,
                options,
            } => self.publish(topic, body, options),
            Action::BusEvents { subscription } => self.events(subscription),
            Action::UnsubscribeBus { subscription } => {
                match self.subscriptions.0.remove(subscription) {
                    Some(_ended) => Ok(finished(Ok(Reply::Done))),
                    None => Err(unknown(subscription)),
                }
            }
            _ => return None,
        };
        Some(match result {
            Ok(call) => Ok(call),
            Err(Trouble::Refused(error)) => Ok(finished(Err(error))),
            Err(Trouble::Wrong(wrong)) => Err(wrong),
        })
    }

    fn request(&self, queue: &str, body: &Value, given: &Value) -> Result<Call, Trouble> {
        let given: RequestOptions = options(given)?;
        let queue = self.queue(queue)?;
        let timeout = given.timeout.unwrap_or(Some(REQUEST_TIMEOUT));
        let message = outgoing(body, given.message())?;
        let (asked, pending) = self.broker().begin_request(timeout)?;
        let produce = Command::Produce {
            queue,
            message: asked.on(message),
            wait: self.broker().wait(timeout),
        };
        match self.broker().start(produce) {
            Started::Done(produced) => produced?,
            Started::Pending(_) => {
                return Err(Trouble::Wrong(
                    "a request that waits for room or a sync is not for vectors".to_owned(),
                ));
            }
        };
        Ok(Call {
            state: State::Pending(pending),
            queue: String::new(),
        })
    }

    fn reply(&self, delivery: &str, body: &Value, given: &Value) -> Result<Call, Trouble> {
        let given: ProduceOptions = options(given)?;
        let message = outgoing(body, given)?;
        let replied = self
            .broker()
            .reply(&self.delivery(delivery)?.message, message);
        Ok(finished(replied.map(Reply::Produced)))
    }

    fn bus(&self) -> Result<Bus, Error> {
        self.broker().bus()
    }

    fn subscribe(
        &mut self,
        pattern: &str,
        given: &Value,
        name: Option<&String>,
    ) -> Result<Call, Trouble> {
        let given: SubscribeOptions = options(given)?;
        let name =
            name.ok_or_else(|| Trouble::Wrong("a subscription needs a name: as".to_owned()))?;
        let subscription = self.bus()?.subscribe(pattern, given.name.as_deref())?;
        self.subscriptions.0.insert(name.clone(), subscription);
        Ok(finished(Ok(Reply::Done)))
    }

    fn publish(&self, topic: &str, body: &Value, given: &Value) -> Result<Call, Trouble> {
        let given: ProduceOptions = options(given)?;
        let message = outgoing(body, given)?;
        Ok(finished(
            self.bus()?.publish(topic, message).map(Reply::Count),
        ))
    }

    /// The events since the last time, each handled well.
    fn events(&self, subscription: &str) -> Result<Call, Trouble> {
        let found = self
            .subscriptions
            .0
            .get(subscription)
            .ok_or_else(|| unknown(subscription))?;
        let mut events = Vec::new();
        while let Some(event) = found.next(Some(Span(0)))? {
            event.ack()?;
            events.push(event.message().clone());
        }
        Ok(finished(Ok(Reply::Messages(events))))
    }
}

fn unknown(subscription: &str) -> Trouble {
    Trouble::Wrong(format!("{subscription:?} is not a subscription"))
}

fn finished(result: Result<Reply, Error>) -> Call {
    Call {
        state: State::Finished(result),
        queue: String::new(),
    }
}
