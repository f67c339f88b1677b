//! Bytes. The only file that knows offsets.
//!
//! A frame is: checksum (8 bytes), length of the body (4), LSN (8), body. Integers are little-endian. The checksum is XXH3-64 over everything behind it, seeded with
//! the file's number and the frame's offset, so that old, shifted or zero bytes never verify. The body is a list of records, one after another, as `encoding` has them.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::Body;

use super::encoding::{Source, Stored};
use super::record::{Accepted, Record};

const CHECKSUM_BYTES: usize = 8;
const LENGTH_AT: usize = CHECKSUM_BYTES;
const LSN_AT: usize = LENGTH_AT + 4;
pub(super) const HEADER_BYTES: usize = LSN_AT + 8;

/// What distinguishes this place from every other.
fn seed(file: u64, offset: u64) -> u64 {
    file.rotate_left(40) ^ offset
}

/// Shorter bodies are written again: looking after them would cost more than they do.
const SHARED_BODY_BYTES_MIN: usize = 256;

/// Appends a record to a frame's body. `last`: the last long body in this frame, which is not written again.
pub(super) fn encode(record: &Record, last: &mut Option<Body>, frame: &mut Vec<u8>) {
    if let Record::Accepted(accepted) | Record::Kept(accepted) = record
        && accepted.body.len() >= SHARED_BODY_BYTES_MIN
    {
        if last
            .as_ref()
            .is_some_and(|last| Arc::ptr_eq(last, &accepted.body))
        {
            let same = Record::SameBody {
                accepted: Accepted {
                    body: Body::from([]),
                    ..accepted.clone()
                },
                kept: matches!(record, Record::Kept(_)),
            };
            return same.put(frame);
        }
        *last = Some(Arc::clone(&accepted.body));
    }
    record.put(frame);
}

/// Appends the frame to `out`.
pub(super) fn seal(body: &[u8], lsn: u64, file: u64, offset: u64, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; CHECKSUM_BYTES]);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&lsn.to_le_bytes());
    out.extend_from_slice(body);
    let checksum = xxh3_64_with_seed(&out[start + CHECKSUM_BYTES..], seed(file, offset));
    out[start..start + CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

/// A frame that verified.
pub(super) struct Frame<'a> {
    pub lsn: u64,
    pub body: &'a [u8],
    pub len: usize,
}

/// The frame at `offset` of a file, if it is whole.
pub(super) fn open(bytes: &[u8], file: u64, offset: usize) -> Option<Frame<'_>> {
    let rest = bytes.get(offset..)?;
    let header = rest.get(..HEADER_BYTES)?;
    let length = u32::from_le_bytes(header[LENGTH_AT..LSN_AT].try_into().ok()?) as usize;
    let len = HEADER_BYTES.checked_add(length)?;
    let whole = rest.get(..len)?;
    let checksum = u64::from_le_bytes(header[..CHECKSUM_BYTES].try_into().ok()?);
    if checksum != xxh3_64_with_seed(&whole[CHECKSUM_BYTES..], seed(file, offset as u64)) {
        return None;
    }
    let lsn = u64::from_le_bytes(header[LSN_AT..HEADER_BYTES].try_into().ok()?);
    Some(Frame {
        lsn,
        body: &whole[HEADER_BYTES..],
        len,
    })
}

/// The records of a frame's body; `None` if they do not decode.
pub(super) fn decode(body: &[u8]) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    let mut source = Source::new(body);
    let mut last = None;
    while !source.is_at_end() {
        let mut record = Record::take(&mut source);
        match record {
            Record::Accepted(ref accepted) | Record::Kept(ref accepted)
                if accepted.body.len() >= SHARED_BODY_BYTES_MIN =>
            {
                last = Some(Arc::clone(&accepted.body));
            }
            Record::SameBody { mut accepted, kept } => {
                accepted.body = Arc::clone(last.as_ref()?);
                record = if kept {
                    Record::Kept(accepted)
                } else {
                    Record::Accepted(accepted)
                };
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
    use crate::model::{Departure, Durability, MessageId, QueueId, Time};

    #[test]
    fn every_flipped_bit_and_every_shift_is_noticed() {
        let record = Record::Removed {
            message: MessageId(7),
            cause: Departure::Acked,
        };
        let mut body = Vec::new();
        encode(&record, &mut None, &mut body);
        encode(&record, &mut None, &mut body);
        let mut bytes = Vec::new();
        seal(&body, 3, 1, 0, &mut bytes);
        let frame = open(&bytes, 1, 0).expect("it verifies");
        assert_eq!(frame.lsn, 3);
        assert_eq!(decode(frame.body), Some(vec![record.clone(), record]));
        assert!(open(&bytes, 2, 0).is_none(), "another file");
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&bad, 1, 0).is_none(), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(open(&bytes[..end], 1, 0).is_none(), "cut at {end}");
        }
        let shifted = [&[0; 4], bytes.as_slice()].concat();
        assert!(open(&shifted, 1, 4).is_none());
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
        records.push(Record::Kept(accepted(1000, &one)));
        records.push(Record::Accepted(accepted(1001, &short)));
        records.push(Record::Accepted(accepted(1002, &other)));
        records.push(Record::Kept(accepted(1003, &other)));
        let (mut body, mut last) = (Vec::new(), None);
        for record in &records {
            encode(record, &mut last, &mut body);
        }
        assert!(body.len() < 2 * 1024 + 30 * records.len(), "{}", body.len());
        let read = decode(&body).expect("it decodes");
        assert_eq!(read, records);
        let (Record::Accepted(first), Record::Kept(copy)) = (&read[0], &read[1000]) else {
            panic!("other records");
        };
        assert!(Arc::ptr_eq(&first.body, &copy.body), "read as one body");
        let mut alone = Vec::new();
        encode(&records[1], &mut Some(one), &mut alone);
        assert_eq!(decode(&alone), None, "a body that is nowhere");
    }
}
