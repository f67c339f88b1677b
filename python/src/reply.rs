//! What an answer of the engine becomes in Python.

use std::sync::Arc;

use ferrymq_core::engine::Reply;
use ferrymq_core::model::{BrokerStats, QueueId, QueueStats, Token};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::call::{Mode, Shared, Source};
use crate::consumer::Consumer;
use crate::convert::seconds;
use crate::errors::lost;
use crate::exchange::Exchange;
use crate::message::{Delivery, Message, token_of};
use crate::queue::Queue;
use crate::transaction::Transaction;

/// The object that a command's answer turns into, with what is needed to make it.
pub enum Shape {
    /// `None`.
    Nothing,
    /// An int: a count or an id.
    Number,
    /// A list of ids.
    Ids,
    /// A delivery of this queue, or `None`.
    Delivery(Py<Queue>),
    /// The first of a list of deliveries of this queue, or `None`.
    First(Py<Queue>),
    /// A push consumer of this queue.
    Consumer(Py<Queue>),
    /// A list of deliveries of this queue.
    Deliveries(Py<Queue>),
    /// A list of messages of this queue.
    Messages(Py<Queue>),
    /// `None`, or `LeaseLost` naming those of the objects that were lost.
    Acked(Py<PyTuple>, Arc<Shared>),
    /// `None`; the message remembers when its lease now ends.
    Extended(Py<Message>),
    /// Statistics of a queue, of all queues, of the broker.
    Stats,
    /// A queue's handle.
    Queue(Arc<Shared>, Mode, String),
    /// An exchange's handle.
    Exchange(Arc<Shared>, Mode, String),
    /// The reply to a request, a message of the queue of replies with this id and name.
    Answer(Arc<Shared>, QueueId, String),
    /// `None`; the transaction remembers its results.
    Committed(Py<Transaction>),
}

impl Shape {
    /// The Python object. A reply that does not belong to the command is a broken invariant of the engine.
    #[inline(always)]
    pub fn object(self, py: Python<'_>, reply: Reply) -> PyResult<Py<PyAny>> {
        match (self, reply) {
            (Shape::Nothing, _) => Ok(py.None()),
            (Shape::Number, Reply::Produced(id)) => Ok(id.0.into_pyobject(py)?.into_any().unbind()),
            (Shape::Delivery(source), Reply::Delivery(Some(delivery))) => {
                Delivery::object(py, source, delivery)
            }
            (Shape::Delivery(_), Reply::Delivery(None)) => Ok(py.None()),
            (shape, reply) => shape.object_seldom(py, reply),
        }
    }

    #[inline(never)]
    fn object_seldom(self, py: Python<'_>, reply: Reply) -> PyResult<Py<PyAny>> {
        match (self, reply) {
            (Shape::Number, Reply::Count(count)) => {
                Ok(count.into_pyobject(py)?.into_any().unbind())
            }
            (Shape::Ids, Reply::ProducedMany(ids)) => {
                Ok(PyList::new(py, ids.into_iter().map(|id| id.0))?
                    .into_any()
                    .unbind())
            }
            (Shape::First(source), Reply::Deliveries(deliveries)) => {
                match deliveries.into_iter().next() {
                    Some(delivery) => Delivery::object(py, source, delivery),
                    None => Ok(py.None()),
                }
            }
            (Shape::Deliveries(source), Reply::Deliveries(deliveries)) => {
                let objects: Vec<_> = deliveries
                    .into_iter()
                    .map(|delivery| Delivery::object(py, source.clone_ref(py), delivery))
                    .collect::<PyResult<_>>()?;
                Ok(PyList::new(py, objects)?.into_any().unbind())
            }
            (Shape::Messages(source), Reply::Messages(messages)) => {
                let objects: Vec<_> = messages
                    .into_iter()
                    .map(|message| Message::object(py, source.clone_ref(py), message))
                    .collect::<PyResult<_>>()?;
                Ok(PyList::new(py, objects)?.into_any().unbind())
            }
            (Shape::Acked(deliveries, shared), Reply::Lost(gone)) => {
                acked(deliveries.bind(py), &shared, &gone)
            }
            (Shape::Extended(message), Reply::Deadline(deadline)) => {
                message.get().extended(deadline);
                Ok(py.None())
            }
            (Shape::Answer(shared, id, name), Reply::Delivery(Some(delivery))) => {
                let source = Source {
                    shared,
                    mode: Mode::Wait,
                    id,
                    name,
                };
                Message::object(py, Py::new(py, Queue { source })?, delivery.message)
            }
            (Shape::Committed(transaction), Reply::Transaction(replies)) => {
                transaction.get().committed(py, replies)?;
                Ok(py.None())
            }
            (shape, reply) => shape.object_of_broker(py, reply),
        }
    }

    /// Handles, and numbers.
    fn object_of_broker(self, py: Python<'_>, reply: Reply) -> PyResult<Py<PyAny>> {
        match (self, reply) {
            (Shape::Consumer(queue), Reply::Consumer(id)) => Consumer::object(py, queue, id),
            (Shape::Stats, Reply::Stats(stats)) => queue_stats(py, &stats).map(Bound::unbind),
            (Shape::Stats, Reply::Queues(all)) => {
                let list = PyList::empty(py);
                for stats in &all {
                    list.append(queue_stats(py, stats)?)?;
                }
                Ok(list.into_any().unbind())
            }
            (Shape::Stats, Reply::Broker(stats)) => broker_stats(py, &stats),
            (Shape::Queue(shared, mode, name), Reply::Queue(id)) => Queue::object(
                py,
                Source {
                    shared,
                    mode,
                    id,
                    name,
                },
            ),
            (Shape::Exchange(shared, mode, name), Reply::Exchange(id, _)) => Exchange::object(
                py,
                Exchange {
                    shared,
                    mode,
                    id,
                    name,
                },
            ),
            (_, reply) => unreachable_reply(&reply),
        }
    }
}

/// The engine answers each command with its own reply: anything else is a defect, told as such.
#[cold]
fn unreachable_reply(reply: &Reply) -> PyResult<Py<PyAny>> {
    let message =
        format!("the engine answered with something else ({reply:?}); please report this");
    Err(pyo3::exceptions::PyRuntimeError::new_err(message))
}

fn acked(
    deliveries: &Bound<'_, PyTuple>,
    shared: &Arc<Shared>,
    gone: &[Token],
) -> PyResult<Py<PyAny>> {
    let py = deliveries.py();
    if gone.is_empty() {
        return Ok(py.None());
    }
    let gone: std::collections::BTreeSet<_> = gone.iter().collect();
    // A token that was passed twice is acked once; the engine names it once, too.
    let mut named = std::collections::BTreeSet::new();
    let mut rest = Vec::with_capacity(gone.len());
    for item in deliveries {
        let token = token_of(&item, shared)?;
        if gone.contains(&token) && named.insert(token) {
            rest.push(item.unbind());
        }
    }
    Err(lost(py, deliveries.len(), rest))
}

/// The hand-written classes of `ferrymq._types`.
fn stats_class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("ferrymq._types").map(Bound::unbind))?;
    module.bind(py).getattr(name)
}

fn queue_stats<'py>(py: Python<'py>, stats: &QueueStats) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("name", &stats.name)?;
    fields.set_item("oldest_age", seconds(stats.oldest_age))?;
    fields.set_item("capacity", stats.capacity)?;
    for (name, value) in [
        ("ready", stats.ready),
        ("delayed", stats.delayed),
        ("leased", stats.leased),
        ("held", stats.held),
        ("bytes", stats.bytes),
        ("produced", stats.produced),
        ("acked", stats.acked),
        ("nacked", stats.nacked),
        ("rejected", stats.rejected),
        ("released", stats.released),
        ("expired", stats.expired),
        ("dead_lettered", stats.dead_lettered),
        ("redelivered", stats.redelivered),
        ("dropped", stats.dropped),
        ("head", stats.head),
        ("tail", stats.tail),
        ("size", stats.size),
    ] {
        fields.set_item(name, value)?;
    }
    stats_class(py, "QueueStats")?.call((), Some(&fields))
}

fn broker_stats(py: Python<'_>, stats: &BrokerStats) -> PyResult<Py<PyAny>> {
    let fields = PyDict::new(py);
    for (name, value) in [
        ("queues", stats.queues),
        ("exchanges", stats.exchanges),
        ("messages", stats.messages),
        ("memory", stats.memory),
        ("memory_limit", stats.memory_limit),
        ("waiting", stats.waiting),
    ] {
        fields.set_item(name, value)?;
    }
    Ok(stats_class(py, "BrokerStats")?
        .call((), Some(&fields))?
        .unbind())
}
