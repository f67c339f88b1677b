//! What a dead letter says of itself, and how it forgets it when it is redriven.

use std::sync::Arc;

use crate::model::limits::REASON_BYTES_MAX;
use crate::model::{Departure, HeaderValue, Properties, Time};

const REASON: &str = "x-dead-reason";
const QUEUE: &str = "x-dead-queue";
const ATTEMPTS: &str = "x-dead-attempts";
const DETAIL: &str = "x-dead-detail";
const AT: &str = "x-dead-at";
const REDRIVES: &str = "x-redrives";

/// The properties of a message once it is dead.
#[must_use]
pub fn dead_letter(
    properties: Option<&Arc<Properties>>,
    reason: Departure,
    queue: &str,
    attempts: u32,
    detail: Option<&str>,
    at: Time,
) -> Arc<Properties> {
    let mut dead = properties.map_or_else(Properties::default, |properties| (**properties).clone());
    let mut say = |name: &str, value| dead.headers.insert(name.to_owned(), value);
    say(REASON, HeaderValue::Str(reason.name().to_owned()));
    say(QUEUE, HeaderValue::Str(queue.to_owned()));
    say(ATTEMPTS, HeaderValue::Int(i64::from(attempts)));
    say(
        AT,
        HeaderValue::Timestamp(i64::try_from(at.0).unwrap_or(i64::MAX)),
    );
    match detail {
        Some(detail) => {
            say(DETAIL, HeaderValue::Str(shortened(detail).to_owned()));
        }
        None => {
            dead.headers.remove(DETAIL);
        }
    }
    Arc::new(dead)
}

/// The queue that a dead letter came from.
#[must_use]
pub fn origin(properties: Option<&Arc<Properties>>) -> Option<&str> {
    match properties?.headers.get(QUEUE)? {
        HeaderValue::Str(queue) => Some(queue),
        _ => None,
    }
}

/// The properties of a dead letter that starts a new life.
#[must_use]
pub fn redriven(properties: Option<&Arc<Properties>>) -> Arc<Properties> {
    let mut fresh =
        properties.map_or_else(Properties::default, |properties| (**properties).clone());
    for name in [REASON, QUEUE, ATTEMPTS, DETAIL, AT] {
        fresh.headers.remove(name);
    }
    let before = match fresh.headers.get(REDRIVES) {
        Some(HeaderValue::Int(count)) => *count,
        _ => 0,
    };
    let count = HeaderValue::Int(before.saturating_add(1));
    fresh.headers.insert(REDRIVES.to_owned(), count);
    Arc::new(fresh)
}

/// Cuts a reason to at most `REASON_BYTES_MAX`, between characters.
pub fn shorten(reason: &mut String) {
    reason.truncate(shortened(reason).len());
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(REASON_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let long = "é".repeat(REASON_BYTES_MAX);
        let dead = dead_letter(None, Departure::Rejected, "q", 1, Some(&long), Time(0));
        let Some(HeaderValue::Str(detail)) = dead.headers.get(DETAIL) else {
            panic!("no detail");
        };
        assert_eq!(detail.len(), REASON_BYTES_MAX);
        let fresh = redriven(Some(&dead));
        assert_eq!(fresh.headers.len(), 1);
        assert_eq!(fresh.headers.get(REDRIVES), Some(&HeaderValue::Int(1)));
    }
}
