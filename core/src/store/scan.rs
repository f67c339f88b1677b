//! Finding frames again. Turns the bytes of a segment into its frames, and says where the log was cut off and where it is damaged.

use std::ops::Range;

use super::format::{self, FRAMES_AT, FrameFound, FrameHeader, FrameKind, SegmentHeader};
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
        let (next, is_followed) = rest(bytes, of, scan.end, lsn);
        scan.is_followed = is_followed;
        let last = match (next, of.end_lsn) {
            (Some(next), None) if next.durable < lsn => return scan,
            (None, None) => return scan,
            (Some(next), end) if end.is_none_or(|end| next.lsn <= end) => next.lsn - 1,
            (_, end) => end.unwrap_or(lsn),
        };
        let resumes = next.filter(|next| next.lsn == last + 1);
        let to = resumes.map_or(bytes.len(), |next| next.offset);
        scan.damage.push(Damage {
            file: Some(of.file),
            segment: Some(of.segment),
            bytes: scan.end as u64..to as u64,
            lsns: Some((lsn, last)),
        });
        scan.end = to;
        lsn = last + 1;
        if resumes.is_none() {
            break;
        }
    }
    scan
}

impl Scan {
    /// What the last copy of the newest segment's header says of its end: that a segment follows which is not there, or that what stands in place of the last frame was written before that one was.
    /// Gives whether a segment is missing.
    pub fn judge_end(&mut self, of: Extent, said: Option<SegmentHeader>) -> bool {
        let is_followed = said.is_some_and(|said| said.is_followed);
        let durable = said.map_or(0, |said| said.durable);
        let last = self
            .frames
            .last()
            .map(|(header, _)| (header.lsn, header.kind));
        let lsn = last.map_or(of.first_lsn.saturating_sub(1), |(lsn, _)| lsn);
        if is_followed {
            // What is missing stood in another file.
            let in_vain = |own: &mut Damage| own.lsns == Some((lsn + 1, of.durable));
            self.damage.pop_if(in_vain);
            self.damage.push(Damage {
                file: None,
                segment: None,
                bytes: 0..0,
                lsns: Some((lsn + 1, u64::MAX)),
            });
        } else if last == Some((durable, FrameKind::GroupEnd)) {
            self.damage.push(Damage {
                file: Some(of.file),
                segment: Some(of.segment),
                bytes: self.last_at as u64..self.end as u64,
                lsns: Some((lsn, lsn)),
            });
        }
        is_followed
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
    let (rest, _) = rest(bytes, of, FRAMES_AT as usize, 0);
    rest.map_or(0, |rest| rest.durable)
}

/// Also whether any frame of the segment stands there, whatever it says.
fn rest(bytes: &[u8], of: Extent, from: usize, lsn: u64) -> (Option<Rest>, bool) {
    let mut found: Option<Rest> = None;
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
    let rest = found.map(|found| Rest { durable, ..found }).or(lost);
    (rest, is_followed)
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
