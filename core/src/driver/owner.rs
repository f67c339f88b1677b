//! Who owns a store: one process at a time. A lock that the operating system gives back when its holder is gone, and a file that says who it is, for those that have no such locks (Node).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::{self, Error, Result};

use super::files::{list, said, segment_file, this_process};

/// The file that is locked as long as the store is open.
const LOCK: &str = "LOCK";
/// The file that says who has the store open.
pub(super) const OWNER: &str = "OWNER";
/// Most bytes of it that are read.
const OWNER_BYTES_MAX: usize = 4096;
/// What the file that says who owns the store begins with.
const OWNER_FORMAT: &str = "format 1";

/// What the owner's file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Claim {
    /// 0: nobody.
    pid: u32,
    /// Which boot of the machine; empty where that cannot be told.
    boot: String,
    /// When the process began, in the system's ticks since boot; 0 where that cannot be told.
    start: u64,
    /// Counts the owners.
    epoch: u32,
    /// In which home it runs.
    home: String,
}

impl Claim {
    fn mine(epoch: u32) -> Claim {
        Claim {
            pid: this_process(),
            boot: boot(),
            start: start_of(this_process()).unwrap_or(0),
            epoch,
            home: "native".to_owned(),
        }
    }

    /// What stands for the claim of an owner that cannot be read, or is not there. The number of an opening must be new in a store: where there is one, it goes on from the seconds since 1970, of which no
    /// owners can have been as many.
    fn lost(directory: &Path) -> Claim {
        let is_new = list(directory).is_ok_and(|files| files.is_empty());
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = seconds.map_or(0, |since| since.as_secs());
        Claim {
            epoch: if is_new {
                0
            } else {
                u32::try_from(seconds).unwrap_or(u32::MAX / 2)
            },
            ..Claim::default()
        }
    }

    /// `None`: it does not say what an owner's file says.
    fn parse(text: &str) -> Option<Claim> {
        let mut lines = text.lines();
        if lines.next()? != OWNER_FORMAT {
            return None;
        }
        let mut claim = Claim::default();
        for line in lines {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            match name {
                "pid" => claim.pid = value.parse().ok()?,
                "boot" => value.clone_into(&mut claim.boot),
                "start" => claim.start = value.parse().ok()?,
                "epoch" => claim.epoch = value.parse().ok()?,
                "home" => value.clone_into(&mut claim.home),
                // A later version may say more.
                _ => {}
            }
        }
        Some(claim)
    }

    fn text(&self) -> String {
        format!(
            "{OWNER_FORMAT}\npid {}\nboot {}\nstart {}\nepoch {}\nhome {}\n",
            self.pid, self.boot, self.start, self.epoch, self.home
        )
    }

    /// Whether who claims it still runs. A number that another process has got since is told by the time of its start.
    fn is_alive(&self) -> bool {
        if self.pid == 0 || self.boot != boot() {
            return false;
        }
        match start_of(self.pid) {
            Some(start) => self.start == 0 || start == self.start,
            None => false,
        }
    }
}

/// A store that this process owns, until it is dropped.
pub(super) struct Owner {
    /// Held, never read. `None` in a forked child, which let go of it.
    lock: Mutex<Option<File>>,
    file: File,
    claim: Claim,
}

impl Owner {
    /// Takes a directory for this process; makes it if it is not there. Touches nothing in a directory that is not a store. Gives the number of this opening, too.
    /// Errors: `InvalidArgument` for what is no store, `StoreLocked` if somebody else owns it, `StoreFailed` if the system refuses.
    pub fn take(directory: &Path) -> Result<Owner> {
        let refused = |error: &io::Error| {
            Error::new(
                model::ErrorKind::StoreFailed,
                format!(
                    "the store {} cannot be opened: {}",
                    directory.display(),
                    said(error)
                ),
            )
        };
        make_directory(directory)?;
        check_is_store(directory)?;
        check_file_system(directory)?;
        let lock = open_file(&directory.join(LOCK)).map_err(|error| refused(&error))?;
        let file = match lock.try_lock() {
            Ok(()) => open_file(&directory.join(OWNER)),
            Err(TryLockError::WouldBlock) => return Err(locked(directory, said_by(directory))),
            Err(TryLockError::Error(error)) => Err(error),
        };
        let file = file.map_err(|error| refused(&error))?;
        let before = read_claim(&file).unwrap_or_else(|| Claim::lost(directory));
        // Who has no locks says who he is. This process itself holds no other handle: that one would have the lock.
        if before.is_alive() && before.pid != this_process() {
            return Err(locked(directory, Some(before)));
        }
        let claim = Claim::mine(before.epoch.saturating_add(1));
        let owner = Owner {
            lock: Mutex::new(Some(lock)),
            file,
            claim,
        };
        owner
            .write(&owner.claim)
            .and_then(|()| File::open(directory)?.sync_all())
            .map_err(|error| refused(&error))?;
        Ok(owner)
    }

    /// The number of this opening.
    pub fn epoch(&self) -> u32 {
        self.claim.epoch
    }

    /// Whether this is the process that opened it: a lock survives a fork, the right to write does not.
    pub fn check_process(&self) -> io::Result<()> {
        if self.claim.pid == this_process() {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "the store was opened by process {}, from which this one was forked; open it anew here",
            self.claim.pid
        )))
    }

    /// Whether the store still is this process's.
    pub fn check(&self) -> io::Result<()> {
        self.check_process()?;
        match read_claim(&self.file) {
            Some(claim) if claim == self.claim => Ok(()),
            Some(other) => Err(io::Error::other(format!(
                "process {} has taken the store over (epoch {}, this one has {})",
                other.pid, other.epoch, self.claim.epoch
            ))),
            None => Err(io::Error::other(
                "the file OWNER does not say any more that this process owns the store",
            )),
        }
    }

    /// In a forked child: closes what it has inherited of the lock, which else were held as long as the child lives.
    pub fn let_go_in_child(&self) {
        if self.claim.pid != this_process()
            && let Ok(mut lock) = self.lock.try_lock()
        {
            *lock = None;
        }
    }

    /// Says that nobody owns it.
    pub fn give_up(&self) {
        if self.check().is_ok() {
            let nobody = Claim {
                pid: 0,
                ..self.claim.clone()
            };
            // It costs the next owner no more than a look at the processes.
            let _ = self.write(&nobody);
        }
    }

    fn write(&self, claim: &Claim) -> io::Result<()> {
        let text = claim.text();
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)?;
        self.file.sync_data()
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn read_claim(file: &File) -> Option<Claim> {
    let mut bytes = vec![0; OWNER_BYTES_MAX];
    let len = file.read_at(&mut bytes, 0).ok()?;
    Claim::parse(std::str::from_utf8(&bytes[..len]).ok()?)
}

fn said_by(directory: &Path) -> Option<Claim> {
    read_claim(&File::open(directory.join(OWNER)).ok()?)
}

fn locked(directory: &Path, by: Option<Claim>) -> Error {
    let who = match by {
        Some(claim) if claim.pid == this_process() => {
            "this process, under another handle: use that one, or close it".to_owned()
        }
        Some(claim) if claim.pid != 0 => {
            format!(
                "process {}: close it there, or open another directory",
                claim.pid
            )
        }
        _ => "another process: close it there, or open another directory".to_owned(),
    };
    Error::new(
        model::ErrorKind::StoreLocked,
        format!("the store {} is open in {who}", directory.display()),
    )
}

fn make_directory(directory: &Path) -> Result<()> {
    let fails = |error: &io::Error, hint: &str| {
        Error::new(
            model::ErrorKind::StoreFailed,
            format!(
                "the directory {} cannot be made: {}{hint}",
                directory.display(),
                said(error)
            ),
        )
    };
    match fs::create_dir(directory) {
        Ok(()) => sync_parent(directory).map_err(|error| fails(&error, "")),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if directory.is_dir() {
                return Ok(());
            }
            Err(Error::invalid(format!(
                "{} is a file; a store is a directory: choose another path",
                directory.display()
            )))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(fails(&error, "; make the directory above it first"))
        }
        Err(error) => Err(fails(&error, "")),
    }
}

/// A directory that was just made is there after a power cut only if the one above was synced.
fn sync_parent(directory: &Path) -> io::Result<()> {
    let above = match directory.parent() {
        Some(above) if above != Path::new("") => above.to_owned(),
        _ => PathBuf::from("."),
    };
    File::open(above)?.sync_all()
}

/// A store, or an empty directory: everything else is somebody's.
fn check_is_store(directory: &Path) -> Result<()> {
    let mut stranger = None;
    let entries = fs::read_dir(directory).map_err(|error| {
        Error::new(
            model::ErrorKind::StoreFailed,
            format!(
                "the store {} cannot be read: {}",
                directory.display(),
                said(&error)
            ),
        )
    })?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == OWNER || segment_file(&name).is_some() {
            return Ok(());
        }
        if name != LOCK {
            stranger = Some(name);
        }
    }
    match stranger {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!(
            "{} is not a store: it holds {}, and nothing of FerryMQ's; choose an empty directory",
            directory.display(),
            model::quoted(&name)
        ))),
    }
}

/// File systems over a network, by the number that Linux knows them by: their locks and syncs do not promise what a store needs. Source: statfs(2).
#[cfg(target_os = "linux")]
const NETWORK: [(u32, &str); 9] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x564C, "NCP"),
    (0x5346_414F, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
];

/// What a network file system of this number is called; `None` for a local one.
#[cfg(target_os = "linux")]
fn network_file_system(kind: u32) -> Option<&'static str> {
    let mut known = NETWORK.iter();
    known.find(|own| own.0 == kind).map(|own| own.1)
}

#[cfg(target_os = "linux")]
fn check_file_system(directory: &Path) -> Result<()> {
    // Where it cannot be told, it is not refused.
    let Ok(of) = rustix::fs::statfs(directory) else {
        return Ok(());
    };
    match network_file_system(of.f_type as u32) {
        None => Ok(()),
        Some(name) => Err(Error::new(
            model::ErrorKind::StoreFailed,
            format!(
                "{} is on a network file system ({name}), whose locks and syncs cannot be relied on; choose a directory on a local disk",
                directory.display()
            ),
        )),
    }
}

#[cfg(not(target_os = "linux"))]
fn check_file_system(_directory: &Path) -> Result<()> {
    Ok(())
}

/// Which boot of the machine this is; empty where that cannot be told.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// When a process began; `None`: there is none, 0: that cannot be told.
#[cfg(target_os = "linux")]
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the program's name, may hold anything but ends with the last bracket.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    // One that has ended and that nobody has asked about yet is no process any more.
    if matches!(fields.next(), Some("Z" | "X")) {
        return None;
    }
    Some(
        fields
            .nth(18)
            .and_then(|start| start.parse().ok())
            .unwrap_or(0),
    )
}

/// Elsewhere the lock alone says who is alive.
#[cfg(not(target_os = "linux"))]
fn start_of(_pid: u32) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_says_who_and_is_read_again() {
        let claim = Claim::mine(7);
        assert_eq!(Claim::parse(&claim.text()), Some(claim.clone()));
        assert!(claim.is_alive());
        assert_eq!(Claim::parse("format 2\npid 1\n"), None);
        assert_eq!(Claim::parse("format 1\npid one\n"), None);
    }

    #[test]
    fn a_claim_of_who_is_gone_is_void() {
        let claim = Claim::mine(7);
        let elsewhere = [
            Claim {
                pid: 0,
                ..claim.clone()
            },
            Claim {
                boot: "another".to_owned(),
                ..claim.clone()
            },
            Claim {
                start: claim.start + 1,
                ..claim
            },
        ];
        assert!(elsewhere.iter().all(|own| !own.is_alive()));
    }

    #[test]
    fn network_file_systems_are_known_by_number() {
        assert_eq!(network_file_system(0x6969), Some("NFS"));
        assert_eq!(network_file_system(0xEF53), None);
    }
}
