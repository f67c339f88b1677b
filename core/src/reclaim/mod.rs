//! What a segment is still needed for. Turns "accepted", "noted" and "gone" into the segments that nothing needs any more.
//! Owns: per segment the messages that were accepted in it and live, and the segments whose messages it says something about.
//! May use: model. Never: deletes files itself, knows where in a segment something stands.
//! Invariant: a segment that says that a message is gone outlives the segment that says that it came.

use crate::model::MessageId;
use crate::model::deliberate::{self, Deliberate};

/// What is known of one segment.
#[derive(Debug)]
struct Account {
    segment: u64,
    /// Messages from here on were accepted in it or later.
    first_message: u64,
    /// Messages that were accepted in it and have not gone.
    live: u64,
    /// The frame in which the last of them went.
    gone_in: u64,
    /// Segments with messages that something is said about here.
    about: Vec<u64>,
}

/// What happened to a message, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It was accepted.
    Accepted(MessageId),
    /// Something was said about it.
    About(MessageId),
    /// It is gone.
    Gone(MessageId),
}

/// The accounts of all segments, oldest first.
#[derive(Debug, Default)]
pub struct Reclaim {
    accounts: Vec<Account>,
    last_message: u64,
}

impl Reclaim {
    /// A segment begins: notes are about it from now on.
    pub fn begin(&mut self, segment: u64) {
        self.accounts.push(Account {
            segment,
            first_message: self.last_message + 1,
            live: 0,
            gone_in: 0,
            about: Vec::new(),
        });
    }

    /// The newest segment; 0 when there is none.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.accounts.last().map_or(0, |account| account.segment)
    }

    /// Takes in what a frame of the newest segment says.
    pub fn note(&mut self, note: Note, lsn: u64) {
        match note {
            Note::Accepted(message) => {
                self.last_message = self.last_message.max(message.0);
                if let Some(newest) = self.accounts.last_mut() {
                    newest.live += 1;
                }
            }
            Note::About(message) => self.say(message),
            Note::Gone(message) => self.lose(message, lsn),
        }
    }

    /// The segment that a message was accepted in; `None`: it is gone.
    fn home(&self, message: MessageId) -> Option<usize> {
        let after = self
            .accounts
            .partition_point(|account| account.first_message <= message.0);
        after.checked_sub(1)
    }

    fn say(&mut self, message: MessageId) {
        let Some(home) = self.home(message) else {
            return;
        };
        let about = self.accounts[home].segment;
        if let Some(newest) = self.accounts.last_mut()
            && newest.segment != about
            && newest.about.last() != Some(&about)
            && !newest.about.contains(&about)
        {
            newest.about.push(about);
        }
    }

    fn lose(&mut self, message: MessageId, lsn: u64) {
        if let Some(home) = self.home(message) {
            let account = &mut self.accounts[home];
            account.live = account.live.saturating_sub(1);
            account.gone_in = lsn;
        }
    }

    /// A segment before that of the newest checkpoint, `(segment, lsn)`, that nothing needs any more and `may` go. It is forgotten. The checkpoint must have counted what has gone of it: whoever
    /// reads of the removal and not of the message could not count it.
    pub fn recycle(&mut self, checkpoint: (u64, u64), may: impl Fn(u64) -> bool) -> Option<u64> {
        let forgets = deliberate::is(Deliberate::ForgetRemovals);
        let there =
            |segment: u64| !forgets && self.accounts.iter().any(|own| own.segment == segment);
        let at = self.accounts.iter().position(|account| {
            account.segment < checkpoint.0
                && account.live == 0
                && account.gone_in <= checkpoint.1
                && !account.about.iter().any(|about| there(*about))
                && may(account.segment)
        })?;
        Some(self.accounts.remove(at).segment)
    }

    /// Messages that live, over all segments.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.accounts.iter().map(|account| account.live).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reclaimed(reclaim: &mut Reclaim) -> Vec<u64> {
        std::iter::from_fn(|| reclaim.recycle((u64::MAX, 5), |segment| segment < 9)).collect()
    }

    #[test]
    fn a_removal_outlives_the_acceptance_that_it_is_about() {
        let mut reclaim = Reclaim::default();
        reclaim.begin(1);
        reclaim.note(Note::Accepted(MessageId(1)), 5);
        reclaim.note(Note::Accepted(MessageId(2)), 5);
        reclaim.begin(2);
        reclaim.note(Note::Accepted(MessageId(3)), 5);
        for gone in [1, 3] {
            reclaim.note(Note::About(MessageId(gone)), 5);
            reclaim.note(Note::Gone(MessageId(gone)), 5);
        }
        assert_eq!(reclaimed(&mut reclaim), [], "2 says that message 1 is gone");
        reclaim.begin(9);
        reclaim.note(Note::About(MessageId(2)), 5);
        reclaim.note(Note::Gone(MessageId(2)), 5);
        assert_eq!(reclaim.recycle((9, 4), |_| true), None, "not counted yet");
        assert_eq!(reclaimed(&mut reclaim), [1, 2]);
        assert_eq!(reclaim.live(), 0);
    }

    #[test]
    fn what_is_before_no_safe_checkpoint_stays() {
        let mut reclaim = Reclaim::default();
        reclaim.begin(1);
        reclaim.begin(2);
        assert_eq!(reclaim.recycle((1, 9), |_| true), None);
        assert_eq!(reclaim.recycle((2, 9), |_| false), None);
        assert_eq!(reclaim.recycle((2, 9), |_| true), Some(1));
    }
}
