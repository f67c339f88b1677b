//! Who gets it. Turns "a message is ready" into the consumer whose turn it is.
//! Owns: per queue the consumers that wait, in their order.
//! May use: model. Never: holds what is unacked.
//! Invariant: who has waited longest is served first, and a call stands in one line only.

use std::collections::VecDeque;

use crate::model::{CallId, SessionId};

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

/// The consumers that wait at one queue.
#[derive(Debug, Default)]
pub struct Turns {
    line: VecDeque<Waiter>,
}

impl Turns {
    /// Whether nobody waits.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Joins the end of the line.
    pub fn join(&mut self, waiter: Waiter) {
        self.line.push_back(waiter);
    }

    /// Whose turn it is.
    #[must_use]
    pub fn next_in_turn(&mut self) -> Option<Waiter> {
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
}
