//! One command on its way: to the engine, perhaps into a wait, and back as a Python object.
//! A thread that waits has let go of the GIL; a coroutine gets a [`Pending`] to wait for instead.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ferrymq_core::driver;
use ferrymq_core::engine::{Command, Reply};
use ferrymq_core::model::{QueueId, Result as CoreResult};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::aio::Ready;
use crate::errors::{forked, raised};
use crate::reply::Shape;

/// How long the main thread waits before it looks for signals: Ctrl-C takes at most this long.
const SIGNAL_SLICE: Duration = Duration::from_millis(100);

/// How many forks this process is away from the one that loaded the module.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Brokers that store in a directory; entries of those that are gone are taken out when one is added.
static STORED: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// Called in every forked child: whatever was open belongs to the parent.
#[pyfunction]
pub fn _forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    crate::watching::forked();
    // Held by a thread that is not here, it stays locked: then the child keeps what it has inherited.
    if let Ok(mut stored) = STORED.try_lock() {
        for shared in stored.drain(..).filter_map(|one| one.upgrade()) {
            shared.driver.forked();
            std::mem::forget(shared);
        }
    }
}

/// What a call does when it cannot be answered at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The thread waits.
    Wait,
    /// The caller gets a [`Pending`].
    Start,
}

/// The driver's handle, and which process opened it.
pub struct Shared {
    driver: driver::Broker,
    forks: u32,
}

impl Shared {
    pub fn new(driver: driver::Broker) -> Arc<Shared> {
        let is_stored = driver.directory().is_some();
        let shared = Arc::new(Shared {
            driver,
            forks: FORKS.load(Ordering::Relaxed),
        });
        if is_stored {
            let mut stored = STORED.lock().unwrap_or_else(PoisonError::into_inner);
            stored.retain(|one| one.strong_count() > 0);
            stored.push(Arc::downgrade(&shared));
        }
        shared
    }

    /// Whether this process opened it.
    #[inline]
    pub fn is_ours(&self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed)
    }

    /// The driver. Errors: `ForkError` in a forked child.
    #[inline]
    pub fn driver(&self, py: Python<'_>) -> PyResult<&driver::Broker> {
        if self.is_ours() {
            Ok(&self.driver)
        } else {
            Err(forked(py))
        }
    }

    /// The driver if it is open and ours, so that what is not settled still matters. For finalisers: needs no GIL.
    pub fn live(&self) -> Option<&driver::Broker> {
        self.is_live().then_some(&self.driver)
    }

    /// Whether it is open and ours.
    pub fn is_live(&self) -> bool {
        self.is_ours() && !self.driver.is_closed()
    }

    /// The engine's clock; only for a handle that is ours.
    pub fn now(&self) -> ferrymq_core::model::Time {
        self.driver.now()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // In a forked child the driver's threads are not there and its locks may be held for ever: one reference is
        // kept, so that it is never torn down here.
        if !self.is_ours() {
            std::mem::forget(self.driver.clone());
        }
    }
}

/// A handle to a queue: what messages, deliveries and queue objects share.
pub struct Source {
    pub shared: Arc<Shared>,
    pub mode: Mode,
    pub id: QueueId,
    pub name: String,
}

/// Sends a command; its answer takes the given shape. Inlined, so that what every message passes through is compiled
/// for the one shape that its caller names.
#[inline(always)]
pub fn submit(
    py: Python<'_>,
    shared: &Arc<Shared>,
    mode: Mode,
    command: Command,
    shape: Shape,
) -> PyResult<Py<PyAny>> {
    match shared.driver(py)?.begin(command) {
        driver::Started::Done(Ok(reply)) => shape.object(py, reply),
        other => submit_slowly(py, shared, mode, other, shape),
    }
}

#[cold]
fn submit_slowly(
    py: Python<'_>,
    shared: &Arc<Shared>,
    mode: Mode,
    started: driver::Started,
    shape: Shape,
) -> PyResult<Py<PyAny>> {
    match started {
        driver::Started::Done(result) => finish(py, result, shape),
        driver::Started::Pending(pending) => answer(py, shared, mode, pending, shape),
    }
}

/// The answer of a call that is pending: waited for, by the thread or by its greenlet, or handed out as a [`Pending`].
pub fn answer(
    py: Python<'_>,
    shared: &Arc<Shared>,
    mode: Mode,
    pending: driver::Pending,
    shape: Shape,
) -> PyResult<Py<PyAny>> {
    if mode == Mode::Start {
        return Pending::object(py, shared, pending, shape);
    }
    if let Some(wait) = hub_wait(py)? {
        let pending = Pending::object(py, shared, pending, shape)?;
        return Ok(wait.call1((pending,))?.unbind());
    }
    let result = wait(py, pending)?;
    finish(py, result, shape)
}

/// How to wait where this thread's greenlets share a hub, which a waiting thread would stop. Only who has gevent or eventlet is asked.
fn hub_wait(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let modules = MODULES.get_or_try_init(py, || {
        let modules = py.import("sys")?.getattr("modules")?;
        Ok::<_, PyErr>(modules.cast_into::<PyDict>()?.unbind())
    })?;
    let modules = modules.bind(py);
    if !modules.contains(intern!(py, "gevent"))? && !modules.contains(intern!(py, "eventlet"))? {
        return Ok(None);
    }
    let wait = py.import("ferrymq._hubs")?.call_method0("waiting")?;
    Ok((!wait.is_none()).then_some(wait))
}

fn finish(py: Python<'_>, result: CoreResult<Reply>, shape: Shape) -> PyResult<Py<PyAny>> {
    match result {
        Ok(reply) => shape.object(py, reply),
        Err(error) => Err(raised(py, &error)),
    }
}

/// Waits with the GIL released. Dropping the pending call, when a signal's exception ends the wait, takes it back.
#[cold]
fn wait(py: Python<'_>, mut pending: driver::Pending) -> PyResult<CoreResult<Reply>> {
    if !is_main_thread(py)? {
        return Ok(py.detach(|| pending.wait()));
    }
    loop {
        if let Some(result) = py.detach(|| pending.wait_for(SIGNAL_SLICE)) {
            return Ok(result);
        }
        py.check_signals()?;
    }
}

/// Python handles signals in its main thread only, so every other one need not look. A thread is asked once, and again after a fork, which makes another one the main thread.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    thread_local! {
        static KNOWN: Cell<Option<(u32, bool)>> = const { Cell::new(None) };
    }
    let forks = FORKS.load(Ordering::Relaxed);
    if let Some((_, known)) = KNOWN.get().filter(|known| known.0 == forks) {
        return Ok(known);
    }
    let threading = py.import("threading")?;
    let current = threading.call_method0("get_ident")?;
    let is_main = current.eq(threading.call_method0("main_thread")?.getattr("ident")?)?;
    KNOWN.set(Some((forks, is_main)));
    Ok(is_main)
}

/// A call that has not been answered. Dropping it takes the call back; a message that it was just given is released.
#[pyclass(frozen, module = "ferrymq._native")]
pub struct Pending {
    shared: Arc<Shared>,
    call: Mutex<Option<(driver::Pending, Shape)>>,
}

impl Pending {
    fn object(
        py: Python<'_>,
        shared: &Arc<Shared>,
        pending: driver::Pending,
        shape: Shape,
    ) -> PyResult<Py<PyAny>> {
        let call = Mutex::new(Some((pending, shape)));
        let shared = Arc::clone(shared);
        Ok(Py::new(py, Pending { shared, call })?.into_any())
    }

    /// The lock is held for this move only: Python code never runs under it.
    fn taken(&self) -> Option<(driver::Pending, Shape)> {
        self.call
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn put_back(&self, pending: driver::Pending, shape: Shape) {
        *self.call.lock().unwrap_or_else(PoisonError::into_inner) = Some((pending, shape));
    }
}

#[pymethods]
impl Pending {
    /// Has `ready` report `future` once the call is answered.
    fn notify(&self, py: Python<'_>, ready: &Bound<'_, Ready>, future: Py<PyAny>) -> PyResult<()> {
        if self.notify_only(py, ready, future)? != 0 {
            self.work_on(py)?;
        }
        Ok(())
    }

    /// The same, but if the disk is needed for the call, says so by the number of its store: `work_on` is then to be called, once for all calls of that store which begin now. 0: it is not needed.
    fn notify_only(
        &self,
        py: Python<'_>,
        ready: &Bound<'_, Ready>,
        future: Py<PyAny>,
    ) -> PyResult<usize> {
        self.shared.driver(py)?;
        let Some((mut pending, shape)) = self.taken() else {
            return Ok(0);
        };
        let needs_work = pending.needs_work();
        let answered = Arc::clone(&ready.get().answered);
        pending.on_ready(Box::new(move || answered.report(future)));
        self.put_back(pending, shape);
        Ok(if needs_work {
            Arc::as_ptr(&self.shared).addr()
        } else {
            0
        })
    }

    /// Has the store's thread do what the disk is needed for.
    fn work_on(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.driver(py)?.work_on();
        Ok(())
    }

    /// The answer, or what it raises; to be called once the call is answered.
    fn take(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.shared.driver(py)?;
        let Some((mut pending, shape)) = self.taken() else {
            return Err(PyRuntimeError::new_err(
                "this call was taken or cancelled before",
            ));
        };
        match pending.try_take() {
            Some(result) => finish(py, result, shape),
            None => {
                self.put_back(pending, shape);
                Err(PyRuntimeError::new_err("this call is not answered yet"))
            }
        }
    }

    /// Takes the call back; a message that it was just given is released. Does nothing once the answer was taken.
    fn cancel(&self) {
        if let Some((pending, _shape)) = self.taken() {
            if self.shared.is_ours() {
                drop(pending);
            } else {
                std::mem::forget(pending);
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.cancel();
    }
}
