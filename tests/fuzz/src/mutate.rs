//! Other inputs from inputs: bytes changed, records changed so that they still decode, frames and files moved about.

use ferrymq_core::store::Record;
use ferrymq_core::store::fuzzing::{self, Piece};
use ferrymq_sim::rng::Rng;

use crate::image::{self, Image, Origin};

/// Longest input.
pub const INPUT_BYTES_MAX: usize = 32 * 1024;
/// Numbers at which programs err.
const EDGES: [u64; 12] = [
    0,
    1,
    2,
    127,
    128,
    255,
    1 << 16,
    u32::MAX as u64 - 1,
    u32::MAX as u64,
    i64::MAX as u64,
    u64::MAX - 1,
    u64::MAX,
];

/// Changes bytes, anywhere.
pub fn bytes(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    for _ in 0..1 + rng.below(4) {
        let len = input.len() as u64;
        let at = rng.below(len + 1) as usize;
        let to = (at + 1 + rng.below(64) as usize).min(input.len());
        match rng.below(8) {
            0 | 1 if at < to => input[at] ^= 1 << rng.below(8),
            2 if at < to => input[at] = rng.draw() as u8,
            3 if at < to => input[at] = rng.pick(&EDGES) as u8,
            4 => {
                input.drain(at.min(to)..to);
            }
            5 => {
                let again = input[at.min(to)..to].to_vec();
                input.splice(at..at, again);
            }
            6 => {
                let edge = rng.pick(&EDGES).to_le_bytes();
                let end = (at + 8).min(input.len());
                input[at.min(end)..end].copy_from_slice(&edge[..end - at.min(end)]);
            }
            _ if !other.is_empty() => {
                let from = rng.below(other.len() as u64) as usize;
                let end = (from + 1 + rng.below(256) as usize).min(other.len());
                input.splice(at.min(to)..to, other[from..end].iter().copied());
            }
            _ => {}
        }
    }
    input.truncate(INPUT_BYTES_MAX);
}

/// Changes the records that stand behind `from`; false: none decode there.
pub fn records(input: &mut Vec<u8>, from: usize, rng: &mut Rng) -> bool {
    let Some(mut records) = input.get(from..).and_then(fuzzing::decode) else {
        return false;
    };
    edit_records(&mut records, &[], rng);
    input.truncate(from);
    input.extend_from_slice(&fuzzing::encode(&records));
    input.truncate(INPUT_BYTES_MAX);
    true
}

fn edit_records(records: &mut Vec<Record>, others: &[Record], rng: &mut Rng) {
    if records.is_empty() {
        records.extend(others.first().cloned());
        return;
    }
    let count = records.len() as u64;
    let (at, to) = (rng.below(count) as usize, rng.below(count) as usize);
    match rng.below(8) {
        0 => records.swap(at, to),
        1 => {
            records.remove(at);
        }
        2 => records.insert(to, records[at].clone()),
        3 if !others.is_empty() => {
            let other = others[rng.below(others.len() as u64) as usize].clone();
            records.insert(at, other);
        }
        _ => edit_record(&mut records[at], rng),
    }
}

/// Changes a record's bytes until they are one again.
fn edit_record(record: &mut Record, rng: &mut Rng) {
    for _ in 0..20 {
        let mut encoded = fuzzing::encode(std::slice::from_ref(record));
        // The first byte is the kind.
        let at = rng.below(encoded.len() as u64) as usize;
        match rng.below(3) {
            0 => encoded[at] ^= 1 << rng.below(8),
            1 => encoded[at] = rng.draw() as u8,
            _ => {
                encoded.splice(at..=at, varint(rng.pick(&EDGES)));
            }
        }
        if let Some(mut decoded) = fuzzing::decode(&encoded)
            && decoded.len() == 1
        {
            *record = decoded.remove(0);
            return;
        }
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// Changes a store: its files, its frames or its bytes.
pub fn image(input: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    if rng.percent(30) {
        return bytes(input, other, rng);
    }
    let mut image = Image::read(input);
    if image.origin == Origin::Damaged {
        return damage(input, rng);
    }
    let other = Image::read(other);
    for _ in 0..1 + rng.below(3) {
        edit(&mut image, &other, rng);
    }
    *input = image.write();
    input.truncate(INPUT_BYTES_MAX);
}

/// More, less or other damage, to this store or another.
fn damage(input: &mut Vec<u8>, rng: &mut Rng) {
    match rng.below(4) {
        0 => {
            let at = 2.min(input.len() - 1);
            input[at] = rng.draw() as u8;
        }
        1 if input.len() > 8 => input.truncate(8),
        _ => {
            let random = rng.draw().to_le_bytes();
            input.extend_from_slice(&random[..5]);
        }
    }
    input[0] = image::DAMAGED;
}

fn edit(image: &mut Image, other: &Image, rng: &mut Rng) {
    let numbers: Vec<u8> = image.files.keys().copied().collect();
    let Some(number) = (!numbers.is_empty()).then(|| rng.pick(&numbers)) else {
        *image = other.clone();
        return;
    };
    match rng.below(16) {
        0 => {
            image.files.remove(&number);
        }
        1 => {
            let bytes = image.files[&number].clone();
            image.files.insert(rng.below(12) as u8, bytes);
        }
        2 => {
            let theirs: Vec<u8> = other.files.keys().copied().collect();
            if !theirs.is_empty() {
                let from = rng.pick(&theirs);
                image.files.insert(number, other.files[&from].clone());
            }
        }
        3 => image.origin = Origin::Plain,
        4 => {
            let len = rng.below(64) as usize * 64;
            if let Some(bytes) = image.files.get_mut(&number) {
                bytes.resize(len, 0);
            }
        }
        5 | 6 => {
            image.origin = Origin::Sealed;
            if let Some(bytes) = image.files.get_mut(&number) {
                // The numbers of a header stand from its 16th byte to its 64th.
                let at = 16 + 8 * rng.below(6) as usize;
                if let Some(place) = bytes.get_mut(at..at + 8) {
                    let edited = edit_number(read_number(place), rng);
                    place.copy_from_slice(&edited.to_le_bytes());
                }
            }
        }
        _ => edit_frames(image, number, other, rng),
    }
}

fn read_number(place: &[u8]) -> u64 {
    place
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn edit_number(number: u64, rng: &mut Rng) -> u64 {
    match rng.below(4) {
        0 => number.wrapping_add(1),
        1 => number.wrapping_sub(1),
        2 => number ^ 1 << rng.below(64),
        _ => rng.pick(&EDGES),
    }
}

fn edit_frames(image: &mut Image, number: u8, other: &Image, rng: &mut Rng) {
    let sealed = image.origin == Origin::Sealed;
    let Some(bytes) = image.files.get_mut(&number) else {
        return;
    };
    let segment = fuzzing::segment_of(bytes);
    if sealed {
        fuzzing::seal_frames(bytes, segment);
    }
    let mut pieces = fuzzing::take_apart(bytes, segment);
    if pieces.is_empty() {
        return;
    }
    let count = pieces.len() as u64;
    let (at, to) = (rng.below(count) as usize, rng.below(count) as usize);
    match rng.below(10) {
        0 => pieces.swap(at, to),
        1 => {
            pieces.remove(at);
        }
        2 => pieces.insert(to, pieces[at].clone()),
        3 => {
            let piece = &mut pieces[at];
            let fields = [&mut piece.lsn, &mut piece.durable, &mut piece.time];
            let nth = rng.below(3) as usize;
            for (own, field) in fields.into_iter().enumerate() {
                if own == nth {
                    *field = edit_number(*field, rng);
                }
            }
        }
        4 => pieces[at].kind = 1 + rng.below(3) as u8,
        _ => edit_piece(&mut pieces[at], other, rng),
    }
    fuzzing::put_together(bytes, segment, &pieces);
    image.origin = Origin::Sealed;
}

fn edit_piece(piece: &mut Piece, other: &Image, rng: &mut Rng) {
    let Some(mut records) = fuzzing::decode(&piece.body) else {
        return;
    };
    let others = other.files.values().next().map(|bytes| {
        let pieces = fuzzing::take_apart(bytes, fuzzing::segment_of(bytes));
        let records = pieces
            .iter()
            .filter_map(|piece| fuzzing::decode(&piece.body));
        records.flatten().collect::<Vec<_>>()
    });
    edit_records(&mut records, &others.unwrap_or_default(), rng);
    piece.body = fuzzing::encode(&records);
}
