//! Calls that wait, and when they give up.

use crate::model::collections::{BTreeMap, BTreeSet};
use crate::model::limits::WAITING_CALLS_MAX;
use crate::model::{
    CallId, ConsumerId, Error, ErrorKind, Outgoing, QueueId, Result, SessionId, Time,
};

use super::Wait;

/// What a call waits for.
#[derive(Debug)]
pub(super) enum Waits {
    /// The log.
    Confirm,
    /// A message of a queue; `many` decides the form of the answer.
    Message { queue: QueueId, many: bool },
    /// What the call waits for that was made for the same numbered command first.
    Joined { first: CallId },
    /// A message that is reserved for a push consumer.
    Take { consumer: ConsumerId },
    /// Room in a queue.
    Room {
        queue: QueueId,
        messages: Vec<Outgoing>,
        many: bool,
    },
}

#[derive(Debug)]
pub(super) struct Call {
    pub waits: Waits,
    pub deadline: Time,
    pub session: Option<SessionId>,
}

/// The calls that wait.
#[derive(Debug, Default)]
pub(super) struct Calls {
    last: u64,
    calls: BTreeMap<CallId, Call>,
    deadlines: BTreeSet<(Time, CallId)>,
}

impl Calls {
    pub fn add(&mut self, waits: Waits, wait: Wait, session: Option<SessionId>) -> Result<CallId> {
        if self.calls.len() >= WAITING_CALLS_MAX {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("{WAITING_CALLS_MAX} calls wait already, the most that may; try again"),
            ));
        }
        self.last += 1;
        let id = CallId(self.last);
        let deadline = match wait {
            Wait::Until(at) => at,
            Wait::No | Wait::Forever => Time::NEVER,
        };
        if deadline < Time::NEVER {
            self.deadlines.insert((deadline, id));
        }
        let call = Call {
            waits,
            deadline,
            session,
        };
        self.calls.insert(id, call);
        Ok(id)
    }

    /// A call that waited for something else waits for the log from now on.
    pub fn now_confirms(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.waits = Waits::Confirm;
        }
    }

    pub fn get(&self, id: CallId) -> Option<&Call> {
        self.calls.get(&id)
    }

    pub fn remove(&mut self, id: CallId) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        self.deadlines.remove(&(call.deadline, id));
        Some(call)
    }

    /// The call that gives up first.
    pub fn first_deadline(&self) -> Option<(Time, CallId)> {
        self.deadlines.first().copied()
    }

    pub fn of_session(&self, session: SessionId) -> Vec<CallId> {
        let of_session = self
            .calls
            .iter()
            .filter(|(_, call)| call.session == Some(session));
        of_session.map(|(id, _)| *id).collect()
    }

    pub fn len(&self) -> usize {
        self.calls.len()
    }

    pub fn drain(&mut self) -> Vec<CallId> {
        self.deadlines.clear();
        std::mem::take(&mut self.calls).into_keys().collect()
    }
}
