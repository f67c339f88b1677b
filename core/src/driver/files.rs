//! The store's files: what the engine asks of a disk, done by the operating system.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::limits::ZEROED_AHEAD_BYTES;
use crate::store::{DiskOp, DiskOutcome, FileId};

use super::owner::Owner;

/// How the names of segment files end.
pub(super) const SEGMENT_SUFFIX: &str = ".seg";

/// A file that is open.
struct Opened {
    file: File,
    /// Up to here its blocks were written to. Room that was only reserved costs a change of the file's map with the first sync after each write; blocks of zeros do not.
    /// `u64::MAX` where that is not known, or everywhere so.
    zeroed: AtomicU64,
    len: u64,
}

/// The files of one store. Any number of threads may use it at once.
pub(super) struct Files {
    directory: PathBuf,
    handle: File,
    open: Mutex<BTreeMap<FileId, Arc<Opened>>>,
    owner: Owner,
}

impl Files {
    /// The files in a directory that this process owns.
    pub fn new(directory: &Path, owner: Owner) -> io::Result<Files> {
        Ok(Files {
            directory: directory.to_owned(),
            handle: File::open(directory)?,
            open: Mutex::default(),
            owner,
        })
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether this is the process that opened them.
    pub fn is_ours(&self) -> bool {
        self.owner.check_process().is_ok()
    }

    /// In a forked child: lets go of the lock that it has inherited.
    pub fn let_go_in_child(&self) {
        self.owner.let_go_in_child();
    }

    /// Does what is asked. Takes as long as the disk takes.
    pub fn execute(&self, op: DiskOp) -> DiskOutcome {
        let what = describe(&op);
        self.attempt(op).unwrap_or_else(|error| {
            DiskOutcome::Failed(format!(
                "{what} in {}: {}",
                self.directory.display(),
                said(&error)
            ))
        })
    }

    fn attempt(&self, op: DiskOp) -> io::Result<DiskOutcome> {
        match op {
            DiskOp::List => return Ok(DiskOutcome::Files(list(&self.directory)?)),
            DiskOp::ReadAt { file, offset, len } => {
                return Ok(DiskOutcome::Bytes(read(
                    &self.opened(file)?.file,
                    offset,
                    len,
                )?));
            }
            DiskOp::Create { file, len } => self.create(file, len)?,
            DiskOp::Delete { file } => {
                self.owner.check()?;
                self.table().remove(&file);
                fs::remove_file(self.path(file))?;
            }
            DiskOp::SyncDir => self.handle.sync_all()?,
            DiskOp::WriteAt {
                file,
                offset,
                bytes,
            } => self.write(file, offset, &bytes)?,
            DiskOp::Sync { file } => {
                self.owner.check_process()?;
                self.opened(file)?.file.sync_data()?;
            }
        }
        Ok(DiskOutcome::Done)
    }

    fn path(&self, file: FileId) -> PathBuf {
        self.directory
            .join(format!("{:016x}{SEGMENT_SUFFIX}", file.0))
    }

    fn table(&self) -> std::sync::MutexGuard<'_, BTreeMap<FileId, Arc<Opened>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, id: FileId) -> io::Result<Arc<Opened>> {
        if let Some(opened) = self.table().get(&id) {
            return Ok(Arc::clone(opened));
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(self.path(id))?;
        let len = file.metadata()?.len();
        Ok(self.keep(id, file, u64::MAX, len))
    }

    fn keep(&self, id: FileId, file: File, zeroed: u64, len: u64) -> Arc<Opened> {
        let opened = Arc::new(Opened {
            file,
            zeroed: AtomicU64::new(zeroed),
            len,
        });
        self.table().insert(id, Arc::clone(&opened));
        opened
    }

    fn create(&self, id: FileId, len: u64) -> io::Result<()> {
        self.owner.check()?;
        let path = self.path(id);
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        match reserve(&file, len) {
            Ok(zeroed) => {
                self.keep(id, file, zeroed, len);
                Ok(())
            }
            Err(error) => {
                // A full disk keeps nothing of it.
                let _ = fs::remove_file(path);
                Err(error)
            }
        }
    }

    fn write(&self, id: FileId, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // A segment begins: the store may have been taken over meanwhile.
        if offset == 0 {
            self.owner.check()?;
        }
        self.owner.check_process()?;
        let opened = self.opened(id)?;
        let end = offset + bytes.len() as u64;
        let zeroed = opened.zeroed.load(Ordering::Relaxed);
        let ahead = (end + ZEROED_AHEAD_BYTES).min(opened.len);
        if end > zeroed && (bytes.len() as u64) < ZEROED_AHEAD_BYTES && ahead > end {
            opened
                .file
                .write_all_at(&vec![0; (ahead - end) as usize], end)?;
            opened.zeroed.store(ahead, Ordering::Relaxed);
        } else if end < opened.len {
            // Nothing that was written is zeroed later: the header that follows a long chunk stands before it. The last copy of the header is written first, and says nothing of what is before it.
            opened.zeroed.fetch_max(end, Ordering::Relaxed);
        }
        opened.file.write_all_at(bytes, offset)
    }
}

impl Drop for Files {
    /// Whoever opens it next need not ask whether this process is alive.
    fn drop(&mut self) {
        self.owner.give_up();
    }
}

/// The segment files of a directory, with their lengths.
pub(super) fn list(directory: &Path) -> io::Result<Vec<(FileId, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if let Some(file) = segment_file(&entry.file_name().to_string_lossy()) {
            files.push((file, entry.metadata()?.len()));
        }
    }
    Ok(files)
}

/// Which segment file has this name.
pub(super) fn segment_file(name: &str) -> Option<FileId> {
    let number = name.strip_suffix(SEGMENT_SUFFIX)?;
    let is_ours = number.len() == 16 && !number.bytes().any(|byte| byte.is_ascii_uppercase());
    let number = u64::from_str_radix(number, 16).ok().filter(|_| is_ours)?;
    Some(FileId(number))
}

fn read(file: &File, offset: u64, len: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Takes room for a file, so that no write fails later for want of it. Gives up to where its blocks were written to.
#[cfg(target_os = "linux")]
fn reserve(file: &File, len: u64) -> io::Result<u64> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), 0, len) {
        Ok(()) => Ok(0),
        // Not every file system can.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(file, len),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(file: &File, len: u64) -> io::Result<u64> {
    write_zeros(file, len)
}

fn write_zeros(file: &File, len: u64) -> io::Result<u64> {
    let zeros = vec![0; ZEROED_AHEAD_BYTES as usize];
    let mut at = 0;
    while at < len {
        let step = (len - at).min(ZEROED_AHEAD_BYTES);
        file.write_all_at(&zeros[..step as usize], at)?;
        at += step;
    }
    Ok(u64::MAX)
}

fn describe(op: &DiskOp) -> &'static str {
    match op {
        DiskOp::List => "listing the files",
        DiskOp::Create { .. } => "making a segment file",
        DiskOp::Delete { .. } => "deleting a segment file",
        DiskOp::SyncDir => "syncing the directory",
        DiskOp::ReadAt { .. } => "reading a segment",
        DiskOp::WriteAt { .. } => "writing to a segment",
        DiskOp::Sync { .. } => "syncing a segment",
    }
}

/// What the operating system says, and what to do where that is clear.
pub(super) fn said(error: &io::Error) -> String {
    let hint = match error.kind() {
        ErrorKind::StorageFull => "; free some space, then open the store again",
        ErrorKind::QuotaExceeded => {
            "; raise the quota or free some space, then open the store again"
        }
        ErrorKind::PermissionDenied => {
            "; give this user the right to read and write there, or choose another directory"
        }
        ErrorKind::ReadOnlyFilesystem => "; mount it for writing, or choose another directory",
        _ => "",
    };
    format!("{error}{hint}")
}

/// The process that runs.
pub(super) fn this_process() -> u32 {
    process::id()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileId = FileId(1);

    #[test]
    fn a_header_that_follows_its_frames_leaves_them_as_they_are() {
        let directory = tempfile::tempdir().expect("made");
        let owner = Owner::take(directory.path()).expect("nobody has it");
        let files = Files::new(directory.path(), owner).expect("it is there");
        let write = |offset, bytes: &[u8]| {
            let bytes = bytes.to_vec();
            let done = files.execute(DiskOp::WriteAt {
                file: FILE,
                offset,
                bytes,
            });
            assert_eq!(done, DiskOutcome::Done);
        };
        for frames in [1000, ZEROED_AHEAD_BYTES - 1, ZEROED_AHEAD_BYTES, 400_000] {
            let len = 4 * ZEROED_AHEAD_BYTES;
            let made = files.execute(DiskOp::Create { file: FILE, len });
            assert_eq!(made, DiskOutcome::Done);
            let frames = vec![7; frames as usize];
            write(len - 512, &[9; 512]);
            write(512, &frames);
            write(0, &[1; 512]);
            write(512 + frames.len() as u64, &[8; 100]);
            let read = files.execute(DiskOp::ReadAt {
                file: FILE,
                offset: 0,
                len: len as u32,
            });
            let DiskOutcome::Bytes(read) = read else {
                panic!("it cannot be read");
            };
            let mut whole = [vec![1; 512], frames, vec![8; 100]].concat();
            whole.resize(len as usize - 512, 0);
            whole.extend([9; 512]);
            assert!(read == whole, "{} bytes of frames", whole.len());
            files.execute(DiskOp::Delete { file: FILE });
        }
    }
}
