//! The testing hooks: a clock moved by hand, a disk that completes when told.

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{Result, Time};

use super::Broker;
use super::disk::Disk;
use super::opening::files_of;
use super::state::{Delivery, State};

/// What a testing broker stores on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Nothing.
    Memory,
    /// A disk in memory whose syncs complete only when told, or when a segment of the log is full (after 256 KiB): the next begins only when it is safe.
    Manual,
    /// Files in this directory. Everything is synced before a call returns, so `sync` has nothing to do, and losing power loses no more than `kill`.
    Files(PathBuf),
}

/// Moves the clock and the disk of one broker.
///
/// ```
/// use ferrymq_core::driver::{Broker, Options, Storage};
/// use ferrymq_core::model::{Outgoing, Span, Time};
/// let (broker, testing) = Broker::open_testing(Options::default(), Storage::Memory)?;
/// let queue = broker.queue("q", Default::default())?;
/// queue.produce(Outgoing { delay: Some(Span(500)), ..Outgoing::new(&b"later"[..]) })?;
/// assert!(queue.consume(Some(Span(0)))?.is_none());
/// testing.advance_to(Time(500));
/// assert!(queue.consume(Some(Span(0)))?.is_some());
/// # Ok::<(), ferrymq_core::model::Error>(())
/// ```
#[derive(Clone)]
pub struct Testing {
    broker: Broker,
}

impl Testing {
    pub(super) fn new(broker: Broker) -> Testing {
        Testing { broker }
    }

    /// The clock. It starts at 0.
    #[must_use]
    pub fn now(&self) -> Time {
        self.broker.now()
    }

    /// Moves the clock; what falls due on the way fires in order. The clock never goes back.
    pub fn advance_to(&self, at: Time) {
        self.broker.shared.clock.move_to(at);
        self.broker.with_state(|state, now, woken| {
            state.engine.advance(now);
            state.pump(now, woken);
            state.expire_requests(now, woken);
        });
        self.broker.look();
    }

    /// Syncs everything that is written so far, and completes every sync that is outstanding.
    pub fn sync(&self) {
        self.broker.with_state(|state, now, woken| {
            begin_sync(state, now, woken);
            while state.complete_syncs(true, now, woken) {}
        });
    }

    /// The same, but the syncs fail.
    pub fn sync_fails(&self) {
        self.broker.with_state(|state, now, woken| {
            begin_sync(state, now, woken);
            state.complete_syncs(false, now, woken);
        });
    }

    /// The process is gone; what was written stays. Calls get `Closed` until `reopen`.
    pub fn kill(&self) {
        self.broker.with_state(|state, _, woken| {
            state.close(woken);
            if let Some(disk) = state.disk.manual() {
                disk.kill();
            }
        });
    }

    /// Power is gone; only what was synced stays. Calls get `Closed` until `reopen`.
    pub fn power_cut(&self) {
        self.broker.with_state(|state, _, woken| {
            state.close(woken);
            if let Some(disk) = state.disk.manual() {
                disk.power_cut();
            }
        });
    }

    /// Opens the store anew, under the same handle, with its first syncs completed. Queues keep their ids; deliveries of the earlier life are lost.
    /// Errors: `StoreFailed` if it cannot be opened.
    pub fn reopen(&self) -> Result<()> {
        self.broker.with_state(|state, now, woken| {
            state.close(woken);
            let mut config = state.config;
            config.epoch += 1;
            let disk = match self.broker.directory() {
                Some(directory) => files_of(directory, &mut config, true)?,
                None => std::mem::replace(&mut state.disk, Disk::Memory),
            };
            *state = State::open(config, disk, now, Arc::clone(&state.watch))?;
            Ok(())
        })
    }
}

fn begin_sync(state: &mut State, now: Time, woken: &mut Vec<Delivery>) {
    state.engine.request_sync(now);
    state.pump(now, woken);
}
