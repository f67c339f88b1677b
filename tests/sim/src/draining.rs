//! The end of a world: nothing fails any more, everything is consumed, and what was promised must have come.

use ferrymq_core::engine::{Answer, Command, Reply};
use ferrymq_core::model::Time;

use crate::item::Accept;
use crate::model::{Asked, Model, Verdict};
use crate::world::World;

/// How long is waited between two rounds: until delays, leases and backoffs are surely over.
const WAITS: [u64; 8] = [11, 60, 200, 500, 5_000, 50_000, 400_000, 700_000];

impl World<'_> {
    /// Consumes and acks until nothing is left.
    pub fn drain(&mut self) -> Verdict {
        self.say(|| "drain".to_owned());
        self.model.step += 1;
        self.disk.armed.clear();
        self.disk.unreadable = None;
        self.disk.room = None;
        self.crash_in = None;
        if self.engine.has_failed() || self.is_crashing() {
            self.crash()?;
            self.disk.armed.clear();
        }
        self.leave_all()?;
        let mut waits = WAITS.iter();
        loop {
            let before = self.model.live_now();
            self.consume_all()?;
            self.settle()?;
            if self.messages()? == 0 {
                break;
            }
            if self.model.live_now() == before {
                let Some(wait) = waits.next() else {
                    return Err(format!("{} messages never come", self.messages()?));
                };
                self.pass(*wait)?;
            }
        }
        self.model.all_came()?;
        self.model.step += 1;
        self.crash()
    }

    /// Nobody waits or reserves any more.
    fn leave_all(&mut self) -> Verdict {
        for session in std::mem::take(&mut self.sessions) {
            for held in self.held.extract_if(.., |held| held.session == session.0) {
                self.model.items[held.item as usize].uncount_attempt(held.attempt);
            }
            let close = Command::CloseSession { session };
            self.hand_in(close, Asked::Other { durable: false })?;
        }
        self.held.clear();
        self.consumers.clear();
        self.open_session()
    }

    fn consume_all(&mut self) -> Verdict {
        for slot in 0..self.model.slots.len() as u8 {
            self.model.step += 1;
            let Some(queue) = self.handle_of(slot) else {
                continue;
            };
            let session = self.sessions[0];
            let consume = Command::ConsumeMany {
                queue,
                session,
                max: 1000,
                auto_ack: false,
                wait: ferrymq_core::engine::Wait::No,
            };
            let session = session.0;
            let asked = Asked::Consume {
                slot,
                auto_ack: false,
                session,
            };
            self.hand_in(consume, asked)?;
            // Where a segment is full, the answer waits for a sync; leases are short.
            self.sync_all()?;
            let acked: Vec<_> = self.held.drain(..).map(|h| (h.token, h.item)).collect();
            for (_, item) in &acked {
                self.model.ask_removal(*item);
            }
            let tokens = acked.iter().map(|(token, _)| *token).collect();
            self.hand_in(Command::AckMany { tokens }, Asked::AckMany(acked))?;
        }
        Ok(())
    }

    /// How many messages there are.
    fn messages(&mut self) -> Result<u64, String> {
        match self
            .engine
            .handle(Time(self.model.now), Command::BrokerStats)
        {
            Answer::Done(Ok(Reply::Broker(stats))) => Ok(stats.messages),
            other => Err(format!("statistics answer {other:?}")),
        }
    }
}

impl Model {
    /// How many messages may be there and were not settled.
    fn live_now(&self) -> usize {
        let live = self.live.iter().map(|index| &self.items[*index as usize]);
        live.filter(|item| item.removal.is_none()).count()
    }

    /// Errors: a message that was accepted never came.
    fn all_came(&mut self) -> Verdict {
        for &index in &self.live {
            self.checks += 1;
            let item = &self.items[index as usize];
            if item.accept == Accept::Told && !item.unsure && !self.may_go(item) {
                return Err(format!("message {} never came", item.name));
            }
        }
        Ok(())
    }
}
