//! One message in one queue, as the model knows it.

use ferrymq_core::model::{Durability, MessageId};

/// How far its acceptance is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// It was asked for; no answer yet, or one that says nothing.
    Asked,
    /// Accepted.
    Told,
    /// Refused: it never was.
    Refused,
}

/// Somebody asked for its end.
#[derive(Clone, Copy, Debug)]
pub struct Removal {
    /// In which step it was confirmed.
    pub told: Option<u64>,
    /// Whether the confirmation waited for a sync.
    pub durable: bool,
    /// How many have asked and have no answer.
    pub asked: u32,
}

/// A moment before which it must not be seen, and since when that is known.
#[derive(Clone, Copy, Debug)]
pub struct Back {
    /// In which step it was confirmed.
    pub told: u64,
    /// In which place.
    pub place: u8,
    /// The moment.
    pub due: u64,
}

/// A message in one queue, and in that queue's dead-letter queue after its death.
#[derive(Clone, Debug)]
pub struct Item {
    /// The number in its body.
    pub name: u32,
    /// The queue that it was produced to.
    pub slot: u8,
    /// How safe it asked to be.
    pub level: Durability,
    /// Its priority.
    pub priority: u8,
    /// Length of its body.
    pub length: usize,
    /// Which others came with it.
    pub group: u32,
    /// Whether it waits behind its key.
    pub ordered: bool,
    /// Its delay.
    pub delay: u64,
    /// Its dedup id, where the queue remembers any.
    pub dedup: Option<u8>,
    /// Whether it was accepted.
    pub accept: Accept,
    /// Its id, once known.
    pub id: Option<MessageId>,
    /// The id that its produce was answered with, which its duplicates get.
    pub first_id: Option<MessageId>,
    /// It may have begun anew: id, attempts and delays count no more.
    pub moved: bool,
    /// It may have begun anew at any time.
    pub ever_moved: bool,
    /// No crash takes it.
    pub solid: bool,
    /// No kill takes it.
    pub written: bool,
    /// In which step it was known to be written.
    pub told: u64,
    /// It may be gone, for a reason that leaves no answer.
    pub may_go: bool,
    /// It may be dead.
    pub may_die: bool,
    /// Its end.
    pub removal: Option<Removal>,
    /// It must never be seen again.
    pub gone: bool,
    /// Not seen before.
    pub due_min: u64,
    /// Seen from then on at the latest, if nothing else hides it.
    pub due_max: u64,
    /// The same since it came back.
    pub back_max: u64,
    /// Not seen before, since it came back.
    pub back: Option<Back>,
    /// It may expire from then on.
    pub expires_min: u64,
    /// Where its attempts were counted.
    pub place: u8,
    /// Attempts that a power cut leaves.
    pub attempts_solid: u32,
    /// Attempts that a kill leaves, and the step in which they were known.
    pub attempts: (u64, u32),
    /// Whether its dedup id is surely remembered.
    pub remembered: bool,
    /// Its queue may have been deleted since, and what it remembered with it.
    pub forgotten: bool,
    /// Nobody can say whether its queue was reached.
    pub unsure: bool,
    /// When it was asked for.
    pub asked_at: u64,
    /// When its acceptance was known.
    pub told_at: u64,
}

impl Item {
    /// Whether a crash must leave it. `through`: what was known before this step is synced.
    #[must_use]
    pub fn must_stay(&self, power: bool, through: u64) -> bool {
        if self.accept == Accept::Refused || self.level == Durability::Memory {
            return false;
        }
        self.solid || (self.written && (!power || self.told < through))
    }

    /// Whether a crash must leave it removed.
    #[must_use]
    pub fn is_removed(&self, power: bool, through: u64) -> bool {
        match self.removal {
            Some(Removal {
                told: Some(told),
                durable,
                ..
            }) => !power || durable || told < through,
            _ => false,
        }
    }

    /// How many attempts a crash must leave.
    #[must_use]
    pub fn attempts_left(&self, power: bool, through: u64) -> u32 {
        let (told, attempts) = self.attempts;
        if power && told >= through {
            self.attempts_solid
        } else {
            attempts
        }
    }

    /// Its attempt was counted.
    pub fn count_attempt(&mut self, place: u8, attempt: u32, step: u64, through: u64) {
        if self.place != place {
            self.place = place;
            self.attempts_solid = 0;
        } else if self.attempts.0 < through {
            self.attempts_solid = self.attempts.1;
        }
        self.attempts = (step, attempt);
    }

    /// An attempt may be taken back.
    pub fn uncount_attempt(&mut self, attempt: u32) {
        let left = attempt.saturating_sub(1);
        self.attempts_solid = self.attempts_solid.min(left);
        self.attempts.1 = self.attempts.1.min(left);
    }

    /// It may have begun a new life.
    pub fn begins_anew(&mut self) {
        self.moved = true;
        self.ever_moved = true;
        self.attempts_solid = 0;
        self.attempts.1 = 0;
        self.due_min = 0;
        self.back = None;
    }
}

/// Bytes of a body: its number, then what follows from it.
#[must_use]
pub fn body(name: u32, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(&name.to_le_bytes());
    bytes.extend((4..length).map(|at| filler(name, at)));
    bytes
}

fn filler(name: u32, at: usize) -> u8 {
    (name.wrapping_mul(0x9e37_79b9) >> 24) as u8 ^ (at as u8) | 1
}

/// The number in a body, if the rest is as it was produced.
#[must_use]
pub fn name_of(body: &[u8]) -> Option<u32> {
    let name = u32::from_le_bytes(body.get(..4)?.try_into().ok()?);
    let whole = body.iter().enumerate().skip(4);
    whole
        .into_iter()
        .all(|(at, byte)| *byte == filler(name, at))
        .then_some(name)
}
