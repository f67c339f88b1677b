//! Numbers from JavaScript as the engine's own types. JavaScript has checked kinds and signs; the engine checks the limits.

use ferrymq_core::engine::Wait;
use ferrymq_core::model::{Durability, Span, Time};

/// A moment in whole milliseconds.
pub fn time(ms: f64) -> Time {
    Time(ms as u64)
}

/// A duration; not a number: none was passed.
pub fn span(ms: f64) -> Option<Span> {
    (!ms.is_nan()).then_some(Span(ms as u64))
}

/// How long to wait: nothing, for ever (infinity), or so many milliseconds.
pub fn wait(now: Time, ms: f64) -> Wait {
    if ms <= 0.0 {
        Wait::No
    } else if ms == f64::INFINITY {
        Wait::Forever
    } else {
        Wait::Until(now.after(Span(ms as u64)))
    }
}

/// 0: none was passed.
pub fn durability(code: u32) -> Option<Durability> {
    match code {
        1 => Some(Durability::Memory),
        2 => Some(Durability::Written),
        3 => Some(Durability::Durable),
        _ => None,
    }
}
