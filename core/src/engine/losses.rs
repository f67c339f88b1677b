//! What damage means for who uses the queues: which messages of which queues may be lost, and what is still served.

use std::fmt;

use crate::model::MessageId;
use crate::store::{About, Damage, FoundFrame, Record};

use super::Engine;

/// Something that was promised, and that may not be there because what said so could not be read when the store was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where: file, bytes, log sequence numbers.
    pub damage: Damage,
    /// The names of the queues that it may be about, sorted; a queue that was declared there is lost itself. None: nothing of any queue is lost.
    pub queues: Vec<String>,
    /// The first and last id of the messages that may have been accepted there; `u64::MAX` as the last: nobody can say. `None`: no message was accepted there.
    pub messages: Option<(MessageId, MessageId)>,
}

/// Frames that were not found, and between which messages they stood.
#[derive(Clone, Copy, Debug)]
struct Gap {
    lsns: (u64, u64),
    after: MessageId,
    before: Option<MessageId>,
}

/// What is noticed of missing frames while the log is replayed.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    gaps: Vec<Gap>,
    lsn: u64,
    message: MessageId,
}

impl Gaps {
    /// Takes in a frame, in the order of the log.
    pub fn take(&mut self, frame: &FoundFrame) {
        if frame.lsn > self.lsn + 1 {
            self.gaps.push(Gap {
                lsns: (self.lsn + 1, frame.lsn - 1),
                after: self.message,
                before: None,
            });
        }
        self.lsn = frame.lsn;
        for record in &frame.records {
            match record {
                Record::Checkpoint { last_message, .. } => self.pass(*last_message, 1),
                Record::Accepted(accepted) => self.pass(accepted.id, 0),
                Record::Moved(moved) => self.pass(moved.to.id, 0),
                _ => {}
            }
        }
    }

    /// A message, or the last one before a checkpoint: what was accepted in the gaps before has a lower id.
    fn pass(&mut self, message: MessageId, of_checkpoint: u64) {
        for gap in self.gaps.iter_mut().rev() {
            if gap.before.is_some() {
                break;
            }
            gap.before = Some(MessageId(message.0 + of_checkpoint));
        }
        self.message = self.message.max(message);
    }

    /// The messages that may have been accepted in these frames.
    fn messages(&self, (first, last): (u64, u64)) -> Option<(MessageId, MessageId)> {
        let gap = self.gaps.iter().find(|gap| gap.lsns.1 >= first);
        let after = match gap {
            Some(gap) => gap.after,
            None if first > self.lsn => self.message,
            // It was missing before, and the log goes on in its place: nobody can say.
            None => MessageId(0),
        };
        let before = gap.and_then(|gap| gap.before).filter(|_| last < u64::MAX);
        let range = (
            MessageId(after.0 + 1),
            MessageId(before.map_or(u64::MAX, |before| before.0 - 1)),
        );
        (range.0 <= range.1).then_some(range)
    }
}

impl Engine {
    /// What was promised and may not be there, because it could not be read when the store was opened. Everything else is served.
    #[must_use]
    pub fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// Says what the damage that was found means.
    pub(super) fn judge_losses(&mut self, gaps: &Gaps) {
        let damage = self.damage().to_vec();
        let losses = damage.into_iter().map(|damage| {
            let messages = damage.lsns.and_then(|lsns| gaps.messages(lsns));
            let queues = match damage.about {
                About::Nothing => Vec::new(),
                About::Queue(index) => {
                    let queue = self.topology.queue_at(index);
                    queue.map(|queue| queue.name.clone()).into_iter().collect()
                }
                About::Several => {
                    let queues = self.topology.queues();
                    queues.map(|(name, _)| name.to_owned()).collect()
                }
            };
            let messages = messages.filter(|_| damage.about != About::Nothing);
            Loss {
                damage,
                queues,
                messages,
            }
        });
        self.losses = losses.collect();
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage {
            file,
            segment,
            bytes,
            lsns,
            ..
        } = &self.damage;
        match file {
            Some(file) => write!(
                out,
                "bytes {} to {} of file {} cannot be read",
                bytes.start, bytes.end, file.0
            )?,
            None => write!(out, "a file is missing")?,
        }
        if let Some(segment) = segment {
            write!(out, " (segment {segment})")?;
        }
        match lsns {
            Some((first, u64::MAX)) => write!(out, "; records from {first} on are lost")?,
            Some((first, last)) => write!(out, "; records {first} to {last} are lost")?,
            None => {}
        }
        if self.queues.is_empty() {
            return write!(out, "; no message is lost, everything is served");
        }
        write!(
            out,
            "; queues that it may be about: {}",
            self.queues.join(", ")
        )?;
        match self.messages {
            Some((first, MessageId(u64::MAX))) => {
                write!(out, "; messages from id {} on may be lost", first.0)?;
            }
            Some((first, last)) => {
                write!(out, "; messages {} to {} may be lost", first.0, last.0)?;
            }
            None => write!(out, "; no message is lost, but what became of some may be")?,
        }
        write!(
            out,
            "; what was acked there may come again; everything else is served. Keep a copy of the directory, and produce again what is missing"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::FileId;

    fn loss(about: About, queues: &[&str], messages: Option<(u64, u64)>) -> String {
        let loss = Loss {
            damage: Damage {
                file: Some(FileId(3)),
                segment: Some(7),
                bytes: 512..640,
                lsns: Some((4, 5)),
                about,
            },
            queues: queues.iter().map(|name| (*name).to_owned()).collect(),
            messages: messages.map(|(first, last)| (MessageId(first), MessageId(last))),
        };
        loss.to_string()
    }

    #[test]
    fn a_loss_says_where_it_is_and_what_it_means() {
        let named = loss(About::Queue(0), &["orders"], Some((12, 14)));
        for part in [
            "bytes 512 to 640 of file 3",
            "segment 7",
            "records 4 to 5",
            "orders",
            "messages 12 to 14",
            "everything else is served",
        ] {
            assert!(named.contains(part), "{named}");
        }
        let nothing = loss(About::Nothing, &[], None);
        assert!(nothing.contains("no message is lost"), "{nothing}");
    }

    fn frame(lsn: u64, last_message: u64) -> FoundFrame {
        FoundFrame {
            lsn,
            time: 0,
            is_checkpoint: true,
            records: vec![Record::Checkpoint {
                last_message: MessageId(last_message),
                generation_floor: 0,
                epoch: 1,
                segments: Vec::new(),
            }],
        }
    }

    #[test]
    fn a_gap_names_the_messages_between_its_neighbours() {
        let mut gaps = Gaps::default();
        for (lsn, last) in [(1, 10), (2, 10), (5, 17), (6, 20)] {
            gaps.take(&frame(lsn, last));
        }
        let ids = |first, last| Some((MessageId(first), MessageId(last)));
        assert_eq!(gaps.messages((3, 4)), ids(11, 17));
        assert_eq!(
            gaps.messages((7, u64::MAX)),
            ids(21, u64::MAX),
            "at the end"
        );
        assert_eq!(gaps.messages((5, u64::MAX)), ids(1, u64::MAX), "long ago");
    }
}
