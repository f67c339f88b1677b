//! The end of a delivery: ack, nack, reject, release, extend, and a lease that ends by itself.

use crate::model::limits::{BATCH_MESSAGES_MAX, LEASE_MS_MAX, SPAN_MS_MAX};
use crate::model::{
    CallId, Delivery, Departure, Durability, Error, QueueId, Result, Return, SessionId, Span, Time,
    Token,
};
use crate::queue::{Due, Position};
use crate::settle::{Finished, Lease, wait_after};
use crate::store::{About, Record, State};

use super::calls::Waits;
use super::{Engine, Outcome, Reply, Step};

const DONE: Outcome = Outcome::Once(Durability::Written, Reply::Done);

impl Engine {
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    pub(super) fn ack(&mut self, token: Token, durable: bool) -> Step {
        self.finish_lease(token)?;
        let level = if durable {
            Durability::Durable
        } else {
            Durability::Written
        };
        Ok(Outcome::Once(level, Reply::Done))
    }

    pub(super) fn ack_many(&mut self, tokens: &[Token]) -> Step {
        if tokens.len() > BATCH_MESSAGES_MAX {
            return Err(Error::invalid(format!(
                "{} deliveries are acked at once, the limit is {BATCH_MESSAGES_MAX}; split them",
                tokens.len()
            )));
        }
        let mut lost = Vec::new();
        for token in tokens {
            if self.finish_lease(*token).is_err() {
                lost.push(*token);
            }
        }
        Ok(Outcome::Once(Durability::Written, Reply::Lost(lost)))
    }

    /// Ends the lease that a token names. Errors: `LeaseLost`.
    fn close_lease(&mut self, token: Token) -> Result<Lease> {
        let lease = self.leases.close(token)?;
        self.forget_deadline(lease.queue);
        self.repay(lease.consumer, lease.queue);
        Ok(lease)
    }

    /// Ends the lease that a token names, and its message is done. Errors: `LeaseLost`.
    #[inline]
    pub(super) fn finish_lease(&mut self, token: Token) -> Result<()> {
        let Finished {
            slot,
            queue,
            consumer,
        } = self.leases.finish(token)?;
        self.forget_deadline(queue);
        self.repay(consumer, queue);
        self.depart(slot, Departure::Acked);
        Ok(())
    }

    /// A lease of this queue has been closed.
    #[inline]
    fn forget_deadline(&mut self, queue: u32) {
        let leases = &self.leases;
        if let Some(Some(line)) = self.lines.get_mut(queue as usize) {
            line.used = self.now;
            line.deadlines
                .forget(|due| leases.ends(due.slot, due.id, due.at));
        }
    }

    pub(super) fn nack(
        &mut self,
        token: Token,
        delay: Option<Span>,
        reason: Option<String>,
    ) -> Step {
        if let Some(Span(ms)) = delay
            && ms > SPAN_MS_MAX
        {
            return Err(Error::invalid(format!(
                "delay is {ms} ms, the limit is {SPAN_MS_MAX} ms (100 years)"
            )));
        }
        let lease = self.close_lease(token)?;
        let (attempt, spent) = self.attempts(&lease);
        self.line_at(lease.queue).counts.nacked += 1;
        self.remember(lease.message, reason);
        let wait = if spent {
            Span(0)
        } else {
            delay.unwrap_or_else(|| self.backoff(lease.queue, attempt))
        };
        let due = self.now.after(wait);
        self.record_return(&lease, due, Return::Nacked);
        if spent {
            self.die(lease.slot, Departure::MaxAttempts, None);
        } else {
            self.put_back(lease.slot, due);
        }
        Ok(DONE)
    }

    pub(super) fn reject(&mut self, token: Token, reason: Option<String>) -> Step {
        let lease = self.close_lease(token)?;
        self.die(lease.slot, Departure::Rejected, reason);
        Ok(DONE)
    }

    pub(super) fn release(&mut self, token: Token) -> Step {
        let lease = self.close_lease(token)?;
        self.line_at(lease.queue).counts.released += 1;
        if let Some(resident) = self.messages.get_mut(lease.slot) {
            resident.attempt = resident.attempt.saturating_sub(1);
        }
        self.record_return(&lease, Time(0), Return::Released);
        self.put_back(lease.slot, Time(0));
        Ok(DONE)
    }

    pub(super) fn extend(&mut self, token: Token, by: Span) -> Step {
        if by.0 == 0 {
            return Err(Error::invalid(
                "a lease is extended by 0 ms; give at least 1 ms, or release the message",
            ));
        }
        let lease = *self.leases.find(token)?;
        let most = lease.began.after(Span(LEASE_MS_MAX));
        let deadline = self.now.after(by).min(most);
        self.leases.extend(token, deadline)?;
        let leases = &self.leases;
        if let Some(Some(line)) = self.lines.get_mut(lease.queue as usize) {
            line.deadlines.push(Due {
                at: deadline,
                id: token.delivery.0,
                slot: token.lease,
            });
            line.deadlines
                .forget(|due| leases.ends(due.slot, due.id, due.at));
        }
        self.watch(lease.queue, deadline);
        Ok(Outcome::Now(Reply::Deadline(deadline)))
    }

    /// A lease has ended by itself.
    pub(super) fn end_lease(&mut self, lease: &Lease) {
        let (_, spent) = self.attempts(lease);
        self.record_return(lease, Time(0), Return::LeaseEnded);
        if spent {
            self.die(lease.slot, Departure::MaxAttempts, None);
        } else {
            self.put_back(lease.slot, Time(0));
        }
    }

    /// How often the message was handed over and counted, and whether that was the last time.
    fn attempts(&self, lease: &Lease) -> (u32, bool) {
        let attempt = self.messages.get(lease.slot).map_or(0, |m| m.attempt);
        (attempt, self.is_spent(lease.slot))
    }

    /// Whether a message has used the attempts that its queue allows.
    pub(super) fn is_spent(&self, slot: u32) -> bool {
        let Some(resident) = self.messages.get(slot) else {
            return false;
        };
        let queue = self.topology.queue_at(resident.queue);
        let most = queue.and_then(|queue| queue.spec.max_attempts);
        most.is_some_and(|most| resident.attempt >= most)
    }

    fn backoff(&mut self, index: u32, attempt: u32) -> Span {
        match self.topology.queue_at(index) {
            Some(queue) => wait_after(&queue.spec.backoff, attempt, &mut self.randomness),
            None => Span(0),
        }
    }

    fn record_return(&mut self, lease: &Lease, due: Time, cause: Return) {
        let Some(resident) = self.messages.get(lease.slot) else {
            return;
        };
        if self.log.is_some() && resident.level > Durability::Memory {
            let about = About::Queue(resident.queue);
            let record = Record::Returned {
                message: lease.message,
                attempt: resident.attempt,
                due,
                cause,
                reason: self.reasons.get(&lease.message).cloned(),
            };
            self.record_of(about, &record);
        }
    }

    /// A leased message comes back: to its place, to the schedule, or it has expired meanwhile.
    pub(super) fn put_back(&mut self, slot: u32, due: Time) {
        let Some(resident) = self.messages.get(slot) else {
            return;
        };
        let (index, priority) = (resident.queue, resident.priority);
        let position = Position {
            id: resident.id,
            slot,
        };
        if resident.expires_at <= self.now {
            self.die(slot, Departure::Expired, None);
        } else if due > self.now {
            self.delay(index, position, due);
        } else {
            self.set_state(slot, State::Ready);
            self.line_at(index).waiting.put_back(priority, position);
            self.serve(index);
        }
    }

    /// Gives back all that a session holds and ends its calls.
    pub(super) fn close_session(&mut self, session: SessionId) -> Step {
        if !self.sessions.remove(&session) {
            return Ok(Outcome::Now(Reply::Done));
        }
        for call in self.calls.of_session(session) {
            self.leave(call);
            self.resolve(call, Err(super::administering::closed()));
        }
        for consumer in self.consumers.of_session(session) {
            self.close_consumer(consumer);
        }
        for token in self.leases.tokens(|lease| lease.session == session) {
            self.release(token)?;
        }
        self.end_queues_of(session);
        Ok(DONE)
    }

    /// Ends a waiting call; a message that it was given goes back.
    pub(super) fn cancel(&mut self, call: CallId) -> Step {
        if self.give_up_joined(call) {
            return Ok(Outcome::Now(Reply::Done));
        }
        let answer = self.confirms.forget(call);
        self.leave(call);
        let deliveries = match answer {
            Some(Reply::Delivery(Some(delivery))) => vec![delivery],
            Some(Reply::Deliveries(deliveries)) => deliveries,
            _ => Vec::new(),
        };
        for Delivery { token, .. } in deliveries {
            if let Some(token) = token {
                self.release(token)?;
            }
        }
        Ok(Outcome::Now(Reply::Done))
    }

    /// Takes a call out of whatever line it stands in.
    pub(super) fn leave(&mut self, call: CallId) {
        let Some(waiting) = self.calls.remove(call) else {
            return;
        };
        match waiting.waits {
            Waits::Confirm | Waits::Joined { .. } => {}
            Waits::Message { queue, .. } => {
                let now = self.now;
                if let Ok(line) = self.line(queue) {
                    line.used = now;
                    line.consumers.leave(call);
                }
            }
            Waits::Take { consumer } => self.consumers.leave(consumer, call),
            Waits::Room { queue, .. } => self.stop_producing(queue, call),
        }
    }

    fn stop_producing(&mut self, queue: QueueId, call: CallId) {
        if let Ok(line) = self.line(queue) {
            line.producers.retain(|waiting| *waiting != call);
            // Whoever stood behind a batch that did not fit may fit himself.
            self.freed.insert(queue.index);
        }
    }
}
