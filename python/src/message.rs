//! A message as it is seen, and a delivery: a message that is the caller's until its lease ends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ferrymq_core::engine::{AtOnce, Command, Wait};
use ferrymq_core::model::{self, ErrorKind, Properties, Time, Token};
use pyo3::exceptions::{PyException, PyResourceWarning};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDateTime, PyDict, PyString};

use crate::call::{Source, submit};
use crate::convert::{boolean, duration, duration_or_none, headers_dict, shown, time_object};
use crate::errors::{invalid, invalid_from, raised};
use crate::outgoing::{Extra, Keywords};
use crate::queue::Queue;
use crate::reply::Shape;

/// A message: its body, its properties and what is known of its way.
///
/// Messages come from `queue.peek()`, deliveries (which are messages, too) from `queue.consume()`. `Message(other)` copies
/// what is seen of another one, without the right to settle it.
///
/// >>> queue = ferrymq.open().queue("letters")
/// >>> _ = queue.produce("dear", headers={"to": "you"})
/// >>> queue.peek()
/// [<Message 1 of queue "letters", attempt 0, 4 bytes>]
/// >>> queue.peek()[0].headers
/// {'to': 'you'}
#[pyclass(frozen, subclass, module = "ferrymq")]
pub struct Message {
    message: model::Message,
    /// The queue it came from. The object, not what it shares: one count less to keep atomically for every message.
    from: Py<Queue>,
    /// Made when it is first asked for; most services ask once, some never.
    body: OnceLock<Py<PyBytes>>,
    /// What settles it; `None` for what was only looked at, and with `auto_ack`. Here rather than in `Delivery`, so that dropping a delivery needs one object only.
    token: Option<Token>,
    /// When the lease ends.
    deadline: AtomicU64,
    settled: AtomicBool,
    /// Its token was asked for: whoever has that may settle it without this object.
    shared: AtomicBool,
    /// A block or handler works on it: the engine renews its lease.
    kept: AtomicBool,
}

impl Message {
    pub fn object(py: Python<'_>, from: Py<Queue>, message: model::Message) -> PyResult<Py<PyAny>> {
        Ok(Py::new(py, Message::seen(from, message, None, Time::NEVER))?.into_any())
    }

    #[inline(always)]
    fn seen(
        from: Py<Queue>,
        message: model::Message,
        token: Option<Token>,
        deadline: Time,
    ) -> Message {
        Message {
            message,
            from,
            body: OnceLock::new(),
            token,
            deadline: AtomicU64::new(deadline.0),
            settled: AtomicBool::new(false),
            shared: AtomicBool::new(false),
            kept: AtomicBool::new(false),
        }
    }

    #[inline]
    fn source(&self) -> &Source {
        &self.from.get().source
    }

    fn properties(&self) -> Option<&Properties> {
        self.message.properties.as_deref()
    }

    fn utf8(&self, py: Python<'_>) -> PyResult<&str> {
        std::str::from_utf8(&self.message.body).map_err(|error| {
            let message = format!(
                "the body of message {} is not UTF-8 ({error}); read .body",
                self.message.id.0
            );
            invalid(py, message)
        })
    }

    /// The token that settles it. Errors: `LeaseLost` where there never was one.
    #[inline]
    fn token(&self, py: Python<'_>) -> PyResult<Token> {
        self.token.ok_or_else(|| {
            raised(
                py,
                &model::Error::new(
                    ErrorKind::LeaseLost,
                    "this delivery was settled when it was handed over (auto_ack); consume without auto_ack to settle it yourself",
                ),
            )
        })
    }

    /// From here on nobody need be warned that it was forgotten.
    #[inline]
    pub fn settled(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// Has the lease renewed by itself, or not any more. A lease that was lost meanwhile says so when it is settled.
    #[inline]
    fn keep(&self, py: Python<'_>, kept: bool) {
        if let Some(token) = self.token
            && !self.settled.load(Ordering::Relaxed)
            && let Ok(driver) = self.source().shared.driver(py)
            && driver.keep(token, kept).is_ok()
        {
            self.kept.store(kept, Ordering::Relaxed);
        }
    }

    /// Nobody works on it any more: its lease ends it.
    #[cold]
    fn keep_no_longer(&self) {
        if let Some(token) = self.token
            && self.kept.load(Ordering::Relaxed)
            && let Some(driver) = self.source().shared.live()
        {
            driver.post(Command::Keep { token, kept: false });
        }
    }

    #[inline]
    fn is_settled(&self) -> bool {
        self.token.is_none() || self.settled.load(Ordering::Relaxed)
    }

    /// The lease now ends then.
    pub fn extended(&self, deadline: Time) {
        self.deadline.store(deadline.0, Ordering::Relaxed);
    }

    #[cold]
    fn warn_unsettled(&self) {
        if self.shared.load(Ordering::Relaxed) {
            return;
        }
        let deadline = self.deadline.load(Ordering::Relaxed);
        if !self.source().shared.is_live() || self.source().shared.now().0 >= deadline {
            return;
        }
        Python::try_attach(|py| {
            // An exception may be on its way while its frame's objects die; it must come out unharmed.
            let on_its_way = PyErr::take(py);
            let message = format!(
                "message {} of queue {} was dropped unsettled: it comes back when its lease ends; ack, nack, reject or release it, or use it in a with block",
                self.message.id.0,
                self.source().name.replace('\0', " ")
            );
            let warned = std::ffi::CString::new(message)
                .map(|message| PyErr::warn(py, &py.get_type::<PyResourceWarning>(), &message, 1));
            if let Ok(Err(error)) = warned {
                error.write_unraisable(py, None);
            }
            if let Some(error) = on_its_way {
                error.restore(py);
            }
        });
    }
}

impl Drop for Message {
    #[inline]
    fn drop(&mut self) {
        if !self.is_settled() {
            self.keep_no_longer();
            self.warn_unsettled();
        }
    }
}

#[pymethods]
impl Message {
    #[new]
    #[pyo3(signature = (source, /))]
    fn new(source: &Bound<'_, Message>) -> Message {
        let this = source.get();
        let from = this.from.clone_ref(source.py());
        Message::seen(from, this.message.clone(), None, Time::NEVER)
    }

    /// The message's id: unique in the store, grows within its queue.
    #[getter]
    fn id(&self) -> u64 {
        self.message.id.0
    }

    /// The body, as bytes.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        if let Some(made) = self.body.get() {
            return made.bind(py).clone();
        }
        let made = PyBytes::new(py, &self.message.body);
        // Whoever comes second gives away his own. pyo3's lock would let go of the GIL to make the first.
        let first = self.body.get_or_init(|| made.unbind());
        first.bind(py).clone()
    }

    /// The body as text. Raises InvalidArgument if it is not UTF-8.
    #[getter]
    fn text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(PyString::new(py, self.utf8(py)?))
    }

    /// The body read as JSON. Raises InvalidArgument if it is no JSON.
    fn json(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let text = self.utf8(py)?;
        let read = py.import("json")?.call_method1("loads", (text,));
        read.map(Bound::unbind).map_err(|cause| {
            let message = format!(
                "the body of message {} is no JSON ({}); read .body",
                self.message.id.0,
                cause.value(py)
            );
            invalid_from(py, message, cause)
        })
    }

    /// The headers, as a new dict.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        match self.properties() {
            Some(properties) => headers_dict(py, &properties.headers),
            None => Ok(PyDict::new(py)),
        }
    }

    /// The key that groups messages for ordering; the routing key if it was published.
    #[getter]
    fn key(&self) -> Option<&str> {
        self.properties()?.key.as_deref()
    }

    /// Higher goes first.
    #[getter]
    fn priority(&self) -> u8 {
        self.message.priority
    }

    /// How often it was handed over and counted: 1 the first time, 0 when peeked before that.
    #[getter]
    fn attempt(&self) -> u32 {
        self.message.attempt
    }

    /// Whether it had been handed over before.
    #[getter]
    fn redelivered(&self) -> bool {
        self.message.redelivered
    }

    /// When it was accepted, a datetime in UTC.
    #[getter]
    fn produced_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDateTime>> {
        time_object(py, self.message.produced_at)
    }

    /// The name of the queue that it is on.
    #[getter]
    fn queue(&self) -> &str {
        &self.source().name
    }

    /// What the body is, a MIME type.
    #[getter]
    fn content_type(&self) -> Option<&str> {
        self.properties()?.content_type.as_deref()
    }

    /// Ties a reply to its request.
    #[getter]
    fn correlation_id(&self) -> Option<&str> {
        self.properties()?.correlation_id.as_deref()
    }

    /// The queue that a reply should go to.
    #[getter]
    fn reply_to(&self) -> Option<&str> {
        self.properties()?.reply_to.as_deref()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        Ok(format!(
            "<{} {} of queue {:?}, attempt {}, {} bytes>",
            slf.get_type().name()?,
            this.message.id.0,
            this.source().name,
            this.message.attempt,
            this.message.body.len()
        ))
    }
}

/// A message that is yours until its lease ends: settle it with ack, nack, reject or release.
///
/// As a context manager it settles itself: the end of the block acks, an exception nacks with the exception as reason,
/// cancellation, Ctrl-C and SystemExit release. While the block runs the lease is renewed, up to 12 hours after it began.
///
/// >>> queue = ferrymq.open().queue("jobs", backoff=0)
/// >>> _ = queue.produce(b"work")
/// >>> delivery = queue.consume()
/// >>> delivery.nack(reason="not today")
/// >>> with queue.consume() as delivery:
/// ...     delivery.attempt
/// 2
#[pyclass(frozen, extends = Message, module = "ferrymq")]
pub struct Delivery;

impl Delivery {
    #[inline]
    pub fn object(
        py: Python<'_>,
        from: Py<Queue>,
        delivery: model::Delivery,
    ) -> PyResult<Py<PyAny>> {
        let message = Message::seen(from, delivery.message, delivery.token, delivery.deadline);
        Ok(Py::new(py, PyClassInitializer::from(message).add_subclass(Delivery))?.into_any())
    }

    #[inline]
    fn settle(
        slf: &Bound<'_, Self>,
        command: impl FnOnce(Token) -> Command,
    ) -> PyResult<Py<PyAny>> {
        let (py, message) = (slf.py(), slf.as_super().get());
        let command = command(message.token(py)?);
        message.settled();
        submit(
            py,
            &message.source().shared,
            message.source().mode,
            command,
            Shape::Nothing,
        )
    }
}

/// A reason as the engine takes it. What UTF-8 cannot carry is replaced: an exception's text never refuses a settlement.
pub fn reason(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<String>> {
    let Some(value) = value else { return Ok(None) };
    match value.cast::<PyString>() {
        Ok(text) => Ok(Some(text.to_string_lossy().into_owned())),
        Err(_) => {
            let message = format!("reason is {}; it must be a str", shown(value));
            Err(invalid(value.py(), message))
        }
    }
}

/// What settles a message: a delivery of this broker, which then counts as settled, or a token's bytes.
pub fn token_of(value: &Bound<'_, PyAny>, shared: &Arc<crate::call::Shared>) -> PyResult<Token> {
    let Ok(delivery) = value.cast::<Delivery>() else {
        return crate::convert::token(value);
    };
    let message = delivery.as_super().get();
    if !Arc::ptr_eq(&message.source().shared, shared) {
        let text = "this delivery is another broker's; settle it there";
        return Err(invalid(value.py(), text));
    }
    message.token(value.py())
}

/// Notes that what was passed is settled, if it is a delivery.
pub fn note_settled(value: &Bound<'_, PyAny>) {
    if let Ok(delivery) = value.cast::<Delivery>() {
        delivery.as_super().get().settled();
    }
}

#[pymethods]
impl Delivery {
    /// What settles this delivery, as 24 bytes, for those who do not keep the object; empty with auto_ack.
    #[getter]
    fn token<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyBytes> {
        let message = slf.as_super().get();
        match &message.token {
            Some(token) => {
                message.shared.store(true, Ordering::Relaxed);
                PyBytes::new(slf.py(), &token.to_bytes())
            }
            None => PyBytes::new(slf.py(), b""),
        }
    }

    /// When the lease ends, a datetime in UTC; None with auto_ack. While a block or handler runs it is renewed then.
    #[getter]
    fn deadline<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyDateTime>>> {
        let message = slf.as_super().get();
        let deadline = message.deadline.load(Ordering::Relaxed);
        let leased = message.token.is_some();
        leased
            .then(|| time_object(slf.py(), Time(deadline)))
            .transpose()
    }

    #[getter]
    fn _settled(slf: &Bound<'_, Self>) -> bool {
        slf.as_super().get().is_settled()
    }

    /// Done with it: the message is gone. With durable=True it returns once that survives a power cut.
    #[pyo3(signature = (*, durable = None), text_signature = "($self, *, durable=False)")]
    fn ack(slf: &Bound<'_, Self>, durable: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let durable = durable.map_or(Ok(false), |flag| boolean(flag, "durable"))?;
        let (py, message) = (slf.py(), slf.as_super().get());
        if !durable {
            let token = message.token(py)?;
            message.settled();
            match message.source().shared.driver(py)?.ack_at_once(token) {
                Ok(true) => return Ok(py.None()),
                Ok(false) => {}
                Err(error) => return Err(raised(py, &error)),
            }
        }
        Delivery::settle(slf, |token| Command::Ack { token, durable })
    }

    /// Not done: back after `delay`, or the queue's backoff; dead-lettered when it has used its attempts.
    #[pyo3(signature = (delay = None, reason = None))]
    fn nack(
        slf: &Bound<'_, Self>,
        delay: Option<&Bound<'_, PyAny>>,
        reason: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let delay = duration_or_none(delay, "delay")?;
        let reason = self::reason(reason)?;
        Delivery::settle(slf, |token| Command::Nack {
            token,
            delay,
            reason,
        })
    }

    /// Cannot be done: dead-lettered now, with the reason.
    #[pyo3(signature = (reason = None))]
    fn reject(slf: &Bound<'_, Self>, reason: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let reason = self::reason(reason)?;
        Delivery::settle(slf, |token| Command::Reject { token, reason })
    }

    /// Not begun: back to its place at once, the attempt not counted.
    fn release(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Delivery::settle(slf, |token| Command::Release { token })
    }

    /// Answers the message: puts a reply on the queue that it names in reply_to, and returns the reply's id.
    ///
    /// The message is still to be settled. keywords: as for produce. Raises InvalidArgument where there is no reply_to,
    /// NotFound where the queue of who asked is gone, and what produce raises.
    #[pyo3(
        signature = (body = None, **keywords),
        text_signature = "($self, body=None, *, json=..., key=None, priority=0, delay=None, ttl=None, headers=None, durability=None, content_type=None, reply_to=None)"
    )]
    fn reply<'py>(
        slf: &Bound<'py, Self>,
        body: Option<&Bound<'py, PyAny>>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let (py, this) = (slf.py(), slf.as_super().get());
        let mut message = Keywords::passed(py, body, keywords, Extra::Nothing)?;
        let driver = this.source().shared.driver(py)?;
        let (queue, properties) = driver
            .reply_queue(&this.message, message.properties.as_deref())
            .map_err(|error| raised(py, &error))?;
        message.properties = Some(properties);
        match driver.produce_at_once(queue.id(), message) {
            Ok(AtOnce::Produced(id)) => Ok(id.0.into_pyobject(py)?.into_any().unbind()),
            Ok(AtOnce::Waits(message)) => {
                let command = Command::Produce {
                    queue: queue.id(),
                    message,
                    wait: Wait::Forever,
                };
                submit(
                    py,
                    &this.source().shared,
                    this.source().mode,
                    command,
                    Shape::Number,
                )
            }
            Err(error) => Err(raised(py, &error)),
        }
    }

    /// More time: the lease now ends so many seconds from now, at most 12 hours after it began.
    fn extend(slf: &Bound<'_, Self>, seconds: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let (py, message) = (slf.py(), slf.as_super());
        let by = duration(seconds, "seconds")?;
        let this = message.get();
        let command = Command::Extend {
            token: this.token(py)?,
            by,
        };
        let shape = Shape::Extended(message.clone().unbind());
        submit(
            py,
            &this.source().shared,
            this.source().mode,
            command,
            shape,
        )
    }

    /// What a block begins with: while it runs, the lease is renewed.
    #[pyo3(signature = (kept = true))]
    fn _keep(slf: &Bound<'_, Self>, kept: bool) {
        slf.as_super().get().keep(slf.py(), kept);
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf.as_super().get().keep(slf.py(), true);
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
        if slf.as_super().get().is_settled() {
            return Ok(false);
        }
        let Some(error) = error else {
            Delivery::settle(slf, |token| Command::Ack {
                token,
                durable: false,
            })?;
            return Ok(false);
        };
        // The block's own exception goes on in any case: a refusal (the lease was lost, say) must not replace it.
        let _refused = if error.is_instance_of::<PyException>() {
            let reason = Some(_reason_of(error));
            Delivery::settle(slf, |token| Command::Nack {
                token,
                delay: None,
                reason,
            })
        } else {
            Delivery::settle(slf, |token| Command::Release { token })
        };
        Ok(false)
    }
}

/// What a `with` block gives as reason: the exception's type and text.
#[pyfunction]
pub fn _reason_of(error: &Bound<'_, PyAny>) -> String {
    let kind = error
        .get_type()
        .name()
        .map_or_else(|_| "Exception".into(), |name| name.to_string());
    match error.str() {
        Ok(text) if text.is_empty().unwrap_or(true) => kind,
        Ok(text) => format!("{kind}: {}", text.to_string_lossy()),
        Err(_) => kind,
    }
}
