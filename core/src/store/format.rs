//! Bytes. The only file that knows offsets; docs/store-format.md draws them.
//!
//! A segment begins with its header and ends with a second copy of it, each in a sector of its own; frames stand between, each at a multiple of 8. Integers are little-endian. Checksums are XXH3-64,
//! seeded with where the bytes belong (the file and copy of a header, the segment and offset of a frame), so that old, shifted or zero bytes never verify.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::Body;
use crate::model::limits::LOG_NUMBER_MAX;

use super::encoding::{Source, Stored};
use super::record::{Accepted, Record};

/// What each copy of a header takes: the unit in which a disk tears writes.
pub(super) const HEADER_SECTOR_BYTES: u64 = 512;
/// Where the frames of a segment begin. They end before the last sector, which holds the second copy of the header.
pub(super) const FRAMES_AT: u64 = HEADER_SECTOR_BYTES;
/// The blocks of disks. Files are so long, or a multiple, so that none holds both copies; and where a file has more than a few, none holds frames and the last copy, which says of the last of them that they were there.
const BLOCK_BYTES: u64 = 4096;
/// Shorter files, which only tests have, keep no block for the last copy alone.
const BLOCK_FOR_LAST_BYTES_MIN: u64 = 16 * BLOCK_BYTES;
/// The header of a frame.
pub(super) const FRAME_HEADER_BYTES: usize = 48;
/// Frames begin at multiples of this.
const ALIGNMENT: usize = 8;

const MAGIC: [u8; 8] = *b"FERRYMQ\0";
const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 64;
const CHECKSUM_BYTES: usize = 8;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Its number, never used again in this store.
    pub segment: u64,
    /// Which store it is of.
    pub store: u64,
    /// The LSN of its first frame.
    pub first_lsn: u64,
    /// Bytes of its file.
    pub len: u64,
    /// In the copy at the end: the frames up to here are durable; of a segment that is followed it is the last one. It is written anew when the store is idle, and when the segment after this one has begun.
    pub durable: u64,
    /// In the copy at the end: whether a later segment has begun.
    pub is_followed: bool,
}

/// Which copy of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    /// In the first sector of the file.
    First,
    /// In the last one.
    Last,
}

impl SegmentHeader {
    /// Whether any program writes these numbers.
    fn is_possible(&self) -> bool {
        let numbers = 1..LOG_NUMBER_MAX;
        numbers.contains(&self.segment)
            && numbers.contains(&self.first_lsn)
            && self.durable < LOG_NUMBER_MAX
            && place_of(Copy::Last, self.len).is_some()
    }
}

/// What stands where a segment's header should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFound {
    Valid(SegmentHeader),
    /// Nothing was ever written here.
    Empty,
    /// Of a version that this program does not know.
    Newer(u32),
    Damaged,
}

/// Where a copy of the header stands in a file of this length; `None`: the file is too short for it.
pub(super) fn place_of(copy: Copy, len: u64) -> Option<u64> {
    match copy {
        Copy::First => Some(0),
        Copy::Last => len
            .checked_sub(HEADER_SECTOR_BYTES)
            .filter(|at| *at >= FRAMES_AT),
    }
}

/// Where the frames of a file of this length end at the latest.
pub(super) fn frames_end(len: u64) -> u64 {
    let kept = match len {
        0..BLOCK_FOR_LAST_BYTES_MIN => HEADER_SECTOR_BYTES,
        _ => BLOCK_BYTES,
    };
    len.saturating_sub(kept).max(FRAMES_AT)
}

/// How long a file must be for frames of so many bytes.
pub(super) fn file_bytes(frames: u64) -> u64 {
    let len = (FRAMES_AT + frames + HEADER_SECTOR_BYTES).next_multiple_of(BLOCK_BYTES);
    match len {
        0..BLOCK_FOR_LAST_BYTES_MIN => len,
        _ => (FRAMES_AT + frames).next_multiple_of(BLOCK_BYTES) + BLOCK_BYTES,
    }
}

/// The sector that holds this copy of a header.
pub(super) fn encode_header(header: &SegmentHeader, file: u64, copy: Copy) -> Vec<u8> {
    let mut sector = vec![0; HEADER_SECTOR_BYTES as usize];
    let own = &mut sector[..HEADER_BYTES];
    own[8..16].copy_from_slice(&MAGIC);
    own[16..20].copy_from_slice(&VERSION.to_le_bytes());
    own[20..24].copy_from_slice(&u32::from(header.is_followed).to_le_bytes());
    for (at, value) in [
        (24, header.segment),
        (32, header.store),
        (40, header.first_lsn),
        (48, header.len),
        (56, header.durable),
    ] {
        own[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    let checksum = xxh3_64_with_seed(&own[CHECKSUM_BYTES..], seed(file, copy as u64));
    own[..CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
    sector
}

/// Reads a copy of a header from its sector.
pub(super) fn decode_header(sector: &[u8], file: u64, copy: Copy) -> HeaderFound {
    if sector.iter().all(|byte| *byte == 0) {
        return HeaderFound::Empty;
    }
    let Some(own) = sector.get(..HEADER_BYTES) else {
        return HeaderFound::Damaged;
    };
    let checksum = xxh3_64_with_seed(&own[CHECKSUM_BYTES..], seed(file, copy as u64));
    if number(own, 0) != checksum || own[8..16] != MAGIC {
        return HeaderFound::Damaged;
    }
    let version = number(own, 16) as u32;
    if version != VERSION {
        return HeaderFound::Newer(version);
    }
    let header = SegmentHeader {
        segment: number(own, 24),
        store: number(own, 32),
        first_lsn: number(own, 40),
        len: number(own, 48),
        durable: number(own, 56),
        is_followed: number(own, 16) >> 32 != 0,
    };
    match header.is_possible() {
        true => HeaderFound::Valid(header),
        false => HeaderFound::Damaged,
    }
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// What happened in one step.
    Operation,
    /// Everything that is not messages.
    Checkpoint,
    /// Nothing: it only says how far the log is durable.
    GroupEnd,
}

impl FrameKind {
    fn code(self) -> u8 {
        match self {
            FrameKind::Operation => 1,
            FrameKind::Checkpoint => 2,
            FrameKind::GroupEnd => 3,
        }
    }

    fn of(code: u8) -> Option<FrameKind> {
        [
            FrameKind::Operation,
            FrameKind::Checkpoint,
            FrameKind::GroupEnd,
        ]
        .into_iter()
        .find(|kind| kind.code() == code)
    }
}

/// What stands in a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub kind: FrameKind,
    /// One more than the frame before.
    pub lsn: u64,
    /// The frames up to here were known to be durable when this one was written.
    pub durable: u64,
    /// When it was written, milliseconds; never less than the frame before.
    pub time: u64,
    /// What it is about, so that a body that cannot be read names its queue.
    pub about: About,
}

/// What frames are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum About {
    /// No queue: nothing that a user would miss.
    #[default]
    Nothing,
    /// One queue, by index.
    Queue(u32),
    /// Several, or nobody can say.
    Several,
}

/// A queue with a higher index does not fit into a frame's header: nobody can say then.
const ABOUT_QUEUE_MAX: u32 = 0xff_fffd;

impl About {
    /// About this as well.
    #[must_use]
    pub fn and(self, other: About) -> About {
        match (self, other) {
            (About::Nothing, only) | (only, About::Nothing) => only,
            (one, other) if one == other => one,
            _ => About::Several,
        }
    }

    fn code(self) -> u32 {
        match self {
            About::Nothing => 0,
            About::Queue(index) if index <= ABOUT_QUEUE_MAX => index + 2,
            About::Queue(_) | About::Several => 1,
        }
    }

    fn of(code: u32) -> About {
        match code {
            0 => About::Nothing,
            1 => About::Several,
            queue => About::Queue(queue - 2),
        }
    }
}

/// A frame that verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub header: FrameHeader,
    pub body: &'a [u8],
    /// Where the next one begins.
    pub end: usize,
}

/// What stands where a frame should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameFound<'a> {
    Whole(Frame<'a>),
    /// Its header verifies, its body does not; the next one begins at `end`.
    Torn {
        header: FrameHeader,
        end: usize,
    },
    None,
}

/// Bytes that a frame takes in its segment.
pub(super) fn frame_bytes(body: usize) -> u64 {
    (FRAME_HEADER_BYTES + body).next_multiple_of(ALIGNMENT) as u64
}

/// Appends a frame to `out`; it will stand at `offset` of its segment.
pub(super) fn seal(header: FrameHeader, body: &[u8], segment: u64, offset: u64, out: &mut Vec<u8>) {
    let start = out.len();
    let place = seed(segment, offset);
    out.extend_from_slice(&[0; CHECKSUM_BYTES]);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    let kind = u32::from(header.kind.code()) | header.about.code() << 8;
    out.extend_from_slice(&kind.to_le_bytes());
    for value in [header.lsn, header.durable, header.time] {
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.extend_from_slice(&xxh3_64_with_seed(body, place).to_le_bytes());
    let checksum = xxh3_64_with_seed(&out[start + CHECKSUM_BYTES..], place);
    out[start..start + CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(body);
    let padding = frame_bytes(body.len()) as usize - FRAME_HEADER_BYTES - body.len();
    out.extend_from_slice(&[0; ALIGNMENT][..padding]);
}

/// The frame at `offset` of a segment.
pub(super) fn open(bytes: &[u8], segment: u64, offset: usize) -> FrameFound<'_> {
    let Some(head) = bytes.get(offset..offset.saturating_add(FRAME_HEADER_BYTES)) else {
        return FrameFound::None;
    };
    // Most of what is not a frame is zeros.
    if number(head, 0) == 0 {
        return FrameFound::None;
    }
    let place = seed(segment, offset as u64);
    if number(head, 0) != xxh3_64_with_seed(&head[CHECKSUM_BYTES..], place) {
        return FrameFound::None;
    }
    let Some(kind) = FrameKind::of(head[12]) else {
        return FrameFound::None;
    };
    let [lsn, durable, time] = [16, 24, 32].map(|at| number(head, at));
    // Nothing is durable before it is written.
    if durable >= lsn || lsn.max(time) >= LOG_NUMBER_MAX {
        return FrameFound::None;
    }
    let header = FrameHeader {
        kind,
        lsn,
        durable,
        time,
        about: About::of((number(head, 8) >> 40) as u32),
    };
    let length = number(head, 8) as u32 as usize;
    let end = offset + frame_bytes(length) as usize;
    let from = offset + FRAME_HEADER_BYTES;
    match bytes.get(from..from + length) {
        Some(body) if number(head, 40) == xxh3_64_with_seed(body, place) => {
            FrameFound::Whole(Frame { header, body, end })
        }
        _ => FrameFound::Torn { header, end },
    }
}

/// Where a frame could begin after `offset`.
pub(super) fn next_place(offset: usize) -> usize {
    (offset + 1).next_multiple_of(ALIGNMENT)
}

/// What distinguishes this place from every other.
pub(super) fn seed(of: u64, offset: u64) -> u64 {
    of.rotate_left(40) ^ offset
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

/// Shorter bodies are written again: looking after them would cost more than they do.
const SHARED_BODY_BYTES_MIN: usize = 256;

/// Appends a record to a frame's body. `last`: the last long body in this frame, which is not written again.
pub(super) fn encode(record: &Record, last: &mut Option<Body>, frame: &mut Vec<u8>) {
    if let Record::Accepted(accepted) = record
        && accepted.body.len() >= SHARED_BODY_BYTES_MIN
    {
        if last
            .as_ref()
            .is_some_and(|last| Arc::ptr_eq(last, &accepted.body))
        {
            let same = Record::SameBody(Accepted {
                body: Body::from([]),
                ..accepted.clone()
            });
            return same.put(frame);
        }
        *last = Some(Arc::clone(&accepted.body));
    }
    record.put(frame);
}

/// The records of a frame's body; `None` if they do not decode.
pub(super) fn decode(body: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    let mut source = Source::new(body);
    let mut last = None;
    while !source.is_at_end() {
        let mut record = Record::take(&mut source);
        match record {
            Record::Accepted(ref accepted) if accepted.body.len() >= SHARED_BODY_BYTES_MIN => {
                last = Some(Arc::clone(&accepted.body));
            }
            Record::SameBody(mut accepted) => {
                accepted.body = Arc::clone(last.as_ref()?);
                record = Record::Accepted(accepted);
            }
            _ => {}
        }
        records.push(record);
    }
    (!source.is_bad()).then_some(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Durability, MessageId, QueueId, Time};

    #[test]
    fn a_file_has_room_for_its_frames_and_both_copies() {
        for frames in (0..200_000).step_by(8) {
            let len = file_bytes(frames);
            assert!(frames_end(len) - FRAMES_AT >= frames, "{frames} in {len}");
            assert!(place_of(Copy::Last, len).is_some_and(|at| at >= frames_end(len)));
            assert_eq!(len % BLOCK_BYTES, 0);
        }
        let len = crate::model::limits::SEGMENT_BYTES_DEFAULT;
        let last = place_of(Copy::Last, len).expect("it is long enough");
        assert!(last / BLOCK_BYTES > (frames_end(len) - 1) / BLOCK_BYTES);
    }

    fn accepted(id: u64, body: &Body) -> Accepted {
        Accepted {
            queue: QueueId {
                index: id as u32,
                generation: 0,
            },
            id: MessageId(id),
            body: Arc::clone(body),
            properties: None,
            priority: 0,
            level: Durability::Durable,
            produced_at: Time(0),
            due: Time(0),
            expires_at: Time::NEVER,
            attempt: 0,
            redelivered: false,
        }
    }

    #[test]
    fn a_body_is_written_once_for_many_queues() {
        let (one, other) = (Body::from([1; 1024]), Body::from([1; 1024]));
        let short = Body::from([1; 8]);
        let mut records: Vec<Record> = (0..1000)
            .map(|id| Record::Accepted(accepted(id, &one)))
            .collect();
        records.push(Record::Accepted(accepted(1000, &one)));
        records.push(Record::Accepted(accepted(1001, &short)));
        records.push(Record::Accepted(accepted(1002, &other)));
        records.push(Record::Accepted(accepted(1003, &other)));
        let (mut body, mut last) = (Vec::new(), None);
        for record in &records {
            encode(record, &mut last, &mut body);
        }
        assert!(body.len() < 2 * 1024 + 30 * records.len(), "{}", body.len());
        let read = decode(&body).expect("it decodes");
        assert_eq!(read, records);
        let (Record::Accepted(first), Record::Accepted(copy)) = (&read[0], &read[1000]) else {
            panic!("other records");
        };
        assert!(Arc::ptr_eq(&first.body, &copy.body), "read as one body");
        let mut alone = Vec::new();
        encode(&records[1], &mut Some(one), &mut alone);
        assert_eq!(decode(&alone), None, "a body that is nowhere");
    }
}
