//! A disk in memory that fails as disks fail. It executes the engine's tickets and keeps two views of each file: what the operating system shows, and what a power cut leaves.
//! Writes stay unsynced by 512-byte sectors, creations and deletions by directory entry, until a sync has covered them; a power cut decides each of them by itself.

use std::collections::BTreeMap;

use ferrymq_core::store::{DiskOp, DiskOutcome, FileId, Ticket, TicketId};

use crate::bugs::Bug;
use crate::faults::{Counts, Fault, SyncEnd};
use crate::rng::{Hash, Rng};

/// What a disk writes at once.
pub const SECTOR: usize = 512;
/// How many files that were deleted for good are kept, to come back as ghosts.
const GHOSTS: usize = 4;
/// How many earlier contents of sectors each file keeps, to come back as stale ones.
const EARLIER: usize = 4;

/// One file's bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    pub current: Vec<u8>,
    pub durable: Vec<u8>,
    /// Sectors that differ, or may differ, between the two; none of what a failed sync gave up.
    pub dirty: Vec<bool>,
    /// After which sync each sector was durable as it is.
    pub since: Vec<u64>,
    /// What some sectors held durably before.
    pub earlier: Vec<(usize, Vec<u8>)>,
}

impl Inode {
    /// A sector has become durable.
    pub(crate) fn settled(&mut self, sector: usize, syncs: u64) {
        if self.since.len() <= sector {
            self.since.resize(sector + 1, 0);
        }
        self.since[sector] = syncs;
    }

    /// A sector is about to be overwritten for good.
    fn keep(&mut self, sector: usize) {
        let old = sector_of(&self.durable, sector);
        if old.iter().all(|byte| *byte == 0) {
            return;
        }
        let old = old.to_vec();
        if self.earlier.len() == EARLIER {
            self.earlier.remove(0);
        }
        self.earlier.push((sector, old));
    }
}

/// A name in the directory: which bytes it stands for, in both views.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    pub durable: Option<usize>,
    pub current: Option<usize>,
}

/// A sync on its way: the sectors that it covers, as they were when it was asked for.
#[derive(Clone, Debug)]
struct Sync {
    ticket: TicketId,
    inode: usize,
    sectors: Vec<u32>,
    bytes: Vec<u8>,
    length: usize,
}

/// The disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    pub(crate) directory: BTreeMap<FileId, Entry>,
    pub(crate) inodes: Vec<Inode>,
    syncs: Vec<Sync>,
    /// Unsynced sectors in the order in which they were written.
    pub(crate) written: Vec<(usize, u32)>,
    pub(crate) ghosts: Vec<(FileId, Vec<u8>)>,
    /// How many syncs ended well.
    pub(crate) syncs_done: u64,
    /// Whether what sectors held before is kept.
    pub keeps_earlier: bool,
    /// What fails next.
    pub armed: Vec<Fault>,
    /// A file whose reads fail until it is healed.
    pub unreadable: Option<FileId>,
    /// How many more bytes may be written before there is no room.
    pub room: Option<u64>,
    /// What is deliberately wrong.
    pub bug: Option<Bug>,
    /// What happened, in words, if anybody reads them.
    pub notes: Option<Vec<String>>,
    /// What happened.
    pub counts: Counts,
}

impl SimDisk {
    /// An empty disk. `keeps_earlier`: whether what sectors held before is kept.
    #[must_use]
    pub fn new(bug: Option<Bug>, keeps_earlier: bool) -> SimDisk {
        SimDisk {
            bug,
            keeps_earlier,
            ..SimDisk::default()
        }
    }

    /// Adds a line to the notes.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.notes {
            notes.push(line());
        }
    }

    /// Does what a ticket asks; `None`: it is a sync and takes its time.
    pub fn execute(&mut self, ticket: Ticket, rng: &mut Rng) -> Option<DiskOutcome> {
        Some(match ticket.op {
            DiskOp::List => self.list(),
            DiskOp::Create { file, len } => self.create(file, len),
            DiskOp::Delete { file } => self.delete(file),
            DiskOp::SyncDir => self.sync_dir(),
            DiskOp::ReadAt { file, offset, len } => self.read(file, offset, len, rng),
            DiskOp::WriteAt {
                file,
                offset,
                bytes,
            } => self.write(file, offset as usize, &bytes, rng),
            DiskOp::Sync { file } => return self.begin_sync(ticket.id, file),
        })
    }

    /// A ticket that the crash cuts off: done in part, and nobody hears of it.
    pub fn interrupt(&mut self, ticket: Ticket, rng: &mut Rng) {
        match ticket.op {
            DiskOp::WriteAt {
                file,
                offset,
                bytes,
            } => {
                let part = rng.below(bytes.len() as u64 + 1) as usize;
                self.put(file, offset as usize, &bytes[..part]);
            }
            DiskOp::Create { file, len } if rng.percent(50) => {
                self.create(file, len);
            }
            DiskOp::Delete { file } if rng.percent(50) => {
                self.delete(file);
            }
            DiskOp::SyncDir if rng.percent(50) => {
                self.sync_dir();
            }
            _ => {}
        }
    }

    fn list(&self) -> DiskOutcome {
        let files = self.directory.iter().filter_map(|(file, entry)| {
            let inode = &self.inodes[entry.current?];
            Some((*file, inode.current.len() as u64))
        });
        DiskOutcome::Files(files.collect())
    }

    pub(crate) fn inode(&self, file: FileId) -> Option<usize> {
        self.directory.get(&file)?.current
    }

    fn create(&mut self, file: FileId, len: u64) -> DiskOutcome {
        if self.take(Fault::FailCreate) {
            return failed("no space left on device");
        }
        if self.inode(file).is_some() {
            return failed("the file exists");
        }
        let current = vec![0; len as usize];
        self.inodes.push(Inode {
            dirty: vec![false; current.len().div_ceil(SECTOR)],
            current,
            ..Inode::default()
        });
        let inode = self.inodes.len() - 1;
        self.directory.entry(file).or_default().current = Some(inode);
        DiskOutcome::Done
    }

    fn delete(&mut self, file: FileId) -> DiskOutcome {
        if self.take(Fault::FailDelete) {
            return failed("input/output error");
        }
        match self.directory.get_mut(&file) {
            Some(entry) if entry.current.is_some() => {
                entry.current = None;
                DiskOutcome::Done
            }
            _ => missing(file),
        }
    }

    fn sync_dir(&mut self) -> DiskOutcome {
        if self.take(Fault::FailSyncDir) {
            return failed("input/output error");
        }
        if self.bug != Some(Bug::SkipDirectorySync) {
            self.settle_directory();
        }
        DiskOutcome::Done
    }

    fn settle_directory(&mut self) {
        let (inodes, ghosts) = (&self.inodes, &mut self.ghosts);
        self.directory.retain(|file, entry| {
            if let (Some(gone), None) = (entry.durable, entry.current) {
                if ghosts.len() == GHOSTS {
                    ghosts.remove(0);
                }
                ghosts.push((*file, inodes[gone].durable.clone()));
            }
            entry.durable = entry.current;
            entry.current.is_some()
        });
    }

    fn read(&mut self, file: FileId, offset: u64, len: u32, rng: &mut Rng) -> DiskOutcome {
        let is_short = self.take(Fault::ShortRead);
        if self.take(Fault::FailRead) {
            return failed("input/output error");
        }
        if self.take(Fault::StickyRead) {
            self.unreadable = Some(file);
        }
        if self.unreadable == Some(file) {
            return failed("input/output error");
        }
        let Some(inode) = self.inode(file) else {
            return missing(file);
        };
        let inode = &self.inodes[inode];
        let bytes = match self.bug {
            Some(Bug::ReadWhatIsDurable) => &inode.durable,
            _ => &inode.current,
        };
        let from = (offset as usize).min(bytes.len());
        let mut to = from.saturating_add(len as usize).min(bytes.len());
        if is_short && to > from {
            to = from + 1 + rng.below((to - from) as u64) as usize;
        }
        DiskOutcome::Bytes(bytes[from..to].to_vec())
    }

    fn write(&mut self, file: FileId, offset: usize, bytes: &[u8], rng: &mut Rng) -> DiskOutcome {
        if self.inode(file).is_none() {
            return missing(file);
        }
        if self.take(Fault::ShortWrite) {
            let part = rng.below(bytes.len() as u64 + 1) as usize;
            let (first, rest) = bytes.split_at(part);
            return match self.write(file, offset, first, rng) {
                DiskOutcome::Done => self.write(file, offset + part, rest, rng),
                failed => failed,
            };
        }
        let full = self.room.is_some_and(|room| room < bytes.len() as u64);
        if full || self.take(Fault::FailWrite) {
            let part = match self.room.take() {
                Some(room) if full => room as usize,
                _ => rng.below(bytes.len() as u64 + 1) as usize,
            };
            self.put(file, offset, &bytes[..part]);
            self.counts.full += u64::from(full);
            return match self.bug {
                Some(Bug::SwallowFailedWrite) => DiskOutcome::Done,
                _ => failed("no space left on device"),
            };
        }
        if let Some(room) = &mut self.room {
            *room -= bytes.len() as u64;
        }
        if self.bug == Some(Bug::DeleteBeforeSync) && offset == 0 {
            self.directory.retain(|other, _| *other == file);
        }
        self.put(file, offset, bytes);
        DiskOutcome::Done
    }

    /// Bytes reach the operating system.
    fn put(&mut self, file: FileId, offset: usize, bytes: &[u8]) {
        let Some(at) = self.inode(file).filter(|_| !bytes.is_empty()) else {
            return;
        };
        let inode = &mut self.inodes[at];
        let end = offset + bytes.len();
        if inode.current.len() < end {
            inode.current.resize(end, 0);
        }
        inode.current[offset..end].copy_from_slice(bytes);
        inode
            .dirty
            .resize(inode.current.len().div_ceil(SECTOR), false);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            inode.dirty[sector] = true;
            self.written.push((at, sector as u32));
        }
    }

    fn begin_sync(&mut self, ticket: TicketId, file: FileId) -> Option<DiskOutcome> {
        let Some(at) = self.inode(file) else {
            return Some(missing(file));
        };
        let inode = &self.inodes[at];
        let mut sync = Sync {
            ticket,
            inode: at,
            sectors: Vec::new(),
            bytes: Vec::new(),
            length: inode.current.len(),
        };
        for (sector, _) in inode.dirty.iter().enumerate().filter(|(_, dirty)| **dirty) {
            sync.sectors.push(sector as u32);
            sync.bytes
                .extend_from_slice(sector_of(&inode.current, sector));
            sync.bytes.resize(sync.sectors.len() * SECTOR, 0);
        }
        if self.bug == Some(Bug::SyncHalf) && sync.sectors.len() > 1 {
            sync.sectors.pop();
        }
        if self.bug == Some(Bug::ConfirmBeforeSync) {
            return Some(DiskOutcome::Done);
        }
        self.syncs.push(sync);
        None
    }

    /// How many syncs are on their way.
    #[must_use]
    pub fn syncs(&self) -> usize {
        self.syncs.len()
    }

    /// A sync ends, well or not; gives what `io_done` is to hear.
    pub fn end_sync(&mut self, nth: usize, end: SyncEnd, rng: &mut Rng) -> (TicketId, DiskOutcome) {
        let sync = self.syncs.remove(nth);
        let inode = &mut self.inodes[sync.inode];
        let well = end == SyncEnd::Well;
        self.syncs_done += u64::from(well);
        if well && inode.durable.len() < sync.length {
            inode.durable.resize(sync.length, 0);
        }
        for (nth, &sector) in sync.sectors.iter().enumerate() {
            let bytes = &sync.bytes[nth * SECTOR..][..SECTOR];
            // A sync that failed may have brought any part of it down.
            if well || rng.percent(30) {
                if self.keeps_earlier {
                    inode.keep(sector as usize);
                    inode.settled(sector as usize, self.syncs_done);
                }
                put_sector(&mut inode.durable, sector as usize, bytes, sync.length);
            }
            let sector = sector as usize;
            let unchanged = same(sector_of(&inode.current, sector), bytes);
            if unchanged {
                inode.dirty[sector] = false;
            }
            if unchanged && end == SyncEnd::Reverted {
                let old = sector_of(&inode.durable, sector).to_vec();
                let from = (sector * SECTOR).min(inode.current.len());
                let to = (from + SECTOR).min(inode.current.len());
                let place = &mut inode.current[from..to];
                place.fill(0);
                place[..old.len()].copy_from_slice(&old);
            }
        }
        if well {
            let inodes = &self.inodes;
            self.written
                .retain(|(at, sector)| inodes[*at].dirty[*sector as usize]);
            return (sync.ticket, DiskOutcome::Done);
        }
        self.counts.failed_syncs += 1;
        let swallowed = matches!(
            self.bug,
            Some(Bug::SwallowFailedSync | Bug::RetryFailedSync)
        );
        match swallowed {
            true => (sync.ticket, DiskOutcome::Done),
            false => (sync.ticket, failed("input/output error")),
        }
    }

    /// The process is gone: what was written stays.
    pub fn kill(&mut self) {
        self.syncs.clear();
        self.room = None;
    }

    /// A hash of all that a power cut leaves and all that is shown.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut hash = Hash::default();
        for (file, entry) in &self.directory {
            hash.add(file.0);
            for view in [entry.current, entry.durable] {
                hash.add(view.is_some().into());
            }
            if let Some(at) = entry.current {
                hash.bytes(&self.inodes[at].current);
                hash.bytes(&self.inodes[at].durable);
            }
        }
        hash.0
    }

    fn take(&mut self, fault: Fault) -> bool {
        let armed = self.armed.iter().position(|armed| *armed == fault);
        if let Some(at) = armed {
            self.armed.swap_remove(at);
            self.counts.of(fault);
        }
        armed.is_some()
    }
}

fn failed(what: &str) -> DiskOutcome {
    DiskOutcome::Failed(what.to_owned())
}

fn missing(file: FileId) -> DiskOutcome {
    DiskOutcome::Failed(format!("there is no file {}", file.0))
}

pub(crate) fn sector_of(bytes: &[u8], sector: usize) -> &[u8] {
    let from = (sector * SECTOR).min(bytes.len());
    &bytes[from..(from + SECTOR).min(bytes.len())]
}

/// Whether a sector, possibly cut short by the file's end, is what was captured.
fn same(sector: &[u8], captured: &[u8]) -> bool {
    captured.starts_with(sector) && captured[sector.len()..].iter().all(|byte| *byte == 0)
}

fn put_sector(bytes: &mut Vec<u8>, sector: usize, new: &[u8], length: usize) {
    let from = sector * SECTOR;
    let to = (from + SECTOR).min(length);
    if bytes.len() < to {
        bytes.resize(to, 0);
    }
    bytes[from..to].copy_from_slice(&new[..to - from]);
}
