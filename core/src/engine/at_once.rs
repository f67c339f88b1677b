//! The three verbs of a message's way without their wrapping. In memory, a produce, consume or ack that need not wait is answered in one step; moving it into a
//! [`Command`](super::Command) and its result through [`Answer`](super::Answer) and [`Reply`](super::Reply) costs as much as the step itself. These do the same steps; what
//! cannot be answered at once is given back, to be handed in as a command.

use crate::model::{
    ConsumerId, Delivery, Departure, MessageId, Outgoing, QueueId, Result, SessionId, Time, Token,
};

use super::Engine;
use super::consuming::Hands;

/// What `produce_at_once` says.
#[derive(Debug)]
pub enum AtOnce {
    /// It is in.
    Produced(MessageId),
    /// It has to wait for room or for the log, or room has to be made: hand it in as a command.
    Waits(Outgoing),
}

impl Engine {
    /// Whether the verbs of this file apply: there is no log to wait for.
    #[inline]
    fn answers_at_once(&self) -> bool {
        self.log.is_none()
    }

    /// [`Command::Produce`](super::Command::Produce), if it can be answered at once.
    #[inline]
    pub fn produce_at_once(
        &mut self,
        now: Time,
        queue: QueueId,
        message: Outgoing,
    ) -> Result<AtOnce> {
        self.advance(now);
        if !self.answers_at_once() {
            return Ok(AtOnce::Waits(message));
        }
        match self.admit(queue, &message)? {
            Some(level) => {
                let id = self.accept(queue.index, message, level);
                self.finish_step();
                Ok(AtOnce::Produced(id))
            }
            None => Ok(AtOnce::Waits(message)),
        }
    }

    /// [`Command::Consume`](super::Command::Consume), if a message is ready; `None`: hand it in as a command.
    #[inline]
    pub fn consume_at_once(
        &mut self,
        now: Time,
        queue: QueueId,
        session: SessionId,
        auto_ack: bool,
    ) -> Result<Option<Delivery>> {
        self.advance(now);
        if !self.answers_at_once() {
            return Ok(None);
        }
        self.check_consumer(queue, session)?;
        let Some(position) = self.next_pulled(queue.index) else {
            return Ok(None);
        };
        let hands = Hands::of(session, auto_ack);
        let delivery = self.hand_over(queue.index, position, hands);
        self.finish_step();
        Ok(Some(delivery))
    }

    /// [`Command::Take`](super::Command::Take) of one message, if one is reserved; `None`: hand it in as a command.
    #[inline]
    pub fn take_at_once(&mut self, now: Time, consumer: ConsumerId) -> Result<Option<Delivery>> {
        self.advance(now);
        if !self.answers_at_once() {
            return Ok(None);
        }
        let delivery = self.take_reserved(consumer)?;
        self.finish_step();
        Ok(delivery)
    }

    /// [`Command::Ack`](super::Command::Ack), if it need not wait for the log; false: hand it in as a command.
    #[inline]
    pub fn ack_at_once(&mut self, now: Time, token: Token) -> Result<bool> {
        self.advance(now);
        if !self.answers_at_once() {
            return Ok(false);
        }
        let lease = self.close_lease(token)?;
        self.depart(lease.slot, Departure::Acked);
        self.finish_step();
        Ok(true)
    }
}
