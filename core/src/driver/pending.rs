//! A call that waits: where its result is put, and who is woken.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::engine::{Command, Reply};
use crate::model::{CallId, Result, Token};

use super::Broker;

/// Called once when a call has its result, from any thread, with no lock held.
pub(super) type Wake = Box<dyn FnOnce() + Send>;

#[derive(Default)]
enum State {
    #[default]
    Waiting,
    Watched(Wake),
    Resolved(Result<Reply>),
    /// The result was taken.
    Taken,
    /// Nobody will ask any more.
    Abandoned,
}

/// Where one call's result is put.
#[derive(Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    filled: Condvar,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave a half-written state: every change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the result in and wakes who waits. Gives the result back if nobody will ask for it.
    pub fn fill(&self, result: Result<Reply>) -> Option<Result<Reply>> {
        let mut state = self.lock();
        match std::mem::take(&mut *state) {
            State::Waiting => {
                *state = State::Resolved(result);
                drop(state);
                self.filled.notify_all();
                None
            }
            State::Watched(wake) => {
                *state = State::Resolved(result);
                drop(state);
                wake();
                None
            }
            other => {
                *state = other;
                Some(result)
            }
        }
    }

    /// Whether the result is there.
    fn is_resolved(&self) -> bool {
        matches!(*self.lock(), State::Resolved(_))
    }

    fn take(state: &mut State) -> Option<Result<Reply>> {
        match state {
            State::Resolved(_) => match std::mem::replace(state, State::Taken) {
                State::Resolved(result) => Some(result),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn try_take(&self) -> Option<Result<Reply>> {
        Mailbox::take(&mut self.lock())
    }

    fn abandon(&self) -> Option<Result<Reply>> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Abandoned) {
            State::Resolved(result) => Some(result),
            State::Taken => {
                *state = State::Taken;
                None
            }
            _ => None,
        }
    }
}

/// A call that has not finished. Dropping it cancels the call: a waiting consume or produce leaves its line, a message that it was just given goes back uncounted.
pub struct Pending {
    broker: Broker,
    /// `None`: it waits for a reply, which no call of the engine brings.
    call: Option<CallId>,
    mailbox: Arc<Mailbox>,
    finished: bool,
    /// The disk was needed for something when the call began, which nobody did yet.
    has_job: Cell<bool>,
}

impl Pending {
    pub(super) fn new(
        broker: Broker,
        call: CallId,
        mailbox: Arc<Mailbox>,
        has_job: bool,
    ) -> Pending {
        Pending {
            broker,
            call: Some(call),
            mailbox,
            finished: false,
            has_job: Cell::new(has_job),
        }
    }

    /// Does what the disk is needed for, as long as this call waits.
    fn work(&self) {
        if self.has_job.take() {
            self.broker.shared.work(|| self.mailbox.is_resolved());
        }
    }

    /// Leaves that to others.
    pub(super) fn leave_work(&self) {
        if self.has_job.take() {
            self.broker.shared.worker.wake();
        }
    }

    /// Waits for the reply to a request. Given up, it leaves an entry that is swept away later.
    pub(super) fn of_request(broker: Broker, mailbox: Arc<Mailbox>) -> Pending {
        Pending {
            broker,
            call: None,
            mailbox,
            finished: false,
            has_job: Cell::new(false),
        }
    }

    /// Which call; `None` when it waits for a reply.
    #[must_use]
    pub fn id(&self) -> Option<CallId> {
        self.call
    }

    /// Waits for the result.
    pub fn wait(mut self) -> Result<Reply> {
        self.work();
        let mut state = self.mailbox.lock();
        loop {
            if let Some(result) = Mailbox::take(&mut state) {
                drop(state);
                self.finished = true;
                return result;
            }
            state = self
                .mailbox
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for the result, but no longer than this (or than the disk takes for what it does in between).
    pub fn wait_for(&mut self, slice: Duration) -> Option<Result<Reply>> {
        self.work();
        let state = self.mailbox.lock();
        let waiting = |state: &mut State| matches!(state, State::Waiting | State::Watched(_));
        let (mut state, _) = self
            .mailbox
            .filled
            .wait_timeout_while(state, slice, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        let result = Mailbox::take(&mut state);
        self.finished |= result.is_some();
        result
    }

    /// The result, if it is there.
    pub fn try_take(&mut self) -> Option<Result<Reply>> {
        let result = self.mailbox.try_take();
        self.finished |= result.is_some();
        result
    }

    /// Whether somebody has to be told that the disk is needed: with [`Broker::work_on`], which whoever begins many calls at once does once for all of them. Asked before `on_ready`, which tells it else.
    #[must_use]
    pub fn needs_work(&self) -> bool {
        self.has_job.take()
    }

    /// Calls `wake` once when the result is there, at once if it is already. Then `try_take`.
    pub fn on_ready(&mut self, wake: Box<dyn FnOnce() + Send>) {
        self.leave_work();
        let mut state = self.mailbox.lock();
        match &*state {
            State::Waiting | State::Watched(_) => *state = State::Watched(wake),
            _ => {
                drop(state);
                wake();
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.leave_work();
        if self.finished {
            return;
        }
        match self.mailbox.abandon() {
            Some(result) => give_back(&self.broker, result),
            None => {
                if let Some(call) = self.call {
                    self.broker.post(Command::Cancel { call });
                }
            }
        }
    }
}

/// Releases what a result that nobody wants has handed over.
fn give_back(broker: &Broker, result: Result<Reply>) {
    for token in handed_over(result) {
        broker.post(Command::Release { token });
    }
}

/// The deliveries of a result.
pub(super) fn handed_over(result: Result<Reply>) -> Vec<Token> {
    match result {
        Ok(Reply::Delivery(Some(delivery))) => delivery.token.into_iter().collect(),
        Ok(Reply::Deliveries(deliveries)) => {
            deliveries.into_iter().filter_map(|d| d.token).collect()
        }
        _ => Vec::new(),
    }
}
