//! A transaction: a list kept here, sent as one command at commit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferrymq_core::engine::{Command, Operation, Reply};
use ferrymq_core::model::limits::TRANSACTION_OPERATIONS_MAX;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::call::{Mode, Shared, submit};
use crate::convert::{boolean, shown};
use crate::errors::invalid;
use crate::exchange::Exchange;
use crate::message::{note_settled, token_of};
use crate::outgoing::{Extra, Keywords};
use crate::queue::Queue;
use crate::reply::Shape;

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// Produces and acks that commit together or not at all.
///
/// A context manager: the end of the block commits, an exception forgets all of it. Nothing is visible, reserved or
/// counted before the commit; a full queue or a lost lease aborts the whole, whatever the queue's overflow says.
///
/// >>> broker = ferrymq.open()
/// >>> jobs, results = broker.queue("jobs"), broker.queue("results")
/// >>> _ = jobs.produce(b"work")
/// >>> delivery = jobs.consume()
/// >>> with broker.transaction() as tx:
/// ...     tx.produce(results, b"done")
/// ...     tx.ack(delivery)
/// >>> len(jobs), len(results)
/// (0, 1)
#[pyclass(frozen, module = "ferrymq")]
pub struct Transaction {
    shared: Arc<Shared>,
    mode: Mode,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    operations: Vec<Operation>,
    deliveries: Vec<Py<PyAny>>,
    over: bool,
    results: Vec<Option<u64>>,
}

impl Transaction {
    pub fn new(shared: Arc<Shared>, mode: Mode) -> Transaction {
        Transaction {
            shared,
            mode,
            state: Mutex::default(),
        }
    }

    /// Held for moves only: Python code never runs under it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(
        &self,
        py: Python<'_>,
        operation: Operation,
        delivery: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let mut state = self.state();
        if state.over {
            drop(state);
            return Err(is_over(py));
        }
        if state.operations.len() >= TRANSACTION_OPERATIONS_MAX {
            drop(state);
            let limit = format!(
                "a transaction has at most {TRANSACTION_OPERATIONS_MAX} operations; use several"
            );
            return Err(invalid(py, limit));
        }
        state.operations.push(operation);
        state.deliveries.extend(delivery);
        Ok(())
    }

    /// The commit went through.
    pub fn committed(&self, py: Python<'_>, replies: Vec<Reply>) -> PyResult<()> {
        let results = replies.into_iter().map(|reply| match reply {
            Reply::Produced(id) => Some(id.0),
            Reply::Count(count) => Some(count),
            _ => None,
        });
        let deliveries = {
            let mut state = self.state();
            state.results = results.collect();
            std::mem::take(&mut state.deliveries)
        };
        for delivery in deliveries {
            note_settled(delivery.bind(py));
        }
        Ok(())
    }

    fn operation<'py>(
        &self,
        target: &Bound<'py, PyAny>,
        body: Argument<'_, 'py>,
        mut keywords: Keywords<'py>,
    ) -> PyResult<Operation> {
        let py = target.py();
        let other = || {
            invalid(
                py,
                "the target is another broker's; a transaction spans one broker",
            )
        };
        let mandatory = keywords.mandatory.take();
        if let Ok(queue) = target.cast::<Queue>() {
            let source = &queue.get().source;
            if !Arc::ptr_eq(&source.shared, &self.shared) {
                return Err(other());
            }
            if mandatory.is_some() {
                return Err(invalid(
                    py,
                    "mandatory is for exchanges: a queue is always reached",
                ));
            }
            let message = keywords.message(py, body)?;
            return Ok(Operation::Produce {
                queue: source.id,
                message,
            });
        }
        if let Ok(exchange) = target.cast::<Exchange>() {
            let exchange = exchange.get();
            if !Arc::ptr_eq(&exchange.shared, &self.shared) {
                return Err(other());
            }
            return Ok(Operation::Publish {
                exchange: exchange.id,
                key: keywords.take_key(),
                message: keywords.message(py, body)?,
                mandatory: mandatory.map_or(Ok(false), |flag| boolean(&flag, "mandatory"))?,
            });
        }
        let must = "pass a Queue or an Exchange of this broker first, then the body";
        Err(invalid(
            py,
            format!("the target is {}; {must}", shown(target)),
        ))
    }
}

#[cold]
fn is_over(py: Python<'_>) -> PyErr {
    invalid(
        py,
        "this transaction is over; begin another with broker.transaction()",
    )
}

#[pymethods]
impl Transaction {
    /// Adds a produce to a queue or an exchange. Arguments as there; a full queue aborts, so there is no timeout.
    #[pyo3(
        signature = (target, body = None, **keywords),
        text_signature = "($self, target, body=None, *, json=..., key=None, mandatory=None, priority=0, delay=None, ttl=None, headers=None, dedup_id=None, durability=None, content_type=None, correlation_id=None, reply_to=None)"
    )]
    fn produce<'py>(
        &self,
        py: Python<'py>,
        target: &Bound<'py, PyAny>,
        body: Argument<'_, 'py>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        let keywords = keywords
            .map(|passed| Keywords::parse(passed, Extra::Mandatory))
            .transpose()?
            .unwrap_or_default();
        let operation = self.operation(target, body, keywords)?;
        self.add(py, operation, None)
    }

    /// Adds the ack of a delivery (or of its token).
    fn ack(&self, py: Python<'_>, delivery: &Bound<'_, PyAny>) -> PyResult<()> {
        let token = token_of(delivery, &self.shared)?;
        self.add(
            py,
            Operation::Ack { token },
            Some(delivery.clone().unbind()),
        )
    }

    /// Does all of it, or raises and does none; returns once it is as safe as its messages asked. The with block calls it.
    fn commit(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let operations = {
            let mut state = this.state();
            if std::mem::replace(&mut state.over, true) {
                drop(state);
                return Err(is_over(py));
            }
            std::mem::take(&mut state.operations)
        };
        let shape = Shape::Committed(slf.clone().unbind());
        submit(
            py,
            &this.shared,
            this.mode,
            Command::Transaction { operations },
            shape,
        )
    }

    /// Forgets all of it. An exception in the with block calls it.
    fn rollback(&self) {
        let forgotten = {
            let mut state = self.state();
            state.over = true;
            (
                std::mem::take(&mut state.operations),
                std::mem::take(&mut state.deliveries),
            )
        };
        drop(forgotten);
    }

    /// After the commit, for each operation in order: the message's id, the number of queues reached, or None for an ack.
    #[getter]
    fn results<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let results = self.state().results.clone();
        PyList::new(py, results)
    }

    #[getter]
    fn _is_over(&self) -> bool {
        self.state().over
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (kind, error, trace, /))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        kind: Option<&Bound<'_, PyAny>>,
        error: Option<&Bound<'_, PyAny>>,
        trace: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let _ = (kind, trace);
        if error.is_some() {
            slf.get().rollback();
        } else if !slf.get()._is_over() {
            Transaction::commit(slf)?;
        }
        Ok(false)
    }
}
