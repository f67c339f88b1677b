//! Runs the conformance vectors through the Rust driver.
