//! The log and the messages in memory. Turns records into frames and tickets, and bytes of an earlier life back into records.
//! Owns: the group buffer, the watermark, the files' numbers, the table of messages.
//! May use: model. Never: knows queues, consumers or protocols; does I/O.
//! Invariant: a frame is whole or absent, and nothing is called synced that a sync did not cover.

mod encoding;
mod format;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod log;
mod opening;
mod record;
mod scan;
mod soundness;
mod stored;
mod table;
mod ticket;
mod writer;

pub use format::About;
pub use log::{Log, LogError, Progress};
pub use opening::{Found, FoundFrame, Refused};
pub use record::{Accepted, Moved, Record, Sealed};
pub use scan::Damage;
pub use stored::Stored;
pub use table::{Resident, State, Table};
pub use ticket::{DiskOp, DiskOutcome, FileId, Ticket, TicketId};
