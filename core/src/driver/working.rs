//! The thread that does what the disk is needed for when no caller waits who could. It is started with the store and ends with the last handle.

use std::sync::{OnceLock, Weak};
use std::thread::{self, Thread};

use crate::model::{Error, ErrorKind, Result};

use super::broker::Shared;

/// The thread, where the broker stores in files.
#[derive(Debug, Default)]
pub(super) struct Worker {
    thread: OnceLock<Thread>,
}

impl Worker {
    /// Errors: `StoreFailed` if the system gives no thread.
    pub fn start(&self, shared: Weak<Shared>) -> Result<()> {
        let spawned = thread::Builder::new()
            .name("ferrymq-disk".to_owned())
            .spawn(move || run(&shared));
        let handle = spawned.map_err(|error| {
            Error::new(
                ErrorKind::StoreFailed,
                format!("the store's thread could not be started: {error}"),
            )
        })?;
        let _ = self.thread.set(handle.thread().clone());
        Ok(())
    }

    /// There is something to do.
    pub fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

fn run(shared: &Weak<Shared>) {
    while let Some(broker) = shared.upgrade() {
        broker.work(|| false);
        drop(broker);
        thread::park();
    }
}
