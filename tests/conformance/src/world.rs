//! A scenario's world: the broker, its testing hooks, what the steps named, and whether each step's result was as expected.

use std::collections::HashMap;
use std::fs;

use ferrymq_core::driver::{Broker, Options, Pending, Started, Storage, Testing};
use ferrymq_core::engine::{AtOnce, Command, Reply, Wait};
use ferrymq_core::model::limits::BATCH_MESSAGES_MAX;
use ferrymq_core::model::{
    ConsumerId, Delivery, Error, ErrorKind, ExchangeId, MessageId, Outgoing, QueueId, Time,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::compare::{Shown, compare};
use crate::scenario::{Action, Open, Scenario, Step, StorageName};
use crate::talking::Subscriptions;

/// Why a step could not be run as it is written.
pub enum Trouble {
    /// The API refused it: the step's result.
    Refused(Error),
    /// The scenario is wrong.
    Wrong(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Refused(error)
    }
}

impl From<String> for Trouble {
    fn from(wrong: String) -> Trouble {
        Trouble::Wrong(wrong)
    }
}

/// A call and the queue it was made on.
pub(crate) struct Call {
    pub state: State,
    pub queue: String,
}

pub(crate) enum State {
    Pending(Pending),
    Finished(Result<Reply, Error>),
}

/// What a scenario has built up.
pub struct World {
    broker: Broker,
    testing: Testing,
    storage: StorageName,
    /// Where it stores; gone with the world.
    _directory: Option<TempDir>,
    way: Way,
    queues: HashMap<String, QueueId>,
    exchanges: HashMap<String, ExchangeId>,
    calls: HashMap<String, Call>,
    pub(crate) subscriptions: Subscriptions,
}

/// Which of the driver's ways the verbs of a message's way take: both must give the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As commands.
    Commands,
    /// At once where the driver can, as the typed handles do.
    AtOnce,
}

/// Runs a scenario. The error says which step differed, and how.
pub fn run(scenario: &Scenario, way: Way) -> Result<(), String> {
    let mut world = World::open(&scenario.open, way).map_err(|error| format!("open: {error}"))?;
    for (at, step) in scenario.steps.iter().enumerate() {
        world
            .step(step)
            .map_err(|detail| format!("step {} ({}): {detail}", at + 1, step.verb))?;
    }
    world.broker.close();
    Ok(())
}

/// A directory with what a store is opened with.
fn directory_of(open: &Open) -> Result<TempDir, String> {
    let made = tempfile::tempdir().map_err(|error| format!("no directory: {error}"))?;
    for (name, packed) in &open.files {
        fs::write(made.path().join(name), packed.unpack()?)
            .map_err(|error| format!("{name} cannot be written: {error}"))?;
    }
    Ok(made)
}

impl World {
    fn open(open: &Open, way: Way) -> Result<World, Error> {
        let defaults = Options::default();
        let options = Options {
            memory_limit: open.memory_limit.unwrap_or(defaults.memory_limit),
            lease: open.lease.unwrap_or(defaults.lease),
            durability: open.durability.unwrap_or(defaults.durability),
            ..defaults
        };
        let mut directory = None;
        let storage = match open.storage {
            StorageName::Memory => Storage::Memory,
            StorageName::Manual => Storage::Manual,
            StorageName::Store => {
                let made = directory_of(open)
                    .map_err(|error| Error::new(ErrorKind::StoreFailed, error))?;
                Storage::Files(directory.insert(made).path().to_owned())
            }
        };
        let (broker, testing) = Broker::open_testing(options, storage)?;
        Ok(World {
            broker,
            testing,
            storage: open.storage,
            _directory: directory,
            way,
            queues: HashMap::new(),
            exchanges: HashMap::new(),
            calls: HashMap::new(),
            subscriptions: Subscriptions::default(),
        })
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        if let Some(at) = step.at {
            self.testing.advance_to(Time(at));
        }
        let mut call = match &step.action {
            Action::Result { of } => return self.result(of, step),
            action => match self.talk(action, step.name.as_ref()) {
                Some(call) => call?,
                None => self.perform(action)?,
            },
        };
        call.judge(step)?;
        if let Some(name) = &step.name {
            self.calls.insert(name.clone(), call);
        }
        Ok(())
    }

    /// The result of a call that was pending. It has the call's name, and the step's if it gives one.
    fn result(&mut self, of: &str, step: &Step) -> Result<(), String> {
        let call = self
            .calls
            .get_mut(of)
            .ok_or_else(|| format!("nothing is called {of:?}"))?;
        call.judge(step)?;
        if let (Some(name), State::Finished(result)) = (&step.name, &call.state) {
            let copy = Call {
                state: State::Finished(result.clone()),
                queue: call.queue.clone(),
            };
            self.calls.insert(name.clone(), copy);
        }
        Ok(())
    }

    fn perform(&mut self, action: &Action) -> Result<Call, String> {
        let done = Ok(Reply::Done);
        let result = match action {
            Action::Sync {} => {
                self.testing.sync();
                done
            }
            Action::SyncFails {} => {
                self.testing.sync_fails();
                done
            }
            Action::Kill {} => {
                self.testing.kill();
                done
            }
            Action::PowerCut {} => {
                self.testing.power_cut();
                done
            }
            Action::Reopen {} => self.reopen(),
            Action::Close {} => {
                self.broker.close();
                done
            }
            Action::Handed { consumer } => return self.handed(consumer),
            command => return self.call(command),
        };
        Ok(Call {
            state: State::Finished(result),
            queue: String::new(),
        })
    }

    /// What a consumer was handed since the last time: everything that is reserved for it is taken, until nothing comes.
    fn handed(&mut self, name: &str) -> Result<Call, String> {
        let consumer = match self.consumer(name) {
            Ok(consumer) => consumer,
            Err(Trouble::Refused(error)) => return Err(error.to_string()),
            Err(Trouble::Wrong(wrong)) => return Err(wrong),
        };
        let mut handed = Vec::new();
        let result = loop {
            match self.take(consumer) {
                Ok(Reply::Deliveries(some)) if !some.is_empty() => handed.extend(some),
                Ok(_) => break Ok(Reply::Deliveries(handed)),
                Err(error) => break Err(error),
            }
        };
        let queue = self.calls.get(name).map(|call| call.queue.clone());
        Ok(Call {
            state: State::Finished(result),
            queue: queue.unwrap_or_default(),
        })
    }

    fn take(&self, consumer: ConsumerId) -> Result<Reply, Error> {
        if self.way == Way::AtOnce
            && let Some(delivery) = self.broker.take_at_once(consumer)?
        {
            return Ok(Reply::Deliveries(vec![delivery]));
        }
        self.broker.call(Command::Take {
            consumer,
            max: BATCH_MESSAGES_MAX as u32,
            wait: Wait::No,
        })
    }

    /// The push consumer of this name.
    pub(crate) fn consumer(&self, name: &str) -> Result<ConsumerId, Trouble> {
        match self.calls.get(name).map(|call| &call.state) {
            Some(State::Finished(Ok(Reply::Consumer(id)))) => Ok(*id),
            _ => Err(Trouble::Wrong(format!("{name:?} is not a consumer"))),
        }
    }

    fn reopen(&mut self) -> Result<Reply, Error> {
        self.queues.clear();
        self.exchanges.clear();
        let reopened = self.testing.reopen();
        if self.storage == StorageName::Manual {
            self.testing.sync();
        }
        reopened.map(|()| Reply::Done)
    }

    fn call(&mut self, action: &Action) -> Result<Call, String> {
        let queue = action.queue().unwrap_or_default().to_owned();
        let state = match self.command(action) {
            Ok(command) => self.start(command),
            Err(Trouble::Refused(error)) => State::Finished(Err(error)),
            Err(Trouble::Wrong(wrong)) => return Err(wrong),
        };
        let mut call = Call { state, queue };
        if action.declares() && self.storage == StorageName::Manual && call.poll().is_none() {
            self.testing.sync();
        }
        self.remember(action, &mut call);
        Ok(call)
    }

    fn start(&self, command: Command) -> State {
        let command = match self.way {
            Way::Commands => command,
            Way::AtOnce => match self.at_once(command) {
                Ok(command) => command,
                Err(result) => return State::Finished(result),
            },
        };
        match self.broker.start(command) {
            Started::Done(result) => State::Finished(unless_lost(result)),
            Started::Pending(pending) => State::Pending(pending),
        }
    }

    /// Gives the command back where it cannot be answered at once; the error is the answer.
    fn at_once(&self, command: Command) -> Result<Command, Result<Reply, Error>> {
        match &command {
            Command::Produce { queue, message, .. } if is_plain(message) => {
                let mut body = Some(message.body.clone());
                match self.broker.produce_body_at_once(*queue, &mut body) {
                    Ok(None) => Ok(command),
                    Ok(Some(id)) => Err(Ok(Reply::Produced(id))),
                    Err(error) => Err(Err(error)),
                }
            }
            Command::ProduceMany {
                queue, messages, ..
            } if messages.iter().all(is_plain) => {
                let mut bodies = messages.iter().map(|m| m.body.clone()).collect();
                match self.broker.produce_bodies_at_once(*queue, &mut bodies) {
                    Ok(None) => Ok(command),
                    Ok(Some(MessageId(first))) => {
                        let ids = (first..).map(MessageId).take(messages.len());
                        Err(Ok(Reply::ProducedMany(ids.collect())))
                    }
                    Err(error) => Err(Err(error)),
                }
            }
            _ => self.other_at_once(command),
        }
    }

    fn other_at_once(&self, command: Command) -> Result<Command, Result<Reply, Error>> {
        match command {
            Command::Produce {
                queue,
                message,
                wait,
            } => match self.broker.produce_at_once(queue, message) {
                Ok(AtOnce::Produced(id)) => Err(Ok(Reply::Produced(id))),
                Ok(AtOnce::Waits(message)) => Ok(Command::Produce {
                    queue,
                    message,
                    wait,
                }),
                Err(error) => Err(Err(error)),
            },
            Command::Consume {
                queue, auto_ack, ..
            } => match self.broker.consume_at_once(queue, auto_ack) {
                Ok(None) => Ok(command),
                Ok(delivery) => Err(Ok(Reply::Delivery(delivery))),
                Err(error) => Err(Err(error)),
            },
            Command::ConsumeMany {
                queue,
                max,
                auto_ack,
                ..
            } => {
                let mut taken = Vec::new();
                let broker = &self.broker;
                match broker.consume_many_at_once(queue, max, auto_ack, &mut taken) {
                    Ok(()) if taken.is_empty() => Ok(command),
                    Ok(()) => Err(Ok(Reply::Deliveries(taken))),
                    Err(error) => Err(Err(error)),
                }
            }
            Command::Keep { token, kept } => {
                Err(self.broker.keep(token, kept).map(|()| Reply::Done))
            }
            Command::Ack {
                token,
                durable: false,
            } => match self.broker.ack_at_once(token) {
                Ok(true) => Err(Ok(Reply::Done)),
                Ok(false) => Ok(command),
                Err(error) => Err(Err(error)),
            },
            command => Ok(command),
        }
    }

    /// A declaration's handle is used from then on, as a program would.
    fn remember(&mut self, action: &Action, call: &mut Call) {
        match (action, call.poll()) {
            (Action::Queue { queue, .. }, Some(Ok(Reply::Queue(id)))) => {
                self.queues.insert(queue.clone(), *id);
            }
            (Action::Exchange { exchange, .. }, Some(Ok(Reply::Exchange(id, _)))) => {
                self.exchanges.insert(exchange.clone(), *id);
            }
            _ => {}
        }
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The queue of this name: the declared one, or one that exists.
    pub(crate) fn queue(&self, name: &str) -> Result<QueueId, Trouble> {
        if let Some(&id) = self.queues.get(name) {
            return Ok(id);
        }
        let command = Command::DeclareQueue {
            name: name.to_owned(),
            options: Default::default(),
            create: false,
            session: self.broker.session(),
        };
        match self.broker.call(command)? {
            Reply::Queue(id) => Ok(id),
            other => Err(Trouble::Wrong(format!(
                "a queue was asked for, got {other:?}"
            ))),
        }
    }

    /// The exchange of this name: the declared one, or one that exists.
    pub(crate) fn exchange(&self, name: &str) -> Result<ExchangeId, Trouble> {
        if let Some(&id) = self.exchanges.get(name) {
            return Ok(id);
        }
        let command = Command::DeclareExchange {
            name: name.to_owned(),
            kind: None,
            alternate: None,
            create: false,
        };
        match self.broker.call(command)? {
            Reply::Exchange(id, _) => Ok(id),
            other => Err(Trouble::Wrong(format!(
                "an exchange was asked for, got {other:?}"
            ))),
        }
    }

    /// The delivery of this name; `name.2` is the third of `name`'s.
    pub(crate) fn delivery(&self, name: &str) -> Result<&Delivery, Trouble> {
        let none = || Trouble::Wrong(format!("{name:?} is not a delivery"));
        let (batch, at) = match name.rsplit_once('.') {
            Some((batch, at)) => (batch, at.parse().ok()),
            None => (name, None),
        };
        let finished = |name: &str| match &self.calls.get(name)?.state {
            State::Finished(Ok(reply)) => Some(reply),
            _ => None,
        };
        match (finished(name), at) {
            (Some(Reply::Delivery(Some(delivery))), _) => Ok(delivery),
            (None, Some(at)) => match finished(batch) {
                Some(Reply::Deliveries(deliveries)) => deliveries.get::<usize>(at).ok_or_else(none),
                _ => Err(none()),
            },
            _ => Err(none()),
        }
    }
}

/// `ack_many` fails with `LeaseLost` when some were lost.
fn unless_lost(result: Result<Reply, Error>) -> Result<Reply, Error> {
    match result {
        Ok(Reply::Lost(lost)) if !lost.is_empty() => Err(Error::new(
            ErrorKind::LeaseLost,
            format!("{} deliveries were no longer the caller's", lost.len()),
        )),
        other => other,
    }
}

impl Call {
    /// The result, if the call has finished.
    fn poll(&mut self) -> Option<&Result<Reply, Error>> {
        if let State::Pending(pending) = &mut self.state {
            let result = pending.try_take()?;
            self.state = State::Finished(unless_lost(result));
        }
        match &self.state {
            State::Finished(result) => Some(result),
            State::Pending(_) => None,
        }
    }

    fn judge(&mut self, step: &Step) -> Result<(), String> {
        let queue = self.queue.clone();
        let pending = step.expect.as_ref().and_then(Value::as_str) == Some("pending");
        match (self.poll(), &step.expect, &step.error) {
            (None, _, _) if pending => Ok(()),
            (Some(Ok(reply)), _, _) if pending => Err(format!(
                "expected it to be pending, it has finished with {}",
                Shown::reply(reply, &queue).brief()
            )),
            (Some(Err(error)), _, _) if pending => Err(format!(
                "expected it to be pending, it has failed with {error}"
            )),
            (None, _, Some(code)) => Err(format!("expected error {code}, it is pending")),
            (None, Some(expected), _) => Err(format!("expected {expected}, it is pending")),
            (None, None, None) => Err("expected it to finish, it is pending".to_owned()),
            (Some(Err(error)), _, Some(code)) if error.kind().code() == code => Ok(()),
            (Some(Err(error)), _, Some(code)) => Err(format!("expected error {code}, got {error}")),
            (Some(Ok(reply)), _, Some(code)) => Err(format!(
                "expected error {code}, got {}",
                Shown::reply(reply, &queue).brief()
            )),
            (Some(Err(error)), Some(expected), None) => {
                Err(format!("expected {expected}, got error {error}"))
            }
            (Some(Err(error)), None, None) => Err(format!("failed with {error}")),
            (Some(Ok(reply)), Some(expected), None) => {
                compare(expected, &Shown::reply(reply, &queue))
            }
            (Some(Ok(_)), None, None) => Ok(()),
        }
    }
}

/// Whether a message is its body and nothing else.
fn is_plain(message: &Outgoing) -> bool {
    *message == Outgoing::new(message.body.clone())
}
