//! Reading what an earlier life left. Asks for files, headers and segments, in the order in which the hall can use them: the newest checkpoint, then the segments from the oldest on.

use super::format::{
    self, FRAMES_AT, FrameFound, FrameHeader, FrameKind, HeaderFound, SegmentHeader,
};
use super::record::Record;
use super::scan::{self, Damage, Extent, Scan, scan};
use super::ticket::{DiskOp, FileId};
use super::writer::{Segment, Tail};

/// Most by which the number of a segment that an opening begins is higher than that of the one before.
const STEP_MAX: u64 = 1024;
/// So far back the number of a segment is looked for whose header cannot be read.
const LOOKED_FOR_MAX: u64 = 1 << 24;

/// A frame that was found.
#[derive(Debug)]
pub struct FoundFrame {
    /// Its number.
    pub lsn: u64,
    /// When it was written, milliseconds.
    pub time: u64,
    /// Whether it is a checkpoint.
    pub is_checkpoint: bool,
    /// What it says.
    pub records: Vec<Record>,
}

/// What the hall is given while a store is opened, in this order.
#[derive(Debug)]
pub enum Found {
    /// The newest checkpoint: everything that is not messages, as it was then.
    Checkpoint(FoundFrame),
    /// A segment's frames; those that are not known to be durable under the number of the segment that they will be written to again.
    Segment {
        /// Its number.
        segment: u64,
        /// In order.
        frames: Vec<FoundFrame>,
    },
    /// That was all.
    End,
}

/// Why a store cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A newer program wrote it.
    Newer,
    /// What must be there is not, or belongs elsewhere.
    Corrupt(&'static str),
}

#[derive(Debug)]
enum Phase {
    Listing,
    Headers {
        left: Vec<(FileId, u64)>,
    },
    /// Looking whether files whose headers cannot be read hold a segment all the same.
    Unreadable {
        left: Vec<(FileId, u64)>,
    },
    /// Looking for the newest checkpoint, from the newest segment back.
    Back {
        at: usize,
    },
    Forward {
        at: usize,
    },
    Done,
}

/// What opening has found so far.
#[derive(Debug)]
pub(super) struct Opening {
    phase: Phase,
    files: Vec<(FileId, u64)>,
    pub segments: Vec<SegmentHeaderAt>,
    /// Files without a segment in them.
    pub free: Vec<(FileId, u64)>,
    /// Files that what was read makes void.
    pub void: Vec<(FileId, u64)>,
    /// Files whose headers cannot be read, and with no sign of a segment.
    unreadable: Vec<(FileId, u64)>,
    /// Segments that were found without their headers.
    headless: Vec<u64>,
    /// By how much the number of the next segment is higher than the highest.
    step: u64,
    /// The highest number of a segment that was seen, whatever became of it.
    newest: u64,
    pub damage: Vec<Damage>,
    pub store: Option<u64>,
    /// Segments that were read while looking for the checkpoint.
    read: Vec<(u64, Vec<u8>)>,
    /// The last frames of segments; the later entry counts.
    ends: Vec<(u64, u64)>,
    recycled: Vec<u64>,
    pub found: Vec<Found>,
    pub tail: Tail,
}

/// A segment's header, and the file that it stands in.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentHeaderAt {
    pub file: FileId,
    pub header: SegmentHeader,
}

impl Opening {
    pub fn new(opening: u64) -> Opening {
        Opening {
            phase: Phase::Listing,
            files: Vec::new(),
            segments: Vec::new(),
            free: Vec::new(),
            void: Vec::new(),
            unreadable: Vec::new(),
            headless: Vec::new(),
            step: 1 + opening % STEP_MAX,
            newest: 0,
            damage: Vec::new(),
            store: None,
            read: Vec::new(),
            ends: Vec::new(),
            recycled: Vec::new(),
            found: Vec::new(),
            tail: Tail::default(),
        }
    }

    /// The last frame of a segment.
    fn end_of(&self, segment: u64) -> Option<u64> {
        let mut ends = self.ends.iter().rev();
        ends.find(|own| own.0 == segment).map(|own| own.1)
    }

    /// The highest number that a file has.
    pub fn last_file(&self) -> u64 {
        self.files.iter().map(|(file, _)| file.0).max().unwrap_or(0)
    }

    /// The segments as the writer keeps them.
    pub fn sealed(&self) -> Vec<Segment> {
        let segments = self.segments.iter();
        segments
            .map(|at| Segment {
                id: at.header.segment,
                file: at.file,
                len: at.header.len,
                end_lsn: self.end_of(at.header.segment).unwrap_or(0),
            })
            .collect()
    }

    /// Which files there are. Gives the next request.
    pub fn listed(&mut self, files: Vec<(FileId, u64)>) -> Result<Option<DiskOp>, Refused> {
        for file in files {
            let at = self.files.partition_point(|own| own.0 < file.0);
            self.files.insert(at, file);
        }
        self.phase = Phase::Headers {
            left: self.files.iter().rev().copied().collect(),
        };
        self.next()
    }

    /// Bytes that were asked for. Gives the next request.
    pub fn read(&mut self, bytes: Vec<u8>) -> Result<Option<DiskOp>, Refused> {
        match &mut self.phase {
            Phase::Headers { left } => {
                if let Some((file, len)) = left.pop() {
                    self.take_header(file, len, &bytes)?;
                }
            }
            Phase::Unreadable { left } if !cfg!(target_arch = "wasm32") => {
                if let Some((file, len)) = left.pop() {
                    self.look_for_frames(file, len, &bytes)?;
                }
            }
            Phase::Back { at } => {
                let at = *at;
                self.look_back(at, bytes)?;
            }
            Phase::Forward { at } => {
                let at = *at;
                self.go_forward(at, &bytes)?;
            }
            Phase::Listing | Phase::Unreadable { .. } | Phase::Done => {}
        }
        self.next()
    }

    fn next(&mut self) -> Result<Option<DiskOp>, Refused> {
        loop {
            match &self.phase {
                Phase::Headers { left } => {
                    if let Some((file, _)) = left.last() {
                        return Ok(Some(DiskOp::ReadAt {
                            file: *file,
                            offset: 0,
                            len: format::FRAMES_AT as u32,
                        }));
                    }
                    self.headers_are_read();
                }
                Phase::Unreadable { left } => {
                    if let Some((file, len)) = left.last() {
                        return Ok(Some(DiskOp::ReadAt {
                            file: *file,
                            offset: 0,
                            len: u32::try_from(*len).unwrap_or(u32::MAX),
                        }));
                    }
                    self.order_segments()?;
                }
                Phase::Back { at } => {
                    let segment = self.segments[*at];
                    return Ok(Some(whole(segment)));
                }
                Phase::Forward { at } => {
                    let Some(segment) = self.segments.get(*at).copied() else {
                        self.tail.next_segment = self.next_segment();
                        self.found.push(Found::End);
                        self.phase = Phase::Done;
                        return Ok(None);
                    };
                    let at = *at;
                    let mut read = self.read.iter();
                    let id = segment.header.segment;
                    let Some(nth) = read.position(|own| own.0 == id) else {
                        return Ok(Some(whole(segment)));
                    };
                    let (_, bytes) = self.read.swap_remove(nth);
                    self.go_forward(at, &bytes)?;
                }
                Phase::Listing | Phase::Done => return Ok(None),
            }
        }
    }

    fn take_header(&mut self, file: FileId, len: u64, bytes: &[u8]) -> Result<(), Refused> {
        match format::decode_header(bytes, file.0) {
            HeaderFound::Valid(header) => {
                let store = *self.store.get_or_insert(header.store);
                if store != header.store {
                    return Err(Refused::Corrupt("its files belong to different stores"));
                }
                self.newest = self.newest.max(header.segment);
                self.add(SegmentHeaderAt { file, header })?;
            }
            HeaderFound::Empty => self.free.push((file, len)),
            HeaderFound::Newer(_) => return Err(Refused::Newer),
            HeaderFound::Damaged => self.unreadable.push((file, len)),
        }
        Ok(())
    }

    /// A header that cannot be read is one that was being written when power was lost, or damage. The frames behind it tell.
    fn headers_are_read(&mut self) {
        // WebAssembly has only the disk in memory, which neither tears nor loses a sector: not worth a hundredth of the module.
        if cfg!(target_arch = "wasm32") {
            self.phase = Phase::Unreadable { left: Vec::new() };
            return;
        }
        let mut left = std::mem::take(&mut self.unreadable);
        if self.segments.is_empty() {
            left.append(&mut self.free);
        }
        self.phase = Phase::Unreadable { left };
    }

    /// Looks for a segment whose header cannot be read: one that says that its first frame was durable, or one that is older than one that can be read, because that begins only when the one
    /// before is safe. Everything else was never begun: nothing of it was promised.
    fn look_for_frames(&mut self, file: FileId, len: u64, bytes: &[u8]) -> Result<(), Refused> {
        let readable = self.segments.iter().map(|own| own.header.segment);
        let readable = readable.collect::<Vec<_>>();
        let highest = readable.iter().copied().max().unwrap_or(0);
        let first = |segment: u64| match format::open(bytes, segment, FRAMES_AT as usize) {
            FrameFound::Whole(frame) => Some((segment, frame.header.lsn)),
            FrameFound::Torn { header, .. } => Some((segment, header.lsn)),
            FrameFound::None => None,
        };
        let mut candidates = highest.saturating_sub(LOOKED_FOR_MAX)..=highest + STEP_MAX;
        let Some((segment, first_lsn)) = candidates.find_map(first) else {
            let any = |segment| scan::durable(bytes, segment) > 0;
            if highest == 0 && (1..=STEP_MAX).any(any) {
                return Err(Refused::Corrupt("no segment of it can be read"));
            }
            self.unreadable.push((file, len));
            return Ok(());
        };
        self.newest = self.newest.max(segment);
        let begun = segment < highest || scan::durable(bytes, segment) >= first_lsn;
        if !begun || readable.contains(&segment) {
            self.void.push((file, len));
            return Ok(());
        }
        self.headless.push(segment);
        let header = SegmentHeader {
            segment,
            store: self.store.unwrap_or(0),
            first_lsn,
            len,
        };
        self.add(SegmentHeaderAt { file, header })
    }

    /// Adds a segment in its place.
    fn add(&mut self, own: SegmentHeaderAt) -> Result<(), Refused> {
        let before = |other: &SegmentHeaderAt| other.header.segment < own.header.segment;
        let at = self.segments.partition_point(before);
        let next = self.segments.get(at);
        if next.is_some_and(|next| next.header.segment == own.header.segment) {
            return Err(Refused::Corrupt("two of its files hold the same segment"));
        }
        self.segments.insert(at, own);
        Ok(())
    }

    /// The number that a segment gets which begins now. It differs from opening to opening, so that what an opening that did not get far left in a file is never taken for what a later one wrote.
    fn next_segment(&self) -> u64 {
        self.newest + self.step
    }

    fn order_segments(&mut self) -> Result<(), Refused> {
        self.phase = match self.segments.len() {
            0 => {
                self.judge_unreadable(false);
                Phase::Forward { at: 0 }
            }
            count => Phase::Back { at: count - 1 },
        };
        Ok(())
    }

    /// How far a segment's frames go. Between it and the next one nothing was recycled, because no later checkpoint was found.
    fn extent_before_checkpoint(&self, at: usize) -> Extent {
        let own = self.segments[at];
        let next = self.segments.get(at + 1);
        Extent {
            end_lsn: next.map(|next| next.header.first_lsn - 1),
            ..extent(own)
        }
    }

    fn look_back(&mut self, at: usize, bytes: Vec<u8>) -> Result<(), Refused> {
        let of = self.extent_before_checkpoint(at);
        let scan = scan(&bytes, of);
        if let Some(end) = of.end_lsn {
            self.ends.push((of.segment, end));
        }
        let checkpoint = scan
            .frames
            .iter()
            .rposition(|(header, _)| header.kind == FrameKind::Checkpoint);
        for (_, body) in &scan.frames[checkpoint.map_or(0, |at| at + 1)..] {
            let records = decoded(&bytes[body.clone()])?;
            self.note_recycled(&records);
        }
        let found = checkpoint.map(|at| &scan.frames[at]);
        let found = found.map(|(header, body)| frame(header, &bytes[body.clone()]));
        let found = found.transpose()?;
        self.read.push((of.segment, bytes));
        match found {
            Some(checkpoint) => self.begin_forward(checkpoint),
            None if at > 0 => {
                self.phase = Phase::Back { at: at - 1 };
                Ok(())
            }
            // The very first frames were never safe: an empty store.
            None if of.first_lsn == 1 && scan.frames.is_empty() && scan.damage.is_empty() => {
                self.judge_unreadable(false);
                self.phase = Phase::Forward { at: 0 };
                Ok(())
            }
            None => Err(Refused::Corrupt("it has no checkpoint that can be read")),
        }
    }

    /// What shows no sign of a segment may be one that is missing; if none is, it is nothing.
    fn judge_unreadable(&mut self, is_missing: bool) {
        let unreadable = std::mem::take(&mut self.unreadable);
        if !is_missing {
            return self.void.extend(unreadable);
        }
        // Nor is a file that seems empty: its header may be what was lost.
        self.free.clear();
        for (file, len) in unreadable {
            self.damage.push(Damage {
                file: Some(file),
                segment: None,
                bytes: 0..len,
                lsns: None,
            });
        }
    }

    fn note_recycled(&mut self, records: &[Record]) {
        for record in records {
            if let Record::Recycled { segment } = record {
                self.recycled.push(*segment);
            }
        }
    }

    /// The checkpoint says which segments there are and where each ends; what it does not name is void, what is not there is lost.
    fn begin_forward(&mut self, checkpoint: FoundFrame) -> Result<(), Refused> {
        let Some(Record::Checkpoint { segments, .. }) = checkpoint.records.first() else {
            return Err(Refused::Corrupt("it has no checkpoint that can be read"));
        };
        let mut is_missing = false;
        for (segment, end_lsn) in segments {
            self.ends.push((*segment, *end_lsn));
            let there = |own: &SegmentHeaderAt| own.header.segment == *segment;
            if !self.segments.iter().any(there) && !self.recycled.contains(segment) {
                is_missing = true;
                self.damage.push(Damage {
                    file: None,
                    segment: Some(*segment),
                    bytes: 0..0,
                    lsns: None,
                });
            }
        }
        let named = |segment: u64| segments.iter().any(|(named, _)| *named == segment);
        let read = &self.read;
        let recycled = &self.recycled;
        let stays = |own: &SegmentHeaderAt| {
            let segment = own.header.segment;
            (named(segment) || read.iter().any(|own| own.0 == segment))
                && !recycled.contains(&segment)
        };
        let mut kept = Vec::new();
        for own in &self.segments {
            if stays(own) {
                kept.push(*own);
            } else {
                self.void.push((own.file, own.header.len));
            }
        }
        for own in &kept {
            if self.headless.contains(&own.header.segment) {
                self.damage.push(Damage {
                    file: Some(own.file),
                    segment: Some(own.header.segment),
                    bytes: 0..FRAMES_AT,
                    lsns: None,
                });
            }
        }
        self.segments = kept;
        self.judge_unreadable(is_missing);
        self.found.push(Found::Checkpoint(checkpoint));
        self.phase = Phase::Forward { at: 0 };
        Ok(())
    }

    fn go_forward(&mut self, at: usize, bytes: &[u8]) -> Result<(), Refused> {
        let own = self.segments[at];
        let newest = at + 1 == self.segments.len();
        let ended = self.end_of(own.header.segment);
        let of = Extent {
            end_lsn: ended.filter(|_| !newest),
            ..extent(own)
        };
        let scan = scan(bytes, of);
        let mut safe = Vec::new();
        for (header, body) in &scan.frames {
            safe.push(frame(header, &bytes[body.clone()])?);
        }
        let mut unsafe_frames = Vec::new();
        if newest {
            self.tail = tail(bytes, of, &scan);
            let durable = self.tail.durable;
            unsafe_frames = safe.split_off(safe.partition_point(|own| own.lsn <= durable));
        }
        self.damage.extend(scan.damage);
        self.found.push(Found::Segment {
            segment: of.segment,
            frames: safe,
        });
        if !unsafe_frames.is_empty() && self.tail.continues.is_none() {
            self.found.push(Found::Segment {
                segment: self.next_segment(),
                frames: unsafe_frames,
            });
        }
        self.phase = Phase::Forward { at: at + 1 };
        Ok(())
    }
}

fn whole(segment: SegmentHeaderAt) -> DiskOp {
    DiskOp::ReadAt {
        file: segment.file,
        offset: 0,
        len: u32::try_from(segment.header.len).unwrap_or(u32::MAX),
    }
}

fn extent(own: SegmentHeaderAt) -> Extent {
    Extent {
        file: own.file,
        segment: own.header.segment,
        first_lsn: own.header.first_lsn,
        end_lsn: None,
    }
}

fn frame(header: &FrameHeader, body: &[u8]) -> Result<FoundFrame, Refused> {
    Ok(FoundFrame {
        lsn: header.lsn,
        time: header.time,
        is_checkpoint: header.kind == FrameKind::Checkpoint,
        records: decoded(body)?,
    })
}

/// A body whose checksum verifies was written so: what does not decode is a newer program's.
fn decoded(body: &[u8]) -> Result<Vec<Record>, Refused> {
    format::decode(body).ok_or(Refused::Newer)
}

/// How the newest segment ends: what of it is not known to be durable is written again, because what was read may be in no more than a cache.
fn tail(bytes: &[u8], of: Extent, scan: &Scan) -> Tail {
    let mut durable = of.first_lsn - 1;
    for (header, _) in &scan.frames {
        durable = durable.max(header.durable);
    }
    for own in &scan.damage {
        durable = durable.max(own.lsns.map_or(0, |(_, last)| last));
    }
    let last = scan.frames.last().map(|(header, _)| *header);
    let closed = last.is_some_and(|last| {
        last.kind == FrameKind::GroupEnd
            && durable + 1 == last.lsn
            && scan.damage.is_empty()
            && !scan.is_followed
    });
    let mut frames = Vec::new();
    for (header, body) in &scan.frames {
        if header.lsn > durable {
            frames.push((*header, bytes[body.clone()].to_vec()));
        }
    }
    Tail {
        durable,
        continues: closed.then_some(scan.last_at as u64),
        next_segment: 0,
        frames,
    }
}

#[cfg(test)]
mod tests;
