//! Calls that wait for the log.

use std::collections::VecDeque;

use crate::model::deliberate::{self, Deliberate};
use crate::model::{CallId, Durability};

/// How far the log has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// The operating system has the frames up to here.
    pub written: u64,
    /// A sync has covered the frames up to here.
    pub synced: u64,
}

impl Watermark {
    /// Whether a frame is as safe as asked.
    #[must_use]
    #[inline]
    pub fn covers(self, lsn: u64, level: Durability) -> bool {
        match level {
            Durability::Memory => true,
            Durability::Written => lsn <= self.written,
            Durability::Durable if deliberate::is(Deliberate::ConfirmWritten) => {
                lsn <= self.written
            }
            Durability::Durable => lsn <= self.synced,
        }
    }
}

/// The calls that wait, with their answers. A call waits for one frame and one level.
#[derive(Debug)]
pub struct Confirms<T> {
    written: VecDeque<(u64, CallId, T)>,
    synced: VecDeque<(u64, CallId, T)>,
}

impl<T> Default for Confirms<T> {
    fn default() -> Self {
        Confirms {
            written: VecDeque::new(),
            synced: VecDeque::new(),
        }
    }
}

impl<T> Confirms<T> {
    /// A call waits until `lsn` is `level`.
    pub fn wait(&mut self, lsn: u64, level: Durability, call: CallId, answer: T) {
        let line = match level {
            Durability::Durable => &mut self.synced,
            Durability::Memory | Durability::Written => &mut self.written,
        };
        // Who waits for an earlier frame, a duplicate for its original's, stands before those that wait for later ones.
        let at = match line.back() {
            Some((last, _, _)) if *last > lsn => line.partition_point(|(own, _, _)| *own <= lsn),
            _ => line.len(),
        };
        line.insert(at, (lsn, call, answer));
    }

    /// The next call whose wait is over.
    pub fn next(&mut self, watermark: Watermark) -> Option<(CallId, T)> {
        for (line, level) in [
            (&mut self.written, Durability::Written),
            (&mut self.synced, Durability::Durable),
        ] {
            if line
                .front()
                .is_some_and(|(lsn, _, _)| watermark.covers(*lsn, level))
            {
                return line.pop_front().map(|(_, call, answer)| (call, answer));
            }
        }
        None
    }

    /// Takes out every call.
    pub fn drain(&mut self) -> Vec<CallId> {
        let all = self.written.drain(..).chain(self.synced.drain(..));
        all.map(|(_, call, _)| call).collect()
    }

    /// Nobody waits for this answer any more; gives it back.
    pub fn forget(&mut self, call: CallId) -> Option<T> {
        for line in [&mut self.written, &mut self.synced] {
            if let Some(at) = line.iter().position(|(_, waits, _)| *waits == call) {
                return line.remove(at).map(|(_, _, answer)| answer);
            }
        }
        None
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.written.len() + self.synced.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
