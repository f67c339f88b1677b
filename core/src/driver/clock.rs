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
        Clock::real_since(Time(wall.map_or(0, |wall| wall.as_millis() as u64)))
    }

    /// A real clock that says `begin` now: for a store whose log is ahead of the wall's clock.
    pub fn real_since(begin: Time) -> Clock {
        let base = begin.0;
        let start = Instant::now();
        Clock::Real {
            base,
            start,
            ticks: Ticks::new(base, start),
        }
    }

    /// The same clock, or one that says `time` now if that is later: a store's log may be ahead of the wall's clock.
    pub fn not_before(self, time: Time) -> Clock {
        match self {
            Clock::Real { .. } if time > self.now() => Clock::real_since(time),
            Clock::Real { .. } => self,
            Clock::Manual(now) => Clock::Manual(AtomicU64::new(now.into_inner().max(time.0))),
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
    base: u64,
    /// The system's monotonic clock at the start, nanoseconds: not before the exact clock's, so that this one is never ahead of it.
    start: u64,
}

#[cfg(target_os = "linux")]
impl Ticks {
    fn new(base: u64, _start: Instant) -> Ticks {
        Ticks {
            base,
            start: nanoseconds(rustix::time::ClockId::Monotonic),
        }
    }

    #[inline]
    fn now(&self) -> Time {
        let now = nanoseconds(rustix::time::ClockId::MonotonicCoarse);
        Time(self.base + now.saturating_sub(self.start) / 1_000_000)
    }
}

#[cfg(target_os = "linux")]
#[inline]
fn nanoseconds(clock: rustix::time::ClockId) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
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
