//! Values from Python, parsed once at the edge: what is wrong becomes `InvalidArgument` with a sentence, never a panic.

use std::sync::Arc;

use ferrymq_core::model::limits::{HEADER_DEPTH_MAX, MESSAGE_BYTES_MAX, SPAN_MS_MAX};
use ferrymq_core::model::{
    Body, Durability, Error, ErrorKind, HeaderValue, Headers, Span, Time, Token,
};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDateTime, PyDelta, PyDict, PyEllipsis, PyFloat, PyInt, PyList,
    PyMemoryView, PyString, PyTuple, PyTzInfo,
};

use crate::errors::{invalid, invalid_from, raised};

/// Longest representation of a wrong value that an error message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// An argument of which `None` is a value of its own: `json=None` is a body, `timeout=None` is for ever.
pub struct Given<'a, 'py>(pub Option<Borrowed<'a, 'py, PyAny>>);

impl<'a, 'py> FromPyObject<'a, 'py> for Given<'a, 'py> {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Ok(Given(
            (!value.is_instance_of::<PyEllipsis>()).then_some(value),
        ))
    }
}

/// A wrong value as an error message shows it: short, with its type, never failing.
pub fn shown(value: &Bound<'_, PyAny>) -> String {
    let kind = value
        .get_type()
        .name()
        .map_or_else(|_| "an object".to_owned(), |name| name.to_string());
    match value.repr() {
        Ok(repr) => {
            let repr = repr.to_string_lossy();
            if repr.chars().count() <= SHOWN_CHARS_MAX {
                format!("{repr} ({kind})")
            } else {
                let start: String = repr.chars().take(SHOWN_CHARS_MAX).collect();
                format!("{start}... ({kind})")
            }
        }
        Err(_) => kind,
    }
}

/// A str. Errors: another type, or surrogates that UTF-8 cannot hold.
pub fn text<'a>(value: &'a Bound<'_, PyAny>, what: &str) -> PyResult<&'a str> {
    let py = value.py();
    let string = value
        .cast::<PyString>()
        .map_err(|_| invalid(py, format!("{what} is {}; it must be a str", shown(value))))?;
    string.to_str().map_err(|cause| {
        let message = format!("{what} holds a lone surrogate, which UTF-8 cannot carry; remove it");
        invalid_from(py, message, cause)
    })
}

/// A str, or nothing.
pub fn text_or_none(value: Option<&Bound<'_, PyAny>>, what: &str) -> PyResult<Option<String>> {
    value
        .map(|value| text(value, what).map(str::to_owned))
        .transpose()
}

/// A whole number of `min` to `max`; a bool is not one.
pub fn integer(value: &Bound<'_, PyAny>, what: &str, min: u64, max: u64) -> PyResult<u64> {
    let wrong = || {
        let must = format!("it must be a whole number of {min} to {max}");
        invalid(value.py(), format!("{what} is {}; {must}", shown(value)))
    };
    if value.is_instance_of::<PyBool>() {
        return Err(wrong());
    }
    let number = match value.cast::<PyInt>() {
        Ok(number) => number.extract::<u64>(),
        // numpy's integers and the like; a float has no __index__.
        Err(_) => value
            .call_method0("__index__")
            .and_then(|index| index.extract::<u64>()),
    };
    match number {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(wrong()),
    }
}

/// A finite number; a bool is not one.
pub fn number(value: &Bound<'_, PyAny>, what: &str) -> PyResult<f64> {
    let wrong = || {
        invalid(
            value.py(),
            format!("{what} is {}; it must be a finite number", shown(value)),
        )
    };
    if value.is_instance_of::<PyBool>()
        || !(value.is_instance_of::<PyFloat>() || value.is_instance_of::<PyInt>())
    {
        return Err(wrong());
    }
    match value.extract::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(wrong()),
    }
}

/// True or false, and nothing that merely looks like it.
pub fn boolean(value: &Bound<'_, PyAny>, what: &str) -> PyResult<bool> {
    match value.cast::<PyBool>() {
        Ok(value) => Ok(value.is_true()),
        Err(_) => Err(invalid(
            value.py(),
            format!("{what} is {}; it must be True or False", shown(value)),
        )),
    }
}

/// A duration: seconds (int, float) or a timedelta; more than nothing is at least a millisecond.
pub fn duration(value: &Bound<'_, PyAny>, what: &str) -> PyResult<Span> {
    let py = value.py();
    let wrong = || {
        let must = "it must be seconds (int or float) or a timedelta, from 0 to 100 years";
        invalid(py, format!("{what} is {}; {must}", shown(value)))
    };
    let seconds = if value.is_instance_of::<PyBool>() {
        return Err(wrong());
    } else if let Ok(seconds) = value.cast::<PyFloat>() {
        seconds.value()
    } else if let Ok(seconds) = value.cast::<PyInt>() {
        seconds.extract::<f64>().map_err(|_| wrong())?
    } else if value.is_instance_of::<PyDelta>() {
        value.call_method0("total_seconds")?.extract::<f64>()?
    } else {
        return Err(wrong());
    };
    let ms = (seconds * 1000.0).round();
    if !(0.0..=SPAN_MS_MAX as f64).contains(&ms) || seconds < 0.0 {
        return Err(wrong());
    }
    Ok(Span(if seconds > 0.0 { (ms as u64).max(1) } else { 0 }))
}

/// A duration, or nothing.
pub fn duration_or_none(value: Option<&Bound<'_, PyAny>>, what: &str) -> PyResult<Option<Span>> {
    value.map(|value| duration(value, what)).transpose()
}

/// A timeout: nothing given takes `default`, `None` waits for ever.
#[inline]
pub fn timeout(value: &Given<'_, '_>, default: Option<Span>) -> PyResult<Option<Span>> {
    match &value.0 {
        None => Ok(default),
        Some(value) if value.is_none() => Ok(None),
        Some(value) => duration(value, "timeout").map(Some),
    }
}

/// The word for a durability.
pub fn durability(value: &Bound<'_, PyAny>) -> PyResult<Durability> {
    let word = text(value, "durability")?;
    [Durability::Memory, Durability::Written, Durability::Durable]
        .into_iter()
        .find(|level| level.name() == word)
        .ok_or_else(|| {
            let must = r#"it must be "durable", "written" or "memory""#;
            invalid(
                value.py(),
                format!("durability is {}; {must}", shown(value)),
            )
        })
}

/// A body and whether it is text. Errors: `MessageTooLarge` before it is copied, `InvalidArgument` for what has no bytes.
#[inline]
pub fn body(value: &Bound<'_, PyAny>) -> PyResult<(Body, bool)> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok((bytes_body(bytes)?, false));
    }
    body_other(value)
}

/// A body from bytes. Errors: `MessageTooLarge` before it is copied.
#[inline]
pub fn bytes_body(bytes: &Bound<'_, PyBytes>) -> PyResult<Body> {
    let content = bytes.as_bytes();
    fits(bytes.py(), content.len())?;
    Ok(Arc::from(content))
}

fn body_other(value: &Bound<'_, PyAny>) -> PyResult<(Body, bool)> {
    let py = value.py();
    if value.is_instance_of::<PyString>() {
        let text = text(value, "the body")?;
        fits(py, text.len())?;
        return Ok((Arc::from(text.as_bytes()), true));
    }
    if let Ok(bytes) = value.cast::<PyByteArray>() {
        fits(py, bytes.len())?;
        return Ok((Arc::from(bytes.to_vec()), false));
    }
    let Ok(view) = PyMemoryView::from(value) else {
        return Err(invalid(
            py,
            format!(
                "the body is {}; it must be bytes, bytearray, memoryview or str, or pass json=",
                shown(value)
            ),
        ));
    };
    let unreadable =
        |cause| invalid_from(py, "the body's memory cannot be read; pass bytes", cause);
    let length = view
        .getattr("nbytes")
        .and_then(|bytes| bytes.extract())
        .map_err(unreadable)?;
    fits(py, length)?;
    let bytes = view
        .call_method0("tobytes")
        .map_err(unreadable)?
        .cast_into::<PyBytes>()?;
    Ok((Arc::from(bytes.as_bytes()), false))
}

/// Errors: `MessageTooLarge`.
#[inline]
fn fits(py: Python<'_>, length: usize) -> PyResult<()> {
    if length <= MESSAGE_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "the body has {length} bytes, the limit is {MESSAGE_BYTES_MAX}; store it elsewhere and send a reference"
    );
    Err(raised(py, &Error::new(ErrorKind::MessageTooLarge, message)))
}

/// A body from a JSON value: compact UTF-8, as `JSON.stringify` writes it.
pub fn json_body(value: &Bound<'_, PyAny>) -> PyResult<Body> {
    let py = value.py();
    let options = PyDict::new(py);
    options.set_item("ensure_ascii", false)?;
    options.set_item("allow_nan", false)?;
    options.set_item("separators", (",", ":"))?;
    let written = py
        .import("json")?
        .call_method("dumps", (value,), Some(&options))
        .map_err(|cause| {
            let why = cause.value(py).to_string();
            invalid_from(py, format!("json= is no JSON value: {why}"), cause)
        })?;
    let text = text(&written, "json=")?;
    fits(py, text.len())?;
    Ok(Arc::from(text.as_bytes()))
}

/// Headers from a dict. Errors: names and values of other types, integers over 64 bits, naive datetimes, nesting.
pub fn headers(value: &Bound<'_, PyAny>) -> PyResult<Headers> {
    header_map(value, "headers", 1)
}

fn header_map(value: &Bound<'_, PyAny>, what: &str, depth: usize) -> PyResult<Headers> {
    let py = value.py();
    let Ok(dict) = value.cast::<PyDict>() else {
        return Err(invalid(
            py,
            format!("{what} is {}; it must be a dict", shown(value)),
        ));
    };
    let mut headers = Headers::new();
    // A copy of the items: a tzinfo's code may run below, and could change the dict.
    for item in dict.items() {
        let (name, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        let name = text(&name, &format!("a name in {what}"))?.to_owned();
        let value = header_value(&value, &format!("{what}[{name:?}]"), depth)?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn header_value(value: &Bound<'_, PyAny>, what: &str, depth: usize) -> PyResult<HeaderValue> {
    let py = value.py();
    // Checked here as well as in the engine: a list that holds itself must not exhaust the stack.
    if depth > HEADER_DEPTH_MAX {
        return Err(invalid(
            py,
            format!(
                "headers nest deeper than {HEADER_DEPTH_MAX}; flatten them or put them into the body"
            ),
        ));
    }
    if value.is_none() {
        Ok(HeaderValue::Null)
    } else if let Ok(flag) = value.cast::<PyBool>() {
        Ok(HeaderValue::Bool(flag.is_true()))
    } else if let Ok(number) = value.cast::<PyInt>() {
        number.extract().map(HeaderValue::Int).map_err(|_| {
            invalid(
                py,
                format!(
                    "{what} is {}; whole numbers have 64 bits, pass a str",
                    shown(value)
                ),
            )
        })
    } else if let Ok(number) = value.cast::<PyFloat>() {
        Ok(HeaderValue::Float(number.value()))
    } else if value.is_instance_of::<PyString>() {
        Ok(HeaderValue::Str(text(value, what)?.to_owned()))
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        Ok(HeaderValue::Bytes(bytes.as_bytes().to_vec()))
    } else if value.is_instance_of::<PyDateTime>() {
        timestamp(value, what).map(HeaderValue::Timestamp)
    } else if value.is_instance_of::<PyDict>() {
        header_map(value, what, depth + 1).map(HeaderValue::Map)
    } else if let Ok(list) = value.cast::<PyList>() {
        header_list(list.iter(), what, depth)
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        header_list(tuple.iter(), what, depth)
    } else {
        let must = "it must be None, bool, int, float, str, bytes, datetime, list or dict";
        Err(invalid(py, format!("{what} is {}; {must}", shown(value))))
    }
}

fn header_list<'py>(
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    what: &str,
    depth: usize,
) -> PyResult<HeaderValue> {
    items
        .enumerate()
        .map(|(index, item)| header_value(&item, &format!("{what}[{index}]"), depth + 1))
        .collect::<PyResult<_>>()
        .map(HeaderValue::List)
}

fn timestamp(value: &Bound<'_, PyAny>, what: &str) -> PyResult<i64> {
    let py = value.py();
    if value.call_method0("utcoffset")?.is_none() {
        let must = "give it a timezone, as in datetime.now(timezone.utc)";
        return Err(invalid(py, format!("{what} is a naive datetime; {must}")));
    }
    let seconds: f64 = value.call_method0("timestamp")?.extract()?;
    Ok((seconds * 1000.0).round() as i64)
}

/// Headers as a new dict.
pub fn headers_dict<'py>(py: Python<'py>, headers: &Headers) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in headers {
        dict.set_item(name, header_object(py, value)?)?;
    }
    Ok(dict)
}

fn header_object<'py>(py: Python<'py>, value: &HeaderValue) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        HeaderValue::Null => py.None().into_bound(py),
        HeaderValue::Bool(flag) => PyBool::new(py, *flag).to_owned().into_any(),
        HeaderValue::Int(number) => number.into_pyobject(py)?.into_any(),
        HeaderValue::Float(number) => number.into_pyobject(py)?.into_any(),
        HeaderValue::Str(text) => PyString::new(py, text).into_any(),
        HeaderValue::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        // A year that Python's datetime does not reach, from another language, stays a number.
        HeaderValue::Timestamp(ms) => match moment(py, *ms as f64) {
            Ok(moment) => moment.into_any(),
            Err(_) => ms.into_pyobject(py)?.into_any(),
        },
        HeaderValue::List(values) => {
            let list = PyList::empty(py);
            for value in values {
                list.append(header_object(py, value)?)?;
            }
            list.into_any()
        }
        HeaderValue::Map(headers) => headers_dict(py, headers)?.into_any(),
    })
}

/// Milliseconds since the Unix epoch as an aware datetime in UTC.
fn moment(py: Python<'_>, ms: f64) -> PyResult<Bound<'_, PyDateTime>> {
    let utc = PyTzInfo::utc(py)?.to_owned();
    PyDateTime::from_timestamp(py, ms / 1000.0, Some(&utc))
}

/// A time of the engine as an aware datetime in UTC.
pub fn time_object(py: Python<'_>, Time(ms): Time) -> PyResult<Bound<'_, PyDateTime>> {
    moment(py, ms as f64)
}

/// A span of the engine in seconds.
pub fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// A delivery's token from its bytes.
pub fn token(value: &Bound<'_, PyAny>) -> PyResult<Token> {
    let py = value.py();
    let Ok(bytes) = value.cast::<PyBytes>() else {
        return Err(invalid(
            py,
            format!(
                "the token is {}; pass delivery.token, which is bytes",
                shown(value)
            ),
        ));
    };
    Token::from_bytes(bytes.as_bytes()).map_err(|error| raised(py, &error))
}
