//! Proves that a header or a block that cannot be read hides nothing that was promised, and that a header that was never finished is no damage.

use super::*;
use crate::model::MessageId;
use crate::model::collections::BTreeMap;
use crate::store::format::About;
use crate::store::log::{Log, LogError};
use crate::store::ticket::DiskOutcome;

const SHORT_READ_BYTES: usize = 1_000;

type Disk = BTreeMap<FileId, Vec<u8>>;

fn execute(disk: &mut Disk, op: DiskOp) -> DiskOutcome {
    match op {
        DiskOp::List => {
            let files = disk.iter();
            return DiskOutcome::Files(
                files.map(|(file, own)| (*file, own.len() as u64)).collect(),
            );
        }
        DiskOp::ReadAt { file, offset, len } => {
            // A disk that never gives more than this at once.
            let bytes = &disk[&file][offset as usize..];
            let most = bytes.len().min(len as usize).min(SHORT_READ_BYTES);
            return DiskOutcome::Bytes(bytes[..most].to_vec());
        }
        DiskOp::Create { file, len } => drop(disk.insert(file, vec![0; len as usize])),
        DiskOp::WriteAt {
            file,
            offset,
            bytes,
        } => {
            let own = disk.get_mut(&file).expect("it was made");
            own[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        DiskOp::Delete { file } => drop(disk.remove(&file)),
        DiskOp::SyncDir | DiskOp::Sync { .. } => {}
    }
    DiskOutcome::Done
}

/// Does what the log asks for. Gives the numbers of the frames that are found.
fn drive(log: &mut Log, disk: &mut Disk) -> Result<Vec<u64>, LogError> {
    let mut lsns = Vec::new();
    loop {
        while let Some(found) = log.take_found() {
            match found {
                Found::Checkpoint(_) => {}
                Found::Segment { frames, .. } => lsns.extend(frames.iter().map(|own| own.lsn)),
                Found::End => {
                    log.begin(0);
                    checkpoint(log);
                    let last = log.last_lsn();
                    log.want_sync(last);
                }
            }
        }
        let Some(ticket) = log.poll() else {
            return Ok(lsns);
        };
        let outcome = execute(disk, ticket.op);
        log.io_done(ticket.id, outcome)?;
    }
}

fn checkpoint(log: &mut Log) {
    let head = |segments| Record::Checkpoint {
        last_message: MessageId(0),
        generation_floor: 0,
        epoch: 1,
        segments,
    };
    log.write_checkpoint(head, &[], 0);
}

/// A store of some segments of so many bytes, closed in order, and the number of its last frame but the one that says so.
fn store(segment_bytes: u64) -> (Disk, u64) {
    let mut disk = Disk::new();
    let mut log = Log::open(segment_bytes, 7, 0);
    drive(&mut log, &mut disk).expect("it opens");
    for step in 0..segment_bytes / 27 {
        let record = Record::Leased {
            message: MessageId(step),
            attempt: 1,
        };
        log.add(&record, About::Several);
        let last = log.commit(step);
        log.want_sync(last);
        if log.wants_checkpoint() {
            checkpoint(&mut log);
        }
        drive(&mut log, &mut disk).expect("it is written");
    }
    let last = log.last_lsn();
    log.end(segment_bytes);
    drive(&mut log, &mut disk).expect("it is written");
    assert!(disk.len() > 2, "{} files", disk.len());
    (disk, last)
}

/// Opens with segments of another length, so that no file is used again.
fn reopened(disk: &mut Disk) -> (Log, Vec<u64>) {
    let mut log = Log::open(8192, 0, 5);
    let lsns = drive(&mut log, disk).expect("it opens");
    (log, lsns)
}

/// That the frames which were found, and those that are named as lost, are all there were.
fn assert_complete(log: &Log, lsns: &[u64], last: u64, what: &str) {
    let lost = |lsn: u64| {
        let mut ranges = log.damage().iter().filter_map(|own| own.lsns);
        ranges.any(|(from, to)| (from..=to).contains(&lsn))
    };
    for lsn in 1..=last {
        assert!(
            lsns.contains(&lsn) || lost(lsn),
            "{what}: {lsn} is neither there nor named: {:?}",
            log.damage()
        );
    }
}

#[test]
fn a_segment_is_found_without_either_or_both_of_its_headers() {
    let (disk, last) = store(4096);
    for file in disk.keys() {
        for (first, end) in [(true, false), (false, true), (true, true)] {
            let mut disk = disk.clone();
            let bytes = disk.get_mut(file).expect("it is there");
            if first {
                bytes[..512].fill(0xaa);
            }
            if end {
                bytes[4096 - 512..].fill(0xaa);
            }
            let (log, mut lsns) = reopened(&mut disk);
            lsns.retain(|lsn| *lsn <= last);
            assert!(lsns.iter().copied().eq(1..=last), "{file:?}: {lsns:?}");
            let named = |own: &Damage| own.file == Some(*file) && own.bytes == (0..512);
            assert_eq!(log.damage().iter().any(named), first, "{:?}", log.damage());
        }
    }
}

#[test]
fn a_header_that_was_never_finished_is_no_damage() {
    let (mut disk, last) = store(4096);
    let file = FileId(disk.len() as u64 + 1);
    disk.insert(file, vec![0xaa; 4096]);
    let (log, mut lsns) = reopened(&mut disk);
    lsns.retain(|lsn| *lsn <= last);
    assert!(lsns.iter().copied().eq(1..=last), "{lsns:?}");
    assert_eq!(log.damage(), []);
}

#[test]
fn a_header_of_an_earlier_life_of_the_file_hides_no_segment() {
    let (disk, last) = store(4096);
    for file in disk.keys().skip(1) {
        let mut disk = disk.clone();
        let old = SegmentHeader {
            segment: 0,
            store: 7,
            first_lsn: 1,
            len: 4096,
            durable: 0,
            is_followed: false,
        };
        let bytes = disk.get_mut(file).expect("it is there");
        bytes[..512].copy_from_slice(&format::encode_header(&old, file.0, Copy::First));
        let (log, mut lsns) = reopened(&mut disk);
        lsns.retain(|lsn| *lsn <= last);
        assert!(lsns.iter().copied().eq(1..=last), "{file:?}: {lsns:?}");
        let named = |own: &Damage| own.file == Some(*file) && own.bytes == (0..512);
        assert!(log.damage().iter().any(named), "{:?}", log.damage());
    }
}

#[test]
fn whatever_block_is_lost_is_named_frame_by_frame() {
    let (disk, last) = store(16384);
    for file in disk.keys() {
        for block in 0..4 {
            for byte in [0, 0xaa] {
                let mut disk = disk.clone();
                disk.get_mut(file).expect("it is there")[block * 4096..][..4096].fill(byte);
                let what = format!("file {} block {block}", file.0);
                let (log, lsns) = reopened(&mut disk);
                assert_complete(&log, &lsns, last, &what);
            }
        }
    }
}

#[test]
fn whatever_sector_is_lost_is_named_also_the_last_one() {
    let (disk, last) = store(4096);
    for file in disk.keys() {
        for sector in 0..8 {
            let mut disk = disk.clone();
            disk.get_mut(file).expect("it is there")[sector * 512..][..512].fill(0);
            let (log, lsns) = reopened(&mut disk);
            assert_complete(
                &log,
                &lsns,
                last,
                &format!("file {} sector {sector}", file.0),
            );
        }
    }
}

#[test]
fn a_missing_file_is_named_also_the_newest() {
    let (disk, last) = store(4096);
    for file in disk.keys() {
        let mut disk = disk.clone();
        disk.remove(file);
        let (log, lsns) = reopened(&mut disk);
        assert_complete(&log, &lsns, last, &format!("file {}", file.0));
        assert!(log.damage().iter().any(|own| own.file.is_none()));
    }
}

#[test]
fn a_lost_segment_is_named_and_nothing_that_may_be_it_is_used() {
    let (mut disk, last) = store(4096);
    for (byte, named) in [(0xaa, 2), (0, 1)] {
        let mut lost = disk.clone();
        let first = lost.first_entry().expect("there are some").into_mut();
        first.fill(byte);
        let (log, lsns) = reopened(&mut lost);
        assert!(lsns.len() < last as usize && lsns.contains(&last));
        assert_eq!(log.damage().len(), named, "{:?}", log.damage());
        assert!(lost[&FileId(1)].iter().all(|own| *own == byte), "kept");
    }
    for own in disk.values_mut() {
        own[..1024].fill(0xaa);
        own[4096 - 512..].fill(0xaa);
    }
    let mut log = Log::open(4096, 0, 5);

    let result = drive(&mut log, &mut disk);
    assert!(matches!(result, Err(LogError::Refused(_))), "{result:?}");
}
