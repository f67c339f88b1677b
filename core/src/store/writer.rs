//! Where frames go: the segments, the files that are free, and what is on its way to the disk.

use crate::model::deliberate::{self, Deliberate};
use crate::model::limits::{FREE_SEGMENTS_MAX, LOG_NUMBER_MAX};

use super::format::{self, About, Copy, FRAMES_AT, FrameHeader, FrameKind, SegmentHeader};
use super::record::Sealed;
use super::ticket::{DiskOp, FileId};

/// A segment that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub id: u64,
    pub file: FileId,
    pub len: u64,
    pub first_lsn: u64,
    /// Its last frame.
    pub end_lsn: u64,
    /// Whether its last copy says that it is followed.
    pub is_marked: bool,
    /// Whether its file is shorter than it should be.
    pub is_cut: bool,
}

impl Segment {
    /// As a checkpoint names it.
    pub fn in_checkpoint(&self) -> Sealed {
        Sealed {
            segment: self.id,
            first_lsn: self.first_lsn,
            end_lsn: self.end_lsn,
        }
    }
}

/// How the newest segment of an earlier life ends.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The last frame that is known to be durable.
    pub durable: u64,
    /// It was closed in order: new frames follow its last one, which stands here and is written again as it is, because what was read may be in no more than a cache.
    pub continues: Option<(u64, FrameHeader)>,
    /// The number of the segment that begins where it was not.
    pub next_segment: u64,
    /// The newest segment that is void and does not say that it is followed: what it holds must not come back if its successors are lost.
    pub void: Option<Segment>,
    /// Frames behind it that could be read.
    pub frames: Vec<(FrameHeader, Vec<u8>)>,
}

/// The segment that is being filled.
#[derive(Clone, Copy, Debug)]
struct Current {
    id: u64,
    file: FileId,
    len: u64,
    first_lsn: u64,
    /// Where the next frame goes.
    offset: u64,
}

/// Bytes on their way into one file.
#[derive(Debug)]
pub(super) struct Chunk {
    pub file: FileId,
    pub offset: u64,
    pub bytes: Vec<u8>,
    /// The last frame in it.
    pub last_lsn: u64,
    /// Everything up to here must be synced before it is written: a segment begins only when the one before is safe, so that only the newest can be torn.
    pub after: u64,
}

/// A header that is written only when the frames behind it are safe: it makes what stood elsewhere void.
#[derive(Debug)]
pub(super) struct LateHeader {
    pub file: FileId,
    pub header: SegmentHeader,
}

/// A copy of a header on its way to its file.
pub(super) fn header_at(header: &SegmentHeader, file: FileId, copy: Copy) -> (u64, Vec<u8>) {
    let at = format::place_of(copy, header.len).expect("a segment's file has room for both");
    (at, format::encode_header(header, file.0, copy))
}

/// What is where, and what is to be written.
#[derive(Debug)]
pub(super) struct Writer {
    pub store: u64,
    segment_bytes: u64,
    pub sealed: Vec<Segment>,
    /// Segments that are not there, which every checkpoint names.
    pub missing: Vec<Sealed>,
    current: Option<Current>,
    last_segment: u64,
    pub last_lsn: u64,
    last_time: u64,
    last_kind: FrameKind,
    /// Files of the right length that hold nothing.
    free: Vec<FileId>,
    last_file: u64,
    pub chunks: Vec<Chunk>,
    pub late_header: Option<LateHeader>,
    /// Segments before the one that is being filled, whose last copies do not say yet that they are followed.
    unmarked: Vec<Segment>,
    /// Requests that go before what is to be written.
    pub requests: Vec<DiskOp>,
}

impl Writer {
    pub fn new(segment_bytes: u64, store: u64) -> Writer {
        Writer {
            store,
            segment_bytes,
            sealed: Vec::new(),
            missing: Vec::new(),
            current: None,
            last_segment: 0,
            last_lsn: 0,
            last_time: 0,
            last_kind: FrameKind::Operation,
            free: Vec::new(),
            last_file: 0,
            chunks: Vec::new(),
            late_header: None,
            unmarked: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// Goes on where an earlier life ended. Gives the last frame that is safe.
    pub fn resume(
        &mut self,
        segments: Vec<Segment>,
        free: Vec<(FileId, u64)>,
        last_file: u64,
        time: u64,
        tail: Tail,
    ) {
        self.last_file = last_file;
        self.last_time = time;
        // A file that is there may be in no directory that survives: who made it may have gone before he synced it.
        self.requests.push(DiskOp::SyncDir);
        self.last_segment = tail.next_segment - 1;
        self.last_lsn = tail.durable;
        for (file, len) in free {
            self.give_back(file, len);
        }
        self.sealed = segments;
        self.unmarked.extend(tail.void);
        if let Some((offset, end)) = tail.continues
            && let Some(last) = self.sealed.pop()
        {
            self.current = Some(Current {
                id: last.id,
                file: last.file,
                len: last.len,
                first_lsn: last.first_lsn,
                offset,
            });
            let before = self.sealed.last();
            self.unmarked
                .extend(before.filter(|own| !own.is_marked && !own.is_cut));
            return self.write(end.kind, end.about, &[], end.time, end.durable);
        }
        if let Some(last) = self.sealed.last_mut() {
            last.end_lsn = tail.durable;
            self.unmarked.extend(Some(*last).filter(|own| !own.is_cut));
        }
        let frames = tail.frames.iter();
        let room = frames
            .map(|(_, body)| format::frame_bytes(body.len()))
            .sum();
        self.begin_segment(room, !tail.frames.is_empty());
        for (header, body) in tail.frames {
            let kind = match header.kind {
                FrameKind::Operation => FrameKind::Operation,
                // A newer checkpoint follows; an old one would name other segments.
                FrameKind::Checkpoint | FrameKind::GroupEnd => FrameKind::GroupEnd,
            };
            let body = if kind == FrameKind::Operation {
                body
            } else {
                Vec::new()
            };
            let durable = self.last_lsn.min(header.durable);
            self.write(kind, header.about, &body, header.time, durable);
        }
    }

    /// Whether the next frame of this length begins another segment.
    fn fits(&self, bytes: u64) -> bool {
        self.current
            .is_some_and(|current| current.offset + bytes <= format::frames_end(current.len))
    }

    /// Begins a segment if a body of this length does not fit into this one.
    pub fn make_room(&mut self, body: usize) {
        if !self.fits(format::frame_bytes(body)) {
            self.begin_segment(format::frame_bytes(body), false);
        }
    }

    /// Puts a frame into the log. Gives true if a segment begins with it.
    pub fn append(
        &mut self,
        kind: FrameKind,
        about: About,
        body: &[u8],
        time: u64,
        durable: u64,
    ) -> bool {
        let begins = !self.fits(format::frame_bytes(body.len()));
        if begins {
            self.begin_segment(format::frame_bytes(body.len()), false);
        }
        self.write(kind, about, body, time, durable);
        begins
    }

    fn write(&mut self, kind: FrameKind, about: About, body: &[u8], time: u64, durable: u64) {
        let begins = self.current.is_some_and(|own| own.offset == FRAMES_AT);
        if !(begins && deliberate::is(Deliberate::ReuseNumber)) {
            self.last_lsn += 1;
        }
        self.last_time = self.last_time.max(time.min(LOG_NUMBER_MAX - 1));
        self.last_kind = kind;
        let header = FrameHeader {
            kind,
            lsn: self.last_lsn,
            durable,
            time: self.last_time,
            about,
        };
        let current = self.current.as_mut().expect("a frame has a segment");
        let (segment, offset) = (current.id, current.offset);
        current.offset += format::frame_bytes(body.len());
        let file = current.file;
        let chunk = match self.chunks.last_mut() {
            Some(chunk)
                if chunk.file == file && chunk.offset + chunk.bytes.len() as u64 == offset =>
            {
                chunk
            }
            _ => {
                self.chunks.push(Chunk {
                    file,
                    offset,
                    bytes: Vec::new(),
                    last_lsn: 0,
                    after: 0,
                });
                self.chunks.last_mut().expect("it was just pushed")
            }
        };
        format::seal(header, body, segment, offset, &mut chunk.bytes);
        chunk.last_lsn = self.last_lsn;
    }

    /// Begins a segment with room for a frame of this length and a checkpoint. `late`: its header is written when its first frames are safe.
    fn begin_segment(&mut self, bytes: u64, late: bool) {
        // One that an opening began, and that the first frame does not fit into, was never begun.
        if let Some(empty) = self.current.take_if(|own| own.offset == FRAMES_AT) {
            self.chunks.truncate(self.chunks.len() - 2);
            self.give_back(empty.file, empty.len);
        }
        if let Some(current) = self.current.take() {
            let sealed = Segment {
                id: current.id,
                file: current.file,
                len: current.len,
                first_lsn: current.first_lsn,
                end_lsn: self.last_lsn,
                is_marked: false,
                is_cut: false,
            };
            self.unmarked.push(sealed);
            self.sealed.push(sealed);
        }
        self.last_segment += 1;
        let len = self.segment_bytes.max(format::file_bytes(bytes));
        let file = self.place(len);
        self.current = Some(Current {
            id: self.last_segment,
            file,
            len,
            first_lsn: self.last_lsn + 1,
            offset: FRAMES_AT,
        });
        let header = SegmentHeader {
            segment: self.last_segment,
            store: self.store,
            first_lsn: self.last_lsn + 1,
            len,
            durable: 0,
            is_followed: false,
        };
        if late {
            self.late_header = Some(LateHeader { file, header });
            return self.begin_chunk(file, FRAMES_AT, Vec::new());
        }
        // Frames follow the first copy in the same chunk.
        for copy in [Copy::Last, Copy::First] {
            let (offset, bytes) = header_at(&header, file, copy);
            self.begin_chunk(file, offset, bytes);
        }
    }

    /// The first bytes of a segment that begins, behind everything there is.
    fn begin_chunk(&mut self, file: FileId, offset: u64, bytes: Vec<u8>) {
        self.chunks.push(Chunk {
            file,
            offset,
            bytes,
            last_lsn: self.last_lsn,
            after: self.last_lsn,
        });
    }

    /// Says at the end of the segment that everything before its last frame is durable: what stands last in it has nothing behind it that could say so.
    pub fn mark_durable(&mut self, durable: u64) {
        let marks = !deliberate::is(Deliberate::SkipMarks);
        let Some(current) = self.current.filter(|_| marks) else {
            return;
        };
        let header = SegmentHeader {
            segment: current.id,
            store: self.store,
            first_lsn: current.first_lsn,
            len: current.len,
            durable,
            is_followed: false,
        };
        let (offset, bytes) = header_at(&header, current.file, Copy::Last);
        self.chunks.push(Chunk {
            file: current.file,
            offset,
            bytes,
            last_lsn: self.last_lsn,
            after: 0,
        });
    }

    /// What the segments before are to say once frames of the one that follows them are durable, so that this one is missed if it is lost: where their own frames end.
    pub fn mark_followed(&mut self, durable: u64) -> Vec<(FileId, DiskOp)> {
        let store = self.store;
        if deliberate::is(Deliberate::SkipMarks) {
            self.unmarked.clear();
        }
        let before = self.unmarked.extract_if(.., |own| own.end_lsn < durable);
        let marks = before.map(|own| {
            let header = SegmentHeader {
                segment: own.id,
                store,
                first_lsn: own.first_lsn,
                len: own.len,
                durable: own.end_lsn,
                is_followed: true,
            };
            let file = own.file;
            let (offset, bytes) = header_at(&header, file, Copy::Last);
            let op = DiskOp::WriteAt {
                file,
                offset,
                bytes,
            };
            (file, op)
        });
        marks.collect()
    }

    /// A file for a segment: one that is free, or a new one.
    fn place(&mut self, len: u64) -> FileId {
        if len == self.segment_bytes
            && let Some(file) = self.free.pop()
        {
            return file;
        }
        self.last_file += 1;
        let file = FileId(self.last_file);
        self.requests.push(DiskOp::Create { file, len });
        self.requests.push(DiskOp::SyncDir);
        file
    }

    /// A file holds nothing any more: it is kept for a segment to come, or deleted when it is of another length, or enough are kept. Each opening begins a segment in a new file where what is void
    /// is not known to be so yet, so that without a bound each crash would cost a file.
    pub fn give_back(&mut self, file: FileId, len: u64) {
        if len == self.segment_bytes && self.free.len() < FREE_SEGMENTS_MAX {
            self.free.push(file);
        } else {
            self.requests.push(DiskOp::Delete { file });
        }
    }

    /// The segment that is being filled.
    pub fn current_segment(&self) -> u64 {
        self.current.map_or(0, |current| current.id)
    }

    /// Whether the last frame says how far the log is durable and nothing else.
    pub fn has_ended(&self) -> bool {
        self.last_kind == FrameKind::GroupEnd
    }

    /// The time of the last frame.
    pub fn last_time(&self) -> u64 {
        self.last_time
    }
}
