//! Watching a broker from Python: lines for its logger, alarms. Both are called by the driver's own thread, without any lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ferrymq_core::driver::{self, Alert, Condition};
use ferrymq_core::engine::{Notice, Noticed};
use pyo3::prelude::*;

use crate::call::Shared;
use crate::convert::seconds;
use crate::errors::raised;

/// An alarm that is set: it calls until it is cancelled or its broker is closed. `broker.alarm(...)` gives one.
///
/// >>> broker = ferrymq.open()
/// >>> alarm = broker.alarm(print, above=1000)
/// >>> alarm.cancel()
#[pyclass(frozen, module = "ferrymq")]
pub struct Alarm {
    handle: driver::AlarmHandle,
    shared: Arc<Shared>,
}

#[pymethods]
impl Alarm {
    /// No call begins any more; one may still run. Cancelling again does nothing.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.driver(py)?;
        self.handle.cancel();
        Ok(())
    }
}

/// Which calls from the driver's own thread are on their way into Python, and whether more may go.
///
/// An interpreter that ends stops a thread that comes back for the GIL, wherever it is; with our frames below it, that would abort the process. So its end waits for those inside and lets
/// nobody in.
struct Gate {
    inside: AtomicUsize,
    is_shut: AtomicBool,
}

static GATE: Gate = Gate {
    inside: AtomicUsize::new(0),
    is_shut: AtomicBool::new(false),
};

/// How long the interpreter's end waits for a callback that runs.
const EXIT_PATIENCE: Duration = Duration::from_secs(5);

impl Gate {
    /// Does something in Python, unless that ends.
    fn pass(&self, act: impl FnOnce(Python<'_>)) {
        self.inside.fetch_add(1, Ordering::SeqCst);
        if !self.is_shut.load(Ordering::SeqCst) {
            Python::try_attach(act);
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }

    fn shut(&self) {
        self.is_shut.store(true, Ordering::SeqCst);
        let began = Instant::now();
        while self.inside.load(Ordering::SeqCst) > 0 && began.elapsed() < EXIT_PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Called when the interpreter begins to end.
#[pyfunction]
pub fn _exiting(py: Python<'_>) {
    py.detach(|| GATE.shut());
}

/// In a forked child nobody is inside: the driver's threads are the parent's.
pub fn forked() {
    GATE.inside.store(0, Ordering::SeqCst);
}

/// A callable that the driver keeps, and may let go of in a thread without the GIL.
struct Kept(Option<Py<PyAny>>);

impl Drop for Kept {
    fn drop(&mut self) {
        let kept = self.0.take();
        // While the interpreter shuts down there is nobody left to free it for.
        Python::try_attach(|_| drop(kept));
    }
}

/// Sets an alarm whose calls go to `call`, a function of (queue, condition, value, limit).
pub fn set_alarm(
    py: Python<'_>,
    shared: &Arc<Shared>,
    alarm: driver::Alarm,
    call: Py<PyAny>,
) -> PyResult<Alarm> {
    let kept = Kept(Some(call));
    let ring = move |alert: &Alert| {
        GATE.pass(|py| {
            if let Some(call) = &kept.0
                && let Err(error) = call.call1(py, arguments(alert))
            {
                error.write_unraisable(py, None);
            }
        });
    };
    let handle = shared
        .driver(py)?
        .alarm(alarm, ring)
        .map_err(|error| raised(py, &error))?;
    Ok(Alarm {
        handle,
        shared: Arc::clone(shared),
    })
}

fn arguments(alert: &Alert) -> (&str, &'static str, f64, f64) {
    let (condition, value, limit) = match alert.condition {
        Condition::Above => ("above", alert.value as f64, alert.limit as f64),
        Condition::OlderThan => ("older_than", seconds(alert.value), seconds(alert.limit)),
        Condition::DeadLetters => ("dead_letters", alert.value as f64, alert.limit as f64),
    };
    (&alert.queue, condition, value, limit)
}

/// From here on, what the engine notices becomes lines of the logger "ferrymq".
pub fn log_notices(driver: &driver::Broker) {
    driver.on_notice(|notice| {
        GATE.pass(|py| {
            if let Err(error) = log(py, notice) {
                error.write_unraisable(py, None);
            }
        });
    });
}

fn log(py: Python<'_>, notice: &Notice) -> PyResult<()> {
    let (what, detail) = match notice.what {
        Noticed::DeadLettered(cause) => ("dead_lettered", cause.name()),
        Noticed::Held => ("held", ""),
        Noticed::Full => ("full", ""),
        Noticed::LeaseEnded => ("lease_ended", ""),
        Noticed::Stray => ("stray", ""),
        _ => ("failed", ""),
    };
    py.import("ferrymq._log")?
        .call_method1("noticed", (&notice.queue, what, detail, notice.count))?;
    Ok(())
}

/// Logs, for debugging, that a broker was opened or closed.
pub fn log_life(py: Python<'_>, what: &str) -> PyResult<()> {
    py.import("ferrymq._log")?.call_method0(what)?;
    Ok(())
}
