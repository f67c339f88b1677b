//! Finding frames again. Turns the bytes of a segment into its frames, and says where the log was cut off and where it is damaged.

use std::ops::Range;

use crate::model::deliberate::{self, Deliberate};

use super::format::{self, About, FRAMES_AT, FrameFound, FrameHeader, FrameKind};
use super::ticket::FileId;

/// Something that was durable and cannot be read. What stands around it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which file; `None`: the file is missing.
    pub file: Option<FileId>,
    /// Which segment; `None`: its header cannot be read.
    pub segment: Option<u64>,
    /// The bytes of the file.
    pub bytes: Range<u64>,
    /// The frames that are lost, by their LSNs, the last one included; `u64::MAX` as the last one: nobody can say where they ended.
    pub lsns: Option<(u64, u64)>,
    /// What these frames were about, by the index of a queue, as far as their headers say.
    pub about: About,
}

/// The frames of a segment.
#[derive(Debug)]
pub(super) struct Scan {
    /// Their headers and where their bodies stand.
    pub frames: Vec<(FrameHeader, Range<usize>)>,
    pub damage: Vec<Damage>,
    /// Where the last one ends.
    pub end: usize,
    /// Where the last one begins.
    pub last_at: usize,
    /// Whether something of this segment stands behind the end: frames that were cut off.
    pub is_followed: bool,
}

/// Which segment it is, and how far its frames must go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub file: FileId,
    pub segment: u64,
    pub first_lsn: u64,
    /// The last frame that it has; `None` for the newest segment, which may have been cut anywhere.
    pub end_lsn: Option<u64>,
    /// The frames up to here were durable, as the last copy of its header says.
    pub durable: u64,
}

/// Reads a segment's frames in order. A frame that does not verify is a torn tail only in the newest segment, and only if no frame behind it says that it was durable.
pub(super) fn scan(bytes: &[u8], of: Extent) -> Scan {
    let mut scan = Scan {
        frames: Vec::new(),
        damage: Vec::new(),
        end: FRAMES_AT as usize,
        last_at: FRAMES_AT as usize,
        is_followed: false,
    };
    let mut lsn = of.first_lsn;
    while of.end_lsn.is_none_or(|end| lsn <= end) {
        if let FrameFound::Whole(frame) = format::open(bytes, of.segment, scan.end)
            && frame.header.lsn == lsn
        {
            let from = scan.end + format::FRAME_HEADER_BYTES;
            scan.frames
                .push((frame.header, from..from + frame.body.len()));
            scan.last_at = scan.end;
            scan.end = frame.end;
            lsn += 1;
            continue;
        }
        let zeros = bytes.get(scan.end..scan.end + 8) == Some(&[0; 8]);
        if zeros && deliberate::is(Deliberate::TrustZeros) {
            break;
        }
        let Behind {
            next,
            is_followed,
            torn,
        } = behind(bytes, of, scan.end, lsn);
        scan.is_followed = is_followed;
        let last = match (next, of.end_lsn) {
            (Some(next), None) if next.durable < lsn => break,
            (None, None) => break,
            (Some(next), end) if end.is_none_or(|end| next.lsn <= end) => next.lsn - 1,
            (_, end) => end.unwrap_or(lsn),
        };
        let resumes = next.filter(|next| next.lsn == last + 1);
        let to = resumes.map_or(bytes.len(), |next| next.offset);
        if deliberate::is(Deliberate::ShortenSilently) {
            break;
        }
        scan.damage.push(Damage {
            file: Some(of.file),
            segment: Some(of.segment),
            bytes: scan.end as u64..to as u64,
            lsns: Some((lsn, last)),
            about: about(&torn, lsn, last),
        });
        scan.end = to;
        lsn = last + 1;
        if resumes.is_none() {
            break;
        }
    }
    if of.end_lsn.is_none() && deliberate::is(Deliberate::DropLastFrame) {
        drop_last(&mut scan.frames);
    }
    scan
}

/// Takes away the last frame that says anything.
fn drop_last(frames: &mut Vec<(FrameHeader, Range<usize>)>) {
    while let Some((last, _)) = frames.pop() {
        if last.kind == FrameKind::Operation {
            break;
        }
    }
}

/// The first whole frame behind a place where none is, and what all behind it say is durable.
#[derive(Clone, Copy, Debug)]
struct Rest {
    offset: usize,
    lsn: u64,
    durable: u64,
}

/// Which frame a segment says was durable, whatever can be read of it.
pub(super) fn durable(bytes: &[u8], of: Extent) -> u64 {
    let behind = behind(bytes, of, FRAMES_AT as usize, 0);
    behind.next.map_or(0, |next| next.durable)
}

/// What stands behind a place where no frame is.
struct Behind {
    next: Option<Rest>,
    /// Whether any frame of the segment stands there, whatever it says.
    is_followed: bool,
    /// Frames whose headers can be read and whose bodies cannot.
    torn: Vec<(u64, About)>,
}

/// What the lost frames were about, which is known if the headers of all can be read.
fn about(torn: &[(u64, About)], first: u64, last: u64) -> About {
    let mut all = About::Nothing;
    let mut next = first;
    for (lsn, about) in torn.iter().filter(|(lsn, _)| (first..=last).contains(lsn)) {
        if *lsn == next {
            next += 1;
            all = all.and(*about);
        }
    }
    if next > last { all } else { About::Several }
}

fn behind(bytes: &[u8], of: Extent, from: usize, lsn: u64) -> Behind {
    let mut found: Option<Rest> = None;
    let mut torn = Vec::new();
    let mut durable = of.durable;
    let mut is_followed = false;
    let mut offset = from;
    while offset < bytes.len() {
        offset = match format::open(bytes, of.segment, offset) {
            FrameFound::Whole(frame) if frame.header.lsn > lsn => {
                durable = durable.max(frame.header.durable);
                is_followed = true;
                found.get_or_insert(Rest {
                    offset,
                    lsn: frame.header.lsn,
                    durable: 0,
                });
                frame.end
            }
            FrameFound::Torn { header, end } if header.lsn >= lsn => {
                is_followed = true;
                durable = durable.max(header.durable);
                torn.push((header.lsn, header.about));
                end.max(format::next_place(offset))
            }
            FrameFound::None => format::next_place(offset),
            _ => {
                is_followed = true;
                format::next_place(offset)
            }
        };
    }
    // Where only headers are left they still say what was durable.
    let lost = (durable >= lsn).then_some(Rest {
        offset: bytes.len(),
        lsn: durable + 1,
        durable,
    });
    Behind {
        next: found.map(|found| Rest { durable, ..found }).or(lost),
        is_followed,
        torn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: Extent = Extent {
        file: FileId(1),
        segment: 9,
        first_lsn: 5,
        end_lsn: None,
        durable: 0,
    };

    /// Frames 5, 6, 7, ... each of which knows that the one `behind` before it is durable.
    fn segment(count: u64, behind: u64) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = vec![0; FRAMES_AT as usize];
        let mut starts = Vec::new();
        for lsn in 5..5 + count {
            let header = FrameHeader {
                kind: FrameKind::Operation,
                lsn,
                durable: lsn.saturating_sub(behind),
                time: lsn,
                about: About::Queue(3),
            };
            starts.push(bytes.len());
            let at = bytes.len() as u64;
            format::seal(header, &[lsn as u8; 21], OF.segment, at, &mut bytes);
        }
        bytes.resize(4096, 0);
        (bytes, starts)
    }

    fn lsns(scan: &Scan) -> Vec<u64> {
        scan.frames.iter().map(|(header, _)| header.lsn).collect()
    }

    #[test]
    fn a_frame_that_nobody_calls_durable_is_a_torn_tail() {
        let (mut bytes, starts) = segment(6, 100);
        bytes[starts[3] + 60] ^= 1;
        let scan = scan(&bytes, OF);
        assert_eq!(lsns(&scan), [5, 6, 7]);
        assert_eq!(scan.damage, []);
        assert_eq!(scan.end, starts[3]);
    }

    #[test]
    fn a_frame_that_was_durable_is_damage_and_those_behind_it_are_found() {
        for part in [3, 60] {
            let (mut bytes, starts) = segment(6, 1);
            bytes[starts[3] + part] ^= 1;
            let scan = scan(&bytes, OF);
            assert_eq!(lsns(&scan), [5, 6, 7, 9, 10], "byte {part}");
            assert_eq!(scan.damage.len(), 1);
            assert_eq!(scan.damage[0].lsns, Some((8, 8)));
            let known = if part == 60 {
                About::Queue(3)
            } else {
                About::Several
            };
            assert_eq!(scan.damage[0].about, known);
            assert_eq!(scan.damage[0].bytes, starts[3] as u64..starts[4] as u64);
        }
    }

    #[test]
    fn a_sealed_segment_has_all_its_frames_or_says_which_are_lost() {
        let (mut bytes, starts) = segment(6, 100);
        let of = Extent {
            end_lsn: Some(9),
            ..OF
        };
        assert_eq!(lsns(&scan(&bytes, of)), [5, 6, 7, 8, 9], "10 is void");
        bytes[starts[4]..].fill(0);
        let cut = scan(&bytes, of);
        assert_eq!(lsns(&cut), [5, 6, 7, 8]);
        assert_eq!(cut.damage[0].lsns, Some((9, 9)));
    }

    #[test]
    fn every_flipped_bit_and_every_shift_is_noticed() {
        let (bytes, starts) = segment(1, 1);
        let end = starts[0] + format::frame_bytes(21) as usize;
        assert_eq!(lsns(&scan(&bytes, OF)), [5]);
        let other = Extent { segment: 8, ..OF };
        assert_eq!(lsns(&scan(&bytes, other)), [] as [u64; 0]);
        let padding = end - 3;
        for bit in starts[0] * 8..padding * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(lsns(&scan(&bad, OF)), [] as [u64; 0], "bit {bit}");
        }
        let mut shifted = bytes.clone();
        shifted.copy_within(starts[0]..end, starts[0] + 8);
        assert!(matches!(
            format::open(&shifted, OF.segment, starts[0] + 8),
            FrameFound::None
        ));
    }
}
