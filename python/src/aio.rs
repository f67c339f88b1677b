//! The native half of `ferrymq.aio`: from whatever thread answers a call to the event loop that waits for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

/// The futures of one event loop whose calls are answered: the loop is woken once and takes them all.
#[pyclass(frozen, module = "ferrymq._native")]
pub struct Ready {
    /// Shared with the driver's wake-ups, which may end without the GIL, where no count of an object can be taken back.
    pub answered: Arc<Answered>,
}

/// What a `Ready` and the wake-ups on their way to it share.
pub struct Answered {
    /// Called with a `Ready`, from any thread, when there is something to take and the loop was not told yet.
    wake: Py<PyAny>,
    futures: Mutex<Vec<Py<PyAny>>>,
    told: AtomicBool,
}

impl Answered {
    /// Called by the driver without any lock, from any thread, with or without the GIL.
    pub fn report(self: Arc<Self>, future: Py<PyAny>) {
        self.futures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(future);
        if self.told.swap(true, Ordering::AcqRel) {
            return;
        }
        // While the interpreter shuts down nobody waits any more, and a thread that asks for the GIL would hang.
        Python::try_attach(|py| {
            let answered = Arc::clone(&self);
            if let Err(error) = self.wake.call1(py, (Ready { answered },)) {
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
            answered: Arc::new(Answered {
                wake,
                futures: Mutex::default(),
                told: AtomicBool::new(false),
            }),
        }
    }

    /// The futures that were reported since the last call.
    fn drain(&self) -> Vec<Py<PyAny>> {
        // First the flag, then the list: what is reported in between wakes the loop once too often, never too seldom.
        let this = &self.answered;
        this.told.store(false, Ordering::Release);
        std::mem::take(&mut *this.futures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
