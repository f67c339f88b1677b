//! What the lock guards: the engine, its disk, and who waits for what.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::{Answer, Command, Config, Engine, Event, Output, Reply};
use crate::model::{CallId, Error, ErrorKind, Result, SessionId, Time};
use crate::store::Refused;

use super::disk::{Disk, Done, Work};
use super::pending::{Mailbox, handed_over};
use super::requests::Requests;
use super::watching::Watch;

/// A result on its way to who waits for it, delivered once the lock is free.
pub(super) type Delivery = (Arc<Mailbox>, Result<Reply>);

pub(super) struct State {
    pub engine: Engine,
    pub config: Config,
    pub disk: Disk,
    pub mailboxes: HashMap<CallId, Arc<Mailbox>>,
    pub session: SessionId,
    pub closed: bool,
    /// Who waits for replies; none before the first request.
    pub requests: Option<Box<Requests>>,
    pub watch: Arc<Watch>,
}

impl State {
    /// An engine and its disk, opened. Errors: why it could not be.
    pub fn open(config: Config, disk: Disk, now: Time, watch: Arc<Watch>) -> Result<State> {
        let engine = match disk {
            Disk::Memory => Engine::memory(config),
            _ => Engine::open(config, now),
        };
        let mut state = State {
            engine,
            config,
            disk,
            mailboxes: HashMap::new(),
            session: SessionId(0),
            closed: false,
            requests: None,
            watch,
        };
        let mut nobody = Vec::new();
        state.pump(now, &mut nobody);
        while !state.engine.is_open() {
            let goes_on =
                state.work_inline(now, &mut nobody) || state.complete_syncs(true, now, &mut nobody);
            if !goes_on {
                return Err(state.why_not());
            }
        }
        match state.engine.handle(now, Command::OpenSession) {
            Answer::Done(Ok(Reply::Session(session))) => state.session = session,
            _ => unreachable!("opening a session is answered at once"),
        }
        Ok(state)
    }

    /// Why the store could not be opened.
    fn why_not(&mut self) -> Error {
        match self.engine.refused() {
            Some(Refused::Newer) => Error::new(
                ErrorKind::StoreFailed,
                "the store was written by a newer version of FerryMQ: open it with that one, or a later one; nothing was changed",
            ),
            Some(Refused::Corrupt(what)) => Error::new(
                ErrorKind::StoreCorrupt,
                format!(
                    "the store cannot be opened: {what}; nothing was changed: restore a backup, or put back the files that are missing"
                ),
            ),
            None => {
                let failure = self.disk.work().and_then(|work| work.failure.take());
                let failure = failure.unwrap_or_else(|| "the disk failed".to_owned());
                Error::new(
                    ErrorKind::StoreFailed,
                    format!("the store could not be opened: {failure}"),
                )
            }
        }
    }

    /// Handles a command and everything that follows from it. A mailbox is made only for a call that is still pending then.
    #[inline]
    pub fn handle(
        &mut self,
        now: Time,
        command: Command,
        woken: &mut Vec<Delivery>,
    ) -> std::result::Result<Result<Reply>, (CallId, Arc<Mailbox>)> {
        match self.engine.handle(now, command) {
            Answer::Done(result) => {
                self.pump(now, woken);
                Ok(result)
            }
            Answer::Pending(call) => {
                let mailbox = Arc::new(Mailbox::default());
                self.mailboxes.insert(call, Arc::clone(&mailbox));
                self.pump(now, woken);
                // The manual disk may have written what the call waited for.
                if let Some(own) = woken.iter().position(|(to, _)| Arc::ptr_eq(to, &mailbox)) {
                    return Ok(woken.swap_remove(own).1);
                }
                Err((call, mailbox))
            }
        }
    }

    /// A command whose answer nobody waits for.
    pub fn handle_posted(&mut self, now: Time, command: Command, woken: &mut Vec<Delivery>) {
        if let Command::Cancel { call } = &command {
            self.mailboxes.remove(call);
        }
        if !self.closed {
            if let Answer::Pending(call) = self.engine.handle(now, command) {
                self.mailboxes.remove(&call);
            }
            self.pump(now, woken);
        }
    }

    /// Takes out everything that the engine has to say, and does its I/O, or has it done.
    #[inline]
    pub fn pump(&mut self, now: Time, woken: &mut Vec<Delivery>) {
        self.hear(now, woken);
        if self.disk.is_at_once() {
            self.make_safe(now, woken);
        }
        // The disk in memory does not sync before it is told, but for a log that could not go on.
        if self.disk.manual().is_some() && self.engine.is_held_up() {
            self.complete_syncs(true, now, woken);
        }
    }

    /// Does everything that the disk is needed for, a sync of what would wait for one included.
    fn make_safe(&mut self, now: Time, woken: &mut Vec<Delivery>) {
        while self.work_inline(now, woken) || self.engine.needs_sync() {
            self.engine.request_sync(now);
            self.hear(now, woken);
        }
    }

    #[inline]
    fn hear(&mut self, now: Time, woken: &mut Vec<Delivery>) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Event(Event::Resolved { call, result }) => {
                    if let Some(mailbox) = self.mailboxes.remove(&call) {
                        woken.push((mailbox, result));
                    } else if self.listens_with(call) {
                        self.route_replies(now, result, woken);
                    } else {
                        self.give_back(now, result);
                    }
                }
                Output::Event(Event::Noticed(notice)) => self.watch.note(notice),
                Output::Io(ticket) => {
                    let id = ticket.id;
                    if let Some(outcome) = self.disk.take(ticket) {
                        self.engine.io_done(now, id, outcome);
                    }
                }
            }
        }
    }

    /// Takes in what became of a job, and hears what follows.
    pub fn finish(&mut self, done: Done, now: Time, woken: &mut Vec<Delivery>) {
        if let Some(work) = self.disk.work() {
            work.note(&done);
        }
        self.engine.io_done(now, done.id, done.outcome);
        if self.engine.has_failed()
            && let Some(work) = self.disk.work()
        {
            work.drop_queue();
        }
        self.hear(now, woken);
    }

    /// Does what files are asked for, with the lock held, until nothing is left: for who opens and closes. False: there was nothing to do.
    fn work_inline(&mut self, now: Time, woken: &mut Vec<Delivery>) -> bool {
        let mut any = false;
        while let Some(job) = self.disk.work().and_then(Work::next) {
            self.finish(job.execute(), now, woken);
            any = true;
        }
        any
    }

    /// Everything that was accepted is made safe, and the log is closed in order. Nobody works on the disk meanwhile.
    pub fn settle(&mut self, now: Time, woken: &mut Vec<Delivery>) {
        if self.disk.work().is_none() {
            return;
        }
        while !self.engine.has_failed() && !self.engine.settle_log(now) {
            self.pump(now, woken);
            if !self.work_inline(now, woken) {
                break;
            }
        }
    }

    /// The answer to a command that never waits.
    pub fn ask(&mut self, now: Time, command: Command, woken: &mut Vec<Delivery>) -> Result<Reply> {
        match self.handle(now, command, woken) {
            Ok(result) => result,
            Err((call, _)) => {
                self.mailboxes.remove(&call);
                Err(Error::new(
                    ErrorKind::Unavailable,
                    "the answer takes a sync; ask again later",
                ))
            }
        }
    }

    /// When the driver has to look again at the latest.
    #[inline]
    pub fn due(&self) -> Time {
        let due = self.engine.deadline();
        match &self.requests {
            None => due,
            Some(requests) => due.min(requests.due()),
        }
    }

    /// Nobody waits for this result any more: what it handed over goes back.
    pub fn give_back(&mut self, now: Time, result: Result<Reply>) {
        for token in handed_over(result) {
            // A lease that has ended meanwhile has gone back already.
            let _ = self.engine.handle(now, Command::Release { token });
        }
    }

    /// Completes the syncs that the manual disk holds; false when there was none.
    pub fn complete_syncs(&mut self, well: bool, now: Time, woken: &mut Vec<Delivery>) -> bool {
        let Some(disk) = self.disk.manual() else {
            return false;
        };
        let outcomes = disk.complete_syncs(well);
        let any = !outcomes.is_empty();
        for (ticket, outcome) in outcomes {
            self.engine.io_done(now, ticket, outcome);
        }
        self.pump(now, woken);
        any
    }

    /// Gives back what the session holds, uncounted, so that whoever opens the store next finds it as it should be.
    pub fn close_session(&mut self, now: Time, woken: &mut Vec<Delivery>) {
        if !self.closed {
            let session = self.session;
            let _ = self.engine.handle(now, Command::CloseSession { session });
            self.pump(now, woken);
        }
    }

    /// Ends everything; who waits gets `Closed`. Gives the engine back, so that its memory is freed with the lock open.
    pub fn close(&mut self, woken: &mut Vec<Delivery>) -> Engine {
        self.closed = true;
        for (_, mailbox) in self.mailboxes.drain() {
            woken.push((mailbox, Err(closed())));
        }
        if let Some(requests) = self.requests.take() {
            let waiting = requests.waiting();
            woken.extend(waiting.map(|mailbox| (mailbox, Err(closed()))));
        }
        if let Some(work) = self.disk.work() {
            work.drop_queue();
            // The files, and with them the lock, are let go when whoever still works on them is done.
            self.disk = Disk::Memory;
        }
        std::mem::replace(&mut self.engine, Engine::memory(self.config))
    }
}

#[cold]
pub(super) fn closed() -> Error {
    Error::new(
        ErrorKind::Closed,
        "the broker was closed; open it again to go on (a produce that still waited may or may not have been stored)",
    )
}
