//! A push consumer's handle.

use ferrymq_core::engine::{Command, Wait};
use ferrymq_core::model::limits::{PREFETCH_DEFAULT, PREFETCH_MAX};
use ferrymq_core::model::{ConsumerId, Span};
use pyo3::prelude::*;

use crate::call::{Source, submit};
use crate::convert::{Given, boolean, integer, timeout};
use crate::errors::{is_closed, raised};
use crate::message::Delivery;
use crate::queue::{Queue, batch_size};
use crate::reply::Shape;

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// A push consumer: up to prefetch messages are reserved for it, and iterating hands them out, waiting for each.
///
/// Consumers come from `queue.consumer()`. What is reserved is nobody else's, and yet no lease runs and no attempt is counted before it is handed out.
/// The iteration ends when the consumer or the broker is closed. A context manager: the end of the block closes it.
/// Closed, or dropped, it gives back what it had not handed out.
///
/// >>> queue = ferrymq.open().queue("orders")
/// >>> _ = queue.produce_many(["first", "second"])
/// >>> with queue.consumer(prefetch=1) as consumer:
/// ...     for delivery in consumer:
/// ...         with delivery:
/// ...             print(delivery.text)
/// ...         if not len(queue):
/// ...             break
/// first
/// second
#[pyclass(frozen, weakref, module = "ferrymq")]
pub struct Consumer {
    queue: Py<Queue>,
    id: ConsumerId,
}

impl Consumer {
    /// Registers a consumer. Never waits.
    pub fn open(
        queue: &Bound<'_, Queue>,
        prefetch: Argument<'_, '_>,
        auto_ack: Argument<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let (py, source) = (queue.py(), &queue.get().source);
        let prefetch = match prefetch {
            None => u64::from(PREFETCH_DEFAULT),
            Some(given) => integer(given, "prefetch", 1, u64::from(PREFETCH_MAX))?,
        };
        let command = Command::OpenConsumer {
            queue: source.id,
            session: source.shared.driver(py)?.session(),
            prefetch: u32::try_from(prefetch).expect("within its limit"),
            auto_ack: auto_ack.map_or(Ok(false), |flag| boolean(flag, "auto_ack"))?,
        };
        let shape = Shape::Consumer(queue.clone().unbind());
        submit(py, &source.shared, source.mode, command, shape)
    }

    pub fn object(py: Python<'_>, queue: Py<Queue>, id: ConsumerId) -> PyResult<Py<PyAny>> {
        Ok(Py::new(py, Consumer { queue, id })?.into_any())
    }

    /// One that never gets anything: its broker is closed.
    pub fn ended(queue: &Bound<'_, Queue>) -> PyResult<Py<PyAny>> {
        let nobody = ConsumerId {
            index: u32::MAX,
            generation: 0,
        };
        Consumer::object(queue.py(), queue.clone().unbind(), nobody)
    }

    #[inline]
    fn source(&self) -> &Source {
        &self.queue.get().source
    }

    /// The next delivery if one is reserved; else the call that waits for it.
    #[inline]
    fn next(&self, py: Python<'_>, wait: impl FnOnce() -> PyResult<Wait>) -> PyResult<Py<PyAny>> {
        let source = self.source();
        match source.shared.driver(py)?.take_at_once(self.id) {
            Ok(Some(delivery)) => Delivery::object(py, self.queue.clone_ref(py), delivery),
            Ok(None) => {
                let command = Command::Take {
                    consumer: self.id,
                    max: 1,
                    wait: wait()?,
                };
                let shape = Shape::First(self.queue.clone_ref(py));
                submit(py, &source.shared, source.mode, command, shape)
            }
            Err(error) => Err(raised(py, &error)),
        }
    }

    fn wait(&self, py: Python<'_>, timeout: Option<Span>) -> PyResult<Wait> {
        Ok(self.source().shared.driver(py)?.wait(timeout))
    }
}

#[pymethods]
impl Consumer {
    /// The name of the queue that it consumes from.
    #[getter]
    fn queue(&self) -> &str {
        &self.source().name
    }

    /// Takes the next message; None when there is none within the timeout (seconds; None: for ever). Raises Closed once the consumer is closed.
    #[pyo3(signature = (timeout = Given(None)), text_signature = "($self, timeout=0)")]
    fn consume(&self, py: Python<'_>, timeout: Given<'_, '_>) -> PyResult<Py<PyAny>> {
        let timeout = self::timeout(&timeout, Some(Span(0)))?;
        self.next(py, || self.wait(py, timeout))
    }

    /// Takes up to max_messages of what is reserved; waits for the first only. A list, empty when there is none within the timeout.
    #[pyo3(
        signature = (max_messages, timeout = Given(None)),
        text_signature = "($self, max_messages, timeout=0)"
    )]
    fn consume_many(
        &self,
        py: Python<'_>,
        max_messages: &Bound<'_, PyAny>,
        timeout: Given<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let source = self.source();
        let command = Command::Take {
            consumer: self.id,
            max: batch_size(max_messages, "max_messages")?,
            wait: self.wait(py, self::timeout(&timeout, Some(Span(0)))?)?,
        };
        let shape = Shape::Deliveries(self.queue.clone_ref(py));
        submit(py, &source.shared, source.mode, command, shape)
    }

    /// Closes the consumer: what is reserved for it goes back to the queue, who waits in it stops. What it handed out stays with who has it.
    /// Closing again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let consumer = self.id;
        let closed = self
            .source()
            .shared
            .driver(py)?
            .call(Command::CloseConsumer { consumer });
        match closed {
            Err(error) if error.kind() != ferrymq_core::model::ErrorKind::Closed => {
                Err(raised(py, &error))
            }
            _ => Ok(()),
        }
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.next(py, || Ok(Wait::Forever)) {
            Ok(delivery) => Ok(Some(delivery)),
            Err(error) if is_closed(py, &error) => Ok(None),
            Err(error) => Err(error),
        }
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
        format!("<Consumer of queue {:?}>", self.source().name)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // In a forked child it is the parent's; and what a closed broker had is given back already.
        if let Some(driver) = self.source().shared.live() {
            driver.post(Command::CloseConsumer { consumer: self.id });
        }
    }
}
