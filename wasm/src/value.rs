//! What crosses the boundary as JavaScript's own values, by the names that it has in Rust: queue options in, statistics out.

use ferrymq_core::model::{Error, QueueOptions, Result};
use serde::Serialize;
use wasm_bindgen::JsValue;

/// Queue options from a plain object. Errors: `InvalidArgument`; `options.ts` has checked every kind before, and says it better.
pub fn options_from(options: JsValue) -> Result<QueueOptions> {
    serde_wasm_bindgen::from_value(options).map_err(|_| {
        Error::invalid("the queue's options do not fit; report this, they were checked before")
    })
}

/// A value as a plain object. Whole numbers of 64 bits come as bigint; `stats.ts` makes numbers of those that fit.
pub fn plain<T: Serialize>(value: &T) -> JsValue {
    let serializer = serde_wasm_bindgen::Serializer::new()
        .serialize_large_number_types_as_bigints(true)
        .serialize_missing_as_null(true);
    value
        .serialize(&serializer)
        .expect("statistics are numbers and texts, which always serialise")
}
