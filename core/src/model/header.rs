//! Typed headers: what a message carries beside its body.

use serde::{Deserialize, Serialize};

use super::collections::BTreeMap;
use super::limits::{HEADER_BYTES_MAX, HEADER_DEPTH_MAX};
use super::{Error, Result};

/// A message's headers, in the order of their names.
pub type Headers = BTreeMap<String, HeaderValue>;

/// One header's value.
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
    /// Whether a binding that asks for one takes the other. Kinds must be the same, but a number is a number: JavaScript cannot say 1.0 other than 1.
    #[must_use]
    pub fn is_alike(&self, other: &HeaderValue) -> bool {
        use HeaderValue::{Float, Int, List, Map};
        match (self, other) {
            (Int(int), Float(float)) | (Float(float), Int(int)) => {
                *float == *int as f64 && *float < INT_END && *float as i64 == *int
            }
            (Float(own), Float(other)) => own == other || own.is_nan() && other.is_nan(),
            (List(own), List(other)) => {
                let mut pairs = own.iter().zip(other);
                own.len() == other.len() && pairs.all(|(own, other)| own.is_alike(other))
            }
            (Map(own), Map(other)) => are_alike(own, other),
            _ => self == other,
        }
    }

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

/// The first float above every integer of 64 bits.
const INT_END: f64 = 9_223_372_036_854_775_808.0;

/// Whether two tables say the same.
pub(super) fn are_alike(own: &Headers, other: &Headers) -> bool {
    let mut pairs = own.iter().zip(other);
    own.len() == other.len() && pairs.all(|((a, own), (b, other))| a == b && own.is_alike(other))
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

#[cfg(test)]
mod tests {
    use super::HeaderValue::{Bool, Float, Int, List, Null, Str, Timestamp};
    use super::*;

    #[test]
    fn alike_is_of_one_kind_and_value() {
        let nan = Float(f64::NAN);
        let list = |value: HeaderValue| List(vec![value, Null]);
        let map = |value: HeaderValue| {
            HeaderValue::Map(Headers::from_iter([("a".to_owned(), list(value))]))
        };
        for (own, other, expected) in [
            (Int(1), Int(1), true),
            (Int(1), Float(1.0), true),
            (Int(1), Float(1.5), false),
            (Int(0), Float(-0.0), true),
            (Int(i64::MAX), Float(INT_END), false),
            (Int(i64::MIN), Float(-INT_END), true),
            (Int((1 << 53) + 1), Float((1_i64 << 53) as f64), false),
            (nan.clone(), nan.clone(), true),
            (nan, Int(0), false),
            (Int(1), Bool(true), false),
            (Int(1), Str("1".to_owned()), false),
            (Int(1), Timestamp(1), false),
            (Null, Bool(false), false),
            (list(Int(1)), list(Float(1.0)), true),
            (list(Int(1)), List(vec![Int(1)]), false),
            (map(Int(1)), map(Float(1.0)), true),
            (map(Int(1)), map(Int(2)), false),
            (map(Int(1)), HeaderValue::Map(Headers::new()), false),
        ] {
            assert_eq!(own.is_alike(&other), expected, "{own:?} {other:?}");
            assert_eq!(other.is_alike(&own), expected, "{other:?} {own:?}");
        }
    }
}
