//! Testing hooks: a clock that a test moves by hand, a disk that completes when told.

use std::path::PathBuf;

use ferrymq_core::driver;
use ferrymq_core::model::Time;
use pyo3::prelude::*;

use crate::broker::{Broker, driver_options};
use crate::convert::{duration, integer, seconds, shown, text};
use crate::errors::{invalid, raised};

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// The hooks of one broker. Every call lets go of the GIL: it may wake threads and event loops.
#[pyclass(frozen, module = "ferrymq._native")]
pub struct Testing {
    hooks: driver::Testing,
}

/// Opens a broker with a clock and a disk that are moved by hand. See ferrymq.testing.open.
#[pyfunction]
#[pyo3(signature = (storage, path = None, *, durability = None, memory_limit = None, lease = None, seed = None))]
pub fn _open_testing(
    storage: &Bound<'_, PyAny>,
    path: Option<PathBuf>,
    durability: Argument<'_, '_>,
    memory_limit: Argument<'_, '_>,
    lease: Argument<'_, '_>,
    seed: Argument<'_, '_>,
) -> PyResult<(Broker, Testing)> {
    let mut options = driver_options(durability, memory_limit, lease)?;
    options.seed = seed.map_or(Ok(0), |seed| integer(seed, "seed", 0, u64::MAX))?;
    let kind = match (text(storage, "storage")?, path) {
        ("memory", None) => driver::Storage::Memory,
        ("manual", None) => driver::Storage::Manual,
        ("store", Some(path)) => driver::Storage::Files(path),
        ("store", None) => {
            let needs = "storage=\"store\" needs a path: the directory of the store";
            return Err(invalid(storage.py(), needs.to_owned()));
        }
        ("memory" | "manual", Some(_)) => {
            let only = "path is for storage=\"store\" only";
            return Err(invalid(storage.py(), only.to_owned()));
        }
        _ => {
            let must = r#"it must be "memory", "manual" or "store""#;
            return Err(invalid(
                storage.py(),
                format!("storage is {}; {must}", shown(storage)),
            ));
        }
    };
    let (broker, hooks) = storage
        .py()
        .detach(|| driver::Broker::open_testing(options, kind))
        .map_err(|error| raised(storage.py(), &error))?;
    Ok((Broker::new_open(broker), Testing { hooks }))
}

#[pymethods]
impl Testing {
    /// The clock, in seconds since the start.
    fn now(&self) -> f64 {
        let Time(ms) = self.hooks.now();
        seconds(ms)
    }

    /// Moves the clock to so many seconds after the start; timers that fall due fire in order.
    fn advance_to(&self, py: Python<'_>, at: &Bound<'_, PyAny>) -> PyResult<()> {
        let at = Time(duration(at, "the time to move the clock to")?.0);
        let now = self.hooks.now();
        if at < now {
            let must = "a clock does not run back";
            let message = format!(
                "the clock is at {} s, {} s is before that; {must}",
                seconds(now.0),
                seconds(at.0)
            );
            return Err(invalid(py, message));
        }
        py.detach(|| self.hooks.advance_to(at));
        Ok(())
    }

    /// Asks for a sync of all that is written, and completes every one that is outstanding.
    fn sync(&self, py: Python<'_>) {
        py.detach(|| self.hooks.sync());
    }

    /// As sync(), but the syncs fail.
    fn sync_fails(&self, py: Python<'_>) {
        py.detach(|| self.hooks.sync_fails());
    }

    /// The process is gone; what was written stays.
    fn kill(&self, py: Python<'_>) {
        py.detach(|| self.hooks.kill());
    }

    /// Power is gone, and with it what was not synced.
    fn power_cut(&self, py: Python<'_>) {
        py.detach(|| self.hooks.power_cut());
    }

    /// Opens the store again; handles of queues and exchanges are asked for anew.
    fn reopen(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.hooks.reopen())
            .map_err(|error| raised(py, &error))
    }
}
