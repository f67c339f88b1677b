//! The disks under an engine with a store: the manual one of tests, and one that JavaScript works on, which fetches tickets here and brings their outcomes.

use std::collections::VecDeque;

use ferrymq_core::engine::Engine;
use ferrymq_core::model::limits::SEGMENT_BYTES_TESTING;
use ferrymq_core::model::{Error, ErrorKind, Time};
use ferrymq_core::store::{DiskOp, DiskOutcome, FileId, Refused, Ticket, TicketId};
use ferrymq_core::testing::ManualDisk;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::config::time;
use crate::native::Native;
use crate::results::PENDING;

/// Bytes of an entry of a list of files: number and length.
const ENTRY_BYTES: usize = 16;

/// Where an engine's tickets go.
pub enum Disk {
    /// In memory; syncs complete when told.
    Manual(ManualDisk),
    /// JavaScript's.
    Outer(Outer),
}

/// Tickets for JavaScript.
#[derive(Default)]
pub struct Outer {
    waiting: VecDeque<Ticket>,
    /// What the ticket that was fetched last wants written; JavaScript reads it in place.
    bytes: Vec<u8>,
    /// What the disk said first that it could not do.
    failure: Option<String>,
}

impl Disk {
    /// Takes a ticket; gives its outcome if that is there at once.
    pub fn take(&mut self, ticket: Ticket) -> Option<DiskOutcome> {
        match self {
            Disk::Manual(disk) => disk.execute(ticket),
            Disk::Outer(outer) => {
                outer.waiting.push_back(ticket);
                None
            }
        }
    }

    /// Tickets that JavaScript has to fetch.
    pub fn waiting(&self) -> usize {
        match self {
            Disk::Manual(_) => 0,
            Disk::Outer(outer) => outer.waiting.len(),
        }
    }

    /// The process is gone, and with `power` what was not synced.
    pub fn kill(&mut self, power: bool) {
        match self {
            Disk::Manual(disk) if power => disk.power_cut(),
            Disk::Manual(disk) => disk.kill(),
            Disk::Outer(outer) => *outer = Outer::default(),
        }
    }

    fn complete_syncs(&mut self, well: bool) -> Vec<(TicketId, DiskOutcome)> {
        match self {
            Disk::Manual(disk) => disk.complete_syncs(well),
            Disk::Outer(_) => Vec::new(),
        }
    }
}

/// Calls that choose a disk and work on it.
#[wasm_bindgen]
impl Native {
    /// Puts the broker over the disk whose syncs complete when told. Before it is opened.
    pub fn use_manual_disk(&mut self) {
        self.config.segment_bytes = SEGMENT_BYTES_TESTING;
        self.disk = Some(Disk::Manual(ManualDisk::default()));
    }

    /// Puts the broker over a disk that JavaScript works on, in place of what it was over. `store` names a store that is made: a number that no other has. Before it is opened.
    pub fn use_disk(&mut self, store: u64) {
        self.config.store = store;
        self.disk = Some(Disk::Outer(Outer::default()));
    }

    /// Fetches the next ticket. Gives what is to be done: 0 list, 1 create, 2 delete, 3 sync the directory, 4 read, 5 write, 6 sync; its numbers are in the registers, and where the bytes are.
    pub fn next_ticket(&mut self) -> u32 {
        let Some(Disk::Outer(outer)) = &mut self.disk else {
            unreachable!("only a disk of JavaScript's has tickets to fetch");
        };
        let ticket = outer
            .waiting
            .pop_front()
            .expect("JavaScript fetches as many as the registers say");
        let (what, file, offset, len) = match ticket.op {
            DiskOp::List => (0, FileId(0), 0, 0),
            DiskOp::Create { file, len } => (1, file, 0, len),
            DiskOp::Delete { file } => (2, file, 0, 0),
            DiskOp::SyncDir => (3, FileId(0), 0, 0),
            DiskOp::ReadAt { file, offset, len } => (4, file, offset, u64::from(len)),
            DiskOp::WriteAt {
                file,
                offset,
                bytes,
            } => {
                outer.bytes = bytes;
                (5, file, offset, outer.bytes.len() as u64)
            }
            DiskOp::Sync { file } => (6, file, 0, 0),
        };
        let registers = &mut self.results.registers;
        registers.set_tickets(outer.waiting.len());
        registers.set_ticket([ticket.id.0, file.0, offset, len]);
        registers.set_bytes(&outer.bytes, 1);
        what
    }

    /// Brings what became of a ticket. `what`: 0 done, 1 the files, 2 bytes, 3 failed. The scratch memory holds them, or what the disk said, in `length` bytes.
    pub fn io_done(&mut self, now: f64, ticket: u64, what: u32, length: usize) {
        let bytes = &self.scratch[..length];
        let outcome = match what {
            0 => DiskOutcome::Done,
            1 => DiskOutcome::Files(bytes.chunks_exact(ENTRY_BYTES).map(entry).collect()),
            2 => DiskOutcome::Bytes(bytes.to_vec()),
            _ => DiskOutcome::Failed(String::from_utf8_lossy(bytes).into_owned()),
        };
        if let (DiskOutcome::Failed(said), Some(Disk::Outer(outer))) = (&outcome, &mut self.disk) {
            outer.failure.get_or_insert_with(|| said.clone());
        }
        if let Some(engine) = &mut self.engine {
            engine.io_done(time(now), TicketId(ticket), outcome);
        }
        self.pump(time(now));
    }

    /// How the opening over JavaScript's disk stands: pending, done, or refused.
    pub fn opened(&mut self, now: f64) -> u32 {
        let Some(engine) = &self.engine else {
            return self.results.store(Err(crate::native::closed()));
        };
        if engine.is_open() {
            return self.open_session(now);
        }
        if engine.has_failed() {
            let refusal = refusal(engine, self.failure());
            return self.results.store(Err(refusal));
        }
        PENDING
    }

    /// Whether a disk that failed has ended the engine: nothing more is to be done then.
    pub fn has_failed(&self) -> bool {
        self.engine.as_ref().is_none_or(Engine::has_failed)
    }

    /// Puts what was lost of the store into the registers: sentences, one after the other.
    pub fn losses(&mut self) {
        let losses = self.engine.as_ref().map_or(&[][..], Engine::losses);
        let sentences: Vec<String> = losses.iter().map(ToString::to_string).collect();
        self.results.texts(&sentences);
    }

    /// The engine's time, milliseconds: not before the last frame of its log.
    pub fn engine_now(&self) -> f64 {
        self.engine
            .as_ref()
            .map_or(0.0, |engine| engine.now().0 as f64)
    }

    /// Brings the log to an end in order; to be asked again after each outcome. Gives true once everything is safe and the log says so, or when it has failed.
    pub fn settle_log(&mut self, now: f64) -> bool {
        let Some(engine) = &mut self.engine else {
            return true;
        };
        let settled = engine.has_failed() || engine.settle_log(time(now));
        self.pump(time(now));
        settled
    }

    /// Asks for a sync of all that is written, and on the manual disk completes, or fails, every sync that is outstanding.
    pub fn sync(&mut self, now: f64, well: bool) {
        if let Some(engine) = &mut self.engine {
            engine.request_sync(time(now));
        }
        self.pump(time(now));
        self.complete(time(now), well);
    }
}

impl Native {
    pub(crate) fn open_store(&mut self, now: f64) -> u32 {
        self.engine = Some(Engine::open(self.config, time(now)));
        self.pump(time(now));
        if matches!(self.disk, Some(Disk::Outer(_))) {
            return PENDING;
        }
        // Opening writes; on the manual disk nobody else completes those syncs.
        self.complete(time(now), true);
        self.opened(now)
    }

    fn failure(&self) -> Option<&str> {
        match &self.disk {
            Some(Disk::Outer(outer)) => outer.failure.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn complete(&mut self, now: Time, well: bool) {
        // A sync that ends lets the next one begin.
        while let Some(disk) = &mut self.disk {
            let outcomes = disk.complete_syncs(well);
            if outcomes.is_empty() {
                return;
            }
            for (ticket, outcome) in outcomes {
                if let Some(engine) = &mut self.engine {
                    engine.io_done(now, ticket, outcome);
                }
            }
            self.pump(now);
        }
    }
}

/// Why a store did not open, in the words of the native driver.
fn refusal(engine: &Engine, failure: Option<&str>) -> Error {
    match engine.refused() {
        Some(Refused::Newer) => Error::new(
            ErrorKind::StoreFailed,
            "the store was written by a newer version of FerryMQ: open it with that one, or a later one; nothing was changed",
        ),
        Some(Refused::Corrupt(what)) => Error::new(
            ErrorKind::StoreCorrupt,
            format!(
                "the store cannot be opened: {what}; nothing was changed: restore a backup, or put back the files that are missing"
            ),
        ),
        None => Error::new(
            ErrorKind::StoreFailed,
            format!(
                "the store could not be opened: {}",
                failure.unwrap_or("the disk failed")
            ),
        ),
    }
}

fn entry(bytes: &[u8]) -> (FileId, u64) {
    let long = |from: usize| {
        let mut long = [0; 8];
        long.copy_from_slice(&bytes[from..from + 8]);
        u64::from_le_bytes(long)
    };
    (FileId(long(0)), long(8))
}
