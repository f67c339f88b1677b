//! What can go wrong, and how often it did.

/// A fault that waits for the next operation of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A file cannot be made: no space.
    FailCreate,
    /// A file cannot be deleted.
    FailDelete,
    /// The directory cannot be synced.
    FailSyncDir,
    /// A read fails once.
    FailRead,
    /// A file cannot be read any more, until it is healed.
    StickyRead,
    /// A write fails, after any part of it.
    FailWrite,
    /// A read gives fewer bytes than were asked for.
    ShortRead,
    /// A write takes fewer bytes than it was given; who drives the engine writes the rest.
    ShortWrite,
}

/// How a sync ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncEnd {
    /// Everything it covers is durable.
    Well,
    /// It failed, and the pages count as clean: they show the new bytes, and no later sync writes them.
    Clean,
    /// It failed, and the cache shows the old bytes again.
    Reverted,
}

/// In which order unsynced sectors came down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// In any.
    Any,
    /// As they were written, up to some point.
    Prefix,
}

/// How a power cut decides.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// In which order.
    pub order: Order,
    /// How many of a hundred unsynced things survive.
    pub survives: u64,
    /// How many of a hundred unsynced sectors are torn.
    pub torn: u64,
    /// Whether blocks that were never written show what stood there before.
    pub garbage: bool,
}

/// Damage to what was synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One bit is another.
    Flip,
    /// A sector is zeros.
    Zeroed,
    /// Several sectors, one behind the other, are zeros: a block of the disk.
    Block,
    /// A part of a sector is other bytes.
    Torn,
    /// A sector holds another's bytes.
    Misdirected,
    /// A sector holds what it held before.
    Stale,
    /// A file is missing.
    Missing,
    /// A file that was deleted for good is back.
    Ghost,
}

/// How often each thing happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Seeds.
    pub seeds: u64,
    /// Steps.
    pub steps: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// Killed processes.
    pub kills: u64,
    /// Of both, those while the store was being opened.
    pub nested: u64,
    /// Writes that failed.
    pub failed_writes: u64,
    /// Writes for which there was no room.
    pub full: u64,
    /// Reads and writes that were short.
    pub short: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Directory syncs that failed.
    pub failed_directory_syncs: u64,
    /// Files that could not be made.
    pub failed_creates: u64,
    /// Files that could not be deleted.
    pub failed_deletes: u64,
    /// Reads that failed.
    pub failed_reads: u64,
    /// Damage to synced bytes: bits, sectors, blocks.
    pub damaged: u64,
    /// Sectors that hold another's bytes.
    pub misdirected: u64,
    /// Sectors that hold what they held before.
    pub stale: u64,
    /// Files that are missing.
    pub missing: u64,
    /// Files that are back.
    pub ghosts: u64,
    /// Of all these, those that an opening named.
    pub named: u64,
    /// Clocks that jumped.
    pub clock_jumps: u64,
    /// Stores opened anew.
    pub openings: u64,
    /// Things that were looked at and found right.
    pub checks: u64,
}

impl Counts {
    /// Counts a fault that struck.
    pub fn of(&mut self, fault: Fault) {
        match fault {
            Fault::FailCreate => self.failed_creates += 1,
            Fault::FailDelete => self.failed_deletes += 1,
            Fault::FailSyncDir => self.failed_directory_syncs += 1,
            Fault::FailRead | Fault::StickyRead => self.failed_reads += 1,
            Fault::ShortRead | Fault::ShortWrite => self.short += 1,
            Fault::FailWrite => self.failed_writes += 1,
        }
    }

    /// Counts damage.
    pub fn of_damage(&mut self, damage: Damage) {
        match damage {
            Damage::Flip | Damage::Zeroed | Damage::Block | Damage::Torn => self.damaged += 1,
            Damage::Misdirected => self.misdirected += 1,
            Damage::Stale => self.stale += 1,
            Damage::Missing => self.missing += 1,
            Damage::Ghost => self.ghosts += 1,
        }
    }

    /// All crashes.
    #[must_use]
    pub fn crashes(&self) -> u64 {
        self.power_cuts + self.kills
    }

    /// What stands in a report, with its name.
    #[must_use]
    pub fn rows(&self) -> [(&'static str, u64); 22] {
        [
            ("seeds", self.seeds),
            ("steps", self.steps),
            ("power cuts", self.power_cuts),
            ("kills", self.kills),
            ("of these while opening", self.nested),
            ("openings", self.openings),
            ("failed syncs", self.failed_syncs),
            ("failed writes", self.failed_writes),
            ("writes without room", self.full),
            ("short reads and writes", self.short),
            ("failed directory syncs", self.failed_directory_syncs),
            ("failed creates", self.failed_creates),
            ("failed deletes", self.failed_deletes),
            ("failed reads", self.failed_reads),
            ("bits, sectors, blocks damaged", self.damaged),
            ("misdirected sectors", self.misdirected),
            ("stale sectors", self.stale),
            ("missing files", self.missing),
            ("files that came back", self.ghosts),
            ("of this damage, named", self.named),
            ("clock jumps", self.clock_jumps),
            ("checks", self.checks),
        ]
    }

    /// Adds what another run counted.
    pub fn add(&mut self, other: &Counts) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.nested += other.nested;
        self.failed_writes += other.failed_writes;
        self.full += other.full;
        self.short += other.short;
        self.failed_syncs += other.failed_syncs;
        self.failed_directory_syncs += other.failed_directory_syncs;
        self.failed_creates += other.failed_creates;
        self.failed_deletes += other.failed_deletes;
        self.failed_reads += other.failed_reads;
        self.damaged += other.damaged;
        self.misdirected += other.misdirected;
        self.stale += other.stale;
        self.missing += other.missing;
        self.ghosts += other.ghosts;
        self.named += other.named;
        self.clock_jumps += other.clock_jumps;
        self.openings += other.openings;
        self.checks += other.checks;
    }
}
