//! A broker that stores in a directory.

use std::path::{Path, absolute};

use crate::engine::{Config, Loss};
use crate::model::{Error, ErrorKind, Result};
use crate::store::Damage;

use super::broker::{Broker, Options};
use super::clock::Clock;
use super::disk::Disk;
use super::files::{Files, said};
use super::owner::Owner;
use super::random_number;

impl Broker {
    /// The broker stored in a directory, which is made if it is not there (the one above must be). One process at a time has it open, under one handle and its clones.
    ///
    /// Errors: `InvalidArgument` for options out of range and for what is no store, `StoreLocked` if it is open elsewhere, `StoreCorrupt` if too much of it cannot be read to go on,
    /// `StoreFailed` if the system refuses or a newer version wrote it. Nothing is changed then.
    ///
    /// ```
    /// use ferrymq_core::driver::{Broker, Options};
    /// # let directory = std::env::temp_dir().join(format!("ferrymq-doc-{}", std::process::id()));
    /// let broker = Broker::open_path(&directory, Options::default())?;
    /// broker.queue("orders", Default::default())?.produce(&b"kept"[..])?;
    /// broker.close();
    /// let again = Broker::open_path(&directory, Options::default())?;
    /// let delivery = again.existing_queue("orders")?.consume(None)?.expect("it was kept");
    /// assert_eq!(delivery.body(), b"kept");
    /// # drop((delivery, again));
    /// # let _ = std::fs::remove_dir_all(directory);
    /// # Ok::<(), ferrymq_core::model::Error>(())
    /// ```
    pub fn open_path(directory: impl AsRef<Path>, options: Options) -> Result<Broker> {
        let mut config = options.config()?;
        let disk = files_of(directory.as_ref(), &mut config, false)?;
        Broker::with(config, Clock::real(), disk)
    }

    /// What was durable and could not be read when the store was opened. Everything else is served.
    #[must_use]
    pub fn damage(&self) -> Vec<Damage> {
        self.with_state(|state, _, _| state.engine.damage().to_vec())
    }

    /// What that means for queues and messages.
    #[must_use]
    pub fn losses(&self) -> Vec<Loss> {
        self.with_state(|state, _, _| state.engine.losses().to_vec())
    }
}

/// The files of a store, which from here on is this process's. `at_once`: for tests, everything that is asked of them is done before the lock is opened.
pub(super) fn files_of(given: &Path, config: &mut Config, at_once: bool) -> Result<Disk> {
    // What is meant now, wherever the process goes later.
    let directory = absolute(given).map_err(|error| {
        Error::invalid(format!(
            "{} is no path of a directory: {error}",
            given.display()
        ))
    })?;
    let owner = Owner::take(&directory)?;
    config.epoch = owner.epoch();
    config.store = random_number();
    let files = Files::new(&directory, owner).map_err(|error| {
        Error::new(
            ErrorKind::StoreFailed,
            format!(
                "the store {} cannot be opened: {}",
                directory.display(),
                said(&error)
            ),
        )
    })?;
    Ok(Disk::files(files, at_once))
}
