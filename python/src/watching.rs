//! Watching a broker from Python: lines for its logger, alarms. Both are called by the driver's own thread, without any lock.

use std::sync::Arc;

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
        Python::try_attach(|py| {
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
        Python::try_attach(|py| {
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
