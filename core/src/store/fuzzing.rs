//! Doors for the fuzz targets, behind the feature `fuzzing`: segments taken apart and put together again, with checksums that verify, so that what is behind the checksums is reached.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::format::{self, About, Copy, FRAMES_AT, FrameFound, FrameHeader, FrameKind};
use super::record::Record;

/// Where a header has the number of its segment.
const SEGMENT_AT: usize = 24;

/// A frame, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// 1 operation, 2 checkpoint, 3 group end; what is none of them counts as the last.
    pub kind: u8,
    /// Its number.
    pub lsn: u64,
    /// What it says is durable.
    pub durable: u64,
    /// Its time, milliseconds.
    pub time: u64,
    /// Its records, encoded.
    pub body: Vec<u8>,
}

/// What stands at a place of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the frame that stands there.
    pub lsn: u64,
    /// Where its body stands; `None`: the body does not verify.
    pub body: Option<Range<usize>>,
    /// Where the next one begins.
    pub end: usize,
}

/// Makes both copies of a segment's header verify, whatever they say; one of zeros stays.
pub fn seal_header(bytes: &mut [u8], file: u64) {
    for copy in [Copy::First, Copy::Last] {
        let at = format::place_of(copy, bytes.len() as u64).map_or(bytes.len(), |at| at as usize);
        if let Some(sector) = bytes.get_mut(at..)
            && sector.iter().any(|byte| *byte != 0)
        {
            seal_copy(sector, file, copy);
        }
    }
}

fn seal_copy(sector: &mut [u8], file: u64, copy: Copy) {
    if let Some(header) = sector.get_mut(..format::HEADER_BYTES) {
        let (checksum, rest) = header.split_at_mut(size_of::<u64>());
        checksum.copy_from_slice(
            &xxh3_64_with_seed(rest, format::seed(file, copy as u64)).to_le_bytes(),
        );
    }
}

/// The number of the segment whose header begins the file.
#[must_use]
pub fn segment_of(bytes: &[u8]) -> u64 {
    let number = bytes.get(SEGMENT_AT..SEGMENT_AT + size_of::<u64>());
    number.map_or(0, |number| {
        number
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte))
    })
}

/// The frame at `offset` of a segment, if one verifies there.
#[must_use]
pub fn frame_at(bytes: &[u8], segment: u64, offset: usize) -> Option<Place> {
    match format::open(bytes, segment, offset) {
        FrameFound::Whole(frame) => {
            let from = offset + format::FRAME_HEADER_BYTES;
            Some(Place {
                lsn: frame.header.lsn,
                body: Some(from..from + frame.body.len()),
                end: frame.end,
            })
        }
        FrameFound::Torn { header, end } => Some(Place {
            lsn: header.lsn,
            body: None,
            end,
        }),
        FrameFound::None => None,
    }
}

/// Appends a frame that verifies at the end of `out`, which is as much of its segment as there is.
pub fn seal(piece: &Piece, segment: u64, out: &mut Vec<u8>) {
    let header = FrameHeader {
        kind: kind(piece.kind),
        lsn: piece.lsn,
        durable: piece.durable,
        time: piece.time,
        about: About::Several,
    };
    let offset = out.len() as u64;
    format::seal(header, &piece.body, segment, offset, out);
}

fn kind(code: u8) -> FrameKind {
    match code {
        1 => FrameKind::Operation,
        2 => FrameKind::Checkpoint,
        _ => FrameKind::GroupEnd,
    }
}

/// The frames of a segment up to where none verifies.
#[must_use]
pub fn take_apart(bytes: &[u8], segment: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut offset = FRAMES_AT as usize;
    while let FrameFound::Whole(frame) = format::open(bytes, segment, offset) {
        pieces.push(Piece {
            kind: match frame.header.kind {
                FrameKind::Operation => 1,
                FrameKind::Checkpoint => 2,
                FrameKind::GroupEnd => 3,
            },
            lsn: frame.header.lsn,
            durable: frame.header.durable,
            time: frame.header.time,
            body: frame.body.to_vec(),
        });
        offset = frame.end;
    }
    pieces
}

/// Where the frames of a file of this length end.
fn frames_end(len: usize) -> usize {
    len.min(format::frames_end(len as u64) as usize)
}

/// Puts frames into a segment in place of those that are there, as far as they fit; what is left is zeros.
pub fn put_together(bytes: &mut [u8], segment: u64, pieces: &[Piece]) {
    let end = frames_end(bytes.len());
    let bytes = &mut bytes[..end];
    let at = (FRAMES_AT as usize).min(bytes.len());
    let mut frames = bytes[..at].to_vec();
    for piece in pieces {
        let before = frames.len();
        seal(piece, segment, &mut frames);
        if frames.len() > bytes.len() {
            frames.truncate(before);
            break;
        }
    }
    frames.resize(bytes.len(), 0);
    bytes.copy_from_slice(&frames);
}

/// The records of a frame's body; `None`: they do not decode.
#[must_use]
pub fn decode(body: &[u8]) -> Option<Vec<Record>> {
    format::decode(body)
}

/// Records as the body of a frame.
#[must_use]
pub fn encode(records: &[Record]) -> Vec<u8> {
    let (mut body, mut last) = (Vec::new(), None);
    for record in records {
        format::encode(record, &mut last, &mut body);
    }
    body
}

/// Makes the frames of a segment verify, one behind the other as their lengths say, whatever they say else.
pub fn seal_frames(bytes: &mut [u8], segment: u64) {
    let end = frames_end(bytes.len());
    let bytes = &mut bytes[..end];
    let mut offset = FRAMES_AT as usize;
    while let Some(head) = bytes.get(offset..offset + format::FRAME_HEADER_BYTES)
        && head.iter().any(|byte| *byte != 0)
    {
        let length = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
        let from = offset + format::FRAME_HEADER_BYTES;
        let place = format::seed(segment, offset as u64);
        if let Some(body) = bytes.get(from..from + length) {
            let checksum = xxh3_64_with_seed(body, place).to_le_bytes();
            bytes[from - checksum.len()..from].copy_from_slice(&checksum);
        }
        let checksum = xxh3_64_with_seed(&bytes[offset + size_of::<u64>()..from], place);
        bytes[offset..offset + size_of::<u64>()].copy_from_slice(&checksum.to_le_bytes());
        offset += format::frame_bytes(length) as usize;
    }
}
