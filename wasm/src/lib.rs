//! FerryMQ for WebAssembly.
