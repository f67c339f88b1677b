//! The short ways of a message without a store: what can be answered at once is, without a command; what cannot is given back, to be handed in as one.

use crate::engine::AtOnce;
use crate::model::{self, ConsumerId, Outgoing, QueueId, Result, Time, Token};

use super::Broker;
use super::state::{State, closed};

impl Broker {
    /// Puts a message on a queue if that can be answered at once; else gives it back, to be handed in as a command. The short way of [`Command::Produce`](crate::engine::Command::Produce).
    #[inline]
    pub fn produce_at_once(&self, queue: QueueId, message: Outgoing) -> Result<AtOnce> {
        if self.is_stored() {
            return Ok(AtOnce::Waits(message));
        }
        let timed = message.delay.is_some() || message.ttl.is_some();
        let now = if timed {
            self.shared.clock.now()
        } else {
            self.shared.clock.last_tick()
        };
        self.at_once(
            |state| state.engine.produce_at_once(now, queue, message),
            now,
        )
    }

    /// Puts a body without properties on a queue if that can be answered at once. `None`: it is still in `body`, to be handed in as a command.
    #[inline]
    pub fn produce_body_at_once(
        &self,
        queue: QueueId,
        body: &mut Option<model::Body>,
    ) -> Result<Option<model::MessageId>> {
        if self.is_stored() {
            return Ok(None);
        }
        let now = self.shared.clock.last_tick();
        self.at_once(
            |state| state.engine.produce_body_at_once(now, queue, body),
            now,
        )
    }

    /// Puts bodies on a queue, all or none, if that can be answered at once: gives the first one's id, which the others' follow one by one. `None`: they are still in `bodies`, to be handed in as a
    /// command. The short way of [`Command::ProduceMany`](crate::engine::Command::ProduceMany).
    pub fn produce_bodies_at_once(
        &self,
        queue: QueueId,
        bodies: &mut Vec<model::Body>,
    ) -> Result<Option<model::MessageId>> {
        if self.is_stored() {
            return Ok(None);
        }
        let now = self.shared.clock.last_tick();
        self.at_once(
            |state| state.engine.produce_bodies_at_once(now, queue, bodies),
            now,
        )
    }

    /// Takes the next message if one is ready; `None`: hand it in as a command. The short way of [`Command::Consume`](crate::engine::Command::Consume).
    #[inline]
    pub fn consume_at_once(
        &self,
        queue: QueueId,
        auto_ack: bool,
    ) -> Result<Option<model::Delivery>> {
        if self.is_stored() {
            return Ok(None);
        }
        let now = self.shared.clock.last_tick();
        self.at_once(
            |state| {
                let session = state.session;
                state.engine.consume_at_once(now, queue, session, auto_ack)
            },
            now,
        )
    }

    /// Takes the next message that is reserved for a push consumer; `None`: hand it in as a command. The short way of [`Command::Take`](crate::engine::Command::Take).
    #[inline]
    pub fn take_at_once(&self, consumer: ConsumerId) -> Result<Option<model::Delivery>> {
        if self.is_stored() {
            return Ok(None);
        }
        let now = self.shared.clock.last_tick();
        self.at_once(|state| state.engine.take_at_once(now, consumer), now)
    }

    /// Takes up to `max` messages that are ready into `taken`; if it gets none, hand it in as a command. The short way of [`Command::ConsumeMany`](crate::engine::Command::ConsumeMany).
    pub fn consume_many_at_once(
        &self,
        queue: QueueId,
        max: u32,
        auto_ack: bool,
        taken: &mut Vec<model::Delivery>,
    ) -> Result<()> {
        if self.is_stored() {
            return Ok(());
        }
        let now = self.shared.clock.last_tick();
        self.at_once(
            |state| {
                let session = state.session;
                let engine = &mut state.engine;
                engine.consume_many_at_once(now, queue, session, max, auto_ack, taken)
            },
            now,
        )
    }

    /// Has the lease of a delivery renewed by itself, or not any more. Always answered at once. The short way of [`Command::Keep`](crate::engine::Command::Keep).
    #[inline]
    pub fn keep(&self, token: Token, kept: bool) -> Result<()> {
        let mut state = self.shared.lock();
        let kept = match state.closed {
            true => Err(closed()),
            false => state.engine.keep_at_once(token, kept),
        };
        drop(state);
        if !self.shared.ring.is_empty() {
            self.shared.empty_ring();
        }
        kept
    }

    /// Acks a delivery if that can be answered at once; false: hand it in as a command. The short way of [`Command::Ack`](crate::engine::Command::Ack).
    #[inline]
    pub fn ack_at_once(&self, token: Token) -> Result<bool> {
        if self.is_stored() {
            return Ok(false);
        }
        let now = self.shared.clock.last_tick();
        self.at_once(|state| state.engine.ack_at_once(now, token), now)
    }

    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    fn at_once<T>(&self, act: impl FnOnce(&mut State) -> Result<T>, now: Time) -> Result<T> {
        let mut woken = Vec::new();
        let mut state = self.shared.lock();
        self.shared.drain_ring(&mut state, now, &mut woken);
        if state.closed {
            return Err(closed());
        }
        let result = act(&mut state);
        state.pump(now, &mut woken);
        self.release(state, woken);
        result
    }
}
