//! From the engine's one error to Python's exception classes, which are hand-written in `ferrymq._errors`.

use ferrymq_core::model::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyType};

const MODULE: &str = "ferrymq._errors";

/// One class for each kind, in the order of [`ErrorKind::ALL`], looked up once.
static CLASSES: PyOnceLock<Vec<(ErrorKind, Py<PyType>)>> = PyOnceLock::new();

fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyType>> {
    Ok(py.import(MODULE)?.getattr(name)?.cast_into::<PyType>()?)
}

fn class_of(py: Python<'_>, kind: ErrorKind) -> PyResult<Bound<'_, PyType>> {
    let classes = CLASSES.get_or_try_init(py, || {
        ErrorKind::ALL
            .iter()
            .map(|kind| Ok((*kind, class(py, kind.code())?.unbind())))
            .collect::<PyResult<Vec<_>>>()
    })?;
    let found = classes.iter().find(|(of, _)| *of == kind);
    match found {
        Some((_, class)) => Ok(class.bind(py).clone()),
        None => class(py, "FerryError"),
    }
}

/// The exception for a refusal of the engine.
#[cold]
pub fn raised(py: Python<'_>, error: &Error) -> PyErr {
    match class_of(py, error.kind()) {
        Ok(class) => PyErr::from_type(class, (error.message().to_owned(),)),
        Err(broken) => broken,
    }
}

/// `InvalidArgument` with its sentence.
#[cold]
pub fn invalid(py: Python<'_>, message: impl Into<String>) -> PyErr {
    raised(py, &Error::invalid(message))
}

/// `InvalidArgument`, caused by another exception.
#[cold]
pub fn invalid_from(py: Python<'_>, message: impl Into<String>, cause: PyErr) -> PyErr {
    let error = invalid(py, message);
    error.set_cause(py, Some(cause));
    error
}

/// `ForkError`: the handle was opened by the process that this one was forked from.
#[cold]
pub fn forked(py: Python<'_>) -> PyErr {
    const MESSAGE: &str = "this handle was opened before the process was forked and belongs to the parent; open a broker of your own in the child";
    match class(py, "ForkError") {
        Ok(class) => PyErr::from_type(class, (MESSAGE,)),
        Err(broken) => broken,
    }
}

/// `LeaseLost` whose `lost` lists what was passed and is no longer the caller's.
#[cold]
pub fn lost(py: Python<'_>, total: usize, lost: Vec<Py<PyAny>>) -> PyErr {
    let message = format!(
        "{} of {total} deliveries were no longer yours (settled before, or the lease had ended), the others are acked; see .lost, and drop that work",
        lost.len()
    );
    let error = raised(py, &Error::new(ErrorKind::LeaseLost, message));
    let listed = PyList::new(py, lost).and_then(|list| error.value(py).setattr("lost", list));
    match listed {
        Ok(()) => error,
        Err(broken) => broken,
    }
}

/// Whether an error is the engine's `Closed`.
pub fn is_closed(py: Python<'_>, error: &PyErr) -> bool {
    class_of(py, ErrorKind::Closed).is_ok_and(|class| error.is_instance(py, &class))
}
