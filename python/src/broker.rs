//! The broker's handle, and how one is opened.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use ferrymq_core::driver;
use ferrymq_core::engine::Command;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call::{Mode, Shared, submit};
use crate::convert::{
    boolean, durability, duration, duration_or_none, integer, shown, text, text_or_none,
};
use crate::errors::{invalid, raised};
use crate::options::{exchange_kind, queue_options};
use crate::reply::Shape;
use crate::transaction::Transaction;
use crate::watching::{Alarm, log_life, log_notices, set_alarm};

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// A broker: queues, exchanges and what is in them. `ferrymq.open()` gives one.
///
/// Any number of threads may use it at once. A context manager: the end of the block closes it.
/// `Broker(other)` is another handle to the same broker.
///
/// >>> with ferrymq.open() as broker:
/// ...     queue = broker.queue("orders", capacity=100)
/// ...     _ = queue.produce_many([b"first", b"second"])
/// ...     [(stats.name, stats.ready) for stats in broker.queues()]
/// [('orders', 2)]
#[pyclass(frozen, subclass, weakref, module = "ferrymq")]
pub struct Broker {
    shared: Arc<Shared>,
    mode: Mode,
}

impl Broker {
    pub fn new_open(driver: driver::Broker) -> Broker {
        log_notices(&driver);
        Broker {
            shared: Shared::new(driver),
            mode: Mode::Wait,
        }
    }

    fn submit(&self, py: Python<'_>, command: Command, shape: Shape) -> PyResult<Py<PyAny>> {
        submit(py, &self.shared, self.mode, command, shape)
    }
}

/// The driver's options from keyword arguments; `None` leaves a default.
pub fn driver_options(
    durability_passed: Argument<'_, '_>,
    memory_limit: Argument<'_, '_>,
    lease: Argument<'_, '_>,
) -> PyResult<driver::Options> {
    let mut options = driver::Options::default();
    if let Some(level) = durability_passed {
        options.durability = durability(level)?;
    }
    if let Some(limit) = memory_limit {
        options.memory_limit = integer(limit, "memory_limit (bytes)", 1, i64::MAX as u64)?;
    }
    if let Some(lease) = lease {
        options.lease = duration(lease, "lease")?;
    }
    Ok(options)
}

/// Opens a broker. See ferrymq.open.
#[pyfunction]
#[pyo3(signature = (path = None, *, durability = None, memory_limit = None, lease = None))]
pub fn _open(
    py: Python<'_>,
    path: Option<PathBuf>,
    durability: Argument<'_, '_>,
    memory_limit: Argument<'_, '_>,
    lease: Argument<'_, '_>,
) -> PyResult<Broker> {
    let mut options = driver_options(durability, memory_limit, lease)?;
    // Spreads the jitter of backoffs differently in every process.
    options.seed = RandomState::new().build_hasher().finish();
    let opened = py.detach(|| match path {
        Some(path) => driver::Broker::open_path(path, options),
        None => driver::Broker::open(options),
    });
    let driver = opened.map_err(|error| raised(py, &error))?;
    Ok(Broker::new_open(driver))
}

#[pymethods]
impl Broker {
    #[new]
    #[pyo3(signature = (other, /))]
    fn new(other: &Bound<'_, Broker>) -> Broker {
        let this = other.get();
        Broker {
            shared: Arc::clone(&this.shared),
            mode: this.mode,
        }
    }

    /// The same broker, whose calls return a Pending instead of waiting.
    fn _starting(&self) -> Broker {
        Broker {
            shared: Arc::clone(&self.shared),
            mode: Mode::Start,
        }
    }

    /// The same broker for asyncio: the same names, awaitable.
    #[getter]
    fn aio<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py()
            .import("ferrymq.aio")?
            .getattr("Broker")?
            .call1((slf,))
    }

    /// Declares a queue and returns its handle: makes it, or compares the options that are passed with those in force.
    ///
    /// create=False: raises NotFound if it does not exist. Raises QueueConflict naming an option that differs.
    /// Options: see QueueOptions.
    #[pyo3(
        signature = (name, *, create = None, **options),
        text_signature = "($self, name, *, create=True, **options)"
    )]
    fn queue(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        create: Argument<'_, '_>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let name = text(name, "the queue's name")?.to_owned();
        let shape = Shape::Queue(Arc::clone(&self.shared), self.mode, name.clone());
        let command = Command::DeclareQueue {
            name,
            options: queue_options(py, options)?,
            create: create.map_or(Ok(true), |flag| boolean(flag, "create"))?,
            session: self.shared.driver(py)?.session(),
        };
        self.submit(py, command, shape)
    }

    /// Declares an exchange and returns its handle: makes it, or compares what is passed with what is in force.
    ///
    /// kind: "direct" (key equals pattern), "fanout", "topic" (`*`, `#`; the default) or "headers". alternate: the name of the exchange
    /// that gets what no binding takes; it may be declared later. create=False: raises NotFound if it does not exist.
    /// The name "" is the default exchange, which leads to the queue that the key names. Raises QueueConflict.
    #[pyo3(
        signature = (name, kind = None, *, alternate = None, create = None),
        text_signature = "($self, name, kind=None, *, alternate=None, create=True)"
    )]
    fn exchange(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        kind: Argument<'_, '_>,
        alternate: Argument<'_, '_>,
        create: Argument<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let name = text(name, "the exchange's name")?.to_owned();
        let shape = Shape::Exchange(Arc::clone(&self.shared), self.mode, name.clone());
        let alternate = alternate.map(|name| text(name, "alternate").map(str::to_owned));
        let command = Command::DeclareExchange {
            name,
            kind: kind.map(exchange_kind).transpose()?,
            alternate: alternate.transpose()?,
            create: create.map_or(Ok(true), |flag| boolean(flag, "create"))?,
        };
        self.submit(py, command, shape)
    }

    /// Produces and acks that commit together or not at all: a context manager.
    fn transaction(&self) -> Transaction {
        Transaction::new(Arc::clone(&self.shared), self.mode)
    }

    /// The event bus: publish(topic, body), subscribe(pattern, handler). See EventBus.
    fn bus<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py()
            .import("ferrymq._bus")?
            .getattr("EventBus")?
            .call1((slf,))
    }

    /// All queues in numbers, by name.
    fn queues(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.submit(py, Command::Queues, Shape::Stats)
    }

    /// The broker in numbers.
    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.submit(py, Command::BrokerStats, Shape::Stats)
    }

    /// What a damaged store has lost: a sentence each, which names the file, the queues and the messages. Everything else is served.
    #[getter]
    fn damage(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let driver = self.shared.driver(py)?;
        Ok(driver.losses().iter().map(ToString::to_string).collect())
    }

    /// The broker and its queues in numbers, as text for Prometheus.
    ///
    /// Names are ferrymq_queue_ready{queue="..."} and so on; counters end in _total, durations are seconds.
    fn metrics(&self, py: Python<'_>) -> PyResult<String> {
        let driver = self.shared.driver(py)?;
        driver.metrics().map_err(|error| raised(py, &error))
    }

    /// Calls callback(alert) once when a condition becomes true, and again only after it was false. Returns an Alarm.
    ///
    /// queue: a name; None: every queue, each by itself. above: more messages than this. older_than: the oldest ready message
    /// is older, seconds or timedelta. dead_letters=True: messages were dead-lettered. Each condition that is passed calls by
    /// itself. The broker is looked at every 0.1 s (with a clock moved by hand: whenever it is moved). Callbacks run in a
    /// thread of their own, one after the other; what one raises is logged.
    /// Raises InvalidArgument without a condition.
    #[pyo3(
        signature = (callback, *, queue = None, above = None, older_than = None, dead_letters = None),
        text_signature = "($self, callback, *, queue=None, above=None, older_than=None, dead_letters=False)"
    )]
    fn alarm(
        &self,
        py: Python<'_>,
        callback: &Bound<'_, PyAny>,
        queue: Argument<'_, '_>,
        above: Argument<'_, '_>,
        older_than: Argument<'_, '_>,
        dead_letters: Argument<'_, '_>,
    ) -> PyResult<Alarm> {
        if !callback.is_callable() {
            let must = "it must be a function that takes an Alert";
            return Err(invalid(
                py,
                format!("callback is {}; {must}", shown(callback)),
            ));
        }
        let alarm = driver::Alarm {
            queue: text_or_none(queue, "queue")?,
            above: above
                .map(|level| integer(level, "above (messages)", 0, i64::MAX as u64))
                .transpose()?,
            older_than: duration_or_none(older_than, "older_than")?,
            dead_letters: dead_letters.map_or(Ok(false), |flag| boolean(flag, "dead_letters"))?,
        };
        let guarded = py
            .import("ferrymq._watching")?
            .call_method1("guarded", (callback,))?;
        set_alarm(py, &self.shared, alarm, guarded.unbind())
    }

    /// Whether the broker was closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.shared.driver(py)?.is_closed())
    }

    /// Closes the broker for everyone: who waits gets Closed, and so does every later call. What it holds is released.
    /// Closing again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let driver = self.shared.driver(py)?;
        if driver.is_closed() {
            return Ok(());
        }
        py.detach(|| driver.close());
        log_life(py, "closed")
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (kind, error, trace, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: Argument<'_, '_>,
        error: Argument<'_, '_>,
        trace: Argument<'_, '_>,
    ) -> PyResult<bool> {
        let _ = (kind, error, trace);
        self.close(py)?;
        Ok(false)
    }

    fn __repr__(&self) -> String {
        match self.shared.live() {
            None => "<Broker, closed>".to_owned(),
            Some(driver) => match driver.directory() {
                None => "<Broker in memory>".to_owned(),
                Some(directory) => format!("<Broker in {}>", directory.display()),
            },
        }
    }
}
