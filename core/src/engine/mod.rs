//! The hall.

mod command;
mod event;

pub use command::{Answer, Command, Operation, Reply, Wait};
pub use event::{Event, Output};
