//! Queues that end by themselves: unused for too long, left by their last consumer, or their session's own.

use crate::model::{Error, ErrorKind, QueueId, Result, SessionId, Time, quoted};
use crate::store::Record;
use crate::topology::DeclaredQueue;

use super::Engine;

impl Engine {
    /// A queue is used now, and its options may be new: the agenda looks when it could have been unused for too long.
    pub(super) fn watch_use(&mut self, index: u32) {
        let expires = self
            .topology
            .queue_at(index)
            .and_then(|queue| queue.spec.expires);
        let now = self.now;
        let line = self.line_at(index);
        line.used = now;
        line.unused_at = expires.map_or(Time::NEVER, |expires| now.after(expires));
        let at = line.unused_at;
        if at < Time::NEVER {
            self.watch(index, at);
        }
    }

    /// A queue may have been unused for as long as its `expires` says. It is in use while somebody waits at it, has a consumer open, or holds a message of it.
    pub(super) fn may_be_unused(&mut self, index: u32) {
        let (Some(queue), Some(id)) = (
            self.topology.queue_at(index),
            self.topology.queue_id_at(index),
        ) else {
            return;
        };
        let expires = queue.spec.expires;
        let now = self.now;
        let line = self.line_at(index);
        let in_use = line.consumers.has_anybody() || line.counts.leased > 0;
        let since = if in_use { now } else { line.used };
        line.unused_at = expires.map_or(Time::NEVER, |expires| since.after(expires));
        let at = line.unused_at;
        if at <= now {
            self.end_queue(id);
        } else if at < Time::NEVER {
            self.watch(index, at);
        }
    }

    /// A queue has one push consumer more, or one less: it may end with the last.
    pub(super) fn consumers_changed(&mut self, queue: QueueId) {
        let now = self.now;
        let Ok(line) = self.line(queue) else {
            return;
        };
        line.used = now;
        let open = line.consumers.consumers();
        let auto_delete = |queue: &DeclaredQueue| queue.spec.auto_delete;
        if open == 0 && self.topology.queue(queue).is_ok_and(auto_delete) {
            self.end_queue(queue);
        }
    }

    /// Errors: `QueueConflict` for an exclusive queue of another session.
    pub(super) fn check_owner(
        &mut self,
        queue: QueueId,
        name: &str,
        session: SessionId,
    ) -> Result<()> {
        match self.line(queue)?.owner {
            Some(owner) if owner != session && session != SessionId::NOBODY => Err(Error::new(
                ErrorKind::QueueConflict,
                format!(
                    "queue {} is exclusive: it belongs to the session that declared it, and goes with it; use another name",
                    quoted(name)
                ),
            )),
            _ => Ok(()),
        }
    }

    /// A session ends: its own queues go with it.
    pub(super) fn end_queues_of(&mut self, session: SessionId) {
        let lines = self.lines.iter().flatten();
        let own = lines.filter(|line| line.owner == Some(session));
        let own: Vec<QueueId> = own.map(|line| line.id).collect();
        for queue in own {
            self.end_queue(queue);
        }
    }

    /// A queue ends by itself: as if it were deleted.
    fn end_queue(&mut self, queue: QueueId) {
        self.record(&Record::QueueDeleted { queue });
        self.remove_queue(queue);
        // Dead letters that waited for room there have a place again.
        for source in self.holding.clone() {
            self.retry_held(source);
        }
    }
}
