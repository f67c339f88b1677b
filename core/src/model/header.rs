//! Typed headers: what a message carries beside its body.

use serde::{Deserialize, Serialize};

use super::collections::BTreeMap;
use super::limits::{HEADER_BYTES_MAX, HEADER_DEPTH_MAX};
use super::{Error, Result};

/// A message's headers, in the order of their names.
pub type Headers = BTreeMap<String, HeaderValue>;

/// One header's value. Floats compare by their bits, so that a message equals itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum HeaderValue {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// 64 bits, signed.
    Int(i64),
    /// 64 bits, IEEE 754.
    Float(f64),
    /// Text.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A moment, milliseconds since the Unix epoch.
    Timestamp(i64),
    /// Values in order.
    List(Vec<HeaderValue>),
    /// Values by name.
    Map(Headers),
}

impl HeaderValue {
    fn bytes(&self, depth: usize) -> Result<usize> {
        if depth > HEADER_DEPTH_MAX {
            return Err(Error::invalid(format!(
                "headers nest deeper than {HEADER_DEPTH_MAX}; flatten them or put them into the body"
            )));
        }
        Ok(match self {
            HeaderValue::Null | HeaderValue::Bool(_) => 1,
            HeaderValue::Int(_) | HeaderValue::Float(_) | HeaderValue::Timestamp(_) => 8,
            HeaderValue::Str(text) => text.len(),
            HeaderValue::Bytes(bytes) => bytes.len(),
            HeaderValue::List(values) => {
                let mut total = values.len();
                for value in values {
                    total += value.bytes(depth + 1)?;
                }
                total
            }
            HeaderValue::Map(headers) => headers_bytes(headers, depth + 1)?,
        })
    }
}

fn headers_bytes(headers: &Headers, depth: usize) -> Result<usize> {
    let mut total = 0;
    for (name, value) in headers {
        total += name.len() + value.bytes(depth)?;
    }
    Ok(total)
}

/// How many bytes the headers count for. Errors: `InvalidArgument` over the limits of size and depth.
pub(super) fn check(headers: &Headers) -> Result<usize> {
    let bytes = headers_bytes(headers, 1)?;
    if bytes > HEADER_BYTES_MAX {
        return Err(Error::invalid(format!(
            "headers have {bytes} bytes, the limit is {HEADER_BYTES_MAX}; put large values into the body"
        )));
    }
    Ok(bytes)
}
