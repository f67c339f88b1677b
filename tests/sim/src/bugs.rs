//! Deliberate bugs. Each is one that a store of this kind could have; the simulator has to ring for every one of them.

use ferrymq_core::model::deliberate::{self, Deliberate};

/// What is deliberately wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A directory sync is reported as done and was never made.
    SkipDirectorySync,
    /// A sync is reported as done before it was made.
    ConfirmBeforeSync,
    /// A sync leaves out the last sector that it should cover.
    SyncHalf,
    /// A failed sync is reported as done.
    SwallowFailedSync,
    /// A failed sync is tried again; the second says yes, because the pages count as clean.
    RetryFailedSync,
    /// A failed write is reported as done.
    SwallowFailedWrite,
    /// Opening after a kill reads what was durable, not what was written.
    ReadWhatIsDurable,
    /// Old files go for good before what replaces them is synced.
    DeleteBeforeSync,
    /// An ack is answered, and the engine never hears of it.
    LoseAcks,
    /// A durable ack is answered when it is handed in.
    AckBeforeSync,
    /// A produce that waits for its sync is answered when it is handed in.
    ProduceBeforeSync,
    /// One inside the engine or its store.
    Inside(Deliberate),
}

/// All of them, with the names that the command line knows.
pub const BUGS: [(Bug, &str); 24] = [
    (
        Bug::Inside(Deliberate::ForgetHandOvers),
        "forget-hand-overs",
    ),
    (Bug::Inside(Deliberate::ConfirmWritten), "confirm-written"),
    (Bug::Inside(Deliberate::SplitBatches), "split-batches"),
    (Bug::Inside(Deliberate::MoveTwice), "move-twice"),
    (Bug::Inside(Deliberate::OutcomeLate), "outcome-late"),
    (
        Bug::Inside(Deliberate::OutcomesNotInCheckpoints),
        "outcomes-not-in-checkpoints",
    ),
    (Bug::SkipDirectorySync, "skip-directory-sync"),
    (Bug::ConfirmBeforeSync, "confirm-before-sync"),
    (Bug::SyncHalf, "sync-half"),
    (Bug::SwallowFailedSync, "swallow-failed-sync"),
    (Bug::RetryFailedSync, "retry-failed-sync"),
    (Bug::SwallowFailedWrite, "swallow-failed-write"),
    (Bug::Inside(Deliberate::DropLastFrame), "drop-last-frame"),
    (Bug::Inside(Deliberate::TrustZeros), "trust-zeros"),
    (Bug::Inside(Deliberate::ShortenSilently), "shorten-silently"),
    (Bug::Inside(Deliberate::ReuseNumber), "reuse-lsn"),
    (Bug::Inside(Deliberate::ForgetRemovals), "forget-removals"),
    (Bug::Inside(Deliberate::SkipMarks), "skip-marks"),
    (Bug::Inside(Deliberate::TurnBackTime), "turn-back-time"),
    (Bug::ReadWhatIsDurable, "read-what-is-durable"),
    (Bug::DeleteBeforeSync, "delete-before-sync"),
    (Bug::LoseAcks, "lose-acks"),
    (Bug::AckBeforeSync, "ack-before-sync"),
    (Bug::ProduceBeforeSync, "produce-before-sync"),
];

impl Bug {
    /// From here on this thread's engines have the bug, if it is one of theirs.
    pub fn plant(bug: Option<Bug>) {
        deliberate::set(match bug {
            Some(Bug::Inside(inside)) => Some(inside),
            _ => None,
        });
    }
}
