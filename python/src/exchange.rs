//! An exchange's handle.

use std::sync::Arc;

use ferrymq_core::engine::Command;
use ferrymq_core::model::{Binding, Destination, ExchangeId, Match};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call::{Mode, Shared, submit};
use crate::convert::{self, boolean, shown, text};
use crate::errors::invalid;
use crate::outgoing::{Extra, Keywords};
use crate::queue::Queue;
use crate::reply::Shape;

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// An exchange: routes each message to the queues and exchanges that are bound to it, by its key or its headers.
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

    /// Where a binding leads: a queue or an exchange of the same broker.
    fn destination(&self, to: &Bound<'_, PyAny>) -> PyResult<Destination> {
        let py = to.py();
        let (shared, destination) = if let Ok(queue) = to.cast::<Queue>() {
            let source = &queue.get().source;
            (&source.shared, Destination::Queue(source.id))
        } else if let Ok(exchange) = to.cast::<Exchange>() {
            let exchange = exchange.get();
            (&exchange.shared, Destination::Exchange(exchange.id))
        } else {
            let must = "pass the handle that broker.queue(name) or broker.exchange(name) gives";
            let what = shown(to);
            return Err(invalid(py, format!("what is bound is {what}; {must}")));
        };
        if !Arc::ptr_eq(shared, &self.shared) {
            let what = "the queue or exchange is another broker's; bind one of the same broker";
            return Err(invalid(py, what));
        }
        Ok(destination)
    }

    fn binding(
        &self,
        to: &Bound<'_, PyAny>,
        pattern: Argument<'_, '_>,
        headers: Argument<'_, '_>,
        matching: Argument<'_, '_>,
    ) -> PyResult<Binding> {
        let mut binding = Binding::new(self.destination(to)?, self::pattern(pattern)?);
        if let Some(headers) = headers {
            binding.headers = convert::headers(headers)?;
        }
        if let Some(matching) = matching {
            binding.matching = self::matching(matching)?;
        }
        Ok(binding)
    }
}

fn matching(value: &Bound<'_, PyAny>) -> PyResult<Match> {
    match text(value, "match")? {
        "all" => Ok(Match::All),
        "any" => Ok(Match::Any),
        _ => {
            let what = format!(r#"match is {}; it must be "all" or "any""#, shown(value));
            Err(invalid(value.py(), what))
        }
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

    /// Leads messages to a queue, or on to another exchange: those whose key matches the pattern (in a topic exchange `*` is one word,
    /// `#` none or more), in a headers exchange those whose headers have all, or any, of these (None: a header of that name, whatever
    /// its value). Twice is once.
    #[pyo3(
        signature = (queue_or_exchange, pattern = None, headers = None, r#match = None),
        text_signature = "($self, queue_or_exchange, pattern='', headers=None, match='all')"
    )]
    fn bind(
        &self,
        py: Python<'_>,
        queue_or_exchange: &Bound<'_, PyAny>,
        pattern: Argument<'_, '_>,
        headers: Argument<'_, '_>,
        r#match: Argument<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let binding = self.binding(queue_or_exchange, pattern, headers, r#match)?;
        let exchange = self.id;
        self.submit(py, Command::Bind { exchange, binding }, Shape::Nothing)
    }

    /// Takes a binding away; say what bind() was told. Raises NotFound if there is none.
    #[pyo3(
        signature = (queue_or_exchange, pattern = None, headers = None, r#match = None),
        text_signature = "($self, queue_or_exchange, pattern='', headers=None, match='all')"
    )]
    fn unbind(
        &self,
        py: Python<'_>,
        queue_or_exchange: &Bound<'_, PyAny>,
        pattern: Argument<'_, '_>,
        headers: Argument<'_, '_>,
        r#match: Argument<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let binding = self.binding(queue_or_exchange, pattern, headers, r#match)?;
        let exchange = self.id;
        self.submit(py, Command::Unbind { exchange, binding }, Shape::Nothing)
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

    /// Removes the exchange, its bindings, and those that lead to it.
    fn delete(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let exchange = self.id;
        self.submit(py, Command::DeleteExchange { exchange }, Shape::Nothing)
    }

    fn __repr__(&self) -> String {
        format!("<Exchange {:?}>", self.name)
    }
}
