//! A queue's options, from keyword arguments.

use ferrymq_core::model::limits::{MAX_ATTEMPTS_DEFAULT, PRIORITIES_MAX};
use ferrymq_core::model::{Backoff, DeadLetter, Dispatch, ExchangeKind, Overflow, QueueOptions};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyString, PyTuple};

use crate::convert::{durability, duration, duration_or_none, integer, number, shown, text};
use crate::errors::invalid;

const KNOWN: &str = "capacity, capacity_bytes, overflow, lease, max_attempts, backoff, dead_letter, ttl, priorities, ordered_keys, dedup_window, dispatch, single_active_consumer, expires, exclusive, auto_delete, durability";

/// Largest capacity: what fits a signed 64-bit integer in every language and in the store.
const CAPACITY_MAX: u64 = i64::MAX as u64;

/// The options that were passed. Errors: `InvalidArgument` naming the option, its value and what it may be.
pub fn queue_options(py: Python<'_>, passed: Option<&Bound<'_, PyDict>>) -> PyResult<QueueOptions> {
    let mut options = QueueOptions::default();
    let Some(passed) = passed else {
        return Ok(options);
    };
    for item in passed.items() {
        let (name, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        set(py, &mut options, text(&name, "an option's name")?, &value)?;
    }
    Ok(options)
}

fn set(
    py: Python<'_>,
    options: &mut QueueOptions,
    name: &str,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    match name {
        "capacity" => options.capacity = Some(limit(value, name, CAPACITY_MAX)?),
        "capacity_bytes" => options.capacity_bytes = Some(limit(value, name, CAPACITY_MAX)?),
        "overflow" => options.overflow = Some(overflow(value)?),
        "lease" => options.lease = Some(duration(value, name)?),
        "max_attempts" => {
            let limit = limit(value, name, u64::from(u32::MAX))?;
            let fits = |limit| u32::try_from(limit).unwrap_or(MAX_ATTEMPTS_DEFAULT);
            options.max_attempts = Some(limit.map(fits));
        }
        "backoff" => options.backoff = Some(backoff(value)?),
        "dead_letter" => options.dead_letter = Some(dead_letter(value)?),
        "ttl" => options.ttl = Some(duration_or_none(some(value), name)?),
        "priorities" => {
            let priorities = integer(value, name, 1, u64::from(PRIORITIES_MAX))?;
            options.priorities = Some(u32::try_from(priorities).expect("within its limit"));
        }
        "ordered_keys" => options.ordered_keys = Some(crate::convert::boolean(value, name)?),
        "dispatch" => options.dispatch = Some(dispatch(value)?),
        "single_active_consumer" => {
            options.single_active_consumer = Some(crate::convert::boolean(value, name)?);
        }
        "dedup_window" => options.dedup_window = Some(duration_or_none(some(value), name)?),
        "expires" => options.expires = Some(duration_or_none(some(value), name)?),
        "exclusive" => options.exclusive = Some(crate::convert::boolean(value, name)?),
        "auto_delete" => options.auto_delete = Some(crate::convert::boolean(value, name)?),
        "durability" => options.durability = Some(some(value).map(durability).transpose()?),
        _ => {
            let message = format!("unknown queue option {name:?}; the options are {KNOWN}");
            return Err(invalid(py, message));
        }
    }
    Ok(())
}

fn some<'a, 'py>(value: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, PyAny>> {
    (!value.is_none()).then_some(value)
}

fn limit(value: &Bound<'_, PyAny>, what: &str, max: u64) -> PyResult<Option<u64>> {
    some(value)
        .map(|value| integer(value, what, 1, max))
        .transpose()
}

fn overflow(value: &Bound<'_, PyAny>) -> PyResult<Overflow> {
    match text(value, "overflow")? {
        "reject" => Ok(Overflow::Reject),
        "drop_oldest" => Ok(Overflow::DropOldest),
        "block" => Ok(Overflow::Block),
        _ => {
            let must = r#"it must be "reject", "drop_oldest" or "block""#;
            Err(invalid(
                value.py(),
                format!("overflow is {}; {must}", shown(value)),
            ))
        }
    }
}

fn dispatch(value: &Bound<'_, PyAny>) -> PyResult<Dispatch> {
    match text(value, "dispatch")? {
        "round_robin" => Ok(Dispatch::RoundRobin),
        "random" => Ok(Dispatch::Random),
        "least_loaded" => Ok(Dispatch::LeastLoaded),
        _ => {
            let must = r#"it must be "round_robin", "random" or "least_loaded""#;
            Err(invalid(
                value.py(),
                format!("dispatch is {}; {must}", shown(value)),
            ))
        }
    }
}

/// A `ferrymq.Backoff`, or a constant wait.
fn backoff(value: &Bound<'_, PyAny>) -> PyResult<Backoff> {
    let class = value.py().import("ferrymq._types")?.getattr("Backoff")?;
    if !value.is_instance(&class)? {
        return duration(value, "backoff (a Backoff, or a constant wait)").map(Backoff::constant);
    }
    Ok(Backoff {
        initial: duration(&value.getattr("initial")?, "backoff.initial")?,
        factor: number(&value.getattr("factor")?, "backoff.factor")?,
        max: duration(&value.getattr("max")?, "backoff.max")?,
        jitter: number(&value.getattr("jitter")?, "backoff.jitter")?,
    })
}

fn dead_letter(value: &Bound<'_, PyAny>) -> PyResult<DeadLetter> {
    let wrong = || {
        let must = "it must be a queue's name, None for <queue>.dead, an (exchange, key) pair, or False to discard";
        invalid(
            value.py(),
            format!("dead_letter is {}; {must}", shown(value)),
        )
    };
    if value.is_none() {
        return Ok(DeadLetter::Default);
    }
    if let Ok(flag) = value.cast::<PyBool>() {
        return if flag.is_true() {
            Err(wrong())
        } else {
            Ok(DeadLetter::Off)
        };
    }
    if value.is_instance_of::<PyString>() {
        return Ok(DeadLetter::Queue(text(value, "dead_letter")?.to_owned()));
    }
    let is_pair = value.is_instance_of::<PyTuple>() || value.is_instance_of::<PyList>();
    match value.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() {
        Ok((exchange, key)) if is_pair => Ok(DeadLetter::Exchange(
            text(&exchange, "the exchange of dead_letter")?.to_owned(),
            text(&key, "the key of dead_letter")?.to_owned(),
        )),
        _ => Err(wrong()),
    }
}

/// The word for an exchange's kind.
pub fn exchange_kind(value: &Bound<'_, PyAny>) -> PyResult<ExchangeKind> {
    match text(value, "kind")? {
        "direct" => Ok(ExchangeKind::Direct),
        "fanout" => Ok(ExchangeKind::Fanout),
        "topic" => Ok(ExchangeKind::Topic),
        "headers" => Ok(ExchangeKind::Headers),
        _ => {
            let must = r#"it must be "direct", "fanout", "topic" or "headers""#;
            Err(invalid(
                value.py(),
                format!("kind is {}; {must}", shown(value)),
            ))
        }
    }
}
