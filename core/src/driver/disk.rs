//! Where tickets go: nowhere, to the disk in memory, or to files, which whoever waits works on with the lock free.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::store::{DiskOp, DiskOutcome, Ticket, TicketId};
use crate::testing::ManualDisk;

use super::files::Files;

/// What a broker stores on.
pub(super) enum Disk {
    /// Nothing.
    Memory,
    /// A disk in memory whose syncs complete only when told.
    Manual(ManualDisk),
    /// Files.
    Files(Work),
}

/// What files are asked for and nobody has done yet. A sync and one other thing may be under way at once; the rest is done in its order.
pub(super) struct Work {
    pub files: Arc<Files>,
    queue: VecDeque<Ticket>,
    syncing: bool,
    busy: bool,
    /// What the disk said first that it could not do.
    pub failure: Option<String>,
    /// Everything is done before the lock is opened: for tests, in which nothing happens by itself.
    at_once: bool,
}

/// One thing to do, with no lock held.
pub(super) struct Job {
    files: Arc<Files>,
    ticket: Ticket,
}

/// A job that is done.
pub(super) struct Done {
    pub id: TicketId,
    pub outcome: DiskOutcome,
    was_sync: bool,
}

impl Job {
    /// Takes as long as the disk takes.
    pub fn execute(self) -> Done {
        Done {
            id: self.ticket.id,
            was_sync: is_sync(&self.ticket),
            outcome: self.files.execute(self.ticket.op),
        }
    }
}

fn is_sync(ticket: &Ticket) -> bool {
    matches!(ticket.op, DiskOp::Sync { .. })
}

impl Disk {
    /// `at_once`: everything is done before the lock is opened.
    pub fn files(files: Files, at_once: bool) -> Disk {
        Disk::Files(Work {
            files: Arc::new(files),
            queue: VecDeque::new(),
            syncing: false,
            busy: false,
            failure: None,
            at_once,
        })
    }

    pub fn manual(&mut self) -> Option<&mut ManualDisk> {
        match self {
            Disk::Manual(disk) => Some(disk),
            _ => None,
        }
    }

    pub fn work(&mut self) -> Option<&mut Work> {
        match self {
            Disk::Files(work) => Some(work),
            _ => None,
        }
    }

    /// Takes a ticket. Gives its outcome if it is done at once.
    pub fn take(&mut self, ticket: Ticket) -> Option<DiskOutcome> {
        match self {
            Disk::Memory => None,
            Disk::Manual(disk) => disk.execute(ticket),
            Disk::Files(work) => {
                work.queue.push_back(ticket);
                None
            }
        }
    }

    /// Whether somebody works on it at the moment.
    pub fn is_under_way(&self) -> bool {
        matches!(self, Disk::Files(work) if work.is_under_way())
    }

    /// Whether it is to be done before the lock is opened.
    #[inline]
    pub fn is_at_once(&self) -> bool {
        matches!(self, Disk::Files(work) if work.at_once)
    }

    /// Whether there is something to do that nobody does yet.
    #[inline]
    pub fn has_job(&self) -> bool {
        match self {
            Disk::Files(work) => work.may_begin(),
            _ => false,
        }
    }
}

impl Work {
    fn may_begin(&self) -> bool {
        let free = |ticket: &Ticket| !(self.busy || self.syncing && is_sync(ticket));
        self.queue.front().is_some_and(free)
    }

    /// The next thing to do, if it may begin now.
    pub fn next(&mut self) -> Option<Job> {
        if !self.may_begin() {
            return None;
        }
        let ticket = self.queue.pop_front()?;
        if is_sync(&ticket) {
            self.syncing = true;
        } else {
            self.busy = true;
        }
        let files = Arc::clone(&self.files);
        Some(Job { files, ticket })
    }

    /// Something is done; what failed is remembered, and what was still to be done then is not.
    pub fn note(&mut self, done: &Done) {
        if done.was_sync {
            self.syncing = false;
        } else {
            self.busy = false;
        }
        if let DiskOutcome::Failed(what) = &done.outcome {
            self.failure.get_or_insert_with(|| what.clone());
        }
    }

    /// After a failure nothing more is done.
    pub fn drop_queue(&mut self) {
        self.queue.clear();
    }

    /// Whether somebody does something.
    pub fn is_under_way(&self) -> bool {
        self.syncing || self.busy
    }
}
