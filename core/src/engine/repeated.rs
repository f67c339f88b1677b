//! Numbered commands: done the first time, and answered again when they are sent again.
//!
//! What one came to is recorded in the frame of what it did, so that a crash leaves both or neither. Refusals are not kept: they changed nothing, and who did not hear of one may
//! as well be served now.

use crate::model::deliberate::{self, Deliberate};
use crate::model::limits::LASTING_SESSIONS_MAX;
use crate::model::{
    CallId, Delivery, Durability, Error, ErrorKind, Message, Numbered, Result, SessionName, Time,
    Token,
};
use crate::produce::{GivenUp, Kept, Known, Outcomes};
use crate::store::{Record, Stored};

use super::calls::Waits;
use super::memo::{Keeps, Memo, keeps, memo_of, reply_of};
use super::{Answer, Command, Engine, Event, Outcome, Output, Reply, Step, Wait};

/// The lasting sessions of an engine; `None` as long as there was none.
pub(super) type LastingSessions = Option<Stored<Box<Outcomes<Memo>>>>;

/// How long an answer waits: for which frame, to be how safe.
#[derive(Clone, Copy)]
struct Safety {
    lsn: u64,
    level: Durability,
}

impl Engine {
    /// Begins a lasting session, whose commands are then handed in by [`handle_numbered`](Engine::handle_numbered). Twice is once. Answers [`Reply::Done`].
    /// Where there are as many as may be, the one that was not heard of for longest is forgotten. Errors: `Unavailable`, when all of them wait for answers.
    pub fn begin_lasting_session(&mut self, now: Time, session: SessionName) -> Answer {
        self.lasting_step(now, |engine| engine.begin_session(session))
    }

    /// Ends a lasting session: nobody will ask for an answer of it again. Twice is once. Answers [`Reply::Done`].
    pub fn end_lasting_session(&mut self, now: Time, session: SessionName) -> Answer {
        self.lasting_step(now, |engine| {
            engine.forget_session(session);
            Ok(Outcome::Once(Durability::Written, Reply::Done))
        })
    }

    /// A lasting session is there, and has every answer up to `seen`: it is not forgotten for another hour, and those answers are. Answers [`Reply::Done`].
    /// Errors: `Indeterminate` for a session that there is not.
    pub fn hear_lasting_session(&mut self, now: Time, session: SessionName, seen: u64) -> Answer {
        self.lasting_step(now, |engine| {
            let now = engine.now;
            let freed = engine.lasting_sessions()?.hear(session, seen, now)?;
            engine.give_memory_back(freed);
            Ok(Outcome::Now(Reply::Done))
        })
    }

    /// Handles a command of a lasting session. The first time it is done as by [`handle`](Engine::handle), and what it came to is kept until the session says that it has seen it. Handed in again, it is
    /// answered as the first time, once that is as safe as it was asked to be then; while the first still waits, both get its answer. A refusal is not kept: handed in again, the command is tried again.
    ///
    /// What is kept is in the log, but for what ends with the process: a consume that is handed in again gives the same deliveries as long as their leases last, and is then done anew.
    ///
    /// Errors, beside the command's own: `InvalidArgument` for a number that is not one of the 1,024 above `seen`; `Indeterminate` for a session that was never
    /// begun or is forgotten, and for messages that were settled by being handed over.
    pub fn handle_numbered(&mut self, now: Time, numbered: Numbered, command: Command) -> Answer {
        self.lasting_step(now, |engine| engine.numbered(numbered, command))
    }

    fn lasting_step(&mut self, now: Time, step: impl FnOnce(&mut Engine) -> Step) -> Answer {
        self.advance(now);
        if !self.is_open() {
            return Answer::Done(Err(self.unusable()));
        }
        let step = step(self);
        let answer = self.conclude(step);
        self.finish_step();
        answer
    }

    fn lasting_sessions(&mut self) -> Result<&mut Outcomes<Memo>> {
        if self.lasting.is_none() {
            self.lasting = Stored::made(Box::default);
        }
        match &mut self.lasting {
            Some(lasting) => Ok(lasting),
            None => Err(Error::new(
                ErrorKind::Unavailable,
                "this build has no store, and so no lasting sessions; use one that has",
            )),
        }
    }

    fn begin_session(&mut self, session: SessionName) -> Step {
        let now = self.now;
        let sessions = self.lasting_sessions()?;
        let is_new = !sessions.has(session);
        if !is_new {
            sessions.hear(session, 0, now)?;
        } else if sessions.sessions().len() >= LASTING_SESSIONS_MAX {
            let idlest = sessions.idlest().ok_or_else(|| {
                Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "{LASTING_SESSIONS_MAX} lasting sessions wait for answers, the most that may be; try again"
                    ),
                )
            })?;
            self.forget_session(idlest);
        }
        if is_new {
            self.record(&Record::Session {
                session,
                seen: 0,
                heard: now,
            });
            self.memory += self.lasting_sessions()?.begin(session, 0, now);
            self.watch_sessions();
        }
        // One that was begun before may not be safe yet: everything up to here is waited for.
        Ok(Outcome::Once(self.config.durability, Reply::Done))
    }

    fn forget_session(&mut self, session: SessionName) {
        let Some(sessions) = self.lasting.as_mut().filter(|own| own.has(session)) else {
            return;
        };
        let freed = sessions.forget(session);
        self.record(&Record::SessionForgotten { session });
        self.give_memory_back(freed);
    }

    fn numbered(&mut self, numbered: Numbered, command: Command) -> Step {
        let now = self.now;
        let Numbered {
            session,
            number,
            seen,
        } = numbered;
        let sessions = self.lasting_sessions()?;
        sessions.check(numbered)?;
        let freed = sessions.hear(session, seen, now)?;
        let known = sessions.find(session, number).cloned();
        self.give_memory_back(freed);
        match known {
            Some(Known::Waits(first)) => return self.join(first),
            Some(Known::Done(kept)) => {
                if let Some(step) = self.answer_again(&kept) {
                    return step;
                }
            }
            None => {}
        }
        let keeps = keeps(&command);
        let outcome = self.dispatch(command)?;
        self.keep_outcome(numbered, keeps, &outcome);
        Ok(outcome)
    }

    /// The answer that a command got before; `None` for a consume all of whose deliveries came back meanwhile.
    fn answer_again(&self, kept: &Kept<Memo>) -> Option<Step> {
        let reply = match &kept.answer {
            Memo::Saved(saved) => reply_of(saved),
            Memo::Passing(reply) => reply.clone(),
            Memo::Settled => {
                return Some(Err(Error::new(
                    ErrorKind::Indeterminate,
                    "this consume was answered before, and its messages were settled by that: auto_ack hands over at most once; consume without auto_ack what must not be lost",
                )));
            }
            Memo::Handed {
                deliveries,
                is_many,
            } => {
                let held = deliveries
                    .iter()
                    .filter_map(|(token, redelivered)| self.held(*token, *redelivered));
                let mut held: Vec<Delivery> = held.collect();
                if held.is_empty() {
                    return None;
                }
                match is_many {
                    true => Reply::Deliveries(held),
                    false => Reply::Delivery(held.pop()),
                }
            }
        };
        Some(Ok(Outcome::InFrame(kept.lsn, kept.level, reply)))
    }

    /// A delivery as it was handed over, while its lease lasts.
    fn held(&self, token: Token, redelivered: bool) -> Option<Delivery> {
        let lease = self.leases.find(token).ok()?;
        let message = self.messages.get(lease.slot)?.message();
        Some(Delivery {
            message: Message {
                redelivered,
                ..message
            },
            token: Some(token),
            deadline: lease.deadline,
        })
    }

    /// The first time a command was done, or waits.
    fn keep_outcome(&mut self, numbered: Numbered, keeps: Keeps, outcome: &Outcome) {
        if let Outcome::Waits(call) = outcome {
            let sessions = self.lasting.as_mut();
            let freed = sessions.map_or(0, |own| own.wait(numbered, *call));
            return self.give_memory_back(freed);
        }
        let safety = self.safety_of(outcome);
        let has_frame = self.log.as_ref().is_some_and(|log| log.has_frame());
        let is_logged = match keeps {
            Keeps::Logged => true,
            Keeps::LoggedIfSafe => has_frame || safety.level > Durability::Memory,
            Keeps::Passing | Keeps::Not => false,
        };
        if let Some(memo) = answer_in(outcome).and_then(|reply| memo_of(keeps, reply)) {
            self.keep_memo(numbered.session, numbered.number, memo, safety, is_logged);
        }
    }

    fn safety_of(&self, outcome: &Outcome) -> Safety {
        let next = self.log.as_ref().map_or(0, |log| log.next_lsn());
        let (lsn, level) = match outcome {
            Outcome::Once(level, _) => (next, *level),
            Outcome::InFrame(lsn, level, _) => (next.min(*lsn), *level),
            Outcome::Now(_) | Outcome::Waits(_) => (0, Durability::Memory),
        };
        Safety { lsn, level }
    }

    fn keep_memo(
        &mut self,
        session: SessionName,
        number: u64,
        memo: Memo,
        safety: Safety,
        is_logged: bool,
    ) {
        let now = self.now;
        let seen = self.lasting.as_ref().and_then(|own| own.seen_by(session));
        // Its session may have gone on, or have ended, while it waited.
        let seen = seen.filter(|seen| number > *seen);
        if let (true, Memo::Saved(reply), Some(seen)) = (is_logged, &memo, seen) {
            if deliberate::is(Deliberate::OutcomeLate) {
                self.close_frame();
            }
            self.record(&Record::Answered {
                session,
                number,
                seen,
                at: now,
                reply: reply.clone(),
            });
        }
        self.take_memo(session, number, memo, safety, is_logged);
    }

    fn take_memo(
        &mut self,
        session: SessionName,
        number: u64,
        memo: Memo,
        safety: Safety,
        is_logged: bool,
    ) {
        let kept = Kept {
            list_bytes: memo.list_bytes(),
            answer: memo,
            lsn: safety.lsn,
            level: safety.level,
            is_logged,
        };
        if let Some(sessions) = &mut self.lasting {
            let (cost, freed) = sessions.keep(session, number, kept);
            self.memory += cost;
            self.give_memory_back(freed);
        }
    }

    /// Handed in again while the first still waits: this call gets the same answer.
    fn join(&mut self, first: CallId) -> Step {
        let call = self.wait_until(Waits::Joined { first }, Wait::Forever, None)?;
        if let Some(sessions) = &mut self.lasting {
            sessions.join(first, call);
        }
        Ok(Outcome::Waits(call))
    }

    /// A call that waited has its outcome: if its command was numbered, that is kept, and all who joined it get it. Gives whether the call itself still wants it.
    #[cfg_attr(not(target_arch = "wasm32"), inline)]
    pub(super) fn keep_awaited(&mut self, call: CallId, outcome: &Outcome) -> bool {
        !self.lasting.as_ref().is_some_and(|own| own.is_awaited())
            || self.keep_for_all(call, outcome)
    }

    #[cold]
    fn keep_for_all(&mut self, call: CallId, outcome: &Outcome) -> bool {
        let awaited = self.lasting.as_mut().and_then(|own| own.end(call));
        let (Some(awaited), Some(reply)) = (awaited, answer_in(outcome)) else {
            return true;
        };
        let safety = self.safety_of(outcome);
        // Only for messages and for room is there a wait before anything is done.
        let keeps = match reply {
            Reply::Delivery(_) | Reply::Deliveries(_) => Keeps::Passing,
            _ => Keeps::LoggedIfSafe,
        };
        let is_logged = keeps == Keeps::LoggedIfSafe && safety.level > Durability::Memory;
        if let Some(memo) = memo_of(keeps, reply) {
            self.keep_memo(awaited.session, awaited.number, memo, safety, is_logged);
        }
        for joined in awaited.joined {
            let answer = reply.clone();
            match self.wait_for(safety.lsn, safety.level) {
                Some(lsn) => {
                    self.calls.now_confirms(joined);
                    self.confirms.wait(lsn, safety.level, joined, answer);
                }
                None => {
                    self.calls.remove(joined);
                    self.resolve(joined, Ok(answer));
                }
            }
        }
        !awaited.is_given_up
    }

    /// A call that waited ends without an outcome to keep: so do all who joined it. Gives whether the call itself still wants to know.
    #[cfg_attr(not(target_arch = "wasm32"), inline)]
    pub(super) fn end_awaited(&mut self, call: CallId, result: &Result<Reply>) -> bool {
        !self.lasting.as_ref().is_some_and(|own| own.is_awaited()) || self.end_for_all(call, result)
    }

    #[cold]
    fn end_for_all(&mut self, call: CallId, result: &Result<Reply>) -> bool {
        let Some(awaited) = self.lasting.as_mut().and_then(|own| own.end(call)) else {
            return true;
        };
        for joined in awaited.joined {
            // Where the store has failed they were told before.
            if self.calls.remove(joined).is_some() {
                let result = result.clone();
                let told = Event::Resolved {
                    call: joined,
                    result,
                };
                self.outputs.push_back(Output::Event(told));
            }
        }
        !awaited.is_given_up
    }

    /// A call is given up. Gives whether the command goes on, because somebody else waits for it, or was given up here.
    pub(super) fn give_up_joined(&mut self, call: CallId) -> bool {
        let Some(sessions) = &mut self.lasting else {
            return false;
        };
        let first = match self.calls.get(call).map(|own| &own.waits) {
            Some(Waits::Joined { first }) => *first,
            _ => call,
        };
        let given_up = sessions.give_up(first, call);
        if first != call {
            self.calls.remove(call);
        }
        match given_up {
            None => first != call,
            Some(GivenUp::CallOnly) => true,
            Some(GivenUp::Command(first)) => {
                self.leave(first);
                true
            }
        }
    }

    /// The agenda will look at the sessions in time.
    fn watch_sessions(&mut self) {
        self.next_due = self.next_due.min(self.next_forgotten());
    }

    /// When the next lasting session is to be forgotten.
    #[inline]
    pub(super) fn next_forgotten(&self) -> Time {
        let sessions = self.lasting.as_ref();
        sessions.map_or(Time::NEVER, |own| own.next_forgotten())
    }

    /// Forgets the sessions that were not heard of for too long.
    pub(super) fn forget_idle_sessions(&mut self) {
        let now = self.now;
        while let Some(session) = self.lasting.as_mut().and_then(|own| own.next_idle(now)) {
            self.forget_session(session);
        }
    }

    /// All that is in the log of lasting sessions, for a checkpoint.
    pub(super) fn session_records(&self, records: &mut Vec<Record>) {
        let sessions = self.lasting.iter().flat_map(|own| own.sessions());
        for own in sessions {
            records.push(Record::Session {
                session: own.name,
                seen: own.seen,
                heard: own.heard,
            });
            for (number, known) in &own.known {
                if let Known::Done(kept) = known
                    && let (true, Memo::Saved(reply)) = (kept.is_logged, &kept.answer)
                    && !deliberate::is(Deliberate::OutcomesNotInCheckpoints)
                {
                    records.push(Record::Answered {
                        session: own.name,
                        number: *number,
                        seen: own.seen,
                        at: own.heard,
                        reply: reply.clone(),
                    });
                }
            }
        }
    }

    /// What the log says of lasting sessions.
    pub(super) fn replay_session(&mut self, record: Record) {
        let Some(sessions) = &mut self.lasting else {
            return;
        };
        match record {
            Record::Session {
                session,
                seen,
                heard,
            } => {
                self.memory -= sessions.forget(session);
                self.memory += sessions.begin(session, seen, heard);
            }
            Record::SessionForgotten { session } => self.memory -= sessions.forget(session),
            Record::Answered {
                session,
                number,
                seen,
                at,
                reply,
            } => {
                if !sessions.has(session) {
                    // The record of its beginning is damaged.
                    self.memory += sessions.begin(session, 0, at);
                }
                let freed = sessions.hear(session, seen, at).unwrap_or(0);
                self.memory -= freed;
                // What is in the log is safe.
                let safety = Safety {
                    lsn: 0,
                    level: Durability::Memory,
                };
                self.take_memo(session, number, Memo::Saved(reply), safety, true);
            }
            _ => {}
        }
    }

    /// Everything is replayed: from now on sessions can be heard of.
    pub(super) fn open_sessions(&mut self) {
        let now = self.now();
        if let Some(sessions) = &mut self.lasting {
            sessions.open(now);
        }
        // Records that are damaged may have been of sessions that were forgotten.
        while let Some(sessions) = &self.lasting
            && sessions.sessions().len() > LASTING_SESSIONS_MAX
            && let Some(idlest) = sessions.idlest()
        {
            self.forget_session(idlest);
        }
    }
}

fn answer_in(outcome: &Outcome) -> Option<&Reply> {
    match outcome {
        Outcome::Now(reply) | Outcome::Once(_, reply) | Outcome::InFrame(_, _, reply) => {
            Some(reply)
        }
        Outcome::Waits(_) => None,
    }
}
