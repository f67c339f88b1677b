//! Messages on their way in: the arguments of every `produce`, parsed once.

use std::sync::{Arc, LazyLock};

use ferrymq_core::model::limits::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, PRIORITIES_MAX};
use ferrymq_core::model::{self, Body, Durability, Headers, Properties, Span};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyEllipsis, PyString};

use crate::convert::{
    Given, body, bytes_body, durability, duration_or_none, headers, integer, json_body, shown,
    text, text_or_none,
};
use crate::errors::{invalid, invalid_from};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What most text messages carry and nothing else: shared, so that such a message costs no allocation more.
static TEXT_PROPERTIES: LazyLock<Arc<Properties>> = LazyLock::new(|| only_type(TEXT));
static JSON_PROPERTIES: LazyLock<Arc<Properties>> = LazyLock::new(|| only_type(JSON));

fn only_type(content_type: &str) -> Arc<Properties> {
    Arc::new(Properties {
        content_type: Some(content_type.to_owned()),
        ..Properties::default()
    })
}

type Argument<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// The keyword arguments of a `produce`, parsed only where there are any: most messages are a body and nothing else.
#[derive(Default)]
pub struct Keywords<'py> {
    json: Option<Bound<'py, PyAny>>,
    properties: Properties,
    priority: u8,
    delay: Option<Span>,
    ttl: Option<Span>,
    durability: Option<Durability>,
    /// Only an exchange takes it.
    pub mandatory: Option<Bound<'py, PyAny>>,
}

/// Which argument a `produce` takes beside those of every message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    Nothing,
    Mandatory,
}

impl<'py> Keywords<'py> {
    /// Errors: `TypeError` for a name that is none of them, `InvalidArgument` for a wrong value.
    pub fn parse(passed: &Bound<'py, PyDict>, extra: Extra) -> PyResult<Keywords<'py>> {
        let mut keywords = Keywords::default();
        for item in passed.items() {
            let (name, value) = item.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>()?;
            keywords.set(text(&name, "an argument's name")?, value, extra)?;
        }
        Ok(keywords)
    }

    /// The message of a call whose keyword arguments were taken as they came.
    pub fn passed(
        py: Python<'py>,
        body: Argument<'_, 'py>,
        keywords: Option<&Bound<'py, PyDict>>,
        extra: Extra,
    ) -> PyResult<model::Outgoing> {
        match keywords {
            None => start(py, body, None),
            Some(passed) => Keywords::parse(passed, extra)?.message(py, body),
        }
    }

    /// From arguments that were taken one by one.
    pub fn named(
        json: &Given<'_, 'py>,
        named: &[(&str, Argument<'_, 'py>)],
    ) -> PyResult<Keywords<'py>> {
        let mut keywords = Keywords {
            json: json.0.map(|value| value.to_owned()),
            ..Keywords::default()
        };
        for (name, value) in named {
            if let Some(value) = value {
                keywords.set(name, (*value).clone(), Extra::Nothing)?;
            }
        }
        Ok(keywords)
    }

    fn set(&mut self, name: &str, value: Bound<'py, PyAny>, extra: Extra) -> PyResult<()> {
        // Here None is a value, not an argument that was left out.
        if name == "json" {
            self.json = (!value.is_instance_of::<PyEllipsis>()).then_some(value);
            return Ok(());
        }
        let some = (!value.is_none()).then_some(&value);
        let own = |what| text_or_none(some, what);
        match name {
            "key" => self.properties.key = own("key")?,
            "headers" => {
                self.properties.headers = some.map_or_else(|| Ok(Headers::new()), headers)?
            }
            "content_type" => self.properties.content_type = own("content_type")?,
            "correlation_id" => self.properties.correlation_id = own("correlation_id")?,
            "reply_to" => self.properties.reply_to = own("reply_to")?,
            "dedup_id" => self.properties.dedup_id = own("dedup_id")?.map(Arc::from),
            "priority" => self.priority = some.map_or(Ok(0), priority)?,
            "delay" => self.delay = duration_or_none(some, "delay")?,
            "ttl" => self.ttl = duration_or_none(some, "ttl")?,
            "durability" => self.durability = some.map(durability).transpose()?,
            "mandatory" if extra == Extra::Mandatory => self.mandatory = some.cloned(),
            _ => {
                let message = format!("produce() got an unexpected keyword argument '{name}'");
                return Err(PyTypeError::new_err(message));
            }
        }
        Ok(())
    }

    /// The routing key, which an exchange's message gets from its exchange.
    pub fn take_key(&mut self) -> String {
        self.properties.key.take().unwrap_or_default()
    }

    /// The message. Errors: `InvalidArgument` and `MessageTooLarge`, naming argument, value and limit.
    pub fn message(self, py: Python<'py>, body: Argument<'_, 'py>) -> PyResult<model::Outgoing> {
        let mut message = start(py, body, self.json.as_ref())?;
        if !self.properties.is_empty() {
            let mut properties = self.properties;
            if properties.content_type.is_none() {
                let by_body = message.properties.as_ref();
                properties.content_type = by_body.and_then(|shared| shared.content_type.clone());
            }
            message.properties = Some(Arc::new(properties));
        }
        message.priority = self.priority;
        message.delay = self.delay;
        message.ttl = self.ttl;
        message.durability = self.durability;
        Ok(message)
    }
}

fn priority(value: &Bound<'_, PyAny>) -> PyResult<u8> {
    let highest = u64::from(PRIORITIES_MAX) - 1;
    let priority = integer(value, "priority", 0, highest)?;
    Ok(u8::try_from(priority).expect("the highest priority fits a byte"))
}

/// A message with its body and the content type that follows from it.
#[inline]
pub fn start(
    py: Python<'_>,
    body_given: Argument<'_, '_>,
    json: Argument<'_, '_>,
) -> PyResult<model::Outgoing> {
    match (body_given, json) {
        (Some(value), None) => {
            let (body, is_text) = body(value)?;
            let mut message = model::Outgoing::new(body);
            message.properties = is_text.then(|| Arc::clone(&TEXT_PROPERTIES));
            Ok(message)
        }
        (None, Some(value)) => {
            let mut message = model::Outgoing::new(json_body(value)?);
            message.properties = Some(Arc::clone(&JSON_PROPERTIES));
            Ok(message)
        }
        (Some(_), Some(_)) => Err(invalid(
            py,
            "both a body and json= were passed; pass one of them",
        )),
        (None, None) => Err(invalid(
            py,
            "there is no body; pass bytes or str, json=..., or b\"\" for an empty one",
        )),
    }
}

/// A message with its options, for `produce_many`: what `produce` takes, kept until it is sent.
///
/// >>> Outgoing(b"payload", key="user-7", delay=1.5)
/// <Outgoing of 7 bytes, key "user-7">
#[pyclass(frozen, module = "ferrymq")]
pub struct Outgoing {
    message: model::Outgoing,
}

#[pymethods]
impl Outgoing {
    #[new]
    #[pyo3(
        signature = (body = None, **keywords),
        text_signature = "(body=None, *, json=..., key=None, priority=0, delay=None, ttl=None, headers=None, dedup_id=None, durability=None, content_type=None, correlation_id=None, reply_to=None)"
    )]
    fn new<'py>(
        py: Python<'py>,
        body: Argument<'_, 'py>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Outgoing> {
        let message = Keywords::passed(py, body, keywords, Extra::Nothing)?;
        Ok(Outgoing { message })
    }

    fn __repr__(&self) -> String {
        let bytes = self.message.body.len();
        match self.message.key() {
            Some(key) => format!("<Outgoing of {bytes} bytes, key {key:?}>"),
            None => format!("<Outgoing of {bytes} bytes>"),
        }
    }
}

/// The messages of a batch.
pub enum Batch {
    /// Nothing but bodies of bytes, as most are.
    Bodies(Vec<Body>),
    /// Whatever else there is among them.
    Messages(Vec<model::Outgoing>),
}

impl Batch {
    fn len(&self) -> usize {
        match self {
            Batch::Bodies(bodies) => bodies.len(),
            Batch::Messages(messages) => messages.len(),
        }
    }

    /// As messages.
    pub fn into_messages(self) -> Vec<model::Outgoing> {
        match self {
            Batch::Bodies(bodies) => bodies.into_iter().map(model::Outgoing::new).collect(),
            Batch::Messages(messages) => messages,
        }
    }

    /// Adds one; gives the length of its body.
    #[inline]
    fn add(&mut self, item: &Bound<'_, PyAny>) -> PyResult<usize> {
        if let Batch::Bodies(bodies) = self
            && let Ok(plain) = item.cast_exact::<PyBytes>()
        {
            let body = bytes_body(plain)?;
            let length = body.len();
            bodies.push(body);
            return Ok(length);
        }
        self.add_message(item)
    }

    fn add_message(&mut self, item: &Bound<'_, PyAny>) -> PyResult<usize> {
        let message = batch_item(item, self.len())?;
        let length = message.body.len();
        let mut messages = std::mem::replace(self, Batch::Messages(Vec::new())).into_messages();
        messages.push(message);
        *self = Batch::Messages(messages);
        Ok(length)
    }
}

/// The messages of a batch: bodies and `Outgoing`s. Errors also when there are more than a batch may have, before all are read.
pub fn batch(items: &Bound<'_, PyAny>) -> PyResult<Batch> {
    let py = items.py();
    let single = items.is_instance_of::<PyBytes>()
        || items.is_instance_of::<PyString>()
        || items.is_instance_of::<PyByteArray>()
        || items.is_instance_of::<PyDict>();
    let iterator = if single { None } else { items.try_iter().ok() };
    let Some(iterator) = iterator else {
        let must =
            "pass an iterable of bodies and Outgoings, or call produce() for a single message";
        return Err(invalid(py, format!("items is {}; {must}", shown(items))));
    };
    let likely = items.len().unwrap_or(0).min(BATCH_MESSAGES_MAX);
    let mut messages = Batch::Bodies(Vec::with_capacity(likely));
    let mut bytes = 0;
    for item in iterator {
        bytes += messages.add(&item?)?;
        if messages.len() > BATCH_MESSAGES_MAX {
            let limit = format!("a batch has at most {BATCH_MESSAGES_MAX} messages; send several");
            return Err(invalid(py, limit));
        }
        if bytes > BATCH_BYTES_MAX {
            let limit = format!("a batch has at most {BATCH_BYTES_MAX} bytes; send several");
            return Err(invalid(py, limit));
        }
    }
    Ok(messages)
}

fn batch_item(item: &Bound<'_, PyAny>, index: usize) -> PyResult<model::Outgoing> {
    if let Ok(outgoing) = item.cast::<Outgoing>() {
        return Ok(outgoing.get().message.clone());
    }
    let py = item.py();
    start(py, Some(item), None).map_err(|cause| {
        let why = cause.value(py).to_string();
        if cause.is_instance_of::<pyo3::exceptions::PyValueError>(py) {
            invalid_from(py, format!("item {index} of the batch: {why}"), cause)
        } else {
            cause
        }
    })
}
