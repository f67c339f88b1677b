//! What a power cut leaves, and damage to what was synced.

use ferrymq_core::store::FileId;

use crate::disk::{Entry, Inode, SECTOR, SimDisk, sector_of};
use crate::faults::{Cut, Damage, Order};
use crate::rng::Rng;

impl SimDisk {
    /// Power is gone: each unsynced sector, length, creation and deletion is decided by itself.
    pub fn power_cut(&mut self, cut: Cut, rng: &mut Rng) {
        self.kill();
        let kept = match cut.order {
            Order::Any => usize::MAX,
            Order::Prefix => rng.below(self.written.len() as u64 + 1) as usize,
        };
        for at in 0..self.inodes.len() {
            let last = |sector: usize| {
                let mut order = self.written.iter();
                let last = order.rposition(|entry| *entry == (at, sector as u32));
                last.is_some_and(|last| last < kept)
            };
            let survives = |sector: usize, rng: &mut Rng| match cut.order {
                Order::Any => rng.percent(cut.survives),
                Order::Prefix => last(sector),
            };
            let inode = &self.inodes[at];
            let bytes = cut_inode(inode, cut, survives, &self.ghosts, rng);
            let inode = &mut self.inodes[at];
            inode.dirty.clear();
            inode.dirty.resize(bytes.len().div_ceil(SECTOR), false);
            inode.current.clone_from(&bytes);
            inode.durable = bytes;
        }
        self.written.clear();
        for entry in self.directory.values_mut() {
            let applied = match cut.order {
                Order::Any => rng.percent(cut.survives),
                Order::Prefix => rng.percent(50),
            };
            if applied {
                entry.durable = entry.current;
            }
            entry.current = entry.durable;
        }
        self.directory.retain(|_, entry| entry.current.is_some());
        self.compact();
    }

    /// Forgets the bytes of files that are gone from both views.
    fn compact(&mut self) {
        let old = std::mem::take(&mut self.inodes);
        let mut old: Vec<Option<Inode>> = old.into_iter().map(Some).collect();
        for entry in self.directory.values_mut() {
            if let Some(inode) = entry.current.and_then(|at| old[at].take()) {
                self.inodes.push(inode);
                let at = Some(self.inodes.len() - 1);
                (entry.current, entry.durable) = (at, at);
            }
        }
    }

    /// Damages what was synced. False: there was nothing to damage.
    pub fn damage(&mut self, damage: Damage, rng: &mut Rng) -> bool {
        let files: Vec<FileId> = self.directory.keys().copied().collect();
        if damage == Damage::Ghost {
            let ghosts = self.ghosts.clone();
            let mut gone = ghosts
                .iter()
                .filter(|(file, _)| self.inode(*file).is_none());
            let Some((file, bytes)) = gone.next_back() else {
                return false;
            };
            self.inodes.push(Inode {
                current: bytes.clone(),
                durable: bytes.clone(),
                dirty: vec![false; bytes.len().div_ceil(SECTOR)],
            });
            let at = Some(self.inodes.len() - 1);
            let entry = Entry {
                durable: at,
                current: at,
            };
            self.directory.insert(*file, entry);
            return true;
        }
        if files.is_empty() {
            return false;
        }
        let file = rng.pick(&files);
        if damage == Damage::Missing {
            self.directory.remove(&file);
            return true;
        }
        let Some(at) = self.inode(file) else {
            return false;
        };
        let len = self.inodes[at].current.len();
        if len == 0 {
            return false;
        }
        let sector = rng.below(len.div_ceil(SECTOR) as u64) as usize;
        // What was written last has nothing behind it that says it was there.
        if let Some((newest, sectors)) = &self.newest
            && *newest == file
            && sectors.contains(&sector)
        {
            return false;
        }
        let from = sector * SECTOR;
        let to = (from + SECTOR).min(len);
        let other = rng.below(len.div_ceil(SECTOR) as u64) as usize;
        let inode = &mut self.inodes[at];
        let before = inode.current[from..to].to_vec();
        for bytes in [&mut inode.current, &mut inode.durable] {
            if bytes.len() < to {
                continue;
            }
            match damage {
                Damage::Flip => bytes[from + other % (to - from)] ^= 1 << (other % 8),
                Damage::Misdirected => {
                    let copy = sector_of(bytes, other).to_vec();
                    let length = copy.len().min(to - from);
                    bytes[from..from + length].copy_from_slice(&copy[..length]);
                }
                _ => bytes[from..to].fill(0),
            }
        }
        self.inodes[at].current[from..to] != before
    }
}

/// What a power cut leaves of one file.
fn cut_inode(
    inode: &Inode,
    cut: Cut,
    survives: impl Fn(usize, &mut Rng) -> bool,
    ghosts: &[(FileId, Vec<u8>)],
    rng: &mut Rng,
) -> Vec<u8> {
    let mut bytes = inode.durable.clone();
    let (old, new) = (bytes.len(), inode.current.len());
    if new > old && rng.percent(70) {
        bytes.resize(new, 0);
        // Blocks that the file never wrote may show what stood there before.
        if cut.garbage
            && let Some((_, ghost)) = ghosts.last()
        {
            let stale = ghost.iter().skip(old).zip(&mut bytes[old..]);
            stale.for_each(|(stale, byte)| *byte = *stale);
        }
    }
    for (sector, _) in inode.dirty.iter().enumerate().filter(|(_, dirty)| **dirty) {
        let from = sector * SECTOR;
        let to = (from + SECTOR).min(bytes.len());
        if from >= to {
            break;
        }
        let fresh = &inode.current[from..to.min(inode.current.len())];
        let length = fresh.len();
        let place = &mut bytes[from..from + length];
        if rng.percent(cut.torn) {
            tear(place, fresh, rng);
        } else if survives(sector, rng) {
            place.copy_from_slice(fresh);
        }
    }
    bytes
}

/// A sector of which only a part was written: its beginning, its end, or every other piece.
fn tear(place: &mut [u8], fresh: &[u8], rng: &mut Rng) {
    let at = rng.below(fresh.len() as u64 + 1) as usize;
    match rng.below(3) {
        0 => place[..at].copy_from_slice(&fresh[..at]),
        1 => place[at..].copy_from_slice(&fresh[at..]),
        _ => {
            for (piece, new) in place.chunks_mut(8).zip(fresh.chunks(8)) {
                if rng.percent(50) {
                    piece.copy_from_slice(new);
                }
            }
        }
    }
}
