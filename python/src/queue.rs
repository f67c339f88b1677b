//! A queue's handle.

use std::sync::Arc;

use ferrymq_core::engine::{AtOnce, Command, Wait};
use ferrymq_core::model::limits::{BATCH_MESSAGES_MAX, SUBSCRIPTION_HANDLERS_MAX};
use ferrymq_core::model::{Outgoing, SessionId, Span};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyRange, PySequence, PyTuple};

use crate::call::{Mode, Source, answer, submit};
use crate::consumer::Consumer;
use crate::convert::{
    Given, boolean, bytes_body, duration, duration_or_none, integer, shown, timeout,
};
use crate::errors::{invalid, is_closed, raised};
use crate::message::{Delivery, note_settled, reason, token_of};
use crate::options::queue_options;
use crate::outgoing::{Batch, Extra, Keywords, batch, start};
use crate::reply::Shape;

/// How long a request waits for its reply where it does not say.
const REQUEST_TIMEOUT: Span = Span(30_000);

/// How many deliveries of a batch are taken under one lock.
const TAKEN_AT_ONCE: u32 = 64;

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// A queue: produce puts messages on it, consume hands them out, each to one consumer at a time.
///
/// Handles come from `broker.queue(name)`; any number of threads may use one at once. A handle is always true, however
/// many messages wait; `len(queue)` counts them.
///
/// >>> queue = ferrymq.open().queue("orders")
/// >>> queue.produce(b"first")
/// 1
/// >>> with queue.consume() as delivery:
/// ...     delivery.body
/// b'first'
#[pyclass(frozen, module = "ferrymq")]
pub struct Queue {
    pub source: Source,
}

impl Queue {
    pub fn object(py: Python<'_>, source: Source) -> PyResult<Py<PyAny>> {
        Ok(Py::new(py, Queue { source })?.into_any())
    }

    #[inline]
    fn submit(&self, py: Python<'_>, command: Command, shape: Shape) -> PyResult<Py<PyAny>> {
        submit(py, &self.source.shared, self.source.mode, command, shape)
    }

    /// How long to wait, by the engine's clock, which is read only when there is an end to it.
    #[inline]
    fn wait(&self, py: Python<'_>, timeout: Option<Span>) -> PyResult<Wait> {
        Ok(match timeout {
            None => Wait::Forever,
            Some(Span(0)) => Wait::No,
            some => self.source.shared.driver(py)?.wait(some),
        })
    }

    #[inline]
    fn session(&self, py: Python<'_>) -> PyResult<SessionId> {
        Ok(self.source.shared.driver(py)?.session())
    }

    /// Takes what is ready, up to `max`, a few at a time: a whole batch of deliveries would leave the processor's first cache before they are objects.
    fn take_ready(
        slf: &Bound<'_, Self>,
        py: Python<'_>,
        max: u32,
        auto_ack: bool,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let this = slf.get();
        let driver = this.source.shared.driver(py)?;
        let mut objects = Vec::new();
        let mut deliveries = Vec::with_capacity(TAKEN_AT_ONCE as usize);
        let mut rest = max;
        while rest > 0 {
            driver
                .consume_many_at_once(
                    this.source.id,
                    rest.min(TAKEN_AT_ONCE),
                    auto_ack,
                    &mut deliveries,
                )
                .map_err(|error| raised(py, &error))?;
            rest -= u32::try_from(deliveries.len()).expect("no more than were asked for");
            let last = deliveries.len() < TAKEN_AT_ONCE as usize;
            for delivery in deliveries.drain(..) {
                objects.push(Delivery::object(py, slf.clone().unbind(), delivery)?);
            }
            if last {
                break;
            }
        }
        Ok(objects)
    }

    /// Settles what was passed, a token or a delivery of this broker.
    fn settle(
        &self,
        token: &Bound<'_, PyAny>,
        command: impl FnOnce(ferrymq_core::model::Token) -> Command,
    ) -> PyResult<Py<PyAny>> {
        let command = command(token_of(token, &self.source.shared)?);
        note_settled(token);
        self.submit(token.py(), command, Shape::Nothing)
    }
}

#[pymethods]
impl Queue {
    /// The queue's name.
    #[getter]
    fn name(&self) -> &str {
        &self.source.name
    }

    /// The same queue, whose calls return a Pending instead of waiting.
    fn _starting(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let source = Source {
            shared: Arc::clone(&self.source.shared),
            mode: Mode::Start,
            id: self.source.id,
            name: self.source.name.clone(),
        };
        Queue::object(py, source)
    }

    /// Puts a message on the queue and returns its id, once it is as safe as asked.
    ///
    /// body: bytes, bytearray, memoryview, or str (UTF-8); or json=, any JSON value. delay and ttl: seconds or timedelta.
    /// priority: below the queue's priorities, higher goes first. timeout: how long to wait for room where the queue says
    /// overflow="block"; None: as long as it takes. dedup_id: within the queue's dedup_window a second message with the same
    /// id is not put on the queue; the first one's id is returned, once that is as safe as asked.
    /// Raises QueueFull, MessageTooLarge, InvalidArgument, Closed.
    // The arguments are named one by one, not taken as **keywords: only so does Python pass them without a tuple.
    #[pyo3(
        signature = (body = None, *, json = Given(None), key = None, priority = None, delay = None, ttl = None,
            headers = None, dedup_id = None, durability = None, content_type = None, correlation_id = None, reply_to = None,
            timeout = Given(None)),
        text_signature = "($self, body=None, *, json=..., key=None, priority=0, delay=None, ttl=None, headers=None, dedup_id=None, durability=None, content_type=None, correlation_id=None, reply_to=None, timeout=None)"
    )]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are Python's keyword arguments"
    )]
    fn produce<'py>(
        &self,
        py: Python<'py>,
        body: Argument<'_, 'py>,
        json: Given<'_, 'py>,
        key: Argument<'_, 'py>,
        priority: Argument<'_, 'py>,
        delay: Argument<'_, 'py>,
        ttl: Argument<'_, 'py>,
        headers: Argument<'_, 'py>,
        dedup_id: Argument<'_, 'py>,
        durability: Argument<'_, 'py>,
        content_type: Argument<'_, 'py>,
        correlation_id: Argument<'_, 'py>,
        reply_to: Argument<'_, 'py>,
        timeout: Given<'_, 'py>,
    ) -> PyResult<Py<PyAny>> {
        let queue = self.source.id;
        let named = [
            ("key", key),
            ("priority", priority),
            ("delay", delay),
            ("ttl", ttl),
            ("headers", headers),
            ("dedup_id", dedup_id),
            ("durability", durability),
            ("content_type", content_type),
            ("correlation_id", correlation_id),
            ("reply_to", reply_to),
        ];
        let plain = json.0.is_none() && named.iter().all(|(_, value)| value.is_none());
        let timeout = self::timeout(&timeout, None)?;
        let driver = self.source.shared.driver(py)?;
        let message = if plain && let Some(bytes) = body.and_then(|body| body.cast_exact().ok()) {
            let mut body = Some(bytes_body(bytes)?);
            match driver.produce_body_at_once(queue, &mut body) {
                Ok(Some(id)) => return Ok(id.0.into_pyobject(py)?.into_any().unbind()),
                Ok(None) => {}
                Err(error) => return Err(raised(py, &error)),
            }
            Outgoing::new(body.expect("what was not produced is still there"))
        } else if plain {
            start(py, body, None)?
        } else {
            Keywords::named(&json, &named)?.message(py, body)?
        };
        match driver.produce_at_once(queue, message) {
            Ok(AtOnce::Produced(id)) => Ok(id.0.into_pyobject(py)?.into_any().unbind()),
            Ok(AtOnce::Waits(message)) => {
                let wait = self.wait(py, timeout)?;
                let command = Command::Produce {
                    queue,
                    message,
                    wait,
                };
                self.submit(py, command, Shape::Number)
            }
            Err(error) => Err(raised(py, &error)),
        }
    }

    /// Sends a message and returns its reply, a Message: what a consumer of the queue answers with delivery.reply().
    ///
    /// timeout: seconds or timedelta to wait for room and for the reply; the request expires with it. None: for ever.
    /// keywords: json, key, priority, headers, durability and content_type, as for produce.
    /// Raises Unavailable when no reply came in time, and what produce raises.
    #[pyo3(
        signature = (body = None, *, timeout = Given(None), **keywords),
        text_signature = "($self, body=None, *, timeout=30.0, json=..., key=None, priority=0, headers=None, durability=None, content_type=None)"
    )]
    fn request<'py>(
        &self,
        py: Python<'py>,
        body: Argument<'_, 'py>,
        timeout: Given<'_, 'py>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let message = Keywords::passed(py, body, keywords, Extra::Nothing)?;
        let own = message.properties.as_ref();
        if message.delay.is_some()
            || own.is_some_and(|own| own.correlation_id.is_some() || own.reply_to.is_some())
        {
            let must = "a request has its own correlation_id and reply_to, and is not delayed";
            return Err(invalid(py, format!("{must}; leave them out")));
        }
        let timeout = self::timeout(&timeout, Some(REQUEST_TIMEOUT))?;
        let (shared, mode) = (&self.source.shared, self.source.mode);
        let driver = shared.driver(py)?;
        let (asked, pending) = driver
            .begin_request(timeout)
            .map_err(|error| raised(py, &error))?;
        let shape = Shape::Answer(Arc::clone(shared), asked.queue, asked.reply_to.clone());
        let queue = self.source.id;
        let sent = match driver.produce_at_once(queue, asked.on(message)) {
            Ok(AtOnce::Produced(_)) => py.None(),
            Ok(AtOnce::Waits(message)) => {
                let command = Command::Produce {
                    queue,
                    message,
                    wait: self.wait(py, timeout)?,
                };
                self.submit(py, command, Shape::Number)?
            }
            Err(error) => return Err(raised(py, &error)),
        };
        let reply = answer(py, shared, mode, pending, shape)?;
        match mode {
            Mode::Wait => Ok(reply),
            // Both are awaited, one after the other.
            Mode::Start => Ok((sent, reply).into_pyobject(py)?.into_any().unbind()),
        }
    }

    /// Puts messages on the queue, all or none, and returns their ids. items: bodies (as for produce) and Outgoings.
    #[pyo3(signature = (items, *, timeout = Given(None)), text_signature = "($self, items, *, timeout=None)")]
    fn produce_many(
        &self,
        py: Python<'_>,
        items: &Bound<'_, PyAny>,
        timeout: Given<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let mut batch = batch(items)?;
        let timeout = self::timeout(&timeout, None)?;
        let queue = self.source.id;
        if let Batch::Bodies(bodies) = &mut batch {
            let count = bodies.len() as u64;
            let driver = self.source.shared.driver(py)?;
            match driver.produce_bodies_at_once(queue, bodies) {
                Ok(Some(first)) => {
                    let ids = PyRange::new(py, first.0 as isize, (first.0 + count) as isize)?;
                    return Ok(ids
                        .cast_into::<PySequence>()?
                        .to_list()?
                        .into_any()
                        .unbind());
                }
                Ok(None) => {}
                Err(error) => return Err(raised(py, &error)),
            }
        }
        let messages = batch.into_messages();
        let wait = self.wait(py, timeout)?;
        self.submit(
            py,
            Command::ProduceMany {
                queue,
                messages,
                wait,
            },
            Shape::Ids,
        )
    }

    /// Takes the next message, which is yours until its lease ends; None when there is none within the timeout.
    ///
    /// timeout: seconds or timedelta; 0: at once; None: wait for ever. auto_ack: settled by being handed over.
    #[pyo3(
        signature = (timeout = Given(None), *, auto_ack = None),
        text_signature = "($self, timeout=0, *, auto_ack=False)"
    )]
    fn consume(
        slf: &Bound<'_, Self>,
        py: Python<'_>,
        timeout: Given<'_, '_>,
        auto_ack: Argument<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        let queue = this.source.id;
        let timeout = self::timeout(&timeout, Some(Span(0)))?;
        let auto_ack = auto_ack.map_or(Ok(false), |flag| boolean(flag, "auto_ack"))?;
        match this
            .source
            .shared
            .driver(py)?
            .consume_at_once(queue, auto_ack)
        {
            Ok(Some(delivery)) => {
                return Delivery::object(py, slf.clone().unbind(), delivery);
            }
            Ok(None) => {}
            Err(error) => return Err(raised(py, &error)),
        }
        let command = Command::Consume {
            queue,
            session: this.session(py)?,
            auto_ack,
            wait: this.wait(py, timeout)?,
        };
        this.submit(py, command, Shape::Delivery(slf.clone().unbind()))
    }

    /// Takes up to max_messages; waits for the first only. A list, empty when there is none within the timeout.
    #[pyo3(
        signature = (max_messages, timeout = Given(None), *, auto_ack = None),
        text_signature = "($self, max_messages, timeout=0, *, auto_ack=False)"
    )]
    fn consume_many(
        slf: &Bound<'_, Self>,
        py: Python<'_>,
        max_messages: &Bound<'_, PyAny>,
        timeout: Given<'_, '_>,
        auto_ack: Argument<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        let max = batch_size(max_messages, "max_messages")?;
        let auto_ack = auto_ack.map_or(Ok(false), |flag| boolean(flag, "auto_ack"))?;
        let timeout = self::timeout(&timeout, Some(Span(0)))?;
        let taken = Queue::take_ready(slf, py, max, auto_ack)?;
        if !taken.is_empty() {
            return Ok(PyList::new(py, taken)?.into_any().unbind());
        }
        let command = Command::ConsumeMany {
            queue: this.source.id,
            session: this.session(py)?,
            max,
            auto_ack,
            wait: this.wait(py, timeout)?,
        };
        this.submit(py, command, Shape::Deliveries(slf.clone().unbind()))
    }

    /// Acks deliveries (or their tokens). Those it cannot ack it leaves and then raises LeaseLost, whose lost lists them.
    fn ack_many(&self, py: Python<'_>, deliveries: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let deliveries = settling(deliveries)?;
        let tokens = deliveries
            .iter_borrowed()
            .map(|item| token_of(&item, &self.source.shared))
            .collect::<PyResult<Vec<_>>>()?;
        for item in deliveries.iter_borrowed() {
            note_settled(&item);
        }
        let shape = Shape::Acked(deliveries.unbind(), Arc::clone(&self.source.shared));
        self.submit(py, Command::AckMany { tokens }, shape)
    }

    /// As delivery.ack(), by the delivery's token.
    #[pyo3(signature = (token, *, durable = None), text_signature = "($self, token, *, durable=False)")]
    fn ack(&self, token: &Bound<'_, PyAny>, durable: Argument<'_, '_>) -> PyResult<Py<PyAny>> {
        let durable = durable.map_or(Ok(false), |flag| boolean(flag, "durable"))?;
        self.settle(token, |token| Command::Ack { token, durable })
    }

    /// As delivery.nack(), by the delivery's token.
    #[pyo3(signature = (token, delay = None, reason = None))]
    fn nack(
        &self,
        token: &Bound<'_, PyAny>,
        delay: Argument<'_, '_>,
        reason: Argument<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        let delay = duration_or_none(delay, "delay")?;
        let reason = self::reason(reason)?;
        self.settle(token, |token| Command::Nack {
            token,
            delay,
            reason,
        })
    }

    /// As delivery.reject(), by the delivery's token.
    #[pyo3(signature = (token, reason = None))]
    fn reject(&self, token: &Bound<'_, PyAny>, reason: Argument<'_, '_>) -> PyResult<Py<PyAny>> {
        let reason = self::reason(reason)?;
        self.settle(token, |token| Command::Reject { token, reason })
    }

    /// As delivery.release(), by the delivery's token.
    fn release(&self, token: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.settle(token, |token| Command::Release { token })
    }

    /// As delivery.extend(), by the delivery's token.
    fn extend(
        &self,
        py: Python<'_>,
        token: &Bound<'_, PyAny>,
        seconds: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        if let Ok(delivery) = token.cast::<Delivery>() {
            return Ok(delivery.call_method1("extend", (seconds,))?.unbind());
        }
        let token = token_of(token, &self.source.shared)?;
        let by = duration(seconds, "seconds")?;
        self.submit(py, Command::Extend { token, by }, Shape::Nothing)
    }

    /// The next messages in the order in which they would be delivered. Changes nothing.
    #[pyo3(signature = (n = None), text_signature = "($self, n=1)")]
    fn peek(slf: &Bound<'_, Self>, py: Python<'_>, n: Argument<'_, '_>) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        let max = n.map_or(Ok(1), |n| batch_size(n, "n"))?;
        let queue = this.source.id;
        let shape = Shape::Messages(slf.clone().unbind());
        this.submit(py, Command::Peek { queue, max }, shape)
    }

    /// On a dead-letter queue: sends messages back to the queues they came from. Returns how many.
    #[pyo3(signature = (max_messages = None))]
    fn redrive(&self, py: Python<'_>, max_messages: Argument<'_, '_>) -> PyResult<Py<PyAny>> {
        let max = max_messages
            .map(|max| integer(max, "max_messages", 0, i64::MAX as u64))
            .transpose()?;
        let queue = self.source.id;
        self.submit(py, Command::Redrive { queue, max }, Shape::Number)
    }

    /// Changes options of the queue: all but priorities, ordered_keys and exclusive.
    #[pyo3(signature = (**options))]
    fn alter(&self, py: Python<'_>, options: Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>> {
        let options = queue_options(py, options)?;
        let queue = self.source.id;
        self.submit(py, Command::AlterQueue { queue, options }, Shape::Nothing)
    }

    /// Removes all messages that wait; those that are leased stay with their consumers. Returns how many.
    fn purge(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let queue = self.source.id;
        self.submit(py, Command::Purge { queue }, Shape::Number)
    }

    /// Removes the queue and everything in it. Returns how many messages went with it.
    fn delete(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let queue = self.source.id;
        self.submit(py, Command::DeleteQueue { queue }, Shape::Number)
    }

    /// The queue in numbers, as of now.
    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let queue = self.source.id;
        self.submit(py, Command::Stats { queue }, Shape::Stats)
    }

    /// What len() says, also where that may be pending.
    fn _size(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let queue = self.source.id;
        self.submit(py, Command::Size { queue }, Shape::Number)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self._size(py)?.extract(py)
    }

    fn __bool__(&self) -> bool {
        true
    }

    /// A push consumer: deliveries as they come, up to prefetch of them reserved for it. See Consumer.
    #[pyo3(
        signature = (*, prefetch = None, auto_ack = None),
        text_signature = "($self, *, prefetch=100, auto_ack=False)"
    )]
    fn consumer(
        slf: &Bound<'_, Self>,
        prefetch: Argument<'_, '_>,
        auto_ack: Argument<'_, '_>,
    ) -> PyResult<Py<PyAny>> {
        Consumer::open(slf, prefetch, auto_ack)
    }

    /// Calls handler(delivery) for each message, in as many threads as concurrency says: returning acks, raising nacks. See Subscription.
    #[pyo3(
        signature = (handler, *, concurrency = None),
        text_signature = "($self, handler, *, concurrency=1)"
    )]
    fn subscribe<'py>(
        slf: &Bound<'py, Self>,
        py: Python<'py>,
        handler: &Bound<'py, PyAny>,
        concurrency: Argument<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let class = py
            .import("ferrymq._subscription")?
            .getattr("Subscription")?;
        class.call1((slf, handler, self::concurrency(concurrency)?))
    }

    /// The same number, checked, for asyncio.
    #[staticmethod]
    #[pyo3(signature = (concurrency))]
    fn _concurrency(concurrency: &Bound<'_, PyAny>) -> PyResult<u64> {
        self::concurrency(Some(concurrency))
    }

    /// Deliveries as they come, waiting for each, until the broker is closed: as consumer().
    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        match Consumer::open(slf, None, None) {
            Err(error) if is_closed(slf.py(), &error) => Consumer::ended(slf),
            opened => opened,
        }
    }

    fn __contains__(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let _ = value;
        // Without this, `in` would consume the queue to search it.
        Err(PyTypeError::new_err(
            "a queue cannot be searched; peek(n) shows what comes next",
        ))
    }

    fn __repr__(&self) -> String {
        format!("<Queue {:?}>", self.source.name)
    }
}

/// What is to be settled, as a tuple of its own. Errors also when there is more than can be settled at once, before all of it is read.
fn settling<'py>(deliveries: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    let py = deliveries.py();
    let too_many = || {
        let limit = format!("at most {BATCH_MESSAGES_MAX} deliveries can be acked at once");
        invalid(py, limit)
    };
    if let Ok(list) = deliveries.cast_exact::<PyList>() {
        if list.len() > BATCH_MESSAGES_MAX {
            return Err(too_many());
        }
        return Ok(list.to_tuple());
    }
    let Ok(iterator) = deliveries.try_iter() else {
        let must = "pass an iterable of deliveries or tokens";
        return Err(invalid(
            py,
            format!("deliveries is {}; {must}", shown(deliveries)),
        ));
    };
    let mut objects = Vec::new();
    for item in iterator {
        if objects.len() == BATCH_MESSAGES_MAX {
            return Err(too_many());
        }
        objects.push(item?);
    }
    PyTuple::new(py, objects)
}

fn concurrency(given: Argument<'_, '_>) -> PyResult<u64> {
    let most = u64::from(SUBSCRIPTION_HANDLERS_MAX);
    given.map_or(Ok(1), |given| integer(given, "concurrency", 1, most))
}

pub fn batch_size(value: &Bound<'_, PyAny>, what: &str) -> PyResult<u32> {
    let size = integer(value, what, 1, BATCH_MESSAGES_MAX as u64)?;
    Ok(u32::try_from(size).expect("the most messages of a batch fit 32 bits"))
}
