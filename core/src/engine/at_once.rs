//! The three verbs of a message's way without their wrapping. In memory, a produce, consume or ack that need not wait is answered in one step; moving it into a
//! [`Command`](super::Command) and its result through [`Answer`](super::Answer) and [`Reply`](super::Reply) costs as much as the step itself. These do the same steps; what
//! cannot be answered at once is given back, to be handed in as a command.

use crate::model::limits::{
    BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, MESSAGE_BYTES_MAX, MESSAGE_OVERHEAD_BYTES,
};
use crate::model::{
    Body, ConsumerId, Delivery, Durability, MessageId, Outgoing, Overflow, QueueId, Result,
    SessionId, Time, Token,
};
use crate::produce::Load;

use super::Engine;
use super::consuming::{Hands, check_max};
use super::entering::Admission;

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
            Admission::Comes(level) => {
                let id = self.accept(queue.index, message, level);
                self.finish_step();
                Ok(AtOnce::Produced(id))
            }
            Admission::Duplicate(_) | Admission::Crowded => Ok(AtOnce::Waits(message)),
        }
    }

    /// [`Command::Produce`](super::Command::Produce) of a body without properties, if it can come in at once: takes it out of `body`. `None`, and nothing taken: hand it in as a command.
    /// Most messages are no more than this, and a whole [`Outgoing`] costs more to move than all that is done with it.
    #[inline]
    pub fn produce_body_at_once(
        &mut self,
        now: Time,
        queue: QueueId,
        body: &mut Option<Body>,
    ) -> Result<Option<MessageId>> {
        self.advance(now);
        let fits = match body {
            Some(body) => self.admit_bodies(queue, std::slice::from_ref(body))?,
            None => None,
        };
        let (Some(level), Some(body)) = (fits, body.take_if(|_| fits.is_some())) else {
            return Ok(None);
        };
        let id = self.accept(queue.index, Outgoing::new(body), level);
        self.finish_step();
        Ok(Some(id))
    }

    /// The same for many, all or none: gives the first one's id, which the others' follow one by one.
    pub fn produce_bodies_at_once(
        &mut self,
        now: Time,
        queue: QueueId,
        bodies: &mut Vec<Body>,
    ) -> Result<Option<MessageId>> {
        self.advance(now);
        let Some(level) = self.admit_bodies(queue, bodies)? else {
            return Ok(None);
        };
        let first = MessageId(self.last_message.0 + 1);
        for body in bodies.drain(..) {
            self.accept(queue.index, Outgoing::new(body), level);
        }
        self.finish_step();
        Ok(Some(first))
    }

    /// How safe the bodies will be if all of them can come in at once. Errors: `NotFound`.
    #[inline]
    fn admit_bodies(&self, queue: QueueId, bodies: &[Body]) -> Result<Option<Durability>> {
        let spec = &self.topology.queue(queue)?.spec;
        let line = self.lines[queue.index as usize]
            .as_ref()
            .expect("a declared queue has a line");
        let mut load = Load::default();
        let mut longest = 0;
        for body in bodies {
            load.messages += 1;
            load.bytes += body.len() as u64;
            longest = longest.max(body.len());
        }
        let memory = load.bytes + load.messages * MESSAGE_OVERHEAD_BYTES as u64;
        let admitted = self.answers_at_once()
            && longest <= MESSAGE_BYTES_MAX
            && bodies.len() <= BATCH_MESSAGES_MAX
            && load.bytes <= BATCH_BYTES_MAX as u64
            && self.memory + memory <= self.config.memory_limit
            && (line.producers.is_empty() || spec.overflow != Overflow::Block)
            && line.counts.usage().has_room(spec, load);
        let level = spec.durability.unwrap_or(self.config.durability);
        Ok(admitted.then_some(level))
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

    /// [`Command::ConsumeMany`](super::Command::ConsumeMany), as far as messages are ready; if `taken` gets none, hand it in as a command.
    pub fn consume_many_at_once(
        &mut self,
        now: Time,
        queue: QueueId,
        session: SessionId,
        max: u32,
        auto_ack: bool,
        taken: &mut Vec<Delivery>,
    ) -> Result<()> {
        self.advance(now);
        if !self.answers_at_once() {
            return Ok(());
        }
        self.check_consumer(queue, session)?;
        check_max(Some(max))?;
        let hands = Hands::of(session, auto_ack);
        for _ in 0..max {
            let Some(position) = self.next_pulled(queue.index) else {
                break;
            };
            taken.push(self.hand_over(queue.index, position, hands));
        }
        self.finish_step();
        Ok(())
    }

    /// [`Command::Keep`](super::Command::Keep). Nothing follows from it and no time passes: a lease that is due and has not ended yet goes on.
    #[inline]
    pub fn keep_at_once(&mut self, token: Token, kept: bool) -> Result<()> {
        self.leases.keep(token, kept)
    }

    /// [`Command::Ack`](super::Command::Ack), if it need not wait for the log; false: hand it in as a command.
    #[inline]
    pub fn ack_at_once(&mut self, now: Time, token: Token) -> Result<bool> {
        self.advance(now);
        if !self.answers_at_once() {
            return Ok(false);
        }
        self.finish_lease(token)?;
        self.finish_step();
        Ok(true)
    }
}
