//! The log as a state machine: records in, tickets out, outcomes in, watermark out.

use std::collections::VecDeque;

use crate::model::Body;

use super::format::{self, About, Copy, FrameKind};
use super::opening::{Found, Opening, Refused};
use super::record::{Record, Sealed};
use super::scan::Damage;
use super::ticket::{DiskOp, DiskOutcome, FileId, Ticket, TicketId};
use super::writer::{self, Segment, Writer};

/// Most bytes of a checkpoint's first record without its list of segments, and of an entry of that list: three numbers each of at most ten bytes.
const CHECKPOINT_HEAD_BYTES: usize = 48;
const SEALED_BYTES: usize = 30;

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
pub enum LogError {
    /// The disk failed; what it said.
    Disk(String),
    /// The store cannot be opened.
    Refused(Refused),
}

#[derive(Debug)]
enum Phase {
    Opening(Box<Opening>),
    Open,
    Failed,
}

/// What a ticket that is out is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errand {
    Reading,
    /// A file is made or a directory synced.
    Placing,
    /// Frames up to this one are written.
    Writing(u64),
    /// Frames up to this one are synced.
    Syncing(u64),
    WritingHeader,
    /// The segment before is told that it is followed, in this file; then that is synced.
    Marking(FileId),
    SyncingMark,
    Deleting,
}

/// The log of one store.
#[derive(Debug)]
pub struct Log {
    phase: Phase,
    writer: Writer,
    tickets: VecDeque<Ticket>,
    last_ticket: u64,
    out: Vec<(TicketId, Errand)>,
    frame: Vec<u8>,
    /// What the frame is about.
    about: About,
    /// The last long body in the frame.
    last_body: Option<Body>,
    written: u64,
    synced: u64,
    wanted: u64,
    wanted_written: u64,
    /// The file that was written last, which a sync is for.
    file: FileId,
    /// Files of recycled segments, given back once the record of it is safe.
    retiring: Vec<(u64, FileId, u64)>,
    /// The newest checkpoint: its segment and its frame.
    checkpoint: (u64, u64),
    wants_checkpoint: bool,
    damage: Vec<Damage>,
}

impl Log {
    /// Begins to open: the first ticket asks which files there are. `store` names the store if it is new; `opening` differs from that of the openings before.
    #[must_use]
    pub fn open(segment_bytes: u64, store: u64, opening: u64) -> Log {
        let mut log = Log {
            phase: Phase::Opening(Box::new(Opening::new(opening))),
            writer: Writer::new(segment_bytes, store),
            tickets: VecDeque::new(),
            last_ticket: 0,
            out: Vec::new(),
            frame: Vec::new(),
            about: About::Nothing,
            last_body: None,
            written: 0,
            synced: 0,
            wanted: 0,
            wanted_written: 0,
            file: FileId(0),
            retiring: Vec::new(),
            checkpoint: (0, 0),
            wants_checkpoint: false,
            damage: Vec::new(),
        };
        log.request(DiskOp::List, Errand::Reading);
        log
    }

    /// What was found since it was last asked, while the store is opened.
    pub fn take_found(&mut self) -> Option<Found> {
        match &mut self.phase {
            Phase::Opening(opening) if !opening.found.is_empty() => Some(opening.found.remove(0)),
            _ => None,
        }
    }

    /// Everything was found: goes on writing where the log ends. `time` is the time of its last frame.
    pub fn begin(&mut self, time: u64) {
        let Phase::Opening(opening) = std::mem::replace(&mut self.phase, Phase::Open) else {
            return;
        };
        let opening = *opening;
        let sealed = opening.sealed();
        let last_file = opening.last_file();
        self.writer.store = opening.store.unwrap_or(self.writer.store);
        self.damage = opening.damage;
        self.writer.missing = opening.missing;
        let durable = opening.tail.durable;
        self.written = durable;
        self.synced = durable;
        self.writer
            .resume(sealed, opening.free, last_file, time, opening.tail);
        // What makes these void may not be safe yet.
        let last_lsn = self.writer.last_lsn;
        let void = opening.void.iter();
        self.retiring
            .extend(void.map(|(file, len)| (last_lsn, *file, *len)));
        self.wants_checkpoint = true;
    }

    /// What was damaged when the store was opened.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Whether records can be added.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// The LSN that the frame now being filled will have.
    #[must_use]
    pub fn next_lsn(&self) -> u64 {
        self.writer.last_lsn + 1
    }

    /// Adds a record to the frame. `about`: which queue it is about.
    pub fn add(&mut self, record: &Record, about: About) {
        self.about = self.about.and(about);
        format::encode(record, &mut self.last_body, &mut self.frame);
    }

    /// Whether the frame holds anything.
    #[must_use]
    #[inline]
    pub fn has_frame(&self) -> bool {
        !self.frame.is_empty()
    }

    /// Closes the frame, if it holds anything, and gives the LSN of the last frame.
    pub fn commit(&mut self, time: u64) -> u64 {
        if !self.frame.is_empty() {
            let frame = std::mem::take(&mut self.frame);
            let about = std::mem::take(&mut self.about);
            let begins = self
                .writer
                .append(FrameKind::Operation, about, &frame, time, self.synced);
            self.wants_checkpoint |= begins;
            self.frame = frame;
            self.frame.clear();
            self.last_body = None;
        }
        self.writer.last_lsn
    }

    /// Whether a segment has begun without a checkpoint.
    #[must_use]
    #[inline]
    pub fn wants_checkpoint(&self) -> bool {
        self.wants_checkpoint
    }

    /// The segment that is being filled.
    #[must_use]
    pub fn current_segment(&self) -> u64 {
        self.writer.current_segment()
    }

    /// Writes a checkpoint: everything that is not messages, as it is now. `head` makes its first record, which names the complete segments and their last frames; if the whole
    /// does not fit into this segment it begins the next.
    pub fn write_checkpoint(
        &mut self,
        head: impl FnOnce(Vec<Sealed>) -> Record,
        records: &[Record],
        time: u64,
    ) {
        let mut rest = Vec::new();
        for record in records {
            format::encode(record, &mut None, &mut rest);
        }
        let sealed = self.writer.missing.len() + self.writer.sealed.len() + 1;
        self.writer
            .make_room(rest.len() + CHECKPOINT_HEAD_BYTES + sealed * SEALED_BYTES);
        let missing = self.writer.missing.iter().copied();
        let sealed = self.writer.sealed.iter().map(Segment::in_checkpoint);
        let segments = missing.chain(sealed).collect();
        let mut body = Vec::new();
        format::encode(&head(segments), &mut None, &mut body);
        body.append(&mut rest);
        self.writer.append(
            FrameKind::Checkpoint,
            About::Nothing,
            &body,
            time,
            self.synced,
        );
        self.checkpoint = (self.writer.current_segment(), self.writer.last_lsn);
        self.wants_checkpoint = false;
    }

    /// The segment and frame of the newest checkpoint, once that is safe: what is before it need not be read for anything but messages.
    #[must_use]
    pub fn safe_checkpoint(&self) -> Option<(u64, u64)> {
        (self.checkpoint.1 > 0 && self.checkpoint.1 <= self.synced).then_some(self.checkpoint)
    }

    /// A segment is recycled; the record of it is in the frame now being filled.
    pub fn recycle(&mut self, segment: u64) {
        let at = self.writer.sealed.iter().position(|own| own.id == segment);
        if let Some(at) = at {
            let gone = self.writer.sealed.remove(at);
            self.retiring.push((self.next_lsn(), gone.file, gone.len));
        }
    }

    /// Whether a segment can be recycled: not one that holds damage, which is kept to be looked at.
    #[must_use]
    pub fn is_intact(&self, segment: u64) -> bool {
        let damage = self.damage.iter();
        !damage
            .filter_map(|own| own.segment)
            .any(|own| own == segment)
    }

    /// Somebody waits until `lsn` is written: it does not wait for a sync that is under way.
    pub fn want_written(&mut self, lsn: u64) {
        self.wanted_written = self.wanted_written.max(lsn);
    }

    /// A sync that covers `lsn` is wanted as soon as can be.
    pub fn want_sync(&mut self, lsn: u64) {
        self.wanted = self.wanted.max(lsn);
    }

    /// The last frame so far.
    #[must_use]
    pub fn last_lsn(&self) -> u64 {
        self.writer.last_lsn
    }

    /// Whether something is written that no sync has covered or is covering.
    #[must_use]
    pub fn needs_sync(&self) -> bool {
        self.is_open() && self.writer.last_lsn > self.wanted.max(self.synced)
    }

    /// Whether everything is safe and the log does not say so yet.
    #[must_use]
    pub fn can_end(&self) -> bool {
        self.is_open()
            && self.frame.is_empty()
            && self.synced == self.writer.last_lsn
            && !self.writer.has_ended()
    }

    /// Whether everything is safe, and the log says so or can say no more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let safe = self.frame.is_empty() && self.synced == self.writer.last_lsn;
        safe && self.writer.has_ended() || !self.is_open()
    }

    /// Whether nothing goes on before a sync is done: a segment is full, and the next begins only when it is safe.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        let next = self.writer.chunks.first();
        self.is_open()
            && next.is_some_and(|chunk| chunk.after > self.synced)
            && !self.is_out(|errand| !matches!(errand, Errand::Syncing(_)))
    }

    /// Says in the log how far it is durable, so that every bit before is covered.
    pub fn end(&mut self, time: u64) {
        if self.can_end() {
            self.writer
                .append(FrameKind::GroupEnd, About::Nothing, &[], time, self.synced);
            self.writer.mark_durable(self.synced);
            self.want_sync(self.writer.last_lsn);
        }
    }

    /// The time of the last frame.
    #[must_use]
    pub fn last_time(&self) -> u64 {
        self.writer.last_time()
    }

    /// The next thing for the disk to do.
    pub fn poll(&mut self) -> Option<Ticket> {
        if self.tickets.is_empty() && self.is_open() {
            self.make_requests();
        }
        self.tickets.pop_front()
    }

    fn make_requests(&mut self) {
        for op in std::mem::take(&mut self.writer.requests) {
            let errand = match op {
                DiskOp::Delete { .. } => Errand::Deleting,
                _ => Errand::Placing,
            };
            self.request(op, errand);
        }
        self.write_chunk();
        self.sync_written();
    }

    fn is_out(&self, which: impl Fn(&Errand) -> bool) -> bool {
        self.out.iter().any(|(_, errand)| which(errand))
    }

    fn write_chunk(&mut self) {
        let busy = |errand: &Errand| {
            matches!(
                errand,
                Errand::Writing(_) | Errand::WritingHeader | Errand::Marking(_) | Errand::Placing
            )
        };
        if self.is_out(busy) {
            return;
        }
        // While a sync is under way the next group gathers: one write for all of it.
        let gathers = self.wanted_written <= self.written
            && self.is_out(|errand| matches!(errand, Errand::Syncing(_)));
        if gathers {
            return;
        }
        let Some(chunk) = self.writer.chunks.first() else {
            return;
        };
        let waits = chunk.after > self.synced
            || self.writer.late_header.is_some() && self.file == chunk.file;
        if waits {
            self.wanted = self.wanted.max(chunk.after);
            return;
        }
        if chunk.bytes.is_empty() {
            return;
        }
        let chunk = self.writer.chunks.remove(0);
        self.file = chunk.file;
        let op = DiskOp::WriteAt {
            file: chunk.file,
            offset: chunk.offset,
            bytes: chunk.bytes,
        };
        self.request(op, Errand::Writing(chunk.last_lsn));
    }

    fn sync_written(&mut self) {
        let late = self.writer.late_header.as_ref();
        let late = late.is_some_and(|late| late.file == self.file && self.written > self.synced);
        let due = self.wanted > self.synced && self.written > self.synced || late;
        let busy = |errand: &Errand| {
            matches!(
                errand,
                Errand::Syncing(_) | Errand::Writing(_) | Errand::WritingHeader
            )
        };
        if due && !self.is_out(busy) {
            let errand = Errand::Syncing(self.written);
            self.request(DiskOp::Sync { file: self.file }, errand);
        }
    }

    fn request(&mut self, op: DiskOp, errand: Errand) {
        self.last_ticket += 1;
        let id = TicketId(self.last_ticket);
        self.out.push((id, errand));
        self.tickets.push_back(Ticket { id, op });
    }

    /// Takes in what became of a ticket. Errors: what the disk said; from then on the log is closed.
    pub fn io_done(&mut self, id: TicketId, outcome: DiskOutcome) -> Result<Progress, LogError> {
        let at = self.out.iter().position(|(own, _)| *own == id);
        let errand = at.map(|at| self.out.swap_remove(at).1);
        let result = match outcome {
            // Files that stay cost room, nothing else: the next opening finds them.
            DiskOutcome::Failed(_) if errand == Some(Errand::Deleting) => Ok(()),
            DiskOutcome::Failed(what) => Err(LogError::Disk(what)),
            DiskOutcome::Files(files) => self.opened(|opening| opening.listed(files)),
            DiskOutcome::Bytes(bytes) => self.opened(|opening| opening.read(bytes)),
            DiskOutcome::Done => {
                if let Some(errand) = errand {
                    self.done(errand);
                }
                Ok(())
            }
        };
        if let Err(error) = result {
            self.phase = Phase::Failed;
            self.tickets.clear();
            return Err(error);
        }
        Ok(self.progress())
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            written: self.written,
            synced: self.synced,
        }
    }

    fn opened(
        &mut self,
        step: impl FnOnce(&mut Opening) -> Result<Option<DiskOp>, Refused>,
    ) -> Result<(), LogError> {
        let Phase::Opening(opening) = &mut self.phase else {
            return Ok(());
        };
        if let Some(op) = step(opening).map_err(LogError::Refused)? {
            self.request(op, Errand::Reading);
        }
        Ok(())
    }

    fn done(&mut self, errand: Errand) {
        match errand {
            Errand::Writing(lsn) => self.written = self.written.max(lsn),
            Errand::Syncing(lsn) => match self
                .writer
                .late_header
                .take_if(|late| late.file == self.file)
            {
                // The frames are safe; now the header that makes them count, and a sync for it.
                Some(late) => {
                    let file = late.file;
                    for copy in [Copy::Last, Copy::First] {
                        let (offset, bytes) = writer::header_at(&late.header, file, copy);
                        let op = DiskOp::WriteAt {
                            file,
                            offset,
                            bytes,
                        };
                        self.request(op, Errand::WritingHeader);
                    }
                    self.request(DiskOp::Sync { file: late.file }, Errand::Syncing(lsn));
                }
                None => {
                    self.synced = self.synced.max(lsn);
                    for (file, op) in self.writer.mark_followed(self.synced) {
                        self.request(op, Errand::Marking(file));
                    }
                    self.free_retired();
                }
            },
            Errand::Marking(file) => self.request(DiskOp::Sync { file }, Errand::SyncingMark),
            Errand::SyncingMark => self.free_retired(),
            Errand::Reading | Errand::Placing | Errand::WritingHeader | Errand::Deleting => {}
        }
    }

    fn free_retired(&mut self) {
        // A file whose last sector is on its way is not used for anything else yet.
        if self.is_out(|errand| matches!(errand, Errand::Marking(_) | Errand::SyncingMark)) {
            return;
        }
        let synced = self.synced;
        let writer = &mut self.writer;
        self.retiring.retain(|(lsn, file, len)| {
            let waits = *lsn > synced;
            if !waits {
                writer.give_back(*file, *len);
            }
            waits
        });
    }
}
