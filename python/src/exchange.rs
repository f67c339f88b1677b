//! An exchange's handle.

use std::sync::Arc;

use ferrymq_core::engine::Command;
use ferrymq_core::model::{ExchangeId, QueueId};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call::{Mode, Shared, submit};
use crate::convert::{boolean, shown, text};
use crate::errors::invalid;
use crate::outgoing::{Extra, Keywords};
use crate::queue::Queue;
use crate::reply::Shape;

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// An exchange: routes each message to the queues that are bound to it and whose pattern its key matches.
///
/// >>> broker = ferrymq.open()
/// >>> orders, events = broker.queue("orders"), broker.exchange("events", "topic")
/// >>> events.bind(orders, "order.*")
/// >>> events.produce(b"...", key="order.new")
/// 1
#[pyclass(frozen, module = "ferrymq")]
pub struct Exchange {
    pub shared: Arc<Shared>,
    pub mode: Mode,
    pub id: ExchangeId,
    pub name: String,
}

impl Exchange {
    pub fn object(py: Python<'_>, exchange: Exchange) -> PyResult<Py<PyAny>> {
        Ok(Py::new(py, exchange)?.into_any())
    }

    fn submit(&self, py: Python<'_>, command: Command, shape: Shape) -> PyResult<Py<PyAny>> {
        submit(py, &self.shared, self.mode, command, shape)
    }

    fn bound_queue(&self, queue: &Bound<'_, PyAny>) -> PyResult<QueueId> {
        let py = queue.py();
        let Ok(handle) = queue.cast::<Queue>() else {
            let must = "pass the handle that broker.queue(name) gives";
            return Err(invalid(
                py,
                format!("the queue is {}; {must}", shown(queue)),
            ));
        };
        let source = &handle.get().source;
        if !Arc::ptr_eq(&source.shared, &self.shared) {
            return Err(invalid(
                py,
                "the queue is another broker's; bind one of the same broker",
            ));
        }
        Ok(source.id)
    }
}

fn pattern(value: Argument<'_, '_>) -> PyResult<String> {
    value.map_or(Ok(String::new()), |value| {
        text(value, "pattern").map(str::to_owned)
    })
}

#[pymethods]
impl Exchange {
    /// The exchange's name.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// The same exchange, whose calls return a Pending instead of waiting.
    fn _starting(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let exchange = Exchange {
            shared: Arc::clone(&self.shared),
            mode: Mode::Start,
            id: self.id,
            name: self.name.clone(),
        };
        Exchange::object(py, exchange)
    }

    /// Leads messages whose key matches the pattern to a queue. In a topic exchange `*` is one word, `#` none or more.
    #[pyo3(signature = (queue, pattern = None), text_signature = "($self, queue, pattern='')")]
    fn bind(
        &self,
        py: Python<'_>,
        queue: &Bound<'_, PyAny>,
        pattern: Argument<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let command = Command::Bind {
            exchange: self.id,
            queue: self.bound_queue(queue)?,
            pattern: self::pattern(pattern)?,
        };
        self.submit(py, command, Shape::Nothing)
    }

    /// Takes a binding away. Raises NotFound if there is none.
    #[pyo3(signature = (queue, pattern = None), text_signature = "($self, queue, pattern='')")]
    fn unbind(
        &self,
        py: Python<'_>,
        queue: &Bound<'_, PyAny>,
        pattern: Argument<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let command = Command::Unbind {
            exchange: self.id,
            queue: self.bound_queue(queue)?,
            pattern: self::pattern(pattern)?,
        };
        self.submit(py, command, Shape::Nothing)
    }

    /// Routes a message to every queue that its key reaches, one copy each, all or none; returns how many.
    ///
    /// mandatory=True raises Unroutable when no queue is reached. The other arguments are those of queue.produce().
    #[pyo3(
        signature = (body = None, **keywords),
        text_signature = "($self, body=None, *, key='', mandatory=False, json=..., priority=0, delay=None, ttl=None, headers=None, dedup_id=None, durability=None, content_type=None, correlation_id=None, reply_to=None)"
    )]
    fn produce<'py>(
        &self,
        py: Python<'py>,
        body: Argument<'_, 'py>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let exchange = self.id;
        let mut keywords = keywords
            .map(|passed| Keywords::parse(passed, Extra::Mandatory))
            .transpose()?
            .unwrap_or_default();
        let mandatory = keywords.mandatory.take();
        let mandatory = mandatory.map_or(Ok(false), |flag| boolean(&flag, "mandatory"))?;
        let key = keywords.take_key();
        let message = keywords.message(py, body)?;
        let command = Command::Publish {
            exchange,
            key,
            message,
            mandatory,
        };
        self.submit(py, command, Shape::Number)
    }

    /// Removes the exchange and its bindings.
    fn delete(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let exchange = self.id;
        self.submit(py, Command::DeleteExchange { exchange }, Shape::Nothing)
    }

    fn __repr__(&self) -> String {
        format!("<Exchange {:?}>", self.name)
    }
}
