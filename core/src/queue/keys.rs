//! Ordered keys: per key one message that may go, and those that wait behind it.

use std::collections::VecDeque;

use crate::model::Time;
use crate::model::collections::BTreeMap;

use super::Position;

/// A message that waits behind an earlier one of its key, and when it may go at the earliest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Which message.
    pub position: Position,
    /// Its delay ends then.
    pub due: Time,
}

/// What `claim` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The message is its key's head.
    Granted,
    /// It waits behind another.
    Parked,
}

#[derive(Debug)]
struct Line {
    head: Position,
    parked: VecDeque<Parked>,
}

/// The keys that have a message.
#[derive(Debug, Default)]
pub(super) struct Keys {
    lines: BTreeMap<String, Line>,
}

impl Keys {
    pub(super) fn claim(&mut self, key: &str, position: Position, due: Time) -> Claim {
        match self.lines.get_mut(key) {
            Some(line) => {
                line.parked.push_back(Parked { position, due });
                Claim::Parked
            }
            None => {
                let line = Line {
                    head: position,
                    parked: VecDeque::new(),
                };
                self.lines.insert(key.to_owned(), line);
                Claim::Granted
            }
        }
    }

    /// The head of a key has gone: the next live message behind it becomes the head and is returned.
    pub(super) fn advance(
        &mut self,
        key: &str,
        gone: Position,
        live: impl Fn(Position) -> bool,
    ) -> Option<Parked> {
        let line = self.lines.get_mut(key)?;
        if line.head != gone {
            return None;
        }
        while let Some(next) = line.parked.pop_front() {
            if live(next.position) {
                line.head = next.position;
                return Some(next);
            }
        }
        self.lines.remove(key);
        None
    }

    /// Takes out everything that is parked; keys whose head `stays` remain claimed by it.
    pub(super) fn drain(&mut self, stays: impl Fn(Position) -> bool) -> Vec<Position> {
        let mut drained = Vec::new();
        self.lines.retain(|_, line| {
            drained.extend(line.parked.drain(..).map(|parked| parked.position));
            stays(line.head)
        });
        drained
    }

    /// A parked message of this key has gone: tidies the line when most of it is dead.
    pub(super) fn forget(&mut self, key: &str, live: impl Fn(Position) -> bool) {
        if let Some(line) = self.lines.get_mut(key) {
            line.parked.retain(|parked| live(parked.position));
        }
    }
}
