//! The thread that wakes when something falls due. It is started when first needed and ends with the last handle.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, Weak};
use std::thread::{self, Thread};

use crate::model::Time;

use super::broker::Shared;

/// When the thread will look next, and the thread.
#[derive(Debug)]
pub(super) struct Timer {
    at: AtomicU64,
    thread: OnceLock<Thread>,
}

impl Timer {
    pub fn new() -> Timer {
        Timer {
            at: AtomicU64::new(Time::NEVER.0),
            thread: OnceLock::new(),
        }
    }

    /// Something falls due at `at`: the thread will look by then. Called with the engine's lock held, so that times arrive in order.
    #[inline]
    pub fn set(&self, at: Time, shared: impl FnOnce() -> Weak<Shared>) {
        if at.0 < self.at.load(Ordering::Relaxed) {
            self.bring_forward(at, shared());
        }
    }

    /// The same, where the thread runs already or nothing is due that a call has not set before.
    pub fn bring(&self, at: Time) {
        if at.0 < self.at.load(Ordering::Relaxed)
            && let Some(thread) = self.thread.get()
        {
            self.at.store(at.0, Ordering::Release);
            thread.unpark();
        }
    }

    #[cold]
    fn bring_forward(&self, at: Time, shared: Weak<Shared>) {
        self.at.store(at.0, Ordering::Release);
        self.thread.get_or_init(|| start(shared)).unpark();
    }

    /// The thread is about to sleep until `at`.
    fn sleeps_until(&self, at: Time) {
        self.at.store(at.0, Ordering::Release);
    }

    pub fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the driver is where threads are started"
)]
fn start(shared: Weak<Shared>) -> Thread {
    let spawned = thread::Builder::new()
        .name("ferrymq-timer".to_owned())
        .spawn(move || run(&shared));
    match spawned {
        Ok(handle) => handle.thread().clone(),
        // Without a thread, timers fire with the next call on the broker.
        Err(_) => thread::current(),
    }
}

fn run(shared: &Weak<Shared>) {
    while let Some(broker) = shared.upgrade() {
        let due = broker.fire_timers(|at| broker.timer.sleeps_until(at));
        let wait = broker.clock.until(due);
        drop(broker);
        match wait {
            Some(wait) if due < Time::NEVER => thread::park_timeout(wait),
            _ => thread::park(),
        }
    }
}
