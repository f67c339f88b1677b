//! What exists and how it looks: declare, alter, delete, purge, bind, peek, statistics, sessions.

use crate::model::collections::sorted;
use crate::model::{
    BrokerStats, Departure, Error, ErrorKind, MessageId, QueueId, QueueOptions, QueueSpec,
    QueueStats, Result, SessionId, quoted,
};
use crate::queue::Position;
use crate::store::{Record, State};

use super::line::Line;
use super::{Command, Engine, Outcome, Reply, Step};

impl Engine {
    /// The commands that are not on a message's way.
    pub(super) fn administer(&mut self, command: Command) -> Step {
        let step = match command {
            Command::Peek { queue, max } => return self.peek(queue, max),
            Command::Stats { queue } => {
                return Ok(Outcome::Now(Reply::Stats(Box::new(self.stats(queue)?))));
            }
            Command::Size { queue } => {
                let size = self.line(queue)?.counts.size();
                return Ok(Outcome::Now(Reply::Count(size)));
            }
            Command::Queues => return self.queues(),
            Command::BrokerStats => return Ok(Outcome::Now(self.broker_stats())),
            Command::OpenSession => return Ok(Outcome::Now(self.open_session())),
            Command::CloseSession { session } => self.close_session(session),
            Command::OpenConsumer {
                queue,
                session,
                prefetch,
                auto_ack,
            } => self.open_consumer(queue, session, prefetch, auto_ack),
            Command::CloseConsumer { consumer } => {
                self.close_consumer(consumer);
                Ok(Outcome::Now(Reply::Done))
            }
            Command::DeclareQueue {
                name,
                options,
                create,
                session,
            } => self.declare_queue(&name, &options, create, session),
            Command::AlterQueue { queue, options } => self.alter_queue(queue, &options),
            Command::DeleteQueue { queue } => self.delete_queue(queue),
            Command::Purge { queue } => self.purge(queue),
            Command::Redrive { queue, max } => self.redrive(queue, max),
            other => self.administer_exchange(other),
        };
        // What exists has changed: dead letters that had no place to go may have one now.
        for source in self.holding.clone() {
            self.retry_held(source);
        }
        step
    }

    fn declare_queue(
        &mut self,
        name: &str,
        options: &QueueOptions,
        create: bool,
        session: SessionId,
    ) -> Step {
        if let Some(queue) = self.topology.queue_named(name) {
            self.check_owner(queue, name, session)?;
            self.topology.queue(queue)?.spec.compare(name, options)?;
            if session != SessionId::NOBODY {
                self.watch_use(queue.index);
            }
            return Ok(Outcome::Now(Reply::Queue(queue)));
        }
        if !create {
            crate::model::check_name("queue", name)?;
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "there is no queue {}; declare it, or leave create out",
                    quoted(name)
                ),
            ));
        }
        let defaults = QueueSpec {
            lease: self.config.lease,
            ..QueueSpec::default()
        };
        let queue = self.topology.queue_vacancy(name)?;
        let spec = defaults.with(name, options)?;
        if spec.exclusive && !self.sessions.contains(&session) {
            return Err(closed());
        }
        let owner = spec.exclusive.then_some(session);
        self.create_queue(queue, name, spec);
        self.line(queue)?.owner = owner;
        Ok(Outcome::Once(self.config.durability, Reply::Queue(queue)))
    }

    fn create_queue(&mut self, queue: QueueId, name: &str, spec: QueueSpec) {
        let record = Record::Queue {
            queue,
            name: name.to_owned(),
            spec: spec.clone(),
        };
        self.record(&record);
        self.add_queue(queue, name, spec);
    }

    /// A dead-letter queue is created even where its name or the number of queues would be refused to a user: a message must not be lost over it.
    pub(super) fn create_queue_for_the_dead(&mut self, name: &str, spec: QueueSpec) -> u32 {
        let queue = self.topology.vacancy();
        self.create_queue(queue, name, spec);
        queue.index
    }

    pub(super) fn add_queue(&mut self, queue: QueueId, name: &str, spec: QueueSpec) {
        let mut line = Line::new(queue, spec.priorities, spec.ordered_keys);
        let single = spec.single_active_consumer;
        line.consumers.set_policy(spec.dispatch, single);
        self.topology.add_queue(queue, name, spec);
        let index = queue.index as usize;
        if self.lines.len() <= index {
            self.lines.resize_with(index + 1, || None);
        }
        self.lines[index] = Some(Box::new(line));
        self.watch_use(queue.index);
    }

    fn alter_queue(&mut self, queue: QueueId, options: &QueueOptions) -> Step {
        let declared = self.topology.queue(queue)?;
        let name = declared.name.clone();
        for (what, passed) in [
            ("priorities", options.priorities.is_some()),
            ("ordered_keys", options.ordered_keys.is_some()),
            ("exclusive", options.exclusive.is_some()),
        ] {
            if passed {
                return Err(Error::invalid(format!(
                    "{what} cannot be altered: what a queue holds and who holds it depend on it; declare another queue"
                )));
            }
        }
        let spec = declared.spec.with(&name, options)?;
        self.record(&Record::Queue {
            queue,
            name,
            spec: spec.clone(),
        });
        self.alter_window(queue, spec.dedup_window);
        self.apply_options(queue, spec);
        self.watch_use(queue.index);
        self.freed.insert(queue.index);
        self.serve(queue.index);
        Ok(Outcome::Once(self.config.durability, Reply::Done))
    }

    /// Options of a queue that exists come into force.
    pub(super) fn apply_options(&mut self, queue: QueueId, spec: QueueSpec) {
        if let Ok(line) = self.line(queue) {
            let single = spec.single_active_consumer;
            line.consumers.set_policy(spec.dispatch, single);
        }
        self.topology.alter_queue(queue, spec);
    }

    fn delete_queue(&mut self, queue: QueueId) -> Step {
        let count = self.line(queue)?.counts.size();
        self.record(&Record::QueueDeleted { queue });
        self.remove_queue(queue);
        Ok(Outcome::Once(self.config.durability, Reply::Count(count)))
    }

    pub(super) fn remove_queue(&mut self, queue: QueueId) {
        let index = queue.index;
        self.orphan_consumers(index);
        for token in self.leases.tokens(|lease| lease.queue == index) {
            if let Ok(lease) = self.leases.close(token) {
                self.repay(lease.consumer, lease.queue);
                self.take_out(lease.slot, Departure::Taken, false);
            }
        }
        let waiting = self.drain(index);
        for position in waiting {
            self.take_out(position.slot, Departure::Taken, false);
        }
        let line = self.line_at(index);
        let mut calls = line.consumers.drain(|_| true);
        calls.extend(line.producers.drain(..));
        let ids = line.ids.as_ref().map_or(0, |ids| ids.cost());
        for call in calls {
            self.calls.remove(call);
            self.resolve(call, Err(super::gone()));
        }
        self.give_memory_back(ids);
        self.topology.remove_queue(queue);
        self.lines[index as usize] = None;
        for set in [
            &mut self.blocked,
            &mut self.freed,
            &mut self.holding,
            &mut self.hiding,
        ] {
            set.remove(&index);
        }
        for line in self.lines.iter_mut().flatten() {
            line.holders.remove(&index);
        }
    }

    /// Takes all that waits off the lists: ready, hidden, delayed, parked, held. Stays in the table and the counts.
    fn drain(&mut self, index: u32) -> Vec<Position> {
        let messages = &self.messages;
        let Some(Some(line)) = self.lines.get_mut(index as usize) else {
            return Vec::new();
        };
        let out = |state| matches!(state, State::Leased | State::Reserved);
        let mut drained = line.waiting.drain(|position| {
            let head = messages.get(position.slot);
            head.is_some_and(|m| m.id == position.id && out(m.state))
        });
        drained.extend(line.held.drain(..).map(|held| held.position));
        drained.retain(|position| {
            messages
                .get(position.slot)
                .is_some_and(|m| m.id == position.id && !out(m.state))
        });
        // A message in two lists would be counted twice: an expired one may have left its mark behind.
        let mut drained = sorted(drained);
        drained.dedup();
        drained
    }

    fn purge(&mut self, queue: QueueId) -> Step {
        self.line(queue)?;
        let drained = self.drain(queue.index);
        for position in &drained {
            self.depart(position.slot, Departure::Taken);
        }
        self.holding.remove(&queue.index);
        Ok(Outcome::Once(
            self.config.durability,
            Reply::Count(drained.len() as u64),
        ))
    }

    fn peek(&mut self, queue: QueueId, max: u32) -> Step {
        self.line(queue)?;
        if max == 0 {
            return Err(Error::invalid(
                "peek looks at 0 messages; ask for at least 1",
            ));
        }
        let Some(Some(line)) = self.lines.get(queue.index as usize) else {
            return Err(super::gone());
        };
        let ready = line.waiting.iter().filter_map(|at| self.ready(at));
        let messages = ready.take(max as usize).map(|m| m.message()).collect();
        Ok(Outcome::Now(Reply::Messages(messages)))
    }

    fn stats(&mut self, queue: QueueId) -> Result<QueueStats> {
        let declared = self.topology.queue(queue)?;
        let messages = &self.messages;
        let Some(Some(line)) = self.lines.get_mut(queue.index as usize) else {
            return Err(super::gone());
        };
        let live = |at: Position| messages.is(at.slot, at.id, State::Ready);
        let heads = line.waiting.heads(live);
        let oldest = heads
            .iter()
            .filter_map(|at| Some(messages.get(at.slot)?.produced_at))
            .min();
        let mut stats = line.counts.stats(&declared.name, declared.spec.capacity);
        stats.held = line.held.len() as u64;
        stats.oldest_age = oldest.map_or(0, |at| self.now.since(at).0);
        Ok(stats)
    }

    fn queues(&mut self) -> Step {
        let ids: Vec<QueueId> = self.topology.queues().map(|(_, id)| id).collect();
        let stats: Result<Vec<QueueStats>> = ids.into_iter().map(|id| self.stats(id)).collect();
        Ok(Outcome::Now(Reply::Queues(stats?)))
    }

    fn broker_stats(&self) -> Reply {
        Reply::Broker(Box::new(BrokerStats {
            queues: self.topology.queue_count() as u64,
            exchanges: self.topology.exchanges().count() as u64,
            messages: self.messages.len() as u64,
            memory: self.memory,
            memory_limit: self.config.memory_limit,
            waiting: self.calls.len() as u64,
        }))
    }

    fn open_session(&mut self) -> Reply {
        self.last_session.0 += 1;
        self.sessions.insert(self.last_session);
        Reply::Session(self.last_session)
    }

    /// The last id that a message got.
    pub(super) fn last_message(&self) -> MessageId {
        self.last_message
    }
}

#[cold]
pub(super) fn closed() -> Error {
    Error::new(
        ErrorKind::Closed,
        "the session or broker was closed while this call waited; open it anew",
    )
}
