//! The decoders of frames and records.

use ferrymq_core::store::fuzzing::{self, Piece};
use ferrymq_sim::rng::Rng;

use crate::{Target, Verdict, mutate, seeds};

/// See the module.
pub const TARGET: Target = Target {
    name: "frames",
    judge,
    seed: |nth| {
        let mut input = vec![1];
        let bodies = seeds::bodies(nth);
        input.extend_from_slice(&bodies[Rng::new(nth).below(bodies.len() as u64) as usize]);
        input
    },
    mutate: |input, other, rng| {
        if rng.percent(50) && mutate::records(input, 1, rng) {
            return;
        }
        mutate::bytes(input, other, rng);
    },
};

/// The first byte is the segment's number; the others are looked at as a segment, and as the body of a frame.
pub fn judge(input: &[u8]) -> Verdict {
    let Some((segment, bytes)) = input.split_first() else {
        return Verdict::Shallow;
    };
    let segment = u64::from(*segment);
    for offset in (0..bytes.len()).step_by(8) {
        if let Some(place) = fuzzing::frame_at(bytes, segment, offset) {
            assert!(place.end > offset, "a frame ends behind its beginning");
            if let Some(body) = place.body {
                assert!(body.end <= bytes.len(), "a body is within the bytes");
            }
        }
    }
    sealed(bytes, segment);
    decoded(bytes)
}

/// What is sealed opens as the same, at its place and nowhere else.
fn sealed(body: &[u8], segment: u64) {
    let piece = Piece {
        kind: 1,
        lsn: 256 + body.len() as u64,
        durable: segment,
        time: 7,
        body: body.to_vec(),
    };
    let mut out = vec![0; 1024];
    fuzzing::seal(&piece, segment, &mut out);
    let place = fuzzing::frame_at(&out, segment, 1024).expect("what was sealed verifies");
    assert_eq!(place.lsn, piece.lsn);
    let stands = place.body.expect("its body verifies");
    assert!(out[stands] == *body, "the body is the one that was sealed");
    assert_eq!(place.end, out.len(), "it ends where it ends");
    assert_eq!(fuzzing::frame_at(&out, segment + 1, 1024), None);
    let mut moved = vec![0; 8];
    moved.extend_from_slice(&out);
    assert_eq!(fuzzing::frame_at(&moved, segment, 1032), None);
}

/// What decodes is read to its last byte, and says the same when it is written again.
fn decoded(body: &[u8]) -> Verdict {
    let Some(records) = fuzzing::decode(body) else {
        return Verdict::Refused;
    };
    assert!(
        records.len() <= body.len(),
        "a record takes a byte at least"
    );
    let again = fuzzing::encode(&records);
    let records = fuzzing::decode(&again).expect("what was encoded decodes");
    assert!(fuzzing::encode(&records) == again, "the same both times");
    Verdict::Deep
}
