//! Values as the vectors write them: bodies, header values, and what JSON has no word for.

use std::collections::BTreeMap;

use ferrymq_core::model::{HeaderValue, Headers};
use serde_json::{Map, Value};

/// The bytes of a body.
pub fn body(value: &Value) -> Result<Vec<u8>, String> {
    match value {
        Value::String(text) => Ok(text.clone().into_bytes()),
        Value::Object(form) => {
            if let Some(value) = only(form, "json") {
                return serde_json::to_vec(value).map_err(|error| error.to_string());
            }
            if let Some(bytes) = hex_form(form)? {
                return Ok(bytes);
            }
            repeat_form(form)?.map(String::into_bytes).ok_or_else(|| {
                format!("{value} is no body; write a string, hex, repeat with times, or json")
            })
        }
        _ => Err(format!(
            "{value} is no body; write a string, hex, repeat with times, or json"
        )),
    }
}

/// The headers of a message.
pub fn headers(form: &Map<String, Value>) -> Result<Headers, String> {
    form.iter()
        .map(|(name, value)| Ok((name.clone(), header(value)?)))
        .collect()
}

fn header(value: &Value) -> Result<HeaderValue, String> {
    Ok(match value {
        Value::Null => HeaderValue::Null,
        Value::Bool(value) => HeaderValue::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(int) => HeaderValue::Int(int),
            None if number.is_f64() => {
                HeaderValue::Float(number.as_f64().expect("a float is a float"))
            }
            None => return Err(format!("{number} does not fit into 64 bits, signed")),
        },
        Value::String(text) => HeaderValue::Str(text.clone()),
        Value::Array(values) => {
            HeaderValue::List(values.iter().map(header).collect::<Result<_, _>>()?)
        }
        Value::Object(form) => return header_form(form),
    })
}

fn header_form(form: &Map<String, Value>) -> Result<HeaderValue, String> {
    if let Some(bytes) = hex_form(form)? {
        return Ok(HeaderValue::Bytes(bytes));
    }
    if let Some(text) = repeat_form(form)? {
        return Ok(HeaderValue::Str(text));
    }
    if let Some(moment) = only(form, "timestamp").and_then(Value::as_i64) {
        return Ok(HeaderValue::Timestamp(moment));
    }
    if let Some(float) = only(form, "float").and_then(Value::as_f64) {
        return Ok(HeaderValue::Float(float));
    }
    if let Some(text) = only(form, "int").and_then(Value::as_str) {
        let int = text
            .parse()
            .map_err(|_| format!("{text:?} is no integer of 64 bits"))?;
        return Ok(HeaderValue::Int(int));
    }
    let map: Result<BTreeMap<_, _>, String> = form
        .iter()
        .map(|(name, value)| Ok((name.clone(), header(value)?)))
        .collect();
    Ok(HeaderValue::Map(map?))
}

fn only<'a>(form: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    (form.len() == 1).then(|| form.get(name)).flatten()
}

/// `{"hex": "00ff"}`.
pub fn hex_form(form: &Map<String, Value>) -> Result<Option<Vec<u8>>, String> {
    only(form, "hex")
        .and_then(Value::as_str)
        .map(hex)
        .transpose()
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    match digits {
        Some(digits) if digits.len().is_multiple_of(2) => Ok(digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()),
        _ => Err(format!("{text:?} is not hexadecimal")),
    }
}

fn repeat_form(form: &Map<String, Value>) -> Result<Option<String>, String> {
    match (form.len(), form.get("repeat"), form.get("times")) {
        (2, Some(Value::String(text)), Some(Value::Number(times))) => {
            let times = times
                .as_u64()
                .and_then(|times| usize::try_from(times).ok())
                .ok_or_else(|| format!("times {times} is no count"))?;
            Ok(Some(text.repeat(times)))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bodies() {
        assert_eq!(body(&json!("a")).unwrap(), b"a");
        assert_eq!(body(&json!({"hex": "00fF"})).unwrap(), [0, 255]);
        assert_eq!(body(&json!({"repeat": "ab", "times": 2})).unwrap(), b"abab");
        assert_eq!(body(&json!({"json": [1, null]})).unwrap(), b"[1,null]");
        for wrong in [
            json!(1),
            json!({"hex": "0"}),
            json!({"hex": "zz"}),
            json!({}),
            json!({"repeat": "a"}),
        ] {
            assert!(body(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn header_values() {
        assert_eq!(
            header(&json!({"hex": "01"})).unwrap(),
            HeaderValue::Bytes(vec![1])
        );
        assert_eq!(
            header(&json!({"timestamp": 5})).unwrap(),
            HeaderValue::Timestamp(5)
        );
        assert_eq!(
            header(&json!({"int": "9223372036854775807"})).unwrap(),
            HeaderValue::Int(i64::MAX)
        );
        assert_eq!(
            header(&json!({"float": 2})).unwrap(),
            HeaderValue::Float(2.0)
        );
        assert_eq!(header(&json!(2)).unwrap(), HeaderValue::Int(2));
        assert!(header(&json!(18446744073709551615u64)).is_err());
    }
}
