//! The clock: real, or moved by hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::Time;

/// Milliseconds that never run back: wall time at the start, then the monotonic clock.
#[derive(Debug)]
pub(super) enum Clock {
    Real { base: u64, start: Instant },
    Manual(AtomicU64),
}

impl Clock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the driver is where clocks are read"
    )]
    pub fn real() -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Clock::Real {
            base: wall.map_or(0, |wall| wall.as_millis() as u64),
            start: Instant::now(),
        }
    }

    pub fn manual() -> Clock {
        Clock::Manual(AtomicU64::new(0))
    }

    #[inline]
    pub fn now(&self) -> Time {
        match self {
            Clock::Real { base, start } => Time(base + start.elapsed().as_millis() as u64),
            Clock::Manual(now) => Time(now.load(Ordering::Acquire)),
        }
    }

    /// Whether it moves by itself.
    #[inline]
    pub fn is_real(&self) -> bool {
        matches!(self, Clock::Real { .. })
    }

    /// How long until a moment; `None` when only a hand moves the clock there.
    pub fn until(&self, at: Time) -> Option<Duration> {
        match self {
            Clock::Real { base, start } => {
                let target = Duration::from_millis(at.0.saturating_sub(*base));
                Some(target.saturating_sub(start.elapsed()))
            }
            Clock::Manual(_) => None,
        }
    }

    pub fn move_to(&self, at: Time) {
        if let Clock::Manual(now) = self {
            now.fetch_max(at.0, Ordering::AcqRel);
        }
    }
}
