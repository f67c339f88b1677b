//! Queue options from a plain object.

use ferrymq_core::model::{Error, QueueOptions, Result};
use wasm_bindgen::JsValue;

/// Errors: `InvalidArgument` naming what does not fit.
pub fn options_from(options: JsValue) -> Result<QueueOptions> {
    serde_wasm_bindgen::from_value(options)
        .map_err(|error| Error::invalid(format!("the queue's options do not fit: {error}")))
}
