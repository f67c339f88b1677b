//! Steps as commands: what a step of the plan does, with the details that follow from its salt.

use ferrymq_core::engine::{Answer, Command, Reply, Wait};
use ferrymq_core::model::{QueueId, QueueOptions, SessionId, Span, Time};

use crate::faults::SyncEnd;
use crate::model::{Asked, Exists, Verdict};
use crate::rng::Rng;
use crate::workload::{Op, Step};
use crate::world::{Held, Pushed, World};

impl World<'_> {
    /// One step of the plan.
    pub fn step(&mut self, step: Step) -> Verdict {
        self.model.step += 1;
        self.rng = Rng::new(step.salt);
        let nth = self.model.step;
        self.say(|| format!("step {nth}: {:?}", step.op));
        match step.op {
            Op::Produce => self.produce(),
            Op::ProduceMany => self.produce_many(),
            Op::Publish => self.publish(),
            Op::Transaction => self.transact(),
            Op::Consume => self.consume(None),
            Op::ConsumeMany => {
                let max = 1 + self.rng.below(4) as u32;
                self.consume(Some(max))
            }
            Op::OpenConsumer => self.open_consumer(),
            Op::Take => self.take(),
            Op::CloseConsumer => self.close_consumer(),
            Op::Ack => self.ack(),
            Op::AckMany => self.ack_many(),
            Op::Nack => self.nack(),
            Op::Reject => self.reject(),
            Op::Release => self.release(),
            Op::Extend => self.extend(),
            Op::Again => self.send_one_again(),
            Op::Peek => self.peek(),
            Op::Pass => {
                let span = 1 + self.rng.below(150);
                self.pass(span)
            }
            other => self.rarely(other),
        }?;
        self.end_step()
    }

    fn rarely(&mut self, op: Op) -> Verdict {
        match op {
            Op::Purge => self.purge(),
            Op::Delete => self.delete(),
            Op::Declare => self.declare_missing(),
            Op::Redrive => self.redrive(),
            Op::Jump => self.jump(),
            Op::Alter => self.alter(),
            Op::OpenSession => self.open_session(),
            Op::CloseSession => self.close_session(),
            Op::Cancel => self.cancel(),
            Op::Sync => match self.disk.syncs() {
                0 => Ok(()),
                some => {
                    let nth = self.rng.below(some as u64) as usize;
                    self.end_sync(nth, SyncEnd::Well)
                }
            },
            Op::Settle => self.settle(),
            Op::SyncFails => match self.disk.syncs() {
                0 => Ok(()),
                _ => {
                    let end = self.rng.pick(&[SyncEnd::Clean, SyncEnd::Reverted]);
                    self.end_sync(0, end)
                }
            },
            Op::Arm(fault) => {
                self.disk.armed.push(fault);
                Ok(())
            }
            Op::NoRoom => {
                self.disk.room = Some(self.rng.below(400));
                Ok(())
            }
            Op::CrashSoon => {
                self.crash_in = Some(self.rng.below(4));
                self.produce()
            }
            Op::Crash => self.crash(),
            Op::Damage => self.damage(),
            _ => Ok(()),
        }
    }

    /// A place with a handle; a queue of the plan that is gone is declared instead.
    pub(crate) fn queue(&mut self, graves: bool) -> Result<Option<(u8, QueueId)>, String> {
        let plain = self.plan.queues.len() as u64;
        let all = match graves && self.rng.percent(30) {
            true => self.model.slots.len() as u64,
            false => plain,
        };
        let at = self.rng.below(all) as u8;
        let handle = self.handle_of(at);
        if handle.is_none()
            && u64::from(at) < plain
            && self.model.slots[at as usize].exists == Exists::No
        {
            self.declare(at)?;
        }
        Ok(handle.map(|queue| (at, queue)))
    }

    pub(crate) fn session(&mut self) -> Option<SessionId> {
        match self.sessions.len() {
            0 => None,
            some => Some(self.sessions[self.rng.below(some as u64) as usize]),
        }
    }

    fn consume(&mut self, max: Option<u32>) -> Verdict {
        let (Some((slot, queue)), Some(session)) = (self.queue(true)?, self.session()) else {
            return Ok(());
        };
        let auto_ack = self.rng.percent(10);
        let wait = match auto_ack {
            true => Wait::No,
            false => self.wait(),
        };
        let command = match max {
            None => Command::Consume {
                queue,
                session,
                auto_ack,
                wait,
            },
            Some(max) => Command::ConsumeMany {
                queue,
                session,
                max,
                auto_ack,
                wait,
            },
        };
        let session = session.0;
        self.hand_in(
            command,
            Asked::Consume {
                slot,
                auto_ack,
                session,
            },
        )
    }

    fn open_consumer(&mut self) -> Verdict {
        let (Some((slot, queue)), Some(session)) = (self.queue(true)?, self.session()) else {
            return Ok(());
        };
        let auto_ack = self.rng.percent(10);
        let command = Command::OpenConsumer {
            queue,
            session,
            prefetch: 1 + self.rng.below(3) as u32,
            auto_ack,
        };
        self.model.slots[slot as usize].pushes = true;
        let answer = self.engine.handle(Time(self.model.now), command);
        if let Answer::Done(Ok(Reply::Consumer(id))) = answer {
            let session = session.0;
            self.consumers.push(Pushed {
                id,
                slot,
                session,
                auto_ack,
            });
        }
        self.pump()
    }

    fn consumer(&mut self) -> Option<usize> {
        match self.consumers.len() {
            0 => None,
            some => Some(self.rng.below(some as u64) as usize),
        }
    }

    fn take(&mut self) -> Verdict {
        let Some(nth) = self.consumer() else {
            return self.consume(None);
        };
        let consumer = self.consumers[nth];
        let max = 1 + self.rng.below(3) as u32;
        let wait = match consumer.auto_ack {
            true => Wait::No,
            false => self.wait(),
        };
        let command = Command::Take {
            consumer: consumer.id,
            max,
            wait,
        };
        self.hand_in(
            command,
            Asked::Consume {
                slot: consumer.slot,
                auto_ack: consumer.auto_ack,
                session: consumer.session,
            },
        )
    }

    fn close_consumer(&mut self) -> Verdict {
        let Some(nth) = self.consumer() else {
            return Ok(());
        };
        let consumer = self.consumers.swap_remove(nth).id;
        self.hand_in(
            Command::CloseConsumer { consumer },
            Asked::Other { durable: false },
        )
    }

    pub(crate) fn let_go(&mut self) -> Option<Held> {
        match self.held.len() {
            0 => None,
            some => Some(self.held.swap_remove(self.rng.below(some as u64) as usize)),
        }
    }

    fn ack(&mut self) -> Verdict {
        let Some(held) = self.let_go() else {
            return Ok(());
        };
        let durable = self.rng.percent(50);
        self.model.ask_removal(held.item);
        let command = Command::Ack {
            token: held.token,
            durable,
        };
        self.hand_in_by_somebody(command, Asked::Ack(held.item, durable))
    }

    fn ack_many(&mut self) -> Verdict {
        let mut acked = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            acked.extend(self.let_go().map(|held| (held.token, held.item)));
        }
        for (_, item) in &acked {
            self.model.ask_removal(*item);
        }
        let tokens = acked.iter().map(|(token, _)| *token).collect();
        self.hand_in(Command::AckMany { tokens }, Asked::AckMany(acked))
    }

    fn nack(&mut self) -> Verdict {
        let Some(held) = self.let_go() else {
            return Ok(());
        };
        let delay = self.rng.percent(70).then(|| self.rng.below(200));
        self.model.ask_nack(held.item, delay);
        let command = Command::Nack {
            token: held.token,
            delay: delay.map(Span),
            reason: self.rng.percent(50).then(|| "later".to_owned()),
        };
        self.hand_in(command, Asked::Nack(held.item, delay))
    }

    fn reject(&mut self) -> Verdict {
        let Some(held) = self.let_go() else {
            return Ok(());
        };
        self.model.ask_death(held.item);
        let command = Command::Reject {
            token: held.token,
            reason: None,
        };
        self.hand_in(command, Asked::Other { durable: false })
    }

    fn release(&mut self) -> Verdict {
        let Some(held) = self.let_go() else {
            return Ok(());
        };
        self.model.items[held.item as usize].uncount_attempt(held.attempt);
        let command = Command::Release { token: held.token };
        self.hand_in(command, Asked::Other { durable: false })
    }

    fn extend(&mut self) -> Verdict {
        let Some(held) = self.let_go() else {
            return Ok(());
        };
        self.held.push(held);
        let command = Command::Extend {
            token: held.token,
            by: Span(1 + self.rng.below(200)),
        };
        self.hand_in(command, Asked::Other { durable: false })
    }

    fn peek(&mut self) -> Verdict {
        let Some((at, queue)) = self.queue(true)? else {
            return Ok(());
        };
        let peek = Command::Peek { queue, max: 100 };
        let answer = self.engine.handle(Time(self.model.now), peek);
        if let Answer::Done(Ok(Reply::Messages(seen))) = answer {
            for message in seen {
                self.model.seen(at, &message)?;
            }
        }
        self.pump()
    }

    fn purge(&mut self) -> Verdict {
        let Some((at, queue)) = self.queue(true)? else {
            return Ok(());
        };
        self.model.ask_purge(at);
        self.hand_in(Command::Purge { queue }, Asked::Purge(at))
    }

    fn delete(&mut self) -> Verdict {
        let Some((at, queue)) = self.queue(false)? else {
            return Ok(());
        };
        self.model.ask_delete(at);
        self.model.slots[at as usize].id = None;
        let before = self.model.items.len() as u32;
        self.hand_in(Command::DeleteQueue { queue }, Asked::Delete(at, before))
    }

    fn declare_missing(&mut self) -> Verdict {
        for at in 0..self.plan.queues.len() as u8 {
            if self.model.slots[at as usize].exists == Exists::No {
                self.declare(at)?;
                self.sync_all()?;
                self.bind(at)?;
            }
        }
        Ok(())
    }

    fn redrive(&mut self) -> Verdict {
        let graves = self.plan.queues.len() as u8..self.model.slots.len() as u8;
        for at in graves {
            if let Some(queue) = self.handle_of(at) {
                self.model.ask_redrive(at);
                let max = self.rng.percent(50).then_some(1);
                self.hand_in(Command::Redrive { queue, max }, Asked::Redrive(at))?;
            }
        }
        Ok(())
    }

    fn alter(&mut self) -> Verdict {
        let Some((at, queue)) = self.queue(false)? else {
            return Ok(());
        };
        let rng = &mut self.rng;
        let options = match rng.below(4) {
            0 => QueueOptions {
                max_attempts: Some(rng.pick(&[Some(1), Some(3), None])),
                ..QueueOptions::default()
            },
            1 => QueueOptions {
                capacity: Some(rng.pick(&[Some(3), Some(8), None])),
                ..QueueOptions::default()
            },
            2 => QueueOptions {
                ttl: Some(rng.pick(&[Some(Span(50)), None])),
                ..QueueOptions::default()
            },
            _ => QueueOptions {
                lease: Some(Span(rng.pick(&[10, 1000]))),
                ..QueueOptions::default()
            },
        };
        self.model.ask_alter(at, &options);
        let command = Command::AlterQueue { queue, options };
        self.hand_in(command, Asked::Other { durable: true })
    }

    fn close_session(&mut self) -> Verdict {
        if self.sessions.len() < 2 {
            return Ok(());
        }
        let nth = self.rng.below(self.sessions.len() as u64) as usize;
        let session = self.sessions.swap_remove(nth);
        for held in self.held.extract_if(.., |held| held.session == session.0) {
            self.model.items[held.item as usize].uncount_attempt(held.attempt);
        }
        self.consumers.retain(|own| own.session != session.0);
        self.hand_in(
            Command::CloseSession { session },
            Asked::Other { durable: false },
        )
    }

    fn cancel(&mut self) -> Verdict {
        let mut calls = self.waiting.iter().rev();
        let consume = calls.find(|(_, ask)| matches!(ask.what, Asked::Consume { .. }));
        let Some((call, ask)) = consume.cloned() else {
            return Ok(());
        };
        if matches!(ask.what, Asked::Consume { auto_ack: true, .. }) {
            // What it had taken is settled, and nobody hears of it.
            self.model.may_have_taken(&ask);
        }
        self.hand_in(Command::Cancel { call }, Asked::Other { durable: false })
    }

    /// Everything is synced, and what waits for no sync has had the time that it may take.
    pub(crate) fn settle(&mut self) -> Verdict {
        self.sync_all()?;
        // The engine's clock may be ahead, where the clock went back.
        self.pass(self.model.peak - self.model.now + 11)?;
        self.sync_all()?;
        if !self.model.poisoned && !self.is_crashing() {
            self.model.through = self.model.step;
        }
        Ok(())
    }
}
