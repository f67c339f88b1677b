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
            for sector in 0..inode.dirty.len() {
                if self.keeps_earlier && inode.dirty[sector] {
                    inode.settled(sector, self.syncs_done);
                }
            }
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

    /// Damages what was synced. False: there was nothing to damage. `age`: only what was durable as it is before so many syncs.
    pub fn damage(&mut self, damage: Damage, age: u64, rng: &mut Rng) -> bool {
        let files: Vec<FileId> = self.directory.keys().copied().collect();
        match damage {
            Damage::Ghost => return self.resurrect(),
            _ if files.is_empty() => return false,
            _ => {}
        }
        let file = rng.pick(&files);
        let Some(at) = self.inode(file) else {
            return false;
        };
        let inode = &self.inodes[at];
        let sectors = inode.current.len().div_ceil(SECTOR);
        let since = |sector: usize| inode.since.get(sector).copied().unwrap_or(0);
        let old = |sector: usize| {
            let same = sector_of(&inode.current, sector) == sector_of(&inode.durable, sector);
            same && !inode.dirty.get(sector).copied().unwrap_or(false)
                && since(sector) + age <= self.syncs_done
        };
        if damage == Damage::Missing {
            // A directory in which no file holds anything but headers is a new store.
            let mut others = files.iter().filter(|other| **other != file);
            let any = others.any(|other| self.holds_more_than_headers(*other));
            return any && (0..sectors).all(old) && self.directory.remove(&file).is_some();
        }
        if sectors == 0 {
            return false;
        }
        let (sector, stale) = match damage {
            Damage::Stale if inode.earlier.is_empty() => return false,
            Damage::Stale => {
                let nth = rng.below(inode.earlier.len() as u64) as usize;
                let (sector, bytes) = inode.earlier[nth].clone();
                (sector, bytes)
            }
            _ => (rng.below(sectors as u64) as usize, Vec::new()),
        };
        let count = match damage {
            Damage::Block => 1 + rng.below(8) as usize,
            _ => 1,
        };
        // A block holds frames or the last copy of a header; files as short as these have both in one.
        let end = match count {
            1 => sectors,
            _ => sectors - 1,
        };
        let range = sector..(sector + count).min(end).max(sector + 1);
        if !range.clone().all(old) {
            return false;
        }
        let other = match damage {
            Damage::Misdirected => self.any_sector(&files, rng),
            _ => stale,
        };
        let changed = self.spoil(at, range, damage, &other, rng);
        self.note(|| {
            format!(
                "  damage to file {} from sector {sector} on: {damage:?}",
                file.0
            )
        });
        changed
    }

    /// Damages some sectors of a file. `other`: what one holds then. False: it is what it was.
    fn spoil(
        &mut self,
        at: usize,
        sectors: std::ops::Range<usize>,
        damage: Damage,
        other: &[u8],
        rng: &mut Rng,
    ) -> bool {
        let inode = &mut self.inodes[at];
        let from = sectors.start * SECTOR;
        let to = (sectors.end * SECTOR).min(inode.current.len());
        let mut bytes = inode.current[from..to].to_vec();
        match damage {
            Damage::Flip => {
                let bit = rng.below(8 * bytes.len() as u64) as usize;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            Damage::Torn => tear_up(&mut bytes, rng),
            Damage::Misdirected | Damage::Stale => {
                let length = other.len().min(bytes.len());
                bytes[..length].copy_from_slice(&other[..length]);
            }
            _ => bytes.fill(0),
        }
        let changed = inode.current[from..to] != bytes;
        inode.current[from..to].copy_from_slice(&bytes);
        inode.durable[from..to].copy_from_slice(&bytes);
        changed
    }

    /// A file that was deleted for good is back.
    fn resurrect(&mut self) -> bool {
        let gone = |(file, _): &&(FileId, Vec<u8>)| self.inode(*file).is_none();
        let Some((file, bytes)) = self.ghosts.iter().rfind(gone).cloned() else {
            return false;
        };
        self.inodes.push(Inode {
            current: bytes.clone(),
            dirty: vec![false; bytes.len().div_ceil(SECTOR)],
            durable: bytes,
            ..Inode::default()
        });
        let at = Some(self.inodes.len() - 1);
        let entry = Entry {
            durable: at,
            current: at,
        };
        self.directory.insert(file, entry);
        true
    }

    fn holds_more_than_headers(&self, file: FileId) -> bool {
        let bytes = self.inode(file).map(|at| &self.inodes[at].durable);
        let sectors = bytes.map_or(0, |bytes| {
            let used = bytes
                .chunks(SECTOR)
                .map(|own| own.iter().any(|byte| *byte != 0));
            used.filter(|used| *used).count()
        });
        sectors > 2
    }

    fn any_sector(&self, files: &[FileId], rng: &mut Rng) -> Vec<u8> {
        let Some(at) = self.inode(rng.pick(files)) else {
            return Vec::new();
        };
        let bytes = &self.inodes[at].durable;
        let sectors = bytes.len().div_ceil(SECTOR).max(1) as u64;
        sector_of(bytes, rng.below(sectors) as usize).to_vec()
    }
}

/// Some bytes, one behind the other, are others.
fn tear_up(bytes: &mut [u8], rng: &mut Rng) {
    let from = rng.below(bytes.len() as u64) as usize;
    let to = from + 1 + rng.below((bytes.len() - from) as u64) as usize;
    for byte in &mut bytes[from..to] {
        *byte = rng.draw() as u8;
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
