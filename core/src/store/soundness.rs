//! What no program writes: numbers beyond every bound. Checksums keep out what a disk does to bytes, not what somebody put there, and who takes in the records adds and counts with what they say.

use crate::model::limits::{EXCHANGES_MAX, LOG_NUMBER_MAX, QUEUES_MAX, SESSION_OUTCOMES_MAX};
use crate::model::{QueueSpec, QueueStats};

use super::record::{Accepted, Record};

/// Whether a program that keeps its limits can have written it. This depends on the record alone, so that a store which opens opens again.
pub(super) fn is_sound(record: &Record) -> bool {
    match record {
        Record::Checkpoint {
            last_message,
            segments,
            ..
        } => {
            let mut numbers = segments
                .iter()
                .flat_map(|own| [own.segment, own.first_lsn, own.end_lsn]);
            is_number(last_message.0) && numbers.all(is_number)
        }
        Record::Queue { queue, name, spec } => {
            (queue.index as usize) < QUEUES_MAX && !name.is_empty() && is_sound_spec(name, spec)
        }
        Record::Counts { stats, .. } => are_sound(stats),
        Record::Accepted(accepted) | Record::SameBody(accepted) => is_sound_message(accepted),
        Record::Moved(moved) => is_sound_message(&moved.to),
        Record::Exchange { exchange, name, .. } => {
            (exchange.index as usize) < EXCHANGES_MAX && !name.is_empty()
        }
        Record::Remembered { message, .. } => is_number(message.0),
        Record::Recycled { segment } => is_number(*segment),
        Record::Session { seen, heard, .. } => is_number(*seen) && is_number(heard.0),
        Record::Answered {
            number, seen, at, ..
        } => {
            let unseen = number.checked_sub(*seen);
            is_number(*number)
                && is_number(at.0)
                && unseen.is_some_and(|unseen| (1..=SESSION_OUTCOMES_MAX).contains(&unseen))
        }
        Record::SessionForgotten { .. }
        | Record::QueueDeleted { .. }
        | Record::Leased { .. }
        | Record::Returned { .. }
        | Record::Held { .. }
        | Record::Removed { .. }
        | Record::ExchangeDeleted { .. }
        | Record::Bound { .. }
        | Record::Unbound { .. }
        | Record::Forgotten { .. } => true,
    }
}

fn is_sound_spec(name: &str, spec: &QueueSpec) -> bool {
    spec.with(name, &Default::default()).is_ok()
}

fn is_sound_message(accepted: &Accepted) -> bool {
    is_number(accepted.id.0)
}

fn is_number(number: u64) -> bool {
    number < LOG_NUMBER_MAX
}

fn are_sound(stats: &QueueStats) -> bool {
    [
        stats.produced,
        stats.acked,
        stats.nacked,
        stats.rejected,
        stats.released,
        stats.expired,
        stats.dead_lettered,
        stats.redelivered,
        stats.dropped,
    ]
    .into_iter()
    .all(is_number)
}
