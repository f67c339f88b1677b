//! What was promised. The model hears what was asked for and what was answered, and knows from that what may, must and must not be there after a crash. It knows
//! the promises of docs/semantics.md, and nothing of the log. Where a policy may have done something without an answer (time to live, attempts, pushed out), it allows both.

use ferrymq_core::model::{
    DeadLetter, Durability, MessageId, Outgoing, Overflow, QueueId, QueueOptions, QueueSpec, Token,
};

use crate::item::{Accept, Item};

/// What is found wrong.
pub type Verdict = Result<(), String>;

/// How far a queue's existence is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exists {
    /// No crash takes it.
    Solid,
    /// It may be there or not.
    Unsure,
    /// It was deleted, which a power cut may undo.
    Deleted,
    /// It is not there.
    No,
}

/// A place for messages: a queue of the plan, or where its dead letters go. Options are kept as loosely as any alteration made them.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Its handle, if it is known to exist.
    pub id: Option<QueueId>,
    /// Whether it exists.
    pub exists: Exists,
    /// Where its dead letters go; `None`: nowhere.
    pub grave: Option<u8>,
    /// Whether it is such a place.
    pub is_grave: bool,
    /// Options as declared.
    pub spec: QueueSpec,
    /// Most attempts, the fewest that were ever in force.
    pub max_attempts: Option<u32>,
    /// Time to live, the shortest that was ever in force.
    pub ttl: Option<u64>,
    /// Most messages, the fewest that was ever in force.
    pub capacity: Option<u64>,
    /// Whether it was ever bounded by bytes.
    pub capacity_bytes: bool,
    /// Whether it may push messages out.
    pub drops: bool,
    /// Whether there may be no room for a dead letter.
    pub may_be_full: bool,
    /// How long dedup ids are remembered: the shortest and the longest.
    pub dedup: Option<(u64, u64)>,
    /// How safe its messages are.
    pub level: Durability,
    /// The last first delivery by priority.
    pub last_first: [u64; 4],
    /// Whether it is bound to the exchange; `None`: nobody can say.
    pub bound: Option<bool>,
    /// Whether that was confirmed.
    pub bound_told: bool,
    /// Whether push consumers may mix up the order in which their messages are handed over.
    pub pushes: bool,
}

/// What came together: all or none of it.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Messages.
    pub items: Vec<u32>,
    /// Messages that were acked.
    pub acks: Vec<u32>,
}

/// A command that was handed in.
#[derive(Clone, Debug)]
pub struct Ask {
    /// In which step.
    pub step: u64,
    /// When.
    pub at: u64,
    /// The greatest id that was surely given before.
    pub last_id: MessageId,
    /// What.
    pub what: Asked,
}

/// What was asked.
#[derive(Clone, Debug)]
pub enum Asked {
    /// One or several messages on one queue.
    Produce(Vec<u32>),
    /// Copies on several queues.
    Publish(Vec<u32>),
    /// In order: the message, its copies, or the message that is acked; and their group.
    Transaction(Vec<Part>, u32),
    /// Messages from a place.
    Consume {
        /// Which.
        slot: u8,
        /// Settled by being handed over.
        auto_ack: bool,
        /// Whose leases.
        session: u32,
    },
    /// The end of a message.
    Ack(u32, bool),
    /// The ends of several.
    AckMany(Vec<(Token, u32)>),
    /// It comes back, not before so long.
    Nack(u32, Option<u64>),
    /// All that waits in a place goes.
    Purge(u8),
    /// A queue goes, with the messages that there were.
    Delete(u8, u32),
    /// A queue comes.
    Declare(u8),
    /// A queue is bound to the exchange.
    Bind(u8),
    /// Dead letters go back.
    Redrive(u8),
    /// Reject, release, extend, alter and the like: what they may do is noted when they are asked.
    Other {
        /// Whether its answer waits as the broker's durability says.
        durable: bool,
    },
}

/// A part of a transaction.
#[derive(Clone, Debug)]
pub enum Part {
    /// A message.
    Produce(u32),
    /// Copies.
    Publish(Vec<u32>),
    /// An ack.
    Ack(u32),
}

/// The model.
#[derive(Clone, Debug)]
pub struct Model {
    /// The broker's durability.
    pub durability: Durability,
    /// Places.
    pub slots: Vec<Slot>,
    /// Messages, every one that ever was.
    pub items: Vec<Item>,
    /// By number: the first of its messages, and how many.
    pub names: Vec<(u32, u32)>,
    /// Messages that may be there.
    pub live: Vec<u32>,
    /// Messages with dedup ids.
    pub dedups: Vec<u32>,
    /// What came together.
    pub groups: Vec<Group>,
    /// Groups since the last crash that may be there or not.
    pub open_groups: Vec<u32>,
    /// The step.
    pub step: u64,
    /// What was known before this step is synced.
    pub through: u64,
    /// The greatest id that no crash takes back.
    pub solid_id: MessageId,
    /// The clock. The engine's is never behind it, and may be ahead when it jumped back: the log remembers.
    pub now: u64,
    /// The latest that it ever was: the engine's clock is never ahead of that.
    pub peak: u64,
    /// An I/O error was told to the engine: nothing may succeed.
    pub poisoned: bool,
    /// How often something was looked at.
    pub checks: u64,
}

impl Slot {
    /// Whether what expires here is gone for good.
    #[must_use]
    pub fn discards_expired(&self) -> bool {
        self.grave.is_none() || self.spec.dead_letter == DeadLetter::Default
    }
}

impl Model {
    /// A model of nothing.
    #[must_use]
    pub fn new(durability: Durability) -> Model {
        Model {
            durability,
            slots: Vec::new(),
            items: Vec::new(),
            names: Vec::new(),
            live: Vec::new(),
            dedups: Vec::new(),
            groups: Vec::new(),
            open_groups: Vec::new(),
            step: 0,
            through: 0,
            solid_id: MessageId(0),
            now: 0,
            peak: 0,
            poisoned: false,
            checks: 0,
        }
    }

    /// Adds a queue of the plan, and where its dead letters go.
    pub fn add_queue(&mut self, name: &str, options: &QueueOptions) {
        let spec = QueueSpec::default()
            .with(name, options)
            .expect("the plan's options are valid");
        self.slots.push(slot(name, spec, self.durability, false));
    }

    /// Adds the places for dead letters of all queues.
    pub fn add_graves(&mut self) {
        for at in 0..self.slots.len() {
            let name = match &self.slots[at].spec.dead_letter {
                DeadLetter::Off => continue,
                DeadLetter::Queue(name) => name.clone(),
                _ => format!("{}.dead", self.slots[at].name),
            };
            let grave = self.slot_named(&name).unwrap_or_else(|| {
                let spec = QueueSpec {
                    capacity: self.slots[at].spec.capacity,
                    max_attempts: None,
                    dead_letter: DeadLetter::Off,
                    ..QueueSpec::default()
                };
                let mut grave = slot(&name, spec, self.durability, true);
                // Several queues may share it, and the first that needs it decides.
                grave.capacity = None;
                self.slots.push(grave);
                self.slots.len() as u8 - 1
            });
            self.slots[at].grave = Some(grave);
            let source = &self.slots[at];
            let bounded = source.capacity.is_some() || source.capacity_bytes;
            self.slots[grave as usize].may_be_full |= bounded;
        }
    }

    /// The place of this name.
    #[must_use]
    pub fn slot_named(&self, name: &str) -> Option<u8> {
        let at = self.slots.iter().position(|slot| slot.name == name);
        at.map(|at| at as u8)
    }

    /// A new ask.
    #[must_use]
    pub fn ask(&self, what: Asked) -> Ask {
        Ask {
            step: self.step,
            at: self.now,
            last_id: self.solid_id,
            what,
        }
    }

    /// Begins a group.
    pub fn begin_group(&mut self) -> u32 {
        self.groups.push(Group::default());
        self.open_groups.push(self.groups.len() as u32 - 1);
        self.groups.len() as u32 - 1
    }

    /// A number for a new body.
    pub fn new_name(&mut self) -> u32 {
        self.names.push((self.items.len() as u32, 0));
        self.names.len() as u32 - 1
    }

    /// A message that is handed in for a place. `name` is the last new one.
    pub fn add_item(&mut self, name: u32, at: u8, group: u32, message: &Outgoing) -> u32 {
        let slot = &self.slots[at as usize];
        let own = message.ttl.map(|ttl| ttl.0);
        let ttl = own.into_iter().chain(slot.ttl).min();
        let keyed = message.key().is_some();
        let level = message.durability.unwrap_or(slot.level).min(slot.level);
        let delay = message.delay.map_or(0, |delay| delay.0);
        let dedup = message
            .dedup_id()
            .filter(|_| slot.dedup.is_some())
            .and_then(|id| id.as_bytes().last().copied());
        let index = self.items.len() as u32;
        self.items.push(Item {
            name,
            slot: at,
            level,
            priority: message.priority.min(slot.spec.priorities as u8 - 1),
            length: message.body.len(),
            group,
            ordered: keyed && slot.spec.ordered_keys,
            delay,
            dedup,
            accept: Accept::Asked,
            id: None,
            first_id: None,
            moved: false,
            ever_moved: false,
            solid: false,
            written: false,
            told: u64::MAX,
            may_go: false,
            may_die: false,
            removal: None,
            gone: false,
            due_min: if delay > 0 { self.now + delay } else { 0 },
            due_max: u64::MAX,
            back: None,
            back_max: 0,
            expires_min: ttl.map_or(u64::MAX, |ttl| self.now + ttl),
            place: at,
            attempts_solid: 0,
            attempts: (0, 0),
            remembered: false,
            forgotten: false,
            unsure: false,
            asked_at: self.now,
            told_at: u64::MAX,
        });
        self.names[name as usize].1 += 1;
        self.live.push(index);
        if dedup.is_some() {
            self.dedups.push(index);
        }
        self.groups[group as usize].items.push(index);
        self.make_room(at);
        index
    }

    /// A message on its way in may push out others.
    pub(crate) fn make_room(&mut self, at: u8) {
        let slot = &self.slots[at as usize];
        if !slot.drops {
            return;
        }
        let here = |item: &Item| item.slot == at && !item.gone;
        let count = self.live.iter().filter(|i| here(&self.items[**i as usize]));
        let full = slot
            .capacity
            .is_some_and(|most| count.count() as u64 > most);
        if full || slot.capacity_bytes {
            self.all_may_die(at);
        }
    }

    /// Any message of a place may die now.
    pub fn all_may_die(&mut self, at: u8) {
        for &index in &self.live {
            let item = &mut self.items[index as usize];
            if item.slot == at {
                item.may_die = true;
            }
        }
    }

    /// Whether a message may be in this place.
    #[must_use]
    pub fn may_be_in(&self, item: &Item, at: u8) -> bool {
        item.slot == at || self.slots[item.slot as usize].grave == Some(at)
    }
}

fn slot(name: &str, spec: QueueSpec, durability: Durability, is_grave: bool) -> Slot {
    Slot {
        name: name.to_owned(),
        id: None,
        exists: Exists::No,
        grave: None,
        is_grave,
        max_attempts: spec.max_attempts,
        ttl: spec.ttl.map(|ttl| ttl.0),
        capacity: spec.capacity,
        capacity_bytes: spec.capacity_bytes.is_some(),
        drops: spec.overflow == Overflow::DropOldest,
        may_be_full: false,
        dedup: spec.dedup_window.map(|window| (window.0, window.0)),
        level: spec.durability.unwrap_or(durability),
        spec,
        last_first: [0; 4],
        bound: Some(false),
        bound_told: false,
        pushes: false,
    }
}
