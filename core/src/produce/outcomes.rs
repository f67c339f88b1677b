//! What the numbered commands of lasting sessions came to, until their sessions have seen it.

use crate::model::collections::{BTreeMap, BTreeSet};
use crate::model::limits::{
    LOG_NUMBER_MAX, OUTCOME_OVERHEAD_BYTES, SESSION_IDLE_MS, SESSION_OUTCOMES_MAX,
    SESSION_OVERHEAD_BYTES,
};
use crate::model::{
    CallId, Durability, Error, ErrorKind, Numbered, Result, SessionName, Span, Time,
};

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

/// Who else wants the answer of a numbered command that waits.
#[derive(Debug)]
pub struct Awaited {
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

#[derive(Debug)]
struct Lasting<T> {
    heard: Time,
    seen: u64,
    known: BTreeMap<u64, Known<T>>,
}

impl<T> Lasting<T> {
    /// Forgets the answers up to `seen`. Gives what they cost.
    fn acknowledge(&mut self, seen: u64) -> u64 {
        self.seen = self.seen.max(seen);
        let mut freed = 0;
        while let Some(number) = self.known.first_key_value().map(|(number, _)| *number)
            && number <= self.seen
        {
            freed += self.drop_answer(number);
        }
        freed
    }

    fn drop_answer(&mut self, number: u64) -> u64 {
        match self.known.remove(&number) {
            Some(Known::Done(kept)) => kept.cost(),
            Some(Known::Waits(_)) | None => 0,
        }
    }

    fn cost(&self) -> u64 {
        let answers = self.known.values().map(|known| match known {
            Known::Done(kept) => kept.cost(),
            Known::Waits(_) => 0,
        });
        SESSION_OVERHEAD_BYTES as u64 + answers.sum::<u64>()
    }

    fn waits(&self) -> bool {
        let mut known = self.known.values();
        known.any(|known| matches!(known, Known::Waits(_)))
    }
}

/// A lasting session in a checkpoint.
pub struct Remembers<'a, T> {
    /// Its name.
    pub session: SessionName,
    /// When it was last heard of.
    pub heard: Time,
    /// It has every answer up to this number.
    pub seen: u64,
    /// What it has not seen and the log has, in order.
    pub answers: Vec<(u64, &'a T)>,
}

/// The lasting sessions.
#[derive(Debug)]
pub struct Outcomes<T> {
    sessions: BTreeMap<SessionName, Lasting<T>>,
    /// Who was not heard of for longest comes first.
    heard: BTreeSet<(Time, SessionName)>,
    awaited: BTreeMap<CallId, Awaited>,
    /// When the store was opened: nobody could be heard of before.
    opened: Time,
}

impl<T> Default for Outcomes<T> {
    fn default() -> Self {
        Outcomes {
            sessions: BTreeMap::new(),
            heard: BTreeSet::new(),
            awaited: BTreeMap::new(),
            opened: Time(0),
        }
    }
}

impl<T> Outcomes<T> {
    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Whether there is such a session.
    #[must_use]
    pub fn has(&self, session: SessionName) -> bool {
        self.sessions.contains_key(&session)
    }

    /// The store was opened: from here on sessions can be heard of.
    pub fn open(&mut self, now: Time) {
        self.opened = now;
    }

    /// A session begins that is not there, or is found in the log. Gives what it costs.
    pub fn begin(&mut self, session: SessionName, seen: u64, now: Time) -> u64 {
        let lasting = Lasting {
            heard: now,
            seen,
            known: BTreeMap::new(),
        };
        let cost = lasting.cost();
        self.sessions.insert(session, lasting);
        self.heard.insert((now, session));
        cost
    }

    /// A session is no more. Gives what it cost; nothing for one that there is not.
    pub fn forget(&mut self, session: SessionName) -> u64 {
        let Some(lasting) = self.sessions.remove(&session) else {
            return 0;
        };
        self.heard.remove(&(lasting.heard, session));
        lasting.cost()
    }

    /// A session is heard of, and has the answers up to `seen`. Gives what they cost. Errors: `Indeterminate` for one that there is not, `InvalidArgument`
    /// for a number that none can be.
    pub fn hear(&mut self, session: SessionName, seen: u64, now: Time) -> Result<u64> {
        let lasting = self.sessions.get_mut(&session).ok_or_else(unknown)?;
        if seen >= LOG_NUMBER_MAX {
            return Err(Error::invalid(format!(
                "the session says that it has seen answer {seen}, and commands are counted from 1; say the number of the last answer"
            )));
        }
        let before = std::mem::replace(&mut lasting.heard, now);
        if before != now {
            self.heard.remove(&(before, session));
            self.heard.insert((now, session));
        }
        Ok(lasting.acknowledge(seen))
    }

    /// Whether a session may have a command of this number. Errors: `Indeterminate` for a session that there is not, `InvalidArgument` for a number that cannot be.
    pub fn check(&self, numbered: Numbered) -> Result<()> {
        let Numbered {
            session,
            number,
            seen,
        } = numbered;
        let lasting = self.sessions.get(&session).ok_or_else(unknown)?;
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
        Some(self.sessions.get(&session)?.seen)
    }

    /// What is known of a command.
    #[must_use]
    pub fn find(&self, session: SessionName, number: u64) -> Option<&Known<T>> {
        self.sessions.get(&session)?.known.get(&number)
    }

    /// Keeps what a command came to, in place of what was kept of it before. Gives what it costs and what is freed; nothing, if its session is gone or has seen it.
    pub fn keep(&mut self, session: SessionName, number: u64, kept: Kept<T>) -> (u64, u64) {
        let Some(lasting) = self.sessions.get_mut(&session) else {
            return (0, 0);
        };
        if number <= lasting.seen {
            return (0, 0);
        }
        let cost = kept.cost();
        let freed = lasting.drop_answer(number);
        lasting.known.insert(number, Known::Done(kept));
        (cost, freed)
    }

    /// A command waits. Gives what is freed of an earlier answer.
    pub fn wait(&mut self, numbered: Numbered, call: CallId) -> u64 {
        let Some(lasting) = self.sessions.get_mut(&numbered.session) else {
            return 0;
        };
        let freed = lasting.drop_answer(numbered.number);
        lasting.known.insert(numbered.number, Known::Waits(call));
        let awaited = Awaited {
            session: numbered.session,
            number: numbered.number,
            joined: Vec::new(),
            is_given_up: false,
        };
        self.awaited.insert(call, awaited);
        freed
    }

    /// Whether any numbered command waits.
    #[must_use]
    #[inline]
    pub fn is_awaited(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Another call waits for the command that `first` was made for.
    pub fn join(&mut self, first: CallId, call: CallId) {
        if let Some(awaited) = self.awaited.get_mut(&first) {
            awaited.joined.push(call);
        }
    }

    /// The command that a call was made for waits no more.
    pub fn end(&mut self, first: CallId) -> Option<Awaited> {
        let awaited = self.awaited.remove(&first)?;
        if let Some(lasting) = self.sessions.get_mut(&awaited.session)
            && let Some(Known::Waits(call)) = lasting.known.get(&awaited.number)
            && *call == first
        {
            lasting.known.remove(&awaited.number);
        }
        Some(awaited)
    }

    /// A call is given up that was made first for a command, or has joined the one that was. `None`: it was made for none that waits.
    pub fn give_up(&mut self, first: CallId, call: CallId) -> Option<GivenUp> {
        let awaited = self.awaited.get_mut(&first)?;
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
        let mut sessions = self.heard.iter().map(|(_, session)| *session);
        sessions.find(|session| {
            let lasting = self.sessions.get(session);
            lasting.is_some_and(|lasting| !lasting.waits())
        })
    }

    /// When the next session is to be forgotten, if it is not heard of.
    #[must_use]
    pub fn next_forgotten(&self) -> Time {
        let first = self.heard.first();
        first.map_or(Time::NEVER, |(heard, _)| self.over(*heard))
    }

    fn over(&self, heard: Time) -> Time {
        const IDLE: Span = SESSION_IDLE_MS;
        heard.max(self.opened).after(IDLE)
    }

    /// A session that was not heard of for too long. One that waits for an answer counts as heard of.
    pub fn next_idle(&mut self, now: Time) -> Option<SessionName> {
        while let Some((heard, session)) = self.heard.first().copied()
            && self.over(heard) <= now
        {
            match self.sessions.get_mut(&session) {
                Some(lasting) if lasting.waits() => {
                    lasting.heard = now;
                    self.heard.remove(&(heard, session));
                    self.heard.insert((now, session));
                }
                _ => return Some(session),
            }
        }
        None
    }

    /// All sessions, by name.
    pub fn iter(&self) -> impl Iterator<Item = Remembers<'_, T>> {
        self.sessions.iter().map(|(session, lasting)| {
            let answers = lasting
                .known
                .iter()
                .filter_map(|(number, known)| match known {
                    Known::Done(kept) if kept.is_logged => Some((*number, &kept.answer)),
                    _ => None,
                });
            Remembers {
                session: *session,
                heard: lasting.heard,
                seen: lasting.seen,
                answers: answers.collect(),
            }
        })
    }
}

#[cold]
fn unknown() -> Error {
    Error::new(
        ErrorKind::Indeterminate,
        "there is no such lasting session: it was not begun, or was forgotten because nothing was heard of it for an hour, or because others needed the room; whether its unanswered commands were done is unknown: look, then go on in a new session",
    )
}
