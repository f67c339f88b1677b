//! I/O as values: what the disk is to do, and what became of it.

use serde::{Deserialize, Serialize};

/// Names one request to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TicketId(pub u64);

/// A file of the store, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileId(pub u64);

/// A request to the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Which request; given back with its outcome.
    pub id: TicketId,
    /// What is to be done.
    pub op: DiskOp,
}

/// What a disk can do. There is no rename, no append and no map: these are enough, and every home has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// Which files are there, with their lengths.
    List,
    /// Makes a file of zeros.
    Create {
        /// Its number, not used before.
        file: FileId,
        /// Its length, for which room is taken now.
        len: u64,
    },
    /// Takes a file away.
    Delete {
        /// Which.
        file: FileId,
    },
    /// Makes creations and deletions durable.
    SyncDir,
    /// Reads bytes. Fewer may come, then the rest is asked for; none is the end of the file.
    ReadAt {
        /// From which file.
        file: FileId,
        /// From where.
        offset: u64,
        /// How many.
        len: u32,
    },
    /// Writes bytes.
    WriteAt {
        /// To which file.
        file: FileId,
        /// To where.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Makes all that was written to the file durable.
    Sync {
        /// Which.
        file: FileId,
    },
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOutcome {
    /// It is done.
    Done,
    /// Files and their lengths.
    Files(Vec<(FileId, u64)>),
    /// What was read.
    Bytes(Vec<u8>),
    /// It failed; the text is the disk's.
    Failed(String),
}
