//! Reading what an earlier life left. Asks for files, headers and segments, in the order in which the hall can use them: the newest checkpoint, then the segments from the oldest on.

use super::format::{self, Copy, FRAMES_AT, HEADER_SECTOR_BYTES, HeaderFound, SegmentHeader};
use super::record::{Record, Sealed};
use super::scan::{Damage, Extent};
use super::ticket::{DiskOp, FileId};
use super::writer::{Segment, Tail};

mod headers;
mod segments;

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
    /// The newest segment that is void and does not say that it is followed.
    newest_void: Option<Segment>,
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
            newest_void: None,
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
                        self.tail.void = self.newest_void;
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

#[cfg(test)]
mod tests;
