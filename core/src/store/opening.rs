//! Reading what an earlier life left. Asks for files, headers and segments, in the order in which the hall can use them: the newest checkpoint, then the segments from the oldest on.

use super::format::{
    self, About, Copy, FRAMES_AT, FrameHeader, FrameKind, HEADER_SECTOR_BYTES, HeaderFound,
    SegmentHeader,
};
use super::record::{Record, Sealed};
use super::scan::{Damage, Extent, Scan, scan};
use super::soundness::is_sound;
use super::ticket::{DiskOp, FileId};
use super::writer::{Segment, Tail};

mod headers;

/// Most by which the number of a segment that an opening begins is higher than that of the one before.
const STEP_MAX: u64 = 1024;

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
    /// Reading the first copies of all headers.
    Headers {
        left: Vec<(FileId, u64)>,
    },
    /// Reading the last copies, where the first cannot be read.
    LastCopies {
        left: Vec<(FileId, u64)>,
    },
    /// Looking whether files whose headers cannot be read hold a segment all the same.
    Unreadable {
        left: Vec<Unreadable>,
    },
    /// Looking for the newest checkpoint, from the newest segment back.
    Back {
        at: usize,
    },
    /// Reading the last copies of the headers that the checkpoint makes void: the first copy may be one of an earlier life.
    Void {
        left: Vec<(FileId, u64)>,
        checkpoint: Box<FoundFrame>,
    },
    Forward {
        at: usize,
    },
    Done,
}

/// A file whose first header cannot be read.
#[derive(Clone, Copy, Debug)]
struct Unreadable {
    file: FileId,
    len: u64,
    /// What its last copy says.
    last: Option<SegmentHeader>,
}

/// A read on its way, and what has come of it.
#[derive(Debug)]
struct Asked {
    file: FileId,
    offset: u64,
    len: u32,
    got: Vec<u8>,
}

impl Asked {
    /// Takes bytes in. Gives the request for the rest of a read that came short, of a file of this length.
    fn take(&mut self, bytes: Vec<u8>, end: u64) -> Option<DiskOp> {
        let is_end = bytes.is_empty();
        if self.got.is_empty() {
            self.got = bytes;
        } else {
            self.got.extend_from_slice(&bytes);
        }
        self.got.truncate(self.len as usize);
        let offset = self.offset + self.got.len() as u64;
        let left = end
            .min(self.offset + u64::from(self.len))
            .saturating_sub(offset);
        (left > 0 && !is_end).then_some(DiskOp::ReadAt {
            file: self.file,
            offset,
            len: left as u32,
        })
    }
}

/// What opening has found so far.
#[derive(Debug)]
pub(super) struct Opening {
    phase: Phase,
    asked: Option<Asked>,
    files: Vec<(FileId, u64)>,
    pub segments: Vec<SegmentHeaderAt>,
    /// Files without a segment in them.
    pub free: Vec<(FileId, u64)>,
    /// Files that what was read makes void.
    pub void: Vec<(FileId, u64)>,
    /// Files whose headers cannot be read; later those with no sign of a segment.
    unreadable: Vec<Unreadable>,
    /// Files without anything in their first sector.
    empty: Vec<FileId>,
    /// Segments that were found without the first copy of their header.
    headless: Vec<u64>,
    /// Files whose two copies were compared.
    compared: Vec<FileId>,
    /// Whether a segment was found while the copies were compared.
    is_reordered: bool,
    /// Whether the newest segment says that it is followed.
    is_followed: bool,
    /// Segments that say that they are followed.
    marked: Vec<u64>,
    /// The frames up to here were durable, as the last copy of the segment before says.
    durable: u64,
    /// By how much the number of the next segment is higher than the highest.
    step: u64,
    /// The highest number of a segment that was seen, whatever became of it.
    newest: u64,
    pub damage: Vec<Damage>,
    /// Segments that are not there.
    pub missing: Vec<Sealed>,
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
            asked: None,
            files: Vec::new(),
            segments: Vec::new(),
            free: Vec::new(),
            void: Vec::new(),
            unreadable: Vec::new(),
            empty: Vec::new(),
            headless: Vec::new(),
            compared: Vec::new(),
            is_reordered: false,
            is_followed: false,
            marked: Vec::new(),
            durable: 0,
            step: 1 + opening % STEP_MAX,
            newest: 0,
            damage: Vec::new(),
            missing: Vec::new(),
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
                is_marked: self.marked.contains(&at.header.segment),
                is_cut: self.is_cut(*at),
                ..segment(at, self.end_of(at.header.segment).unwrap_or(0))
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
        let Some(mut asked) = self.asked.take() else {
            return Ok(None);
        };
        if let Some(rest) = asked.take(bytes, self.len_of(asked.file)) {
            self.asked = Some(asked);
            return Ok(Some(rest));
        }
        let bytes = asked.got;
        match &mut self.phase {
            Phase::Headers { left } => {
                if let Some((file, len)) = left.pop() {
                    self.take_first_copy(file, len, &bytes)?;
                }
            }
            Phase::LastCopies { left } => {
                if let Some((file, len)) = left.pop() {
                    self.take_last_copy(file, len, &bytes)?;
                }
            }
            Phase::Unreadable { left } => {
                if let Some(own) = left.pop() {
                    self.look_for_frames(own, &bytes)?;
                }
            }
            Phase::Back { at } => {
                let at = *at;
                self.look_back(at, bytes)?;
            }
            Phase::Void { left, .. } => {
                if let Some((file, _)) = left.pop() {
                    self.compare_copies(file, &bytes)?;
                }
            }
            Phase::Forward { at } => {
                let at = *at;
                self.go_forward(at, &bytes)?;
            }
            Phase::Listing | Phase::Done => {}
        }
        self.next()
    }

    fn next(&mut self) -> Result<Option<DiskOp>, Refused> {
        let op = self.next_op()?;
        if let Some(DiskOp::ReadAt { file, offset, len }) = op {
            self.asked = Some(Asked {
                file,
                offset,
                len,
                got: Vec::new(),
            });
        }
        Ok(op)
    }

    fn next_op(&mut self) -> Result<Option<DiskOp>, Refused> {
        loop {
            match &mut self.phase {
                Phase::Headers { left } => match left.last() {
                    Some((file, _)) => return Ok(Some(sector(*file, 0))),
                    None => self.first_copies_are_read(),
                },
                Phase::LastCopies { left } => match left.last() {
                    Some((file, len)) => {
                        let at = format::place_of(Copy::Last, *len).unwrap_or_default();
                        return Ok(Some(sector(*file, at)));
                    }
                    None => self.last_copies_are_read(),
                },
                Phase::Unreadable { left } => match left.last() {
                    Some(own) => return Ok(Some(whole(own.file, own.len))),
                    None => self.order_segments(),
                },
                Phase::Back { at } => {
                    let own = self.segments[*at];
                    return Ok(Some(self.whole(own)));
                }
                Phase::Void { left, .. } => match left.last() {
                    Some((file, len)) => {
                        let at = format::place_of(Copy::Last, *len).unwrap_or_default();
                        return Ok(Some(sector(*file, at)));
                    }
                    None => self.copies_are_compared()?,
                },
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
                        return Ok(Some(self.whole(segment)));
                    };
                    let (_, bytes) = self.read.swap_remove(nth);
                    self.go_forward(at, &bytes)?;
                }
                Phase::Listing | Phase::Done => return Ok(None),
            }
        }
    }

    /// Asks for all of a segment; of a file that was cut short there is no more than what is there.
    fn whole(&self, own: SegmentHeaderAt) -> DiskOp {
        whole(own.file, own.header.len.min(self.len_of(own.file)))
    }

    /// Whether a segment's file was cut short: nothing is written to it any more.
    fn is_cut(&self, own: SegmentHeaderAt) -> bool {
        self.len_of(own.file) < own.header.len
    }

    fn len_of(&self, file: FileId) -> u64 {
        let there = self.files.iter().find(|own| own.0 == file);
        there.map_or(0, |own| own.1)
    }

    /// The number that a segment gets which begins now. It differs from opening to opening, so that what an opening that did not get far left in a file is never taken for what a later one wrote.
    fn next_segment(&self) -> u64 {
        self.newest + self.step
    }

    /// Segments that end before they begin: what openings left that a crash ended. Their successors have their frames.
    fn hollow(&self) -> Vec<u64> {
        let pairs = self.segments.windows(2);
        let hollow = pairs.filter(|pair| pair[1].header.first_lsn <= pair[0].header.first_lsn);
        hollow.map(|pair| pair[0].header.segment).collect()
    }

    /// Begins to look for the newest checkpoint.
    fn order_segments(&mut self) {
        self.ends.clear();
        self.recycled.clear();
        self.read.clear();
        self.phase = match self.segments.len() {
            0 => {
                self.judge_unreadable(false);
                Phase::Forward { at: 0 }
            }
            count => Phase::Back { at: count - 1 },
        };
    }

    /// How far a segment's frames go. Between it and the next one nothing was recycled, because no later checkpoint was found.
    fn extent_before_checkpoint(&self, at: usize) -> Extent {
        let own = self.segments[at];
        let next = self.segments.get(at + 1);
        Extent {
            end_lsn: next.map(|next| next.header.first_lsn.saturating_sub(1)),
            ..extent(own)
        }
    }

    fn look_back(&mut self, at: usize, bytes: Vec<u8>) -> Result<(), Refused> {
        let mut of = self.extent_before_checkpoint(at);
        let last = self.last_copy_of(at, &bytes);
        if let Some(last) = last.filter(|_| of.end_lsn.is_none()) {
            self.is_followed = last.is_followed;
            of.durable = last.durable;
            of.end_lsn = last.is_followed.then_some(last.durable);
        }
        let scan = scan(frames_of(&bytes, self.segments[at].header.len), of);
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
            None if of.first_lsn == 1
                && scan.frames.is_empty()
                && scan.damage.is_empty()
                && !self.is_followed =>
            {
                self.judge_unreadable(false);
                let hollow = self.hollow();
                let is_hollow = |own: &mut SegmentHeaderAt| hollow.contains(&own.header.segment);
                let void = self.segments.extract_if(.., is_hollow);
                self.void.extend(void.map(|own| (own.file, own.header.len)));
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
            let files = unreadable.iter().map(|own| (own.file, own.len));
            return self.void.extend(files);
        }
        // Nor is a file that seems empty: its header may be what was lost.
        self.free.clear();
        for own in unreadable {
            self.damage.push(Damage {
                file: Some(own.file),
                segment: None,
                bytes: 0..own.len,
                lsns: None,
                about: About::Nothing,
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
        let hollow = self.hollow();
        let stays = |own: &SegmentHeaderAt| {
            let id = own.header.segment;
            !hollow.contains(&id)
                && (segments.iter().any(|named| named.segment == id)
                    || self.read.iter().any(|own| own.0 == id))
                && !self.recycled.contains(&id)
        };
        let (kept, void): (Vec<_>, Vec<_>) = self.segments.iter().copied().partition(stays);
        let doubtful = void.iter().filter(|own| !self.compared.contains(&own.file));
        let left: Vec<_> = doubtful.map(|own| (own.file, own.header.len)).collect();
        if !left.is_empty() {
            self.phase = Phase::Void {
                left,
                checkpoint: Box::new(checkpoint),
            };
            return Ok(());
        }
        let mut is_missing = false;
        for named in segments.clone() {
            self.ends.push((named.segment, named.end_lsn));
            let there = |own: &SegmentHeaderAt| own.header.segment == named.segment;
            if !kept.iter().any(there) && !self.recycled.contains(&named.segment) {
                is_missing = true;
                self.misses(named);
            }
        }
        let void = void.iter().map(|own| (own.file, own.header.len));
        self.void.extend(void);
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
        let last = self.last_copy_of(at, bytes);
        if last.is_some_and(|last| last.is_followed) {
            self.marked.push(own.header.segment);
        }
        // The last copy of the one before may say that the first frame of this one was durable.
        let mut of = extent(own);
        of.durable = std::mem::take(&mut self.durable);
        match last {
            Some(last) if last.is_followed => self.durable = last.durable + 1,
            Some(last) => of.durable = of.durable.max(last.durable),
            None => {}
        }
        of.end_lsn = match last {
            _ if !newest => ended,
            Some(last) if last.is_followed => Some(last.durable),
            _ => None,
        };
        let bytes = frames_of(bytes, own.header.len);
        let scan = scan(bytes, of);
        let mut safe = Vec::new();
        for (header, body) in &scan.frames {
            safe.push(frame(header, &bytes[body.clone()])?);
        }
        self.phase = Phase::Forward { at: at + 1 };
        let mut again = Vec::new();
        if newest {
            if let Some(end) = of.end_lsn {
                // The end of the newest segment is known, so another one follows, and is not there. Its number is not used again, should it come back.
                self.newest += STEP_MAX;
                self.misses(Sealed {
                    segment: 0,
                    first_lsn: end + 1,
                    end_lsn: 0,
                });
            }
            let is_whole = !self.headless.contains(&of.segment) && !self.is_cut(own);
            let may_continue = of.end_lsn.is_none() && is_whole;
            self.tail = tail(bytes, of, &scan, may_continue);
            if self.tail.continues.is_none() {
                again = safe.split_off(safe.partition_point(|own| own.lsn <= self.tail.durable));
            }
        }
        if newest && self.tail.durable < of.first_lsn {
            // Nothing in it was promised to outlive power: what can be read is written again, and it is void.
            self.segments.pop();
            self.void.push((own.file, own.header.len));
            let begun = segment(&own, of.first_lsn.saturating_sub(1));
            self.tail.begun = Some(begun).filter(|_| !self.is_cut(own));
        } else {
            self.report(of, scan);
            self.found.push(Found::Segment {
                segment: of.segment,
                frames: safe,
            });
        }
        if !again.is_empty() {
            self.found.push(Found::Segment {
                segment: self.next_segment(),
                frames: again,
            });
        }
        Ok(())
    }

    /// A segment is not there.
    fn misses(&mut self, segment: Sealed) {
        self.missing.push(segment);
        let last = match segment.end_lsn {
            0 => u64::MAX,
            known => known,
        };
        self.damage.push(Damage {
            file: None,
            segment: Some(segment.segment).filter(|known| *known > 0),
            bytes: 0..0,
            lsns: Some((segment.first_lsn, last)),
            about: About::Several,
        });
    }

    fn report(&mut self, of: Extent, scan: Scan) {
        if self.headless.contains(&of.segment) {
            self.damage.push(Damage {
                file: Some(of.file),
                segment: Some(of.segment),
                bytes: 0..HEADER_SECTOR_BYTES,
                lsns: None,
                about: About::Nothing,
            });
        }
        self.damage.extend(scan.damage);
    }
}

fn segment(at: &SegmentHeaderAt, end_lsn: u64) -> Segment {
    Segment {
        id: at.header.segment,
        file: at.file,
        len: at.header.len,
        first_lsn: at.header.first_lsn,
        end_lsn,
        is_marked: false,
        is_cut: false,
    }
}

fn whole(file: FileId, len: u64) -> DiskOp {
    DiskOp::ReadAt {
        file,
        offset: 0,
        len: u32::try_from(len).unwrap_or(u32::MAX),
    }
}

fn sector(file: FileId, offset: u64) -> DiskOp {
    DiskOp::ReadAt {
        file,
        offset,
        len: HEADER_SECTOR_BYTES as u32,
    }
}

/// The part of a segment's bytes in which frames may stand.
fn frames_of(bytes: &[u8], len: u64) -> &[u8] {
    let end = usize::try_from(format::frames_end(len)).unwrap_or(usize::MAX);
    &bytes[..bytes.len().min(end)]
}

fn extent(own: SegmentHeaderAt) -> Extent {
    Extent {
        file: own.file,
        segment: own.header.segment,
        first_lsn: own.header.first_lsn,
        end_lsn: None,
        durable: 0,
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

/// A body whose checksum verifies was written so: what does not decode is a newer program's, and what no program writes is nothing to build on.
fn decoded(body: &[u8]) -> Result<Vec<Record>, Refused> {
    let records = format::decode(body).ok_or(Refused::Newer)?;
    match records.iter().all(is_sound) {
        true => Ok(records),
        false => Err(Refused::Corrupt(
            "a record of it says what no program writes",
        )),
    }
}

/// How the newest segment ends: what of it is not known to be durable is written again, because what was read may be in no more than a cache.
fn tail(bytes: &[u8], of: Extent, scan: &Scan, may_continue: bool) -> Tail {
    let mut durable = of.durable.max(of.first_lsn.saturating_sub(1));
    durable = durable.max(of.end_lsn.unwrap_or(0));
    for (header, _) in &scan.frames {
        durable = durable.max(header.durable);
    }
    for own in &scan.damage {
        let lost = own.lsns.filter(|(_, last)| *last < u64::MAX);
        durable = durable.max(lost.map_or(0, |(_, last)| last));
    }
    let last = scan.frames.last().map(|(header, _)| *header);
    let closed = last.is_some_and(|last| {
        last.kind == FrameKind::GroupEnd
            && durable + 1 == last.lsn
            && durable >= of.first_lsn
            && may_continue
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
        continues: last
            .filter(|_| closed)
            .map(|last| (scan.last_at as u64, last)),
        next_segment: 0,
        begun: None,
        frames,
    }
}

#[cfg(test)]
mod tests;
