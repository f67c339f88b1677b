//! Who gets it. Turns "a message is ready" into the consumer whose turn it is.
//! Owns: per queue the calls that wait, in their order, and the push consumers; their credit and whose turn it is.
//! May use: model. Never: holds what is unacked.
//! Invariant: who has waited longest is served first, a call stands in one line only, and nobody has more than his credit.

mod consumers;

use std::collections::VecDeque;

use crate::model::{CallId, Dispatch, SessionId};

pub use consumers::{Consumer, Consumers, Reserved, Take};

/// A consumer that waits for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// The call that waits.
    pub call: CallId,
    /// Who will hold the lease.
    pub session: SessionId,
    /// At most so many; `None`: one, answered as a single delivery.
    pub max: Option<u32>,
    /// Settled by being handed over.
    pub auto_ack: bool,
}

/// Who wants the messages of one queue: calls that wait, and push consumers.
#[derive(Debug, Default)]
pub struct Turns {
    line: VecDeque<Waiter>,
    /// Places of the push consumers, in the order in which they were opened.
    pushed: Vec<u32>,
    /// How many of them have credit.
    solvent: usize,
    /// Which of them is looked at first.
    turn: usize,
    dispatch: Dispatch,
    /// Only the first push consumer gets messages.
    single: bool,
}

impl Turns {
    /// Whether anybody would take a message.
    #[must_use]
    #[inline]
    pub fn want(&self) -> bool {
        !self.line.is_empty() || self.solvent > 0
    }

    /// Whether a push consumer has the queue for itself, so that who asks gets nothing.
    #[must_use]
    #[inline]
    pub fn is_taken(&self) -> bool {
        self.single && !self.pushed.is_empty()
    }

    /// Whether anybody waits or has a consumer open here.
    #[must_use]
    pub fn has_anybody(&self) -> bool {
        !self.line.is_empty() || !self.pushed.is_empty()
    }

    /// Whether no push consumer is there.
    #[must_use]
    pub fn has_no_consumer(&self) -> bool {
        self.pushed.is_empty()
    }

    /// How many push consumers there are.
    #[must_use]
    pub fn consumers(&self) -> usize {
        self.pushed.len()
    }

    /// Their places.
    pub fn places(&self) -> &[u32] {
        &self.pushed
    }

    /// Joins the end of the line.
    pub fn join(&mut self, waiter: Waiter) {
        self.line.push_back(waiter);
    }

    /// Whose turn it is among those who wait.
    #[must_use]
    pub fn next_in_turn(&mut self) -> Option<Waiter> {
        if self.is_taken() {
            return None;
        }
        self.line.pop_front()
    }

    /// Goes back to the head of the line: it was its turn and there was nothing.
    pub fn rejoin(&mut self, waiter: Waiter) {
        self.line.push_front(waiter);
    }

    /// Leaves the line.
    pub fn leave(&mut self, call: CallId) {
        self.line.retain(|waiter| waiter.call != call);
    }

    /// Takes out all of a session, or all.
    pub fn drain(&mut self, which: impl Fn(&Waiter) -> bool) -> Vec<CallId> {
        let mut calls = Vec::new();
        self.line.retain(|waiter| {
            let leaves = which(waiter);
            if leaves {
                calls.push(waiter.call);
            }
            !leaves
        });
        calls
    }

    /// How push consumers are served from now on.
    pub fn set_policy(&mut self, dispatch: Dispatch, single: bool) {
        self.dispatch = dispatch;
        self.single = single;
    }

    /// A push consumer with credit comes.
    pub fn enrol(&mut self, place: u32) {
        self.pushed.push(place);
        self.solvent += 1;
    }

    /// A push consumer goes.
    pub fn dismiss(&mut self, place: u32, had_credit: bool) {
        let Some(at) = self.pushed.iter().position(|other| *other == place) else {
            return;
        };
        self.pushed.remove(at);
        if at < self.turn {
            self.turn -= 1;
        }
        self.solvent -= usize::from(had_credit);
    }

    /// All push consumers go.
    pub fn dismiss_all(&mut self) -> Vec<u32> {
        self.solvent = 0;
        self.turn = 0;
        std::mem::take(&mut self.pushed)
    }

    /// A push consumer has credit that had none.
    #[inline]
    pub fn gains_credit(&mut self) {
        self.solvent += 1;
    }

    /// A push consumer has used up its credit.
    #[inline]
    pub fn loses_credit(&mut self) {
        self.solvent -= 1;
    }

    /// Whether a push consumer can be given a message now.
    #[must_use]
    pub fn can_push(&self, consumers: &Consumers) -> bool {
        if self.single {
            let first = self.pushed.first();
            return first.is_some_and(|place| solvent(consumers, *place));
        }
        self.solvent > 0
    }

    /// The place of the push consumer whose turn it is; `chance` is a number from 0 up to 1.
    #[must_use]
    pub fn next_pushed(
        &mut self,
        consumers: &Consumers,
        chance: impl FnOnce() -> f64,
    ) -> Option<u32> {
        if !self.can_push(consumers) {
            return None;
        }
        if self.single {
            return self.pushed.first().copied();
        }
        if let [alone] = *self.pushed {
            self.turn = 0;
            return Some(alone);
        }
        let at = match self.dispatch {
            Dispatch::RoundRobin => self.in_turn(consumers)?,
            Dispatch::Random => {
                let nth = (chance() * self.solvent as f64) as usize;
                let mut with_credit =
                    (0..self.pushed.len()).filter(|at| solvent(consumers, self.pushed[*at]));
                return with_credit.nth(nth).map(|at| self.pushed[at]);
            }
            Dispatch::LeastLoaded => self.least_loaded(consumers)?,
        };
        self.turn = (at + 1) % self.pushed.len();
        Some(self.pushed[at])
    }

    /// The next with credit, from whose turn it is.
    fn in_turn(&self, consumers: &Consumers) -> Option<usize> {
        self.order().find(|at| solvent(consumers, self.pushed[*at]))
    }

    fn least_loaded(&self, consumers: &Consumers) -> Option<usize> {
        let mut least = None;
        for at in self.order() {
            if let Some(consumer) = consumers.at(self.pushed[at])
                && consumer.has_credit()
                && least.is_none_or(|(load, _)| consumer.load() < load)
            {
                least = Some((consumer.load(), at));
            }
        }
        least.map(|(_, at)| at)
    }

    fn order(&self) -> impl Iterator<Item = usize> + use<> {
        let turn = self.turn.min(self.pushed.len());
        (turn..self.pushed.len()).chain(0..turn)
    }
}

#[inline]
fn solvent(consumers: &Consumers, place: u32) -> bool {
    consumers.at(place).is_some_and(Consumer::has_credit)
}
