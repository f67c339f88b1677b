//! The way out without being asked: push consumers, what is reserved for them, and handing it over.

use std::collections::VecDeque;

use crate::deliver::{Consumer, Reserved, Take};
use crate::model::limits::{CONSUMERS_MAX, PREFETCH_MAX, QUEUE_CONSUMERS_MAX};
use crate::model::{
    ConsumerId, Delivery, Departure, Durability, Error, ErrorKind, QueueId, Result, SessionId,
};
use crate::queue::Position;
use crate::settle::Lease;
use crate::store::State;

use super::calls::Waits;
use super::consuming::{Hands, check_max, nothing};
use super::{Engine, Outcome, Reply, Step, Wait};

impl Engine {
    pub(super) fn open_consumer(
        &mut self,
        queue: QueueId,
        session: SessionId,
        prefetch: u32,
        auto_ack: bool,
    ) -> Step {
        self.check_consumer(queue, session)?;
        if prefetch == 0 || prefetch > PREFETCH_MAX {
            return Err(Error::invalid(format!(
                "prefetch is {prefetch}; it must be 1 to {PREFETCH_MAX}"
            )));
        }
        let of_queue = self.line(queue)?.consumers.consumers();
        if of_queue >= QUEUE_CONSUMERS_MAX || self.consumers.len() >= CONSUMERS_MAX {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "the queue has {of_queue} consumers, the broker {}; there may be {QUEUE_CONSUMERS_MAX} and {CONSUMERS_MAX}; close some",
                    self.consumers.len()
                ),
            ));
        }
        let consumer = self.consumers.open(Consumer {
            queue,
            session,
            auto_ack,
            prefetch,
            unsettled: 0,
            reserved: VecDeque::new(),
            takes: VecDeque::new(),
            orphaned: false,
        });
        self.line(queue)?.consumers.enrol(consumer.index);
        self.serve(queue.index);
        self.consumers_changed(queue);
        Ok(Outcome::Now(Reply::Consumer(consumer)))
    }

    /// Hands over what is reserved for a consumer; waits for the first if there is none.
    pub(super) fn take(&mut self, id: ConsumerId, max: u32, wait: Wait) -> Step {
        check_max(Some(max))?;
        let consumer = self.open_one(id)?;
        if !consumer.reserved.is_empty() {
            let deliveries = self.hand_reserved(id.index, max);
            let reply = Reply::Deliveries(deliveries);
            return Ok(Outcome::Once(Durability::Written, reply));
        }
        let session = consumer.session;
        let waits = match wait {
            Wait::No => false,
            Wait::Until(at) => at > self.now,
            Wait::Forever => true,
        };
        if !waits {
            return Ok(Outcome::Now(nothing(true)));
        }
        let call = self.wait_until(Waits::Take { consumer: id }, wait, Some(session))?;
        if let Some(consumer) = self.consumers.get(id) {
            consumer.takes.push_back(Take { call, max });
        }
        Ok(Outcome::Waits(call))
    }

    /// The next message that is reserved for a consumer, handed over; `None` when there is none.
    #[inline]
    pub(super) fn take_reserved(&mut self, id: ConsumerId) -> Result<Option<Delivery>> {
        self.open_one(id)?;
        Ok(self.hand_next(id.index))
    }

    /// Errors: `NotFound` when its queue was deleted, `Closed` when it was closed.
    #[inline]
    fn open_one(&mut self, id: ConsumerId) -> Result<&mut Consumer> {
        match self.consumers.get(id) {
            Some(consumer) if !consumer.orphaned => Ok(consumer),
            Some(_) => Err(super::gone()),
            None => Err(ended()),
        }
    }

    fn hand_reserved(&mut self, place: u32, max: u32) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while deliveries.len() < max as usize
            && let Some(delivery) = self.hand_next(place)
        {
            deliveries.push(delivery);
        }
        deliveries
    }

    /// Hands over the first message that is reserved for a consumer: its lease begins and its attempt is counted now.
    #[inline]
    fn hand_next(&mut self, place: u32) -> Option<Delivery> {
        let consumer = self.consumers.at_mut(place)?;
        let had_credit = consumer.has_credit();
        let reserved = consumer.reserved.pop_front()?;
        let index = consumer.queue.index;
        let hands = Hands::of_consumer(place, consumer);
        if !consumer.auto_ack {
            consumer.unsettled += 1;
        } else if !had_credit {
            self.credit(index);
        }
        Some(self.hand_over(index, position(reserved), hands))
    }

    /// Ends a consumer. What is reserved for it goes back to its place, uncounted.
    pub(super) fn close_consumer(&mut self, id: ConsumerId) {
        let Some(consumer) = self.consumers.close(id) else {
            return;
        };
        for take in &consumer.takes {
            self.calls.remove(take.call);
            self.resolve(take.call, Err(ended()));
        }
        if consumer.orphaned {
            return;
        }
        let queue = consumer.queue;
        let had_credit = consumer.has_credit();
        self.line_at(queue.index)
            .consumers
            .dismiss(id.index, had_credit);
        for reserved in &consumer.reserved {
            self.put_back(reserved.slot, crate::model::Time(0));
        }
        self.serve(queue.index);
        self.consumers_changed(queue);
    }

    /// A queue goes: its consumers have nothing to wait for any more. They stay registered until they are closed, so that each hears why.
    pub(super) fn orphan_consumers(&mut self, index: u32) {
        for place in self.line_at(index).consumers.dismiss_all() {
            let Some(consumer) = self.consumers.at_mut(place) else {
                continue;
            };
            consumer.orphaned = true;
            let reserved = std::mem::take(&mut consumer.reserved);
            let takes = std::mem::take(&mut consumer.takes);
            for reserved in reserved {
                self.take_out(reserved.slot, Departure::Taken, false);
            }
            for take in takes {
                self.calls.remove(take.call);
                self.resolve(take.call, Err(super::gone()));
            }
        }
    }

    /// A lease has ended: who took it with his credit has it back.
    #[inline]
    pub(super) fn repay(&mut self, consumer: u32, queue: u32) {
        if consumer != Lease::PULLED && self.consumers.repay(consumer) {
            self.credit(queue);
        }
    }

    /// A consumer of this queue that had no credit has some.
    #[inline]
    fn credit(&mut self, index: u32) {
        let line = self.line_at(index);
        line.consumers.gains_credit();
        if line.counts.ready > 0 {
            self.serve(index);
        }
    }

    /// A message that is reserved leaves before it was handed over.
    pub(super) fn unreserve(&mut self, index: u32, gone: Position) {
        let Some(Some(line)) = self.lines.get_mut(index as usize) else {
            return;
        };
        for &place in line.consumers.places() {
            let Some(consumer) = self.consumers.at_mut(place) else {
                continue;
            };
            let mut reserved = consumer.reserved.iter();
            if let Some(at) = reserved.position(|reserved| position(*reserved) == gone) {
                let had_credit = consumer.has_credit();
                consumer.reserved.remove(at);
                if !had_credit {
                    self.credit(index);
                }
                return;
            }
        }
    }

    /// Reserves what is ready for the push consumers whose turn it is, then lets go the calls that waited for it.
    pub(super) fn reserve(&mut self, index: u32) {
        let mut fed = Vec::new();
        while let Some(Some(line)) = self.lines.get(index as usize)
            && line.counts.ready > 0
            && line.consumers.can_push(&self.consumers)
            && let Some(position) = self.next_ready(index)
        {
            let turns = &mut self.lines[index as usize]
                .as_mut()
                .expect("a queue that is served has a line")
                .consumers;
            let chance = || self.dice.next_fraction();
            let place = turns
                .next_pushed(&self.consumers, chance)
                .expect("some push consumer has credit");
            let consumer = self.consumers.at_mut(place).expect("its turn came");
            if consumer.reserved.is_empty() && !consumer.takes.is_empty() {
                fed.push(place);
            }
            consumer.reserved.push_back(Reserved {
                message: position.id,
                slot: position.slot,
            });
            if !consumer.has_credit() {
                turns.loses_credit();
            }
            self.set_state(position.slot, State::Reserved);
        }
        for place in fed {
            self.feed(place);
        }
    }

    /// Answers the calls that wait for what is now reserved.
    fn feed(&mut self, place: u32) {
        while let Some(consumer) = self.consumers.at_mut(place)
            && !consumer.reserved.is_empty()
            && let Some(take) = consumer.takes.pop_front()
        {
            let deliveries = self.hand_reserved(place, take.max);
            self.calls.remove(take.call);
            let reply = Reply::Deliveries(deliveries);
            self.conclude_later(take.call, Outcome::Once(Durability::Written, reply));
        }
    }
}

fn position(reserved: Reserved) -> Position {
    Position {
        id: reserved.message,
        slot: reserved.slot,
    }
}

#[cold]
fn ended() -> Error {
    Error::new(
        ErrorKind::Closed,
        "the consumer was closed; open another with queue.consumer()",
    )
}
