//! The clock: real, or moved by hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::Time;

/// Milliseconds that never run back: wall time at the start, then the monotonic clock.
#[derive(Debug)]
pub(super) enum Clock {
    Real {
        base: u64,
        start: Instant,
        ticks: Ticks,
    },
    Manual(AtomicU64),
}

impl Clock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the driver is where clocks are read"
    )]
    pub fn real() -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let base = wall.map_or(0, |wall| wall.as_millis() as u64);
        let start = Instant::now();
        Clock::Real {
            base,
            start,
            ticks: Ticks::new(base, start),
        }
    }

    pub fn manual() -> Clock {
        Clock::Manual(AtomicU64::new(0))
    }

    #[inline]
    pub fn now(&self) -> Time {
        match self {
            Clock::Real { base, start, .. } => Time(base + start.elapsed().as_millis() as u64),
            Clock::Manual(now) => Time(now.load(Ordering::Acquire)),
        }
    }

    /// The time as of the last tick of the system's clock: at most 4 ms behind `now`, and several times cheaper. For what is only stamped with it (a message's acceptance, the begin of
    /// a lease), not for what is waited for.
    #[inline]
    pub fn last_tick(&self) -> Time {
        match self {
            Clock::Real { ticks, .. } => ticks.now(),
            Clock::Manual(_) => self.now(),
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
            Clock::Real { base, start, .. } => {
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

/// The coarse clock where the system has one.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(super) struct Ticks {
    /// What the engine's time is ahead of the system's monotonic clock, milliseconds.
    ahead: u64,
}

#[cfg(target_os = "linux")]
impl Ticks {
    fn new(base: u64, _start: Instant) -> Ticks {
        Ticks {
            ahead: base.saturating_sub(milliseconds(rustix::time::ClockId::Monotonic)),
        }
    }

    #[inline]
    fn now(&self) -> Time {
        Time(self.ahead + milliseconds(rustix::time::ClockId::MonotonicCoarse))
    }
}

#[cfg(target_os = "linux")]
#[inline]
fn milliseconds(clock: rustix::time::ClockId) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// Elsewhere the exact clock serves.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) struct Ticks {
    base: u64,
    start: Instant,
}

#[cfg(not(target_os = "linux"))]
impl Ticks {
    fn new(base: u64, start: Instant) -> Ticks {
        Ticks { base, start }
    }

    #[inline]
    fn now(&self) -> Time {
        Time(self.base + self.start.elapsed().as_millis() as u64)
    }
}
