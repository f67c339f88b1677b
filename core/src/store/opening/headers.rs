//! Which files hold which segments. A header stands at both ends of its file; one that can be read is enough, and where none can, the frames between tell.

use super::{
    Copy, Extent, FRAMES_AT, HeaderFound, Opening, Phase, Refused, STEP_MAX, SegmentHeader,
    SegmentHeaderAt, Unreadable, format, frames_of,
};
use crate::store::format::FrameFound;
use crate::store::scan;
use crate::store::ticket::FileId;

/// So far back the number of a segment is looked for whose header cannot be read.
const LOOKED_FOR_MAX: u64 = 1 << 24;

impl Opening {
    pub(super) fn take_first_copy(
        &mut self,
        file: FileId,
        len: u64,
        bytes: &[u8],
    ) -> Result<(), Refused> {
        match format::decode_header(bytes, file.0, Copy::First) {
            HeaderFound::Valid(header) => {
                self.is_of_this_store(&header)?;
                self.add(SegmentHeaderAt { file, header })?;
            }
            HeaderFound::Newer(_) => return Err(Refused::Newer),
            found => {
                if found == HeaderFound::Empty {
                    self.empty.push(file);
                }
                self.unreadable.push(Unreadable {
                    file,
                    len,
                    last: None,
                });
            }
        }
        Ok(())
    }

    /// Where the first copy cannot be read, the last one is.
    pub(super) fn first_copies_are_read(&mut self) {
        let unreadable = self.unreadable.iter();
        let long = unreadable.filter(|own| format::place_of(Copy::Last, own.len).is_some());
        self.phase = Phase::LastCopies {
            left: long.map(|own| (own.file, own.len)).collect(),
        };
    }

    pub(super) fn take_last_copy(
        &mut self,
        file: FileId,
        len: u64,
        bytes: &[u8],
    ) -> Result<(), Refused> {
        match format::decode_header(bytes, file.0, Copy::Last) {
            HeaderFound::Valid(header) => {
                self.is_of_this_store(&header)?;
                let own = self.unreadable.iter_mut().find(|own| own.file == file);
                if let Some(own) = own {
                    own.last = Some(SegmentHeader { len, ..header });
                }
                self.empty.retain(|own| *own != file);
            }
            HeaderFound::Newer(_) => return Err(Refused::Newer),
            HeaderFound::Damaged => self.empty.retain(|own| *own != file),
            HeaderFound::Empty => {}
        }
        Ok(())
    }

    /// What is empty at both ends is free, unless nothing at all can be read: then all files are looked into.
    pub(super) fn last_copies_are_read(&mut self) {
        let unreadable = std::mem::take(&mut self.unreadable);
        let any = !self.segments.is_empty() || unreadable.iter().any(|own| own.last.is_some());
        let (free, left): (Vec<_>, Vec<_>) = unreadable
            .into_iter()
            .partition(|own| any && self.empty.contains(&own.file));
        self.free = free.iter().map(|own| (own.file, own.len)).collect();
        self.phase = Phase::Unreadable { left };
    }

    /// Looks for a segment whose first header cannot be read. What its last copy says counts, unless its frames are of a newer one. Without that copy it is one that says that its first frame was
    /// durable, or one that is older than one that can be read, because that begins only when the one before is safe. Everything else was never begun: nothing of it was promised.
    pub(super) fn look_for_frames(&mut self, own: Unreadable, bytes: &[u8]) -> Result<(), Refused> {
        let readable = self.segments.iter().map(|own| own.header.segment);
        let readable = readable.collect::<Vec<_>>();
        let highest = readable.iter().copied().max().unwrap_or(0);
        let highest = highest.max(own.last.map_or(0, |last| last.segment));
        let frames = frames_of(bytes, own.len);
        let first = |segment: u64| match format::open(frames, segment, FRAMES_AT as usize) {
            FrameFound::Whole(frame) => Some((segment, frame.header.lsn)),
            FrameFound::Torn { header, .. } => Some((segment, header.lsn)),
            FrameFound::None => None,
        };
        let after = own.last.map_or(0, |last| last.segment + 1);
        let lowest = highest.saturating_sub(LOOKED_FOR_MAX).max(after);
        let found = (lowest..=highest + STEP_MAX).find_map(first);
        let of = |segment, first_lsn| Extent {
            file: own.file,
            segment,
            first_lsn,
            end_lsn: None,
            durable: 0,
        };
        let begun = |segment, lsn| scan::durable(frames, of(segment, lsn)) >= lsn;
        if let Some((segment, first_lsn)) = found {
            self.newest = self.newest.max(segment);
            if (segment < highest || begun(segment, first_lsn)) && !readable.contains(&segment) {
                return self.add_headless(own, segment, first_lsn);
            }
        }
        if let Some(last) = own.last {
            return self.add_headless(own, last.segment, last.first_lsn);
        }
        if found.is_some() {
            self.void.push((own.file, own.len));
            return Ok(());
        }
        if highest == 0 && (1..=STEP_MAX).any(|segment| begun(segment, 1)) {
            return Err(Refused::Corrupt("no segment of it can be read"));
        }
        if self.empty.contains(&own.file) {
            self.free.push((own.file, own.len));
        } else {
            self.unreadable.push(own);
        }
        Ok(())
    }

    fn add_headless(
        &mut self,
        own: Unreadable,
        segment: u64,
        first_lsn: u64,
    ) -> Result<(), Refused> {
        self.headless.push(segment);
        self.compared.push(own.file);
        let header = SegmentHeader {
            segment,
            store: self.store.unwrap_or(0),
            first_lsn,
            len: own.len,
            durable: 0,
            is_followed: false,
        };
        self.add(SegmentHeaderAt {
            file: own.file,
            header,
        })
    }

    /// A file that the checkpoint makes void: if its last copy is of a newer segment, its first one is of an earlier life.
    pub(super) fn compare_copies(&mut self, file: FileId, bytes: &[u8]) -> Result<(), Refused> {
        self.compared.push(file);
        let Some(at) = self.segments.iter().position(|own| own.file == file) else {
            return Ok(());
        };
        match format::decode_header(bytes, file.0, Copy::Last) {
            HeaderFound::Newer(_) => Err(Refused::Newer),
            HeaderFound::Valid(header) if header.segment > self.segments[at].header.segment => {
                self.is_of_this_store(&header)?;
                self.segments.remove(at);
                self.headless.push(header.segment);
                self.is_reordered = true;
                self.add(SegmentHeaderAt { file, header })
            }
            HeaderFound::Valid(header) if header.is_followed => {
                self.marked.push(header.segment);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// All void files are what they say, or another segment is there: then everything is looked at anew.
    pub(super) fn copies_are_compared(&mut self) -> Result<(), Refused> {
        let phase = std::mem::replace(&mut self.phase, Phase::Listing);
        let Phase::Void { checkpoint, .. } = phase else {
            return Ok(());
        };
        if std::mem::take(&mut self.is_reordered) {
            self.order_segments();
            return Ok(());
        }
        self.begin_forward(*checkpoint)
    }

    fn is_of_this_store(&mut self, header: &SegmentHeader) -> Result<(), Refused> {
        if *self.store.get_or_insert(header.store) != header.store {
            return Err(Refused::Corrupt("its files belong to different stores"));
        }
        self.newest = self.newest.max(header.segment);
        Ok(())
    }

    /// What the last copy of a segment's header says, if it is of this segment.
    pub(super) fn last_copy_of(&self, at: usize, bytes: &[u8]) -> Option<SegmentHeader> {
        let own = self.segments[at];
        let from = usize::try_from(format::place_of(Copy::Last, own.header.len)?).ok()?;
        match format::decode_header(bytes.get(from..)?, own.file.0, Copy::Last) {
            HeaderFound::Valid(last) if last.segment == own.header.segment => Some(last),
            _ => None,
        }
    }

    /// Adds a segment in its place.
    pub(super) fn add(&mut self, own: SegmentHeaderAt) -> Result<(), Refused> {
        let before = |other: &SegmentHeaderAt| other.header.segment < own.header.segment;
        let at = self.segments.partition_point(before);
        let next = self.segments.get(at);
        if next.is_some_and(|next| next.header.segment == own.header.segment) {
            return Err(Refused::Corrupt("two of its files hold the same segment"));
        }
        self.segments.insert(at, own);
        Ok(())
    }
}
