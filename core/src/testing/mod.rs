//! Testing hooks that every home shares. Turns tickets into bytes in memory whose syncs complete only when told.
//! Owns: the manual disk. May use: model, store's tickets. Never: knows the engine.
//! Invariant: what a power cut leaves is exactly what completed syncs covered.

use crate::model::collections::BTreeMap;
use crate::store::{DiskOp, DiskOutcome, FileId, Ticket, TicketId};

/// A file: what a sync has covered, and what the operating system has.
#[derive(Clone, Debug, Default)]
struct File {
    durable: Option<Vec<u8>>,
    current: Option<Vec<u8>>,
}

/// A disk in memory. Everything completes at once, but for syncs of files, which wait until they are told.
///
/// ```
/// use ferrymq_core::store::{DiskOp, DiskOutcome, FileId, Ticket, TicketId};
/// use ferrymq_core::testing::ManualDisk;
/// let mut disk = ManualDisk::default();
/// let mut ask = |id, op| disk.execute(Ticket { id: TicketId(id), op });
/// ask(1, DiskOp::Create { file: FileId(1), len: 4096 });
/// ask(2, DiskOp::SyncDir);
/// ask(3, DiskOp::WriteAt { file: FileId(1), offset: 0, bytes: b"a".to_vec() });
/// assert_eq!(ask(4, DiskOp::Sync { file: FileId(1) }), None);
/// disk.power_cut();
/// let list = disk.execute(Ticket { id: TicketId(5), op: DiskOp::List });
/// assert_eq!(list, Some(DiskOutcome::Files(vec![(FileId(1), 0)])));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualDisk {
    files: BTreeMap<FileId, File>,
    /// Syncs that wait, each with what it will have covered: the file as it was when the sync was asked for.
    held: Vec<(TicketId, FileId, Vec<u8>)>,
}

impl ManualDisk {
    /// Does what a ticket asks; `None`: it is a sync and waits.
    pub fn execute(&mut self, ticket: Ticket) -> Option<DiskOutcome> {
        Some(match ticket.op {
            DiskOp::List => DiskOutcome::Files(
                self.files
                    .iter()
                    .filter_map(|(id, file)| Some((*id, file.current.as_ref()?.len() as u64)))
                    .collect(),
            ),
            DiskOp::Create { file, len } => {
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                self.files.entry(file).or_default().current = Some(vec![0; len]);
                DiskOutcome::Done
            }
            DiskOp::Delete { file } => {
                if let Some(file) = self.files.get_mut(&file) {
                    file.current = None;
                }
                DiskOutcome::Done
            }
            DiskOp::SyncDir => {
                self.sync_dir();
                DiskOutcome::Done
            }
            DiskOp::ReadAt { file, offset, len } => self.read(file, offset, len),
            DiskOp::WriteAt {
                file,
                offset,
                bytes,
            } => self.write(file, offset, &bytes),
            DiskOp::Sync { file } => {
                let Some(bytes) = self.files.get(&file).and_then(|file| file.current.clone())
                else {
                    return Some(DiskOutcome::Failed(format!("there is no file {}", file.0)));
                };
                self.held.push((ticket.id, file, bytes));
                return None;
            }
        })
    }

    fn sync_dir(&mut self) {
        self.files.retain(|_, file| file.current.is_some());
        for file in self.files.values_mut() {
            file.durable.get_or_insert_with(Vec::new);
        }
    }

    fn read(&self, file: FileId, offset: u64, len: u32) -> DiskOutcome {
        let Some(bytes) = self.files.get(&file).and_then(|file| file.current.as_ref()) else {
            return DiskOutcome::Failed(format!("there is no file {}", file.0));
        };
        let from = (offset as usize).min(bytes.len());
        let to = from.saturating_add(len as usize).min(bytes.len());
        DiskOutcome::Bytes(bytes[from..to].to_vec())
    }

    fn write(&mut self, file: FileId, offset: u64, new: &[u8]) -> DiskOutcome {
        let Some(bytes) = self
            .files
            .get_mut(&file)
            .and_then(|file| file.current.as_mut())
        else {
            return DiskOutcome::Failed(format!("there is no file {}", file.0));
        };
        let from = offset as usize;
        let end = from + new.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[from..end].copy_from_slice(new);
        DiskOutcome::Done
    }

    /// Completes every sync that waits, well or not, and gives the outcomes for `io_done`.
    pub fn complete_syncs(&mut self, well: bool) -> Vec<(TicketId, DiskOutcome)> {
        let held = std::mem::take(&mut self.held);
        held.into_iter()
            .map(|(ticket, file, bytes)| {
                if !well {
                    return (
                        ticket,
                        DiskOutcome::Failed("the sync failed, as the test said".to_owned()),
                    );
                }
                if let Some(file) = self.files.get_mut(&file) {
                    file.durable = Some(bytes);
                }
                (ticket, DiskOutcome::Done)
            })
            .collect()
    }

    /// How many syncs wait.
    #[must_use]
    pub fn syncs_held(&self) -> usize {
        self.held.len()
    }

    /// The process is gone: nobody waits for a sync any more; what was written stays.
    pub fn kill(&mut self) {
        self.held.clear();
    }

    /// Power is gone: only what syncs covered stays.
    pub fn power_cut(&mut self) {
        self.held.clear();
        for file in self.files.values_mut() {
            file.current.clone_from(&file.durable);
        }
        self.files.retain(|_, file| file.current.is_some());
    }
}
