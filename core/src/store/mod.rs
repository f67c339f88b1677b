//! The log.

mod ticket;

pub use ticket::{DiskOp, DiskOutcome, FileId, Ticket, TicketId};
