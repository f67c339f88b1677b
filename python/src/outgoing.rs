//! Messages on their way in: the arguments of every `produce`, parsed once.

use std::sync::{Arc, LazyLock};

use ferrymq_core::model::limits::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, PRIORITIES_MAX};
use ferrymq_core::model::{self, Properties};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyString};

use crate::convert::{
    Given, body, duration_or_none, durability, headers, integer, json_body, shown, text_or_none,
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

/// The keyword arguments that every `produce` takes.
pub struct Fields<'a, 'py> {
    pub key: Argument<'a, 'py>,
    pub priority: Argument<'a, 'py>,
    pub delay: Argument<'a, 'py>,
    pub ttl: Argument<'a, 'py>,
    pub headers: Argument<'a, 'py>,
    pub durability: Argument<'a, 'py>,
    pub content_type: Argument<'a, 'py>,
    pub correlation_id: Argument<'a, 'py>,
    pub reply_to: Argument<'a, 'py>,
}

impl Fields<'_, '_> {
    #[inline]
    fn has_properties(&self) -> bool {
        self.key.is_some()
            || self.headers.is_some()
            || self.content_type.is_some()
            || self.correlation_id.is_some()
            || self.reply_to.is_some()
    }

    #[inline]
    fn has_schedule(&self) -> bool {
        self.priority.is_some()
            || self.delay.is_some()
            || self.ttl.is_some()
            || self.durability.is_some()
    }

    /// The message. Errors: `InvalidArgument` and `MessageTooLarge`, naming argument, value and limit.
    #[inline]
    pub fn message(
        &self,
        py: Python<'_>,
        body: Argument<'_, '_>,
        json: &Given<'_, '_>,
    ) -> PyResult<model::Outgoing> {
        let mut message = start(py, body, json)?;
        if self.has_properties() {
            self.add_properties(&mut message)?;
        }
        if self.has_schedule() {
            self.add_schedule(&mut message)?;
        }
        Ok(message)
    }

    fn add_properties(&self, message: &mut model::Outgoing) -> PyResult<()> {
        let by_body = message.properties.take().and_then(|shared| shared.content_type.clone());
        let properties = Properties {
            key: text_or_none(self.key, "key")?,
            headers: self.headers.map_or_else(|| Ok(model::Headers::new()), headers)?,
            content_type: text_or_none(self.content_type, "content_type")?.or(by_body),
            correlation_id: text_or_none(self.correlation_id, "correlation_id")?,
            reply_to: text_or_none(self.reply_to, "reply_to")?,
        };
        message.properties = (!properties.is_empty()).then(|| Arc::new(properties));
        Ok(())
    }

    fn add_schedule(&self, message: &mut model::Outgoing) -> PyResult<()> {
        if let Some(priority) = self.priority {
            let highest = PRIORITIES_MAX - 1;
            let priority = integer(priority, "priority", 0, u64::from(highest))?;
            message.priority = u8::try_from(priority).expect("priorities fit a byte");
        }
        message.delay = duration_or_none(self.delay, "delay")?;
        message.ttl = duration_or_none(self.ttl, "ttl")?;
        message.durability = self.durability.map(durability).transpose()?;
        Ok(())
    }
}

/// A message with its body and the content type that follows from it.
#[inline]
fn start(
    py: Python<'_>,
    body_given: Argument<'_, '_>,
    json: &Given<'_, '_>,
) -> PyResult<model::Outgoing> {
    match (body_given, &json.0) {
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
        (Some(_), Some(_)) => Err(invalid(py, "both a body and json= were passed; pass one of them")),
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
        signature = (body = None, *, json = Given(None), key = None, priority = None, delay = None, ttl = None,
            headers = None, durability = None, content_type = None, correlation_id = None, reply_to = None),
        text_signature = "(body=None, *, json=..., key=None, priority=0, delay=None, ttl=None, headers=None, durability=None, content_type=None, correlation_id=None, reply_to=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "they are Python's keyword arguments")]
    fn new(
        py: Python<'_>,
        body: Argument<'_, '_>,
        json: Given<'_, '_>,
        key: Argument<'_, '_>,
        priority: Argument<'_, '_>,
        delay: Argument<'_, '_>,
        ttl: Argument<'_, '_>,
        headers: Argument<'_, '_>,
        durability: Argument<'_, '_>,
        content_type: Argument<'_, '_>,
        correlation_id: Argument<'_, '_>,
        reply_to: Argument<'_, '_>,
    ) -> PyResult<Outgoing> {
        let fields = Fields {
            key,
            priority,
            delay,
            ttl,
            headers,
            durability,
            content_type,
            correlation_id,
            reply_to,
        };
        let message = fields.message(py, body, &json)?;
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

/// The messages of a batch: bodies and `Outgoing`s. Errors also when there are more than a batch may have, before all are read.
pub fn batch(items: &Bound<'_, PyAny>) -> PyResult<Vec<model::Outgoing>> {
    let py = items.py();
    let single = items.is_instance_of::<PyBytes>()
        || items.is_instance_of::<PyString>()
        || items.is_instance_of::<PyByteArray>()
        || items.is_instance_of::<PyDict>();
    let iterator = if single { None } else { items.try_iter().ok() };
    let Some(iterator) = iterator else {
        let must = "pass an iterable of bodies and Outgoings, or call produce() for a single message";
        return Err(invalid(py, format!("items is {}; {must}", shown(items))));
    };
    let mut messages = Vec::with_capacity(items.len().unwrap_or(0).min(BATCH_MESSAGES_MAX));
    let mut bytes = 0;
    for item in iterator {
        let message = batch_item(&item?, messages.len())?;
        bytes += message.body.len();
        messages.push(message);
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

#[inline]
fn batch_item(item: &Bound<'_, PyAny>, index: usize) -> PyResult<model::Outgoing> {
    if let Ok(bytes) = item.cast_exact::<PyBytes>() {
        return Ok(model::Outgoing::new(body(bytes)?.0));
    }
    if let Ok(outgoing) = item.cast::<Outgoing>() {
        return Ok(outgoing.get().message.clone());
    }
    let py = item.py();
    start(py, Some(item), &Given(None)).map_err(|cause| {
        let why = cause.value(py).to_string();
        if cause.is_instance_of::<pyo3::exceptions::PyValueError>(py) {
            invalid_from(py, format!("item {index} of the batch: {why}"), cause)
        } else {
            cause
        }
    })
}
