//! The files of a store as one input: a first byte, then for each file its number, its length in units of 64 bytes, and as many bytes of it as are not zeros to its end. Or a store that the program itself
//! wrote, and what happened to its disk since.

use std::collections::BTreeMap;

use ferrymq_core::store::fuzzing;
use ferrymq_core::store::{DiskOp, DiskOutcome, FileId, Ticket, TicketId};
use ferrymq_core::testing::ManualDisk;

use crate::seeds;

/// Most files of an input.
const FILES_MAX: usize = 12;
/// Lengths of files are multiples of this.
const UNIT: usize = 64;
/// Numbers of segments that are high, and how many files there are then.
const HIGH: u64 = 1 << 16;
const FILES_OF_HIGH: usize = 2;
/// So many stores that damage is done to.
const STORES: u64 = 200;
/// Most damage of one input.
const EDITS_MAX: usize = 8;
const SECTOR: usize = 512;
/// Longest file.
const FILE_BYTES_MAX: usize = 16 * 1024;
/// First byte: the files as they stand.
pub const PLAIN: u8 = 0;
/// First byte: headers and frames are given checksums that verify.
pub const SEALED: u8 = 1;
/// First byte: a store of a seed (two bytes), and damage to it, five bytes each.
pub const DAMAGED: u8 = 2;

/// Where the bytes of a store come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// From anywhere.
    #[default]
    Plain,
    /// From anywhere, with checksums that verify.
    Sealed,
    /// From the program itself, and then something happened to the disk.
    Damaged,
}

/// Files by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Where it comes from.
    pub origin: Origin,
    /// The files.
    pub files: BTreeMap<u8, Vec<u8>>,
}

impl Image {
    /// The image that an input stands for. Every input is one.
    #[must_use]
    pub fn read(input: &[u8]) -> Image {
        let mut image = Image::default();
        let Some((first, mut rest)) = input.split_first() else {
            return image;
        };
        image.origin = match first % 3 {
            PLAIN => Origin::Plain,
            SEALED => Origin::Sealed,
            _ => return Image::damaged(rest),
        };
        while let [number, units, low, high, behind @ ..] = rest
            && image.files.len() < FILES_MAX
        {
            let len = (usize::from(*units) * UNIT).min(FILE_BYTES_MAX);
            let count = usize::from(u16::from_le_bytes([*low, *high])).min(behind.len());
            let (content, behind) = behind.split_at(count);
            let mut bytes = content[..count.min(len)].to_vec();
            bytes.resize(len, 0);
            image.files.insert(*number, bytes);
            rest = behind;
        }
        image
    }

    /// A store that the program wrote, and what became of it on the disk.
    fn damaged(input: &[u8]) -> Image {
        let (seed, edits) = input.split_at(input.len().min(2));
        let seed = seed
            .iter()
            .fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        let mut image = Image {
            origin: Origin::Damaged,
            ..seeds::store(seed % STORES)
        };
        let (edits, _) = edits.as_chunks::<5>();
        for edit in edits.iter().take(EDITS_MAX) {
            image.damage(*edit);
        }
        image
    }

    fn damage(&mut self, [kind, file, low, high, value]: [u8; 5]) {
        let count = self.files.len().max(1);
        let Some(bytes) = self.files.values_mut().nth(usize::from(file) % count) else {
            return;
        };
        let at = usize::from(u16::from_le_bytes([low, high])) % bytes.len().max(1);
        let sector = at - at % SECTOR..(at - at % SECTOR + SECTOR).min(bytes.len());
        match kind % 4 {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << (value % 8),
            1 => bytes[sector].fill(0),
            2 => bytes[sector].fill(value),
            // A sector that was meant for elsewhere.
            3 => {
                let from = usize::from(value) * SECTOR % bytes.len().max(1);
                let len = sector.len().min(bytes.len() - from);
                bytes.copy_within(from..from + len, sector.start);
            }
            _ => {}
        }
    }

    /// The input that stands for it.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut input = vec![match self.origin {
            Origin::Sealed => SEALED,
            Origin::Plain | Origin::Damaged => PLAIN,
        }];
        for (number, bytes) in &self.files {
            let content = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            input.push(*number);
            input.push((bytes.len() / UNIT) as u8);
            input.extend_from_slice(&(content as u16).to_le_bytes());
            input.extend_from_slice(&bytes[..content]);
        }
        input
    }

    /// Where the numbers of segments are high, each header that cannot be read is looked for among sixteen million: then few files have to do.
    pub fn keep_quick(&mut self) {
        let high = |bytes: &Vec<u8>| fuzzing::segment_of(bytes) > HIGH;
        if self.files.values().any(high) {
            while self.files.len() > FILES_OF_HIGH {
                self.files.pop_last();
            }
        }
    }

    /// Bytes of all files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }

    /// Whether there is no byte in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A disk on which all of it is durable.
    #[must_use]
    pub fn disk(&self) -> ManualDisk {
        let mut disk = ManualDisk::default();
        let mut last = 0;
        let mut ask = |op| {
            last += 1;
            let id = TicketId(last);
            if disk.execute(Ticket { id, op }).is_none() {
                disk.complete_syncs(true);
            }
        };
        for (number, bytes) in &self.files {
            let file = FileId(u64::from(*number));
            let mut bytes = bytes.clone();
            if self.origin == Origin::Sealed {
                seal(&mut bytes, file.0);
            }
            let len = bytes.len() as u64;
            ask(DiskOp::Create { file, len });
            ask(DiskOp::SyncDir);
            ask(DiskOp::WriteAt {
                file,
                offset: 0,
                bytes,
            });
            ask(DiskOp::Sync { file });
        }
        disk
    }

    /// What a disk shows, through its tickets.
    pub fn of(mut execute: impl FnMut(Ticket) -> Option<DiskOutcome>) -> Image {
        let mut image = Image::default();
        let mut ask = |op| {
            execute(Ticket {
                id: TicketId(u64::MAX),
                op,
            })
        };
        let Some(DiskOutcome::Files(files)) = ask(DiskOp::List) else {
            return image;
        };
        for (file, len) in files {
            let read = DiskOp::ReadAt {
                file,
                offset: 0,
                len: len as u32,
            };
            if let (Some(DiskOutcome::Bytes(bytes)), Ok(number)) = (ask(read), file.0.try_into()) {
                image.files.insert(number, bytes);
            }
        }
        image
    }
}

/// Gives a file's header and the frames behind it checksums that verify, frame by frame as their lengths say.
fn seal(bytes: &mut [u8], file: u64) {
    fuzzing::seal_header(bytes, file);
    fuzzing::seal_frames(bytes, fuzzing::segment_of(bytes));
}
