//! Once: a message whose dedup id its queue remembers is not put on it again; its producer gets the first one's id.

use std::sync::Arc;

use crate::model::limits::DEDUP_SLACK_PARTS;
use crate::model::{Durability, MessageId, Outgoing, QueueId, Span, Time};
use crate::produce::{Original, Remembered};
use crate::store::Record;

use super::room::Demand;
use super::{Engine, Outcome, Reply};

/// The frame that is now being filled, whatever its number will be.
pub(super) const THIS_FRAME: u64 = u64::MAX;

/// Ids that are on their way in together, before any queue remembers them.
#[derive(Default)]
pub(super) struct Together(Remembered);

impl Together {
    fn is_first(&mut self, index: u32, name: &str) -> bool {
        let name: Arc<str> = format!("{index} {name}").into();
        let ever = Span(u64::MAX);
        let is_first = self.0.find(&name, Default::default(), ever).is_none();
        if is_first {
            self.0.add(Original {
                name,
                message: MessageId(0),
                lsn: 0,
                at: Default::default(),
            });
        }
        is_first
    }
}

impl Engine {
    /// The message that a queue has accepted under the same dedup id within its window.
    #[inline]
    pub(super) fn original(&self, index: u32, message: &Outgoing) -> Option<&Original> {
        let name = message.dedup_id()?;
        self.remembered(index, name)
    }

    fn remembered(&self, index: u32, name: &str) -> Option<&Original> {
        let window = self.dedup_window(index)?;
        let line = self.lines.get(index as usize)?.as_ref()?;
        line.ids.as_ref()?.find(name, self.now, window)
    }

    pub(super) fn dedup_window(&self, index: u32) -> Option<Span> {
        self.topology.queue_at(index)?.spec.dedup_window
    }

    /// How a duplicate is answered: with the first message's id, once that is as safe as the duplicate asks. What is in memory only is never safer.
    pub(super) fn as_original(
        &self,
        index: u32,
        message: &Outgoing,
        level: Durability,
    ) -> Option<Outcome> {
        let original = self.original(index, message)?;
        let reply = Reply::Produced(original.message);
        Some(Outcome::InFrame(original.lsn, level, reply))
    }

    /// Accepts a message unless it is a duplicate. Gives the id of what is in the queue, and the frame that holds it.
    pub(super) fn accept_once(
        &mut self,
        index: u32,
        message: Outgoing,
        level: Durability,
    ) -> (MessageId, u64) {
        match self.original(index, &message) {
            Some(original) => (original.message, original.lsn),
            None => (self.accept(index, message, level), THIS_FRAME),
        }
    }

    /// Whether a message needs room: no queue remembers its dedup id, and none before it among those that come `together` has it.
    pub(super) fn is_fresh(&self, index: u32, message: &Outgoing, together: &mut Together) -> bool {
        let Some(name) = message.dedup_id() else {
            return true;
        };
        self.dedup_window(index).is_none()
            || (self.remembered(index, name).is_none() && together.is_first(index, name))
    }

    /// The room that messages need: none for those that are duplicates.
    pub(super) fn fresh_demand(&self, index: u32, messages: &[Outgoing]) -> Demand {
        let mut demand = Demand::default();
        let mut together = Together::default();
        for message in messages {
            if self.is_fresh(index, message, &mut together) {
                demand.add(message);
            }
        }
        demand
    }

    /// A queue with a window has accepted a message with a dedup id.
    pub(super) fn remember_id(&mut self, index: u32, original: Original) {
        let Some(window) = self.dedup_window(index) else {
            return;
        };
        let over = original.at.after(window);
        let seed = self.config.seed;
        let line = self.line_at(index);
        let ids = line
            .ids
            .get_or_insert_with(|| Box::new(Remembered::new(seed)));
        let cost = ids.add(original);
        line.forgets_at = line.forgets_at.min(over);
        // Whoever waits for room with the same id need not wait any longer.
        if !line.producers.is_empty() {
            self.freed.insert(index);
        }
        self.memory += cost;
        self.watch(index, over);
    }

    /// A queue's window is altered. What is over by the old or the new one is forgotten for good, and the log says so: replaying it later must not find it within a third.
    pub(super) fn alter_window(&mut self, queue: QueueId, new: Option<Span>) {
        let old = self.dedup_window(queue.index);
        if let Some(old) = old.filter(|_| old != new) {
            let window = old.min(new.unwrap_or(Span(0)));
            let at = self.now;
            self.record(&Record::Forgotten { queue, at, window });
            self.forget_over(queue.index, at, window);
        }
    }

    /// Forgets the ids whose window is over.
    pub(super) fn forget_ids(&mut self, index: u32) {
        let window = self.dedup_window(index).unwrap_or(Span(0));
        self.forget_over(index, self.now, window);
    }

    /// Forgets the ids whose window was over at a moment, and looks again when the next ones' are.
    pub(super) fn forget_over(&mut self, index: u32, now: Time, window: Span) {
        let line = self.line_at(index);
        line.forgets_at = Time::NEVER;
        let Some(ids) = &mut line.ids else {
            return;
        };
        let freed = ids.forget(now, window);
        match ids.oldest() {
            None => line.ids = None,
            Some(oldest) => {
                let slack = Span(window.0 / DEDUP_SLACK_PARTS + 1);
                line.forgets_at = oldest.after(window).max(now.after(slack));
                let next = line.forgets_at;
                self.watch(index, next);
            }
        }
        self.give_memory_back(freed);
    }

    /// Memory has become free: whoever waits for it may come in.
    pub(super) fn give_memory_back(&mut self, bytes: u64) {
        self.memory -= bytes;
        if self.memory_short && bytes > 0 {
            self.memory_short = false;
            self.freed.extend(self.blocked.iter().copied());
        }
    }
}
