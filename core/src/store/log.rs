//! The log as a state machine: records in, tickets out, outcomes in, watermark out.

use std::collections::VecDeque;

use crate::model::Body;
use crate::model::collections::sorted;

use super::format;
use super::record::Record;
use super::ticket::{DiskOp, DiskOutcome, FileId, Ticket, TicketId};

/// How far the log has come since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Frames up to here are in the operating system.
    pub written: u64,
    /// Frames up to here are covered by a sync.
    pub synced: u64,
}

/// Why the log does not go on. After this nothing succeeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogError {
    /// What the disk said.
    pub what: String,
}

#[derive(Debug)]
enum Phase {
    /// Asking which files there are, then reading them in order.
    Listing,
    Reading {
        left: VecDeque<(FileId, u64)>,
    },
    /// Read; the owner of the state has not yet written its snapshot.
    Scanned,
    Open,
    Failed,
}

/// The log of one store.
#[derive(Debug)]
pub struct Log {
    phase: Phase,
    tickets: VecDeque<Ticket>,
    last_ticket: u64,
    /// Frames that were read while opening.
    scanned: Vec<Vec<Record>>,
    stale: Vec<FileId>,
    file: FileId,
    offset: u64,
    frame: Vec<u8>,
    /// The last long body in the frame.
    last_body: Option<Body>,
    group: Vec<u8>,
    last_lsn: u64,
    written: u64,
    synced: u64,
    writing: Option<(TicketId, u64)>,
    syncing: Option<(TicketId, u64)>,
    wanted: u64,
    cleaning: Vec<TicketId>,
}

impl Log {
    /// Begins to open: the first ticket asks which files there are.
    #[must_use]
    pub fn open() -> Log {
        let mut log = Log {
            phase: Phase::Listing,
            tickets: VecDeque::new(),
            last_ticket: 0,
            scanned: Vec::new(),
            stale: Vec::new(),
            file: FileId(1),
            offset: 0,
            frame: Vec::new(),
            last_body: None,
            group: Vec::new(),
            last_lsn: 0,
            written: 0,
            synced: 0,
            writing: None,
            syncing: None,
            wanted: 0,
            cleaning: Vec::new(),
        };
        log.request(DiskOp::List);
        log
    }

    /// Once everything is read: the frames in order, to be replayed; then `begin` with a snapshot.
    pub fn take_scanned(&mut self) -> Option<Vec<Vec<Record>>> {
        matches!(self.phase, Phase::Scanned).then(|| std::mem::take(&mut self.scanned))
    }

    /// Opens a new file with a snapshot as its first frame. The old files go once a sync covers it.
    pub fn begin(&mut self, snapshot: &[Record]) {
        self.phase = Phase::Open;
        self.request(DiskOp::Create { file: self.file });
        self.request(DiskOp::SyncDir);
        for record in snapshot {
            self.add(record);
        }
        let lsn = self.commit();
        self.want_sync(lsn);
    }

    /// Whether records can be added.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// The LSN that the frame now being filled will have.
    #[must_use]
    pub fn next_lsn(&self) -> u64 {
        self.last_lsn + 1
    }

    /// Adds a record to the frame.
    pub fn add(&mut self, record: &Record) {
        format::encode(record, &mut self.last_body, &mut self.frame);
    }

    /// Closes the frame, if it holds anything, and gives the LSN of the last frame.
    pub fn commit(&mut self) -> u64 {
        if !self.frame.is_empty() {
            self.last_lsn += 1;
            let offset = self.offset + self.group.len() as u64;
            format::seal(
                &self.frame,
                self.last_lsn,
                self.file.0,
                offset,
                &mut self.group,
            );
            self.frame.clear();
            self.last_body = None;
        }
        self.last_lsn
    }

    /// A sync that covers `lsn` is wanted as soon as can be.
    pub fn want_sync(&mut self, lsn: u64) {
        self.wanted = self.wanted.max(lsn);
    }

    /// The last frame so far.
    #[must_use]
    pub fn last_lsn(&self) -> u64 {
        self.last_lsn
    }

    /// Whether something is written that no sync has covered or is covering.
    #[must_use]
    pub fn needs_sync(&self) -> bool {
        self.is_open() && self.last_lsn > self.wanted.max(self.synced)
    }

    /// The next thing for the disk to do.
    pub fn poll(&mut self) -> Option<Ticket> {
        if self.tickets.is_empty() && matches!(self.phase, Phase::Open) {
            self.write_group();
            self.sync_written();
        }
        self.tickets.pop_front()
    }

    fn write_group(&mut self) {
        if self.group.is_empty() || self.writing.is_some() {
            return;
        }
        let bytes = std::mem::take(&mut self.group);
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        let id = self.request(DiskOp::WriteAt {
            file: self.file,
            offset,
            bytes,
        });
        self.writing = Some((id, self.last_lsn));
    }

    fn sync_written(&mut self) {
        let due = self.wanted > self.synced && self.written > self.synced;
        if due && self.syncing.is_none() {
            let id = self.request(DiskOp::Sync { file: self.file });
            self.syncing = Some((id, self.written));
        }
    }

    fn request(&mut self, op: DiskOp) -> TicketId {
        self.last_ticket += 1;
        let id = TicketId(self.last_ticket);
        self.tickets.push_back(Ticket { id, op });
        id
    }

    /// Takes in what became of a ticket. Errors: what the disk said; from then on the log is closed.
    pub fn io_done(&mut self, id: TicketId, outcome: DiskOutcome) -> Result<Progress, LogError> {
        match outcome {
            DiskOutcome::Failed(what) => {
                // Old files that stay cost room, nothing else: the next opening tries again.
                if !self.cleaning.contains(&id) {
                    self.phase = Phase::Failed;
                    self.tickets.clear();
                    return Err(LogError { what });
                }
            }
            DiskOutcome::Files(files) => self.listed(files),
            DiskOutcome::Bytes(bytes) => self.scan(&bytes),
            DiskOutcome::Done => self.done(id),
        }
        Ok(Progress {
            written: self.written,
            synced: self.synced,
        })
    }

    fn listed(&mut self, files: Vec<(FileId, u64)>) {
        let files = sorted(files);
        self.file = FileId(files.last().map_or(0, |(file, _)| file.0) + 1);
        self.stale = files.iter().map(|(file, _)| *file).collect();
        self.phase = Phase::Reading { left: files.into() };
        self.read_next();
    }

    fn read_next(&mut self) {
        let Phase::Reading { left } = &self.phase else {
            return;
        };
        match left.front().copied() {
            Some((file, len)) => {
                let len = u32::try_from(len).unwrap_or(u32::MAX);
                self.request(DiskOp::ReadAt {
                    file,
                    offset: 0,
                    len,
                });
            }
            None => self.phase = Phase::Scanned,
        }
    }

    /// Takes the whole frames of a file; the first that does not verify ends it.
    fn scan(&mut self, bytes: &[u8]) {
        let Phase::Reading { left } = &mut self.phase else {
            return;
        };
        let Some((file, _)) = left.pop_front() else {
            return;
        };
        let mut offset = 0;
        while let Some(frame) = format::open(bytes, file.0, offset) {
            let Some(records) = format::decode(frame.body) else {
                break;
            };
            if matches!(records.first(), Some(Record::Snapshot { .. })) {
                self.scanned.clear();
            }
            self.last_lsn = self.last_lsn.max(frame.lsn);
            self.scanned.push(records);
            offset += frame.len;
        }
        self.read_next();
    }

    fn done(&mut self, id: TicketId) {
        if let Some((_, lsn)) = self.writing.take_if(|(ticket, _)| *ticket == id) {
            self.written = self.written.max(lsn);
        }
        if let Some((_, lsn)) = self.syncing.take_if(|(ticket, _)| *ticket == id) {
            self.synced = self.synced.max(lsn);
            self.delete_stale();
        }
    }

    fn delete_stale(&mut self) {
        for file in std::mem::take(&mut self.stale) {
            let id = self.request(DiskOp::Delete { file });
            self.cleaning.push(id);
        }
    }
}
