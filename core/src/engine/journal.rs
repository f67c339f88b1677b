//! The hall's side of the log: what is recorded, what waits for it, what its outcomes let go.

use crate::model::Departure;
use crate::model::limits::SYNC_DELAY_MS_MAX;
use crate::model::{CallId, Durability, Error, ErrorKind, MessageId, Result, SessionId, Time};
use crate::produce::Watermark;
use crate::reclaim::Note;
use crate::store::{About, DiskOutcome, LogError, Progress, Record, Refused, TicketId};

use super::calls::Waits;
use super::once::THIS_FRAME;
use super::recover::Replay;
use super::{Answer, Engine, Noticed, Outcome, Reply, Wait};

impl Engine {
    /// Adds a record to the frame of this step.
    pub(super) fn record(&mut self, record: &Record) {
        let about = match record {
            Record::Accepted(accepted) => About::Queue(accepted.queue.index),
            Record::Queue { queue, .. }
            | Record::QueueDeleted { queue }
            | Record::Forgotten { queue, .. } => About::Queue(queue.index),
            Record::Recycled { .. }
            | Record::Session { .. }
            | Record::SessionForgotten { .. }
            | Record::Answered { .. } => About::Nothing,
            _ => About::Several,
        };
        self.record_of(about, record);
    }

    /// The same for what does not name its queue itself.
    pub(super) fn record_of(&mut self, about: About, record: &Record) {
        if let Some(log) = self.log.as_mut().filter(|log| log.is_open()) {
            log.add(record, about);
            match record {
                Record::Accepted(accepted) => self.notes.push(Note::Accepted(accepted.id)),
                Record::Moved(moved) => {
                    self.notes.extend(moved.from.map(Note::About));
                    self.notes.push(Note::Accepted(moved.to.id));
                }
                Record::Leased { message, .. }
                | Record::Returned { message, .. }
                | Record::Held { message, .. }
                | Record::Removed { message, .. } => self.notes.push(Note::About(*message)),
                _ => {}
            }
        }
    }

    /// Puts the frame of this step into the log, a checkpoint behind it where a segment has begun. Gives the last frame.
    pub(super) fn seal(&mut self) -> u64 {
        let now = self.now.0;
        let Some(log) = self.log.as_mut().filter(|log| log.is_open()) else {
            return 0;
        };
        if !log.has_frame() && !log.wants_checkpoint() {
            // What has gone without a word, with its queue or from memory, was noted all the same.
            self.settle_notes();
            return self.log.as_ref().map_or(0, |log| log.last_lsn());
        }
        let lsn = log.commit(now);
        self.settle_notes();
        if self.log.as_ref().is_some_and(|log| log.wants_checkpoint()) {
            self.write_checkpoint();
        }
        lsn
    }

    /// Brings what this step noted to the account of the segment that it was written to.
    pub(super) fn settle_notes(&mut self) {
        let (segment, lsn) = self
            .log
            .as_ref()
            .map_or((0, 0), |log| (log.current_segment(), log.last_lsn()));
        if self.reclaim.newest() < segment {
            self.reclaim.begin(segment);
        }
        self.settle_notes_of(lsn);
    }

    /// The same for a frame that was found.
    pub(super) fn settle_notes_of(&mut self, lsn: u64) {
        for note in self.notes.drain(..) {
            self.reclaim.note(note, lsn);
        }
    }

    fn write_checkpoint(&mut self) {
        let records = self.checkpoint();
        let last_message = self.last_message();
        let generation_floor = self.topology.unused_generation();
        let epoch = self.config.epoch;
        if let Some(log) = &mut self.log {
            let head = |segments| Record::Checkpoint {
                last_message,
                generation_floor,
                epoch,
                segments,
            };
            log.write_checkpoint(head, &records, self.now.0);
        }
        self.settle_notes();
    }

    /// Lets go the segments that nothing needs any more. That they go is a record of this step.
    fn recycle_segments(&mut self) {
        while let Some(log) = &self.log
            && let Some(checkpoint) = log.safe_checkpoint()
            && let Some(segment) = self.reclaim.recycle(checkpoint, |own| log.is_intact(own))
        {
            self.record(&Record::Recycled { segment });
            if let Some(log) = &mut self.log {
                log.recycle(segment);
            }
        }
    }

    /// Remembers the reason that was last given for a message.
    pub(super) fn remember(&mut self, message: MessageId, reason: Option<String>) {
        if let Some(mut reason) = reason {
            crate::settle::shorten(&mut reason);
            self.reasons.insert(message, reason);
        }
    }

    /// Closes the frame of this step. What waits for no sync gets one within the named delay.
    pub(super) fn close_frame(&mut self) {
        self.seal();
        let Some(log) = &mut self.log else {
            return;
        };
        if (log.needs_sync() || log.can_end()) && self.sync_due == Time::NEVER {
            self.sync_due = self.now.after(SYNC_DELAY_MS_MAX);
            self.next_due = self.next_due.min(self.sync_due);
        }
    }

    /// Asks for a sync of everything that is recorded; a test's `sync` begins with it.
    pub fn request_sync(&mut self, now: Time) {
        self.advance(now);
        self.close_frame();
        self.sync_now();
    }

    /// Brings the log to an end in order. Gives true once everything is safe and the log says so; to be asked again after each outcome.
    pub fn settle_log(&mut self, now: Time) -> bool {
        self.advance(now);
        self.close_frame();
        self.sync_in_time();
        self.log.as_ref().is_none_or(|log| log.is_settled())
    }

    /// Whether something is written for which no sync is asked yet.
    #[must_use]
    pub fn needs_sync(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.needs_sync())
    }

    /// Whether nothing goes on before a sync is done, though nobody asked for one: a segment of the log is full.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.is_held_up())
    }

    pub(super) fn sync_now(&mut self) {
        if let Some(log) = &mut self.log {
            let last = log.last_lsn();
            log.want_sync(last);
        }
    }

    /// The time for what waits for none: a sync of what is written, or, where everything is safe, a frame that says so.
    pub(super) fn sync_in_time(&mut self) {
        if let Some(log) = &mut self.log {
            if log.can_end() {
                log.end(self.now.0);
            } else {
                let last = log.last_lsn();
                log.want_sync(last);
            }
        }
    }

    /// Answers now if a frame (at the latest the one of this step) is as safe as asked, else when it is.
    #[cfg_attr(not(target_arch = "wasm32"), inline(always))]
    pub(super) fn confirm(&mut self, lsn: u64, level: Durability, reply: Reply) -> Answer {
        let Some(lsn) = self.wait_for(lsn, level) else {
            return Answer::Done(Ok(reply));
        };
        match self.wait_until(Waits::Confirm, Wait::Forever, None) {
            Ok(call) => {
                self.confirms.wait(lsn, level, call, reply);
                Answer::Pending(call)
            }
            Err(error) => Answer::Done(Err(error)),
        }
    }

    /// The same for a call that is pending already.
    pub(super) fn conclude_later(&mut self, call: CallId, outcome: Outcome) {
        if !self.keep_awaited(call, &outcome) {
            return;
        }
        let (lsn, level, reply) = match outcome {
            Outcome::Now(reply) => return self.resolve(call, Ok(reply)),
            Outcome::Once(level, reply) => (THIS_FRAME, level, reply),
            Outcome::InFrame(lsn, level, reply) => (lsn, level, reply),
            Outcome::Waits(_) => return,
        };
        match self.wait_for(lsn, level) {
            Some(lsn) => self.confirms.wait(lsn, level, call, reply),
            None => self.resolve(call, Ok(reply)),
        }
    }

    /// The frame that an answer has to wait for; `None` if it need not wait.
    #[inline]
    pub(super) fn wait_for(&mut self, lsn: u64, level: Durability) -> Option<u64> {
        self.log.as_ref()?;
        let lsn = self.seal().min(lsn);
        let log = self.log.as_mut()?;
        if self.watermark.covers(lsn, level) {
            return None;
        }
        match level {
            Durability::Durable => log.want_sync(lsn),
            Durability::Written | Durability::Memory => log.want_written(lsn),
        }
        Some(lsn)
    }

    pub(super) fn wait_until(
        &mut self,
        waits: Waits,
        wait: Wait,
        session: Option<SessionId>,
    ) -> Result<CallId> {
        let call = self.calls.add(waits, wait, session)?;
        if let Wait::Until(at) = wait {
            self.next_due = self.next_due.min(at);
        }
        Ok(call)
    }

    /// Takes in what became of a ticket, and lets go what waited for it.
    pub(super) fn take_in(&mut self, ticket: TicketId, outcome: DiskOutcome) {
        let Some(log) = &mut self.log else {
            return;
        };
        match log.io_done(ticket, outcome) {
            Err(error) => self.fail(&error),
            Ok(progress) => {
                self.keep_up(progress);
                while let Some(found) = self.log.as_mut().and_then(|log| log.take_found()) {
                    self.take_found(found);
                }
                if !self.opened && matches!(self.replay, Replay::Over) {
                    // Nobody sees what a crash could still take back: open once all that the opening led to is synced.
                    self.seal();
                    self.sync_now();
                    let last = self.log.as_ref().map_or(0, |log| log.last_lsn());
                    self.opened = self.watermark.synced >= last;
                }
                self.let_go();
                self.recycle_segments();
            }
        }
    }

    /// Notes how far the log has come.
    pub(super) fn keep_up(&mut self, progress: Progress) {
        self.watermark = Watermark {
            written: progress.written,
            synced: progress.synced,
        };
    }

    /// Confirms what is now safe and shows what may now be seen.
    fn let_go(&mut self) {
        let watermark = self.watermark;
        while let Some((call, reply)) = self.confirms.next(watermark) {
            self.calls.remove(call);
            self.resolve(call, Ok(reply));
        }
        for index in std::mem::take(&mut self.hiding) {
            while let Some(Some(line)) = self.lines.get_mut(index as usize)
                && let Some(hidden) = line
                    .waiting
                    .unhide(|hidden| watermark.covers(hidden.lsn, hidden.level))
            {
                let position = hidden.position;
                match self.messages.get(position.slot) {
                    Some(resident) if resident.id != position.id => {}
                    Some(resident) if resident.expires_at <= self.now => {
                        self.die(position.slot, Departure::Expired, None);
                    }
                    Some(_) => self.reveal(index, position, hidden.due),
                    None => {}
                }
            }
            if let Some(Some(line)) = self.lines.get(index as usize)
                && line.waiting.is_hiding()
            {
                self.hiding.insert(index);
            }
        }
    }

    /// An I/O error: from now on nothing succeeds, and who waits cannot know what the store will say.
    fn fail(&mut self, error: &LogError) {
        self.failed = true;
        let what = match error {
            LogError::Disk(what) => what.as_str(),
            LogError::Refused(Refused::Newer) => "it was written by a newer version",
            LogError::Refused(Refused::Corrupt(what)) => what,
        };
        if let LogError::Refused(why) = error {
            self.refused = Some(why.clone());
        }
        self.notice(u32::MAX, Noticed::StoreFailed);
        // Some who wait for the log waited for something else before, and stand in its list only.
        let mut calls = self.confirms.drain();
        for call in &calls {
            self.calls.remove(*call);
        }
        calls.extend(self.calls.drain());
        for call in calls {
            let error = Error::new(
                ErrorKind::Indeterminate,
                format!(
                    "the store failed while this call waited ({what}): its outcome is unknown; open the store anew and look"
                ),
            );
            self.resolve(call, Err(error));
        }
    }
}
