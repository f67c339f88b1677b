//! FerryMQ for Python: the native half of the package, module `ferrymq._native`. The hand-written half in python/ferrymq
//! re-exports it; what begins with an underscore is between the two.
//!
//! Two rules hold everywhere: no engine lock is held while the GIL is asked for, and a thread that waits has let go of it.
#![forbid(unsafe_code)]

/// Bodies come and go in bursts: docs/decisions/0007-messages-in-bursts.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod aio;
mod broker;
mod call;
mod consumer;
mod convert;
mod errors;
mod exchange;
mod message;
mod options;
mod outgoing;
mod queue;
mod reply;
mod testing;
mod transaction;
mod watching;

/// What Python imports. Every class is frozen and its state behind atomics or locks, so no GIL is needed to be correct.
#[pyo3::pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::aio::Ready;
    #[pymodule_export]
    use crate::broker::{_open, Broker};
    #[pymodule_export]
    use crate::call::{_forked, Pending};
    #[pymodule_export]
    use crate::consumer::Consumer;
    #[pymodule_export]
    use crate::exchange::Exchange;
    #[pymodule_export]
    use crate::message::{_reason_of, Delivery, Message};
    #[pymodule_export]
    use crate::outgoing::Outgoing;
    #[pymodule_export]
    use crate::queue::Queue;
    #[pymodule_export]
    use crate::testing::{_open_testing, Testing};
    #[pymodule_export]
    use crate::transaction::Transaction;
    #[pymodule_export]
    use crate::watching::{_exiting, Alarm};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
