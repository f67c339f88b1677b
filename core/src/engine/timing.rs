//! What falls due: ends of leases, delays, times to live, waits that give up, a sync that is owed. In the order of their times.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::model::limits::LEASE_MS_MAX;
use crate::model::{DeliveryNo, Departure, Error, ErrorKind, MessageId, Span, Time};
use crate::queue::{Due, Position};
use crate::store::State;

use super::calls::Waits;
use super::consuming::nothing;
use super::recover::Replay;
use super::{Engine, Noticed};

/// Delays that end in one go.
const DELAYS_TOGETHER: usize = 64;

/// The three schedules of a queue.
enum Fires {
    Lease,
    Delay,
    Expiry,
}

impl Engine {
    /// The agenda will look at a queue at this moment at the latest.
    pub(super) fn watch(&mut self, index: u32, at: Time) {
        let line = self.line_at(index);
        if at < line.wakeup {
            line.wakeup = at;
            self.agenda.push(Reverse((at, index)));
            self.next_due = self.next_due.min(at);
        }
    }

    /// Fires everything that is due up to `now`; each thing happens at its own time.
    #[cold]
    pub(super) fn fire_due(&mut self, now: Time) {
        if !self.opened && matches!(self.replay, Replay::On { .. }) {
            // What is half replayed may be told later that its time is longer.
            self.next_due = Time::NEVER;
            return;
        }
        loop {
            let queue = self.agenda.peek().map(|Reverse(entry)| *entry);
            let call = self.calls.first_deadline();
            let queue_at = queue.map_or(Time::NEVER, |(at, _)| at);
            let call_at = call.map_or(Time::NEVER, |(at, _)| at);
            let session_at = self.next_forgotten();
            let first = queue_at.min(call_at).min(self.sync_due).min(session_at);
            self.next_due = first;
            if first > now || first == Time::NEVER {
                return;
            }
            self.now = self.now.max(first);
            if let (true, Some((at, index))) = (queue_at == first, queue) {
                self.agenda.pop();
                let other = self.agenda.peek().map_or(now, |Reverse((at, _))| *at);
                let until = now.min(other).min(call_at).min(self.sync_due);
                self.fire_queue(index, at, until);
            } else if let (true, Some((_, call))) = (call_at == first, call) {
                self.give_up(call);
            } else if session_at == first {
                self.forget_idle_sessions();
            } else {
                self.sync_due = Time::NEVER;
                self.sync_in_time();
            }
            self.finish_step();
        }
    }

    /// One queue's turn: one thing that is due, or several that could not disturb anything else before `until`; then the agenda is told when to look again.
    fn fire_queue(&mut self, index: u32, at: Time, until: Time) {
        let Some(Some(line)) = self.lines.get_mut(index as usize) else {
            return;
        };
        if line.wakeup != at {
            return;
        }
        line.wakeup = Time::NEVER;
        let lease = line.deadlines.next();
        let delay = line.waiting.delayed.next();
        let expiry = line.waiting.expiring.next();
        let first = lease.min(delay).min(expiry);
        let alone = until.min(expiry).min(line.forgets_at).min(line.unused_at);
        if first > self.now {
            self.fire_once_for_all(index);
        } else if delay < lease && delay <= alone && !line.consumers.want() {
            self.delays_are_over(index, Time(alone.0.min(lease.0 - 1)));
        } else {
            let fires = if lease == first {
                Fires::Lease
            } else if delay == first {
                Fires::Delay
            } else {
                Fires::Expiry
            };
            self.fire(index, &fires);
        }
        if let Some(Some(line)) = self.lines.get(index as usize) {
            let next = line.next();
            if next < Time::NEVER {
                self.watch(index, next);
            }
        }
    }

    /// No message of a queue is due: its dedup ids may be, or the queue itself.
    fn fire_once_for_all(&mut self, index: u32) {
        let line = self.line_at(index);
        let (forgets_at, unused_at) = (line.forgets_at, line.unused_at);
        if forgets_at <= self.now {
            self.forget_ids(index);
        }
        if unused_at <= self.now {
            self.may_be_unused(index);
        }
    }

    fn fire(&mut self, index: u32, fires: &Fires) {
        let line = self.line_at(index);
        let due = match fires {
            Fires::Lease => line.deadlines.pop(),
            Fires::Delay => line.waiting.delayed.pop(),
            Fires::Expiry => line.waiting.expiring.pop(),
        };
        let Some(due) = due else {
            return;
        };
        let position = Position {
            id: MessageId(due.id),
            slot: due.slot,
        };
        match fires {
            Fires::Lease => self.lease_is_due(index, due),
            Fires::Delay => self.delay_is_over(index, position),
            Fires::Expiry => self.life_is_over(index, position),
        }
    }

    fn lease_is_due(&mut self, index: u32, due: Due) {
        let now = self.now;
        if !self.leases.ends(due.slot, due.id, due.at) {
            self.line_at(index).deadlines.popped_dead();
        } else if let Some(at) = self.renewed(index, due.slot) {
            self.line_at(index).deadlines.push(Due { at, ..due });
        } else if let Some(lease) = self.leases.close_place(due.slot, DeliveryNo(due.id)) {
            self.repay(lease.consumer, lease.queue);
            self.notice(index, Noticed::LeaseEnded);
            self.line_at(index).used = now;
            self.end_lease(&lease);
        }
    }

    /// When a lease ends that is kept: a lease later, as long as leases may last. `None` if it is not kept, or has lasted so long.
    fn renewed(&mut self, index: u32, place: u32) -> Option<Time> {
        let length = self.topology.queue_at(index)?.spec.lease;
        let until = self.now.after(length);
        self.leases.renew(place, |lease| {
            until.min(lease.began.after(Span(LEASE_MS_MAX)))
        })
    }

    /// Delays that are over up to `until` at a queue where nobody wants a message: each is only put in its place, so many go at once. They are all looked at before any is
    /// touched, because reads that do not wait for one another take a fraction of the time: a million delayed messages are in no cache. The count of a body's owners is read
    /// only so that it is there for whoever takes the message.
    fn delays_are_over(&mut self, index: u32, until: Time) {
        let mut over = Vec::with_capacity(DELAYS_TOGETHER);
        let delayed = &mut self.line_at(index).waiting.delayed;
        while over.len() < DELAYS_TOGETHER && delayed.next() <= until {
            over.extend(delayed.pop());
        }
        self.now = over.last().map_or(self.now, |due| self.now.max(due.at));
        let messages = &self.messages;
        let looked_at = over.into_iter().map(|due| {
            let id = MessageId(due.id);
            let message = messages.get(due.slot).filter(|message| message.id == id);
            let is_live = message.is_some_and(|message| {
                message.state == State::Delayed && Arc::strong_count(&message.body) > 0
            });
            (Position { id, slot: due.slot }, is_live)
        });
        for (position, is_live) in looked_at.collect::<Vec<_>>() {
            if is_live {
                self.make_ready(index, position);
            } else {
                self.line_at(index).waiting.delayed.popped_dead();
            }
        }
    }

    fn delay_is_over(&mut self, index: u32, position: Position) {
        if !self.messages.is(position.slot, position.id, State::Delayed) {
            self.line_at(index).waiting.delayed.popped_dead();
            return;
        }
        self.make_ready(index, position);
        self.serve(index);
    }

    fn make_ready(&mut self, index: u32, position: Position) {
        self.set_state(position.slot, State::Ready);
        let priority = self.messages.get(position.slot).map_or(0, |m| m.priority);
        self.line_at(index).waiting.put_back(priority, position);
    }

    /// A message's time to live is over. A leased one expires when it comes back, a hidden one when it can be seen.
    fn life_is_over(&mut self, index: u32, position: Position) {
        let state = self
            .messages
            .get(position.slot)
            .filter(|resident| resident.id == position.id)
            .map(|resident| resident.state);
        match state {
            None => self.line_at(index).waiting.expiring.popped_dead(),
            Some(State::Ready | State::Reserved | State::Delayed | State::Parked) => {
                self.detach(position.slot);
                self.die(position.slot, Departure::Expired, None);
            }
            Some(State::Leased | State::Hidden | State::HiddenDelayed | State::Held) => {}
        }
    }

    /// A call has waited long enough.
    fn give_up(&mut self, call: crate::model::CallId) {
        let result = match self.calls.get(call).map(|call| &call.waits) {
            Some(Waits::Message { many, .. }) => Ok(nothing(*many)),
            Some(Waits::Take { .. }) => Ok(nothing(true)),
            Some(Waits::Room { queue, .. }) => {
                let name = self.topology.queue(*queue).map_or("", |queue| &queue.name);
                Err(Error::new(
                    ErrorKind::QueueFull,
                    format!(
                        "queue {} was full for the whole timeout; consume, wait longer, or raise its limits",
                        crate::model::quoted(name)
                    ),
                ))
            }
            Some(Waits::Confirm | Waits::Joined { .. }) | None => return,
        };
        if let Some(Waits::Room { queue, .. }) = self.calls.get(call).map(|call| &call.waits) {
            self.notice(queue.index, Noticed::Full);
        }
        self.leave(call);
        self.resolve(call, result);
    }
}
