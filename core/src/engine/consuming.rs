//! The way out: consume, hand over, serve those who wait.

use std::sync::Arc;

use crate::deliver::{Consumer, Waiter};
use crate::model::deliberate::{self, Deliberate};
use crate::model::limits::BATCH_MESSAGES_MAX;
use crate::model::{
    Delivery, DeliveryNo, Departure, Durability, Error, ErrorKind, Message, QueueId, Result,
    SessionId, Time, Token,
};
use crate::queue::{Due, Position};
use crate::settle::Lease;
use crate::store::{About, Record, State};

use super::calls::Waits;
use super::{Engine, Outcome, Reply, Step, Wait};

/// Whose hands a message comes into.
#[derive(Clone, Copy)]
pub(super) struct Hands {
    session: SessionId,
    consumer: u32,
    auto_ack: bool,
}

impl Hands {
    /// Of who asked for it.
    #[inline]
    pub fn of(session: SessionId, auto_ack: bool) -> Hands {
        Hands {
            session,
            consumer: Lease::PULLED,
            auto_ack,
        }
    }

    /// Of a push consumer, whose message is counted as leased already.
    pub fn of_consumer(place: u32, consumer: &Consumer) -> Hands {
        Hands {
            session: consumer.session,
            consumer: place,
            auto_ack: consumer.auto_ack,
        }
    }
}

impl Engine {
    /// Takes one message (`max` is `None`) or several; waits for the first if there is none.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    pub(super) fn consume(
        &mut self,
        queue: QueueId,
        session: SessionId,
        max: Option<u32>,
        auto_ack: bool,
        wait: Wait,
    ) -> Step {
        self.check_consumer(queue, session)?;
        check_max(max)?;
        let waiter = Waiter {
            call: crate::model::CallId(0),
            session,
            max,
            auto_ack,
        };
        if let Some(reply) = self.hand_to(queue.index, waiter) {
            return Ok(Outcome::Once(Durability::Written, reply));
        }
        let waits = match wait {
            Wait::No => false,
            Wait::Until(at) => at > self.now,
            Wait::Forever => true,
        };
        let many = max.is_some();
        if !waits {
            return Ok(Outcome::Now(nothing(many)));
        }
        let call = self.wait_until(Waits::Message { queue, many }, wait, Some(session))?;
        self.line(queue)?.consumers.join(Waiter { call, ..waiter });
        Ok(Outcome::Waits(call))
    }

    /// Errors: `Closed` for a session that has ended, `NotFound` for a queue that has gone.
    #[inline]
    pub(super) fn check_consumer(&mut self, queue: QueueId, session: SessionId) -> Result<()> {
        if !self.sessions.contains(&session) {
            return Err(Error::new(
                ErrorKind::Closed,
                "the session was closed; open the broker anew",
            ));
        }
        let now = self.now;
        self.line(queue)?.used = now;
        Ok(())
    }

    /// What there is for a consumer; `None` when there is nothing.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    fn hand_to(&mut self, index: u32, waiter: Waiter) -> Option<Reply> {
        let hands = Hands::of(waiter.session, waiter.auto_ack);
        let Some(max) = waiter.max else {
            let position = self.next_pulled(index)?;
            let delivery = self.hand_over(index, position, hands);
            return Some(Reply::Delivery(Some(delivery)));
        };
        let ready = self.line_at(index).counts.ready;
        let mut deliveries = Vec::with_capacity(ready.min(u64::from(max)) as usize);
        while deliveries.len() < max as usize
            && let Some(position) = self.next_pulled(index)
        {
            deliveries.push(self.hand_over(index, position, hands));
        }
        (!deliveries.is_empty()).then_some(Reply::Deliveries(deliveries))
    }

    /// The next message for who asks for one; none while a push consumer has the queue for itself.
    #[inline]
    pub(super) fn next_pulled(&mut self, index: u32) -> Option<Position> {
        if self.line_at(index).consumers.is_taken() {
            return None;
        }
        self.next_ready(index)
    }

    #[inline]
    pub(super) fn next_ready(&mut self, index: u32) -> Option<Position> {
        let messages = &self.messages;
        let line = self.lines[index as usize]
            .as_mut()
            .expect("a declared queue has a line");
        let live = |position: Position| messages.is(position.slot, position.id, State::Ready);
        let look = |position: Position| {
            let message = messages.get(position.slot);
            message.map_or(0, |message| Arc::strong_count(&message.body))
        };
        line.waiting.pop(live, look)
    }

    /// Hands a message over: its lease begins and its attempt is counted now.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    pub(super) fn hand_over(&mut self, index: u32, position: Position, hands: Hands) -> Delivery {
        let resident = self
            .messages
            .get_mut(position.slot)
            .expect("a ready position has its message");
        resident.attempt = resident.attempt.saturating_add(1);
        let message = Message {
            id: resident.id,
            body: Arc::clone(&resident.body),
            properties: resident.properties.clone(),
            priority: resident.priority,
            attempt: resident.attempt,
            produced_at: resident.produced_at,
            redelivered: resident.redelivered,
        };
        let again = std::mem::replace(&mut resident.redelivered, true);
        if !hands.auto_ack {
            resident.state = State::Leased;
        }
        let level = resident.level;
        let line = self.lines[index as usize]
            .as_mut()
            .expect("a declared queue has a line");
        line.counts.redelivered += u64::from(again);
        line.used = self.now;
        let (token, deadline) = if hands.auto_ack {
            self.depart(position.slot, Departure::Acked);
            (None, Time::NEVER)
        } else {
            let (token, deadline) = self.lease_out(index, position, hands);
            let told = !deliberate::is(Deliberate::ForgetHandOvers);
            if self.log.is_some() && level > Durability::Memory && told {
                let record = Record::Leased {
                    message: position.id,
                    attempt: message.attempt,
                };
                self.record_of(About::Queue(index), &record);
            }
            (Some(token), deadline)
        };
        Delivery {
            message,
            token,
            deadline,
        }
    }

    /// The message at a position is a session's from now on.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    fn lease_out(&mut self, index: u32, position: Position, hands: Hands) -> (Token, Time) {
        let lease = self
            .topology
            .queue_at(index)
            .map_or(self.config.lease, |queue| queue.spec.lease);
        let deadline = self.now.after(lease);
        let token = self.leases.open(Lease {
            delivery: DeliveryNo(0),
            message: position.id,
            slot: position.slot,
            queue: index,
            session: hands.session,
            consumer: hands.consumer,
            began: self.now,
            deadline,
            kept: false,
        });
        let line = self.lines[index as usize]
            .as_mut()
            .expect("a declared queue has a line");
        if hands.consumer == Lease::PULLED {
            line.counts.ready -= 1;
            line.counts.leased += 1;
        }
        line.deadlines.push(Due {
            at: deadline,
            id: token.delivery.0,
            slot: token.lease,
        });
        if deadline < line.wakeup {
            self.watch(index, deadline);
        }
        (token, deadline)
    }

    /// Something is ready: whoever waits for it is served at the end of the step, so that a batch is there as a whole.
    #[inline]
    pub(super) fn serve(&mut self, index: u32) {
        let line = self.line_at(index);
        if line.consumers.want() && !line.unserved {
            line.unserved = true;
            self.unserved.push(index);
        }
    }

    /// Gives what is ready to those who wait for it, in their order.
    pub(super) fn serve_waiting(&mut self, index: u32) {
        if let Some(Some(line)) = self.lines.get_mut(index as usize) {
            line.unserved = false;
        }
        while let Some(Some(line)) = self.lines.get_mut(index as usize)
            && line.counts.ready > 0
            && let Some(waiter) = line.consumers.next_in_turn()
        {
            let Some(reply) = self.hand_to(index, waiter) else {
                self.line_at(index).consumers.rejoin(waiter);
                return;
            };
            self.calls.remove(waiter.call);
            let outcome = Outcome::Once(Durability::Written, reply);
            self.conclude_later(waiter.call, outcome);
        }
        self.reserve(index);
    }
}

pub(super) fn check_max(max: Option<u32>) -> Result<()> {
    if let Some(max) = max
        && (max == 0 || max as usize > BATCH_MESSAGES_MAX)
    {
        return Err(Error::invalid(format!(
            "max_messages is {max}; it must be 1 to {BATCH_MESSAGES_MAX}"
        )));
    }
    Ok(())
}

/// The answer when there is no message.
pub(super) fn nothing(many: bool) -> Reply {
    if many {
        Reply::Deliveries(Vec::new())
    } else {
        Reply::Delivery(None)
    }
}
