//! What the numbered commands of lasting sessions came to, until their sessions have seen it.
//!
//! The lists are sorted; they are short by their bounds, or grow at their ends. So they need no trees, which WebAssembly would have to download.

use crate::model::limits::{
    LOG_NUMBER_MAX, OUTCOME_OVERHEAD_BYTES, SESSION_IDLE_MS, SESSION_OUTCOMES_MAX,
    SESSION_OVERHEAD_BYTES,
};
use crate::model::{CallId, Durability, Error, ErrorKind, Numbered, Result, SessionName, Time};

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Kept<T> {
    /// The answer.
    pub answer: T,
    /// The frame of the log that the answer waited for; 0: it is in none, or is safe already.
    pub lsn: u64,
    /// How safe that frame had to be.
    pub level: Durability,
    /// Whether the log has it. What it has not is gone with the process.
    pub is_logged: bool,
    /// Bytes of the answer beside the value itself.
    pub list_bytes: usize,
}

impl<T> Kept<T> {
    fn cost(&self) -> u64 {
        (OUTCOME_OVERHEAD_BYTES + self.list_bytes) as u64
    }
}

/// What is known of a command by its number.
#[derive(Clone, Debug)]
pub enum Known<T> {
    /// It waits; the call that was made for it first.
    Waits(CallId),
    /// It was done.
    Done(Kept<T>),
}

impl<T> Known<T> {
    fn cost(&self) -> u64 {
        match self {
            Known::Done(kept) => kept.cost(),
            Known::Waits(_) => 0,
        }
    }
}

/// Who wants the answer of a numbered command that waits.
#[derive(Debug)]
pub struct Awaited {
    /// The call that was made for it first.
    pub first: CallId,
    /// Whose command.
    pub session: SessionName,
    /// Its number.
    pub number: u64,
    /// The calls that were made for it later.
    pub joined: Vec<CallId>,
    /// Whether the first call was given up.
    pub is_given_up: bool,
}

/// What follows when a call is given up.
#[derive(Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// Nobody waits for the command any more: it is given up as well.
    Command(CallId),
    /// Somebody else waits for it.
    CallOnly,
}

/// A lasting session.
#[derive(Debug)]
pub struct Lasting<T> {
    /// Its name.
    pub name: SessionName,
    /// When it was last heard of.
    pub heard: Time,
    /// It has every answer up to this number.
    pub seen: u64,
    /// What is known of its commands that it has not seen, by number.
    pub known: Vec<(u64, Known<T>)>,
}

impl<T> Lasting<T> {
    /// Forgets the answers up to `seen`. Gives what they cost.
    fn acknowledge(&mut self, seen: u64) -> u64 {
        self.seen = self.seen.max(seen);
        let seen = self.seen;
        let end = self.known.partition_point(|(number, _)| *number <= seen);
        let gone = self.known.drain(..end);
        gone.map(|(_, known)| known.cost()).sum()
    }

    fn find(&self, number: u64) -> std::result::Result<usize, usize> {
        self.known.binary_search_by_key(&number, |(own, _)| *own)
    }

    /// Puts what is known now of a command in place of what was. Gives what that cost.
    fn know(&mut self, number: u64, known: Known<T>) -> u64 {
        match self.find(number) {
            Ok(at) => std::mem::replace(&mut self.known[at].1, known).cost(),
            Err(at) => {
                self.known.insert(at, (number, known));
                0
            }
        }
    }

    fn cost(&self) -> u64 {
        let answers = self.known.iter().map(|(_, known)| known.cost());
        SESSION_OVERHEAD_BYTES as u64 + answers.sum::<u64>()
    }

    fn waits(&self) -> bool {
        let mut known = self.known.iter();
        known.any(|(_, known)| matches!(known, Known::Waits(_)))
    }
}

/// The lasting sessions.
#[derive(Debug)]
pub struct Outcomes<T> {
    /// By name.
    sessions: Vec<Lasting<T>>,
    /// By the first call.
    awaited: Vec<Awaited>,
    /// When the store was opened: nobody could be heard of before.
    opened: Time,
    /// No session is to be forgotten before.
    next_forgotten: Time,
}

impl<T> Default for Outcomes<T> {
    fn default() -> Self {
        Outcomes {
            sessions: Vec::new(),
            awaited: Vec::new(),
            opened: Time(0),
            next_forgotten: Time::NEVER,
        }
    }
}

impl<T> Outcomes<T> {
    /// All sessions, by name.
    #[must_use]
    pub fn sessions(&self) -> &[Lasting<T>] {
        &self.sessions
    }

    /// Whether there is such a session.
    #[must_use]
    pub fn has(&self, session: SessionName) -> bool {
        self.place(session).is_ok()
    }

    fn place(&self, session: SessionName) -> std::result::Result<usize, usize> {
        self.sessions.binary_search_by_key(&session, |own| own.name)
    }

    fn own(&self, session: SessionName) -> Option<&Lasting<T>> {
        let at = self.place(session).ok()?;
        Some(&self.sessions[at])
    }

    fn own_mut(&mut self, session: SessionName) -> Option<&mut Lasting<T>> {
        let at = self.place(session).ok()?;
        Some(&mut self.sessions[at])
    }

    /// The store was opened: from here on sessions can be heard of.
    pub fn open(&mut self, now: Time) {
        self.opened = now;
    }

    /// A session begins that is not there, or is found in the log. Gives what it costs.
    pub fn begin(&mut self, session: SessionName, seen: u64, now: Time) -> u64 {
        let Err(at) = self.place(session) else {
            return 0;
        };
        let lasting = Lasting {
            name: session,
            heard: now,
            seen,
            known: Vec::new(),
        };
        let cost = lasting.cost();
        self.sessions.insert(at, lasting);
        self.next_forgotten = self.next_forgotten.min(self.over(now));
        cost
    }

    /// A session is no more. Gives what it cost; nothing for one that there is not.
    pub fn forget(&mut self, session: SessionName) -> u64 {
        match self.place(session) {
            Ok(at) => self.sessions.remove(at).cost(),
            Err(_) => 0,
        }
    }

    /// A session is heard of, and has the answers up to `seen`. Gives what they cost. Errors: `Indeterminate` for one that there is not, `InvalidArgument`
    /// for a number that none can be.
    pub fn hear(&mut self, session: SessionName, seen: u64, now: Time) -> Result<u64> {
        let lasting = self.own_mut(session).ok_or_else(unknown)?;
        if seen >= LOG_NUMBER_MAX {
            return Err(Error::invalid(format!(
                "the session says that it has seen answer {seen}, and commands are counted from 1; say the number of the last answer"
            )));
        }
        lasting.heard = now;
        Ok(lasting.acknowledge(seen))
    }

    /// Whether a session may have a command of this number. Errors: `Indeterminate` for a session that there is not, `InvalidArgument` for a number that cannot be.
    pub fn check(&self, numbered: Numbered) -> Result<()> {
        let Numbered {
            session,
            number,
            seen,
        } = numbered;
        let lasting = self.own(session).ok_or_else(unknown)?;
        let seen = lasting.seen.max(seen);
        if number <= seen {
            return Err(Error::invalid(format!(
                "command {number} of this session is not above {seen}, up to which the session has seen every answer; send the next number"
            )));
        }
        if number >= LOG_NUMBER_MAX {
            return Err(Error::invalid(format!(
                "command {number} of this session has a number that no count from 1 reaches; send the next number"
            )));
        }
        if number - seen > SESSION_OUTCOMES_MAX {
            return Err(Error::invalid(format!(
                "command {number} of this session is more than {SESSION_OUTCOMES_MAX} above {seen}, the last answer that the session says it has seen; say what was seen"
            )));
        }
        Ok(())
    }

    /// Up to which number a session has every answer; `None` for one that there is not.
    #[must_use]
    pub fn seen_by(&self, session: SessionName) -> Option<u64> {
        Some(self.own(session)?.seen)
    }

    /// What is known of a command.
    #[must_use]
    pub fn find(&self, session: SessionName, number: u64) -> Option<&Known<T>> {
        let lasting = self.own(session)?;
        let at = lasting.find(number).ok()?;
        Some(&lasting.known[at].1)
    }

    /// Keeps what a command came to, in place of what was kept of it before. Gives what it costs and what is freed; nothing, if its session is gone or has seen it.
    pub fn keep(&mut self, session: SessionName, number: u64, kept: Kept<T>) -> (u64, u64) {
        match self.own_mut(session) {
            Some(lasting) if number > lasting.seen => {
                let cost = kept.cost();
                (cost, lasting.know(number, Known::Done(kept)))
            }
            _ => (0, 0),
        }
    }

    /// A command waits that no other call waits for. Gives what is freed of an earlier answer.
    pub fn wait(&mut self, numbered: Numbered, call: CallId) -> u64 {
        let Numbered {
            session, number, ..
        } = numbered;
        let Some(lasting) = self.own_mut(session) else {
            return 0;
        };
        let freed = lasting.know(number, Known::Waits(call));
        // The numbers of calls rise.
        self.awaited.push(Awaited {
            first: call,
            session,
            number,
            joined: Vec::new(),
            is_given_up: false,
        });
        freed
    }

    /// Whether any numbered command waits.
    #[must_use]
    #[inline]
    pub fn is_awaited(&self) -> bool {
        !self.awaited.is_empty()
    }

    fn find_awaited(&self, first: CallId) -> Option<usize> {
        let found = self.awaited.binary_search_by_key(&first, |own| own.first);
        found.ok()
    }

    /// Another call waits for the command that `first` was made for.
    pub fn join(&mut self, first: CallId, call: CallId) {
        if let Some(at) = self.find_awaited(first) {
            self.awaited[at].joined.push(call);
        }
    }

    /// The command that a call was made for waits no more.
    pub fn end(&mut self, first: CallId) -> Option<Awaited> {
        let at = self.find_awaited(first)?;
        let awaited = self.awaited.remove(at);
        if let Some(lasting) = self.own_mut(awaited.session)
            && let Ok(at) = lasting.find(awaited.number)
            && matches!(lasting.known[at].1, Known::Waits(call) if call == first)
        {
            lasting.known.remove(at);
        }
        Some(awaited)
    }

    /// A call is given up that was made first for a command, or has joined the one that was. `None`: it was made for none that waits.
    pub fn give_up(&mut self, first: CallId, call: CallId) -> Option<GivenUp> {
        let at = self.find_awaited(first)?;
        let awaited = &mut self.awaited[at];
        if first == call {
            awaited.is_given_up = true;
        } else {
            awaited.joined.retain(|joined| *joined != call);
        }
        if awaited.is_given_up && awaited.joined.is_empty() {
            self.end(first);
            return Some(GivenUp::Command(first));
        }
        Some(GivenUp::CallOnly)
    }

    /// Who was not heard of for longest and waits for nothing.
    #[must_use]
    pub fn idlest(&self) -> Option<SessionName> {
        let idle = self.sessions.iter().filter(|own| !own.waits());
        let idlest = idle.min_by_key(|own| own.heard);
        idlest.map(|own| own.name)
    }

    /// No session is to be forgotten before this moment.
    #[must_use]
    pub fn next_forgotten(&self) -> Time {
        self.next_forgotten
    }

    fn over(&self, heard: Time) -> Time {
        heard.max(self.opened).after(SESSION_IDLE_MS)
    }

    /// A session that was not heard of for too long. One that waits for an answer counts as heard of.
    pub fn next_idle(&mut self, now: Time) -> Option<SessionName> {
        let mut next = Time::NEVER;
        for at in 0..self.sessions.len() {
            let own = &self.sessions[at];
            let mut over = self.over(own.heard);
            if over <= now {
                if !own.waits() {
                    return Some(own.name);
                }
                self.sessions[at].heard = now;
                over = self.over(now);
            }
            next = next.min(over);
        }
        self.next_forgotten = next;
        None
    }
}

#[cold]
fn unknown() -> Error {
    Error::new(
        ErrorKind::Indeterminate,
        "there is no such lasting session: it was not begun, or was forgotten because nothing was heard of it for an hour, or because others needed the room; whether its unanswered commands were done is unknown: look, then go on in a new session",
    )
}
