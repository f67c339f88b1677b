//! From the newest segment back to the newest checkpoint, and from the oldest forward to the end of the log.

use super::{
    Found, FoundFrame, HEADER_SECTOR_BYTES, Opening, Phase, Refused, STEP_MAX, SegmentHeaderAt,
    frames_of, segment,
};
use crate::store::format::{self, About, FrameHeader, FrameKind};
use crate::store::record::{Record, Sealed};
use crate::store::scan::{Damage, Extent, Scan, scan};
use crate::store::soundness::is_sound;
use crate::store::writer::{Segment, Tail};

impl Opening {
    /// How far a segment's frames go. Between it and the next one nothing was recycled, because no later checkpoint was found.
    fn extent_before_checkpoint(&self, at: usize) -> Extent {
        let own = self.segments[at];
        let next = self.segments.get(at + 1);
        Extent {
            end_lsn: next.map(|next| next.header.first_lsn.saturating_sub(1)),
            ..extent(own)
        }
    }

    pub(super) fn look_back(&mut self, at: usize, bytes: Vec<u8>) -> Result<(), Refused> {
        let mut of = self.extent_before_checkpoint(at);
        let last = self.last_copy_of(at, &bytes);
        if let Some(last) = last.filter(|_| of.end_lsn.is_none()) {
            self.is_followed = last.is_followed;
            of.durable = last.durable;
            of.end_lsn = last.is_followed.then_some(last.durable);
        }
        let scan = scan(frames_of(&bytes, self.segments[at].header.len), of);
        if let Some(end) = of.end_lsn {
            self.ends.push((of.segment, end));
        }
        let checkpoint = scan
            .frames
            .iter()
            .rposition(|(header, _)| header.kind == FrameKind::Checkpoint);
        for (_, body) in &scan.frames[checkpoint.map_or(0, |at| at + 1)..] {
            let records = decoded(&bytes[body.clone()])?;
            self.note_recycled(&records);
        }
        let found = checkpoint.map(|at| &scan.frames[at]);
        let found = found.map(|(header, body)| frame(header, &bytes[body.clone()]));
        let found = found.transpose()?;
        self.read.push((of.segment, bytes));
        match found {
            Some(checkpoint) => {
                // What went after a later checkpoint, which is damaged, is needed with this one.
                self.recycled.retain(|own| *own < of.segment);
                self.begin_forward(checkpoint)
            }
            None if at > 0 => {
                self.phase = Phase::Back { at: at - 1 };
                Ok(())
            }
            // The very first frames were never safe: an empty store.
            None if of.first_lsn == 1
                && scan.frames.is_empty()
                && scan.damage.is_empty()
                && !self.is_followed =>
            {
                self.judge_unreadable(false);
                let hollow = self.hollow();
                let is_hollow = |own: &mut SegmentHeaderAt| hollow.contains(&own.header.segment);
                let void = self.segments.extract_if(.., is_hollow);
                self.void.extend(void.map(|own| (own.file, own.header.len)));
                self.phase = Phase::Forward { at: 0 };
                Ok(())
            }
            None => Err(Refused::Corrupt("it has no checkpoint that can be read")),
        }
    }

    /// What shows no sign of a segment may be one that is missing; if none is, it is nothing.
    pub(super) fn judge_unreadable(&mut self, is_missing: bool) {
        let unreadable = std::mem::take(&mut self.unreadable);
        if !is_missing {
            let files = unreadable.iter().map(|own| (own.file, own.len));
            return self.void.extend(files);
        }
        // Nor is a file that seems empty: its header may be what was lost.
        self.free.clear();
        for own in unreadable {
            self.damage.push(Damage {
                file: Some(own.file),
                segment: None,
                bytes: 0..own.len,
                lsns: None,
                about: About::Nothing,
            });
        }
    }

    fn note_recycled(&mut self, records: &[Record]) {
        for record in records {
            if let Record::Recycled { segment } = record {
                self.recycled.push(*segment);
            }
        }
    }

    /// The checkpoint says which segments there are and where each ends; what it does not name is void, what is not there is lost.
    pub(super) fn begin_forward(&mut self, checkpoint: FoundFrame) -> Result<(), Refused> {
        let Some(Record::Checkpoint { segments, .. }) = checkpoint.records.first() else {
            return Err(Refused::Corrupt("it has no checkpoint that can be read"));
        };
        let hollow = self.hollow();
        let stays = |own: &SegmentHeaderAt| {
            let id = own.header.segment;
            !hollow.contains(&id)
                && (segments.iter().any(|named| named.segment == id)
                    || self.read.iter().any(|own| own.0 == id))
                && !self.recycled.contains(&id)
        };
        let (kept, void): (Vec<_>, Vec<_>) = self.segments.iter().copied().partition(stays);
        let doubtful = void.iter().filter(|own| !self.compared.contains(&own.file));
        let left: Vec<_> = doubtful.map(|own| (own.file, own.header.len)).collect();
        if !left.is_empty() {
            self.phase = Phase::Void {
                left,
                checkpoint: Box::new(checkpoint),
            };
            return Ok(());
        }
        let mut is_missing = false;
        for named in segments.clone() {
            self.ends.push((named.segment, named.end_lsn));
            let there = |own: &SegmentHeaderAt| own.header.segment == named.segment;
            if !kept.iter().any(there) && !self.recycled.contains(&named.segment) {
                is_missing = true;
                self.misses(named);
            }
        }
        for own in void {
            self.voids(own);
        }
        self.segments = kept;
        self.judge_unreadable(is_missing);
        self.found.push(Found::Checkpoint(checkpoint));
        self.phase = Phase::Forward { at: 0 };
        Ok(())
    }

    pub(super) fn go_forward(&mut self, at: usize, bytes: &[u8]) -> Result<(), Refused> {
        let own = self.segments[at];
        let newest = at + 1 == self.segments.len();
        let ended = self.end_of(own.header.segment);
        let last = self.last_copy_of(at, bytes);
        if last.is_some_and(|last| last.is_followed) {
            self.marked.push(own.header.segment);
        }
        // The last copy of the one before may say that the first frame of this one was durable.
        let mut of = extent(own);
        of.durable = std::mem::take(&mut self.durable);
        match last {
            Some(last) if last.is_followed => self.durable = last.durable + 1,
            Some(last) => of.durable = of.durable.max(last.durable),
            None => {}
        }
        of.end_lsn = match last {
            _ if !newest => ended,
            Some(last) if last.is_followed => Some(last.durable),
            _ => None,
        };
        let bytes = frames_of(bytes, own.header.len);
        let scan = scan(bytes, of);
        let mut safe = Vec::new();
        for (header, body) in &scan.frames {
            safe.push(frame(header, &bytes[body.clone()])?);
        }
        self.phase = Phase::Forward { at: at + 1 };
        let mut again = Vec::new();
        if newest {
            if let Some(end) = of.end_lsn {
                // The end of the newest segment is known, so another one follows, and is not there. Its number is not used again, should it come back.
                self.newest += STEP_MAX;
                self.misses(Sealed {
                    segment: 0,
                    first_lsn: end + 1,
                    end_lsn: 0,
                });
            }
            let is_whole = !self.headless.contains(&of.segment) && !self.is_cut(own);
            // A newer segment of which nothing is promised is void for good once a segment after it says so; until then it looks like one that was safe before the next began.
            let is_last = self.newest == of.segment;
            let may_continue = of.end_lsn.is_none() && is_whole && is_last;
            self.tail = tail(bytes, of, &scan, may_continue);
            if self.tail.continues.is_none() {
                again = safe.split_off(safe.partition_point(|own| own.lsn <= self.tail.durable));
            }
        }
        if newest && self.tail.durable < of.first_lsn {
            // Nothing in it was promised to outlive power: what can be read is written again, and it is void.
            self.segments.pop();
            self.voids(own);
        } else {
            self.report(of, scan);
            self.found.push(Found::Segment {
                segment: of.segment,
                frames: safe,
            });
        }
        if !again.is_empty() {
            self.found.push(Found::Segment {
                segment: self.next_segment(),
                frames: again,
            });
        }
        Ok(())
    }

    /// A segment is void: its file can be used again.
    fn voids(&mut self, own: SegmentHeaderAt) {
        self.void.push((own.file, own.header.len));
        let id = own.header.segment;
        let newer = |other: Segment| other.id > id;
        if !self.marked.contains(&id) && !self.is_cut(own) && !self.newest_void.is_some_and(newer) {
            self.newest_void = Some(segment(&own, own.header.first_lsn.saturating_sub(1)));
        }
    }

    /// A segment is not there.
    fn misses(&mut self, segment: Sealed) {
        self.missing.push(segment);
        let last = match segment.end_lsn {
            0 => u64::MAX,
            known => known,
        };
        self.damage.push(Damage {
            file: None,
            segment: Some(segment.segment).filter(|known| *known > 0),
            bytes: 0..0,
            lsns: Some((segment.first_lsn, last)),
            about: About::Several,
        });
    }

    fn report(&mut self, of: Extent, scan: Scan) {
        if self.headless.contains(&of.segment) {
            self.damage.push(Damage {
                file: Some(of.file),
                segment: Some(of.segment),
                bytes: 0..HEADER_SECTOR_BYTES,
                lsns: None,
                about: About::Nothing,
            });
        }
        self.damage.extend(scan.damage);
    }
}

fn extent(own: SegmentHeaderAt) -> Extent {
    Extent {
        file: own.file,
        segment: own.header.segment,
        first_lsn: own.header.first_lsn,
        end_lsn: None,
        durable: 0,
    }
}

fn frame(header: &FrameHeader, body: &[u8]) -> Result<FoundFrame, Refused> {
    Ok(FoundFrame {
        lsn: header.lsn,
        time: header.time,
        is_checkpoint: header.kind == FrameKind::Checkpoint,
        records: decoded(body)?,
    })
}

/// A body whose checksum verifies was written so: what does not decode is a newer program's, and what no program writes is nothing to build on.
fn decoded(body: &[u8]) -> Result<Vec<Record>, Refused> {
    let records = format::decode(body).ok_or(Refused::Newer)?;
    match records.iter().all(is_sound) {
        true => Ok(records),
        false => Err(Refused::Corrupt(
            "a record of it says what no program writes",
        )),
    }
}

/// How the newest segment ends: what of it is not known to be durable is written again, because what was read may be in no more than a cache.
fn tail(bytes: &[u8], of: Extent, scan: &Scan, may_continue: bool) -> Tail {
    let mut durable = of.durable.max(of.first_lsn.saturating_sub(1));
    durable = durable.max(of.end_lsn.unwrap_or(0));
    for (header, _) in &scan.frames {
        durable = durable.max(header.durable);
    }
    for own in &scan.damage {
        let lost = own.lsns.filter(|(_, last)| *last < u64::MAX);
        durable = durable.max(lost.map_or(0, |(_, last)| last));
    }
    let last = scan.frames.last().map(|(header, _)| *header);
    let closed = last.is_some_and(|last| {
        last.kind == FrameKind::GroupEnd
            && durable + 1 == last.lsn
            && durable >= of.first_lsn
            && may_continue
            && scan.damage.is_empty()
            && !scan.is_followed
    });
    let mut frames = Vec::new();
    for (header, body) in &scan.frames {
        if header.lsn > durable {
            frames.push((*header, bytes[body.clone()].to_vec()));
        }
    }
    Tail {
        durable,
        continues: last
            .filter(|_| closed)
            .map(|last| (scan.last_at as u64, last)),
        next_segment: 0,
        void: None,
        frames,
    }
}
