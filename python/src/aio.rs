//! The native half of `ferrymq.aio`: from whatever thread answers a call to the event loop that waits for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

/// The futures of one event loop whose calls are answered: the loop is woken once and takes them all.
#[pyclass(frozen, module = "ferrymq._native")]
pub struct Ready {
    /// Called with this object, from any thread, when there is something to take and the loop was not told yet.
    wake: Py<PyAny>,
    futures: Mutex<Vec<Py<PyAny>>>,
    told: AtomicBool,
}

impl Ready {
    /// Called by the driver without any lock, from any thread, with or without the GIL.
    pub fn report(ready: Py<Ready>, future: Py<PyAny>) {
        let this = ready.get();
        this.futures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(future);
        if this.told.swap(true, Ordering::AcqRel) {
            return;
        }
        // While the interpreter shuts down nobody waits any more, and a thread that asks for the GIL would hang.
        Python::try_attach(|py| {
            if let Err(error) = this.wake.call1(py, (&ready,)) {
                error.write_unraisable(py, None);
            }
        });
    }
}

#[pymethods]
impl Ready {
    #[new]
    fn new(wake: Py<PyAny>) -> Ready {
        Ready {
            wake,
            futures: Mutex::default(),
            told: AtomicBool::new(false),
        }
    }

    /// The futures that were reported since the last call.
    fn drain(&self) -> Vec<Py<PyAny>> {
        // First the flag, then the list: what is reported in between wakes the loop once too often, never too seldom.
        self.told.store(false, Ordering::Release);
        std::mem::take(&mut *self.futures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
