//! What was promised. The model hears what was asked for and what was answered, and knows from that what may, must and must not be there after a crash. It knows
//! the promises of docs/semantics.md, and nothing of the log. Where a policy may have done something without an answer (time to live, attempts, pushed out), it allows both.

use ferrymq_core::engine::Reply;
use ferrymq_core::model::{
    Backoff, DeadLetter, Delivery, Durability, ErrorKind, HeaderValue, Message, MessageId,
    Outgoing, Overflow, Properties, QueueId, QueueOptions, QueueSpec, Result as CoreResult, Token,
};

use crate::item::{Accept, Item, Removal, name_of};
use crate::workload::BACKOFF_MAX;

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
    fn make_room(&mut self, at: u8) {
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

    /// An answer. `None` in the result's place: it is `Ok`.
    pub fn told(&mut self, ask: &Ask, result: &CoreResult<Reply>) -> Verdict {
        match result {
            Ok(reply) if self.poisoned && waits(&ask.what) => Err(format!(
                "{reply:?} was confirmed after an I/O error had been reported"
            )),
            Ok(reply) => self.granted(ask, reply),
            Err(error) => {
                let unknown = matches!(error.kind(), ErrorKind::Indeterminate | ErrorKind::Closed);
                match unknown {
                    true => self.may_have_taken(ask),
                    false => self.refused(ask),
                }
                Ok(())
            }
        }
    }

    fn refused(&mut self, ask: &Ask) {
        let mut refuse = |index: u32| self.items[index as usize].accept = Accept::Refused;
        match &ask.what {
            Asked::Produce(items) | Asked::Publish(items) => {
                items.iter().for_each(|item| refuse(*item));
            }
            Asked::Transaction(parts, group) => {
                self.groups[*group as usize].acks.clear();
                for part in parts {
                    match part {
                        Part::Produce(item) => refuse(*item),
                        Part::Publish(items) => items.iter().for_each(|item| refuse(*item)),
                        Part::Ack(_) => {}
                    }
                }
                for part in parts {
                    if let Part::Ack(item) = part {
                        self.unask_removal(*item);
                    }
                }
            }
            Asked::Ack(item, _) => self.unask_removal(*item),
            _ => {}
        }
    }

    fn granted(&mut self, ask: &Ask, reply: &Reply) -> Verdict {
        let broker = self.durability == Durability::Durable;
        match (&ask.what, reply) {
            (Asked::Produce(items), Reply::Produced(id)) => {
                self.accepted(ask, items[0], Some(*id))?;
                self.synced_by(ask, items);
            }
            (Asked::Produce(items), Reply::ProducedMany(ids)) => {
                for (item, id) in items.iter().zip(ids) {
                    self.accepted(ask, *item, Some(*id))?;
                }
                self.synced_by(ask, items);
            }
            (Asked::Publish(items), _) => self.published(ask, items)?,
            (Asked::Transaction(parts, _), Reply::Transaction(replies)) => {
                for (part, reply) in parts.iter().zip(replies) {
                    match (part, reply) {
                        (Part::Produce(item), Reply::Produced(id)) => {
                            self.accepted(ask, *item, Some(*id))?;
                            self.synced_by(ask, &[*item]);
                        }
                        (Part::Publish(items), _) => self.published(ask, items)?,
                        (Part::Ack(item), _) => {
                            self.removed(*item, broker);
                            self.synced(ask, broker);
                        }
                        _ => {}
                    }
                }
            }
            (Asked::Ack(item, durable), _) => {
                self.removed(*item, *durable);
                self.synced(ask, *durable);
            }
            (Asked::AckMany(tokens), Reply::Lost(lost)) => {
                for (token, item) in tokens {
                    match lost.contains(token) {
                        true => self.unask_removal(*item),
                        false => self.removed(*item, false),
                    }
                }
            }
            (Asked::Nack(item, Some(delay)), _) => {
                let told = self.step;
                let item = &mut self.items[*item as usize];
                if !item.may_die {
                    item.back = Some(crate::item::Back {
                        told,
                        place: item.place,
                        due: ask.at + delay,
                    });
                }
            }
            (Asked::Purge(_) | Asked::Redrive(_), _) => self.synced(ask, broker),
            (Asked::Bind(at), _) => {
                let slot = &mut self.slots[*at as usize];
                slot.bound_told = slot.bound == Some(true);
            }
            (Asked::Other { durable }, _) => self.synced(ask, *durable && broker),
            (Asked::Delete(at, before), _) => {
                self.slots[*at as usize].exists = match broker {
                    true => Exists::No,
                    false => Exists::Deleted,
                };
                self.emptied(*at, *before, broker);
                self.synced(ask, broker);
            }
            (Asked::Declare(at), Reply::Queue(id)) => self.declared(ask, *at, *id)?,
            _ => {}
        }
        Ok(())
    }

    /// A durable confirmation: what was known before it was asked for is synced too.
    fn synced(&mut self, ask: &Ask, durable: bool) {
        if durable {
            self.through = self.through.max(ask.step);
        }
    }

    /// The same for a produce: the most that any of its messages asks for, unless it may have been a duplicate.
    fn synced_by(&mut self, ask: &Ask, items: &[u32]) {
        let of = |index: &u32| &self.items[*index as usize];
        let durable = items
            .iter()
            .any(|item| of(item).level == Durability::Durable && !of(item).unsure);
        let once = items.iter().any(|item| of(item).dedup.is_some());
        self.synced(ask, durable && !once);
    }

    fn published(&mut self, ask: &Ask, items: &[u32]) -> Verdict {
        for item in items {
            self.accepted(ask, *item, None)?;
        }
        self.synced_by(ask, items);
        Ok(())
    }

    fn declared(&mut self, ask: &Ask, at: u8, id: QueueId) -> Verdict {
        self.checks += 1;
        let taken = self.slots.iter().enumerate();
        for (other, slot) in taken {
            if other != at as usize && slot.id == Some(id) && slot.exists == Exists::Solid {
                return Err(format!(
                    "{} has the handle of {}",
                    self.slots[at as usize].name, slot.name
                ));
            }
        }
        let durable = self.durability == Durability::Durable;
        let slot = &mut self.slots[at as usize];
        slot.id = Some(id);
        if slot.exists != Exists::Solid {
            slot.exists = if durable {
                Exists::Solid
            } else {
                Exists::Unsure
            };
        }
        self.synced(ask, durable && slot_is_new(ask));
        Ok(())
    }

    /// A message is in. `None`: its id is not told.
    fn accepted(&mut self, ask: &Ask, index: u32, id: Option<MessageId>) -> Verdict {
        self.checks += 1;
        if self.items[index as usize].unsure {
            return Ok(());
        }
        if self.items[index as usize].dedup.is_some() && self.is_duplicate(ask, index, id)? {
            return Ok(());
        }
        let step = self.step;
        let now = self.peak;
        let item = &mut self.items[index as usize];
        if let Some(id) = id {
            if id <= ask.last_id {
                return Err(format!(
                    "message {} got id {}, though {} was given before",
                    item.name, id.0, ask.last_id.0
                ));
            }
            if !item.moved && item.id.is_some_and(|known| known != id) {
                return Err(format!("message {} was seen under another id", item.name));
            }
            item.id = item.id.or(Some(id));
            item.first_id = Some(id);
        }
        item.accept = Accept::Told;
        item.told = item.told.min(step);
        if item.told_at == u64::MAX {
            item.told_at = now;
        }
        item.due_max = item.due_max.min(now + item.delay);
        item.written |= item.level >= Durability::Written;
        item.remembered = !item.forgotten;
        if item.level == Durability::Durable {
            item.solid = true;
            let id = item.id.unwrap_or_default();
            self.solid_id = self.solid_id.max(id);
        }
        Ok(())
    }

    /// Whether a message was dropped because its dedup id was there, which it must be while that is surely remembered.
    fn is_duplicate(
        &mut self,
        ask: &Ask,
        index: u32,
        id: Option<MessageId>,
    ) -> Result<bool, String> {
        let (slot, dedup) = (
            self.items[index as usize].slot,
            self.items[index as usize].dedup,
        );
        let window = self.slots[slot as usize].dedup;
        let (least, most) = window.unwrap_or_default();
        let earlier = |other: &&u32| {
            let original = &self.items[**other as usize];
            let same = original.slot == slot && original.dedup == dedup;
            **other < index && same && original.accept != Accept::Refused
        };
        let mut unsure = id.is_none();
        let mut must = None;
        for &other in self.dedups.iter().filter(earlier) {
            let original = &self.items[other as usize];
            // What a crash has taken may have left its id to another.
            let taken = !original.remembered && !original.solid;
            if taken && original.first_id == id {
                unsure = true;
            } else if id.is_some() && original.first_id == id {
                if original.told_at.saturating_add(most) <= ask.at && original.told_at < u64::MAX {
                    return Err(format!(
                        "message {} was dropped as a duplicate after the window",
                        self.items[index as usize].name
                    ));
                }
                self.items[index as usize].accept = Accept::Refused;
                return Ok(true);
            }
            unsure |= original.accept == Accept::Asked || original.first_id.is_none();
            if id.is_some() && original.remembered && original.asked_at + least > self.peak {
                must = Some(original.name);
            }
        }
        if let Some(original) = must {
            return Err(format!(
                "message {} was accepted though message {original} with its dedup id is remembered",
                self.items[index as usize].name
            ));
        }
        if unsure {
            // Nobody can say whether it is in, or another in its place.
            self.items[index as usize].may_go = true;
        }
        Ok(unsure)
    }

    /// A queue is gone: so are the messages that were in it, but for those that may have died before.
    fn emptied(&mut self, at: u8, before: u32, durable: bool) {
        for nth in 0..self.live.len() {
            let index = self.live[nth];
            let item = &self.items[index as usize];
            let elsewhere = item.may_die || self.may_have_expired(item);
            if item.slot == at && index < before && !elsewhere {
                self.removed(index, durable);
            }
        }
    }

    fn removed(&mut self, index: u32, durable: bool) {
        let told = Some(self.step);
        self.items[index as usize].removal = Some(Removal { told, durable });
    }

    /// Somebody asks for a message's end.
    pub fn ask_removal(&mut self, index: u32) {
        let item = &mut self.items[index as usize];
        item.removal.get_or_insert(Removal {
            told: None,
            durable: false,
        });
    }

    /// It was not his to end.
    fn unask_removal(&mut self, index: u32) {
        let removal = &mut self.items[index as usize].removal;
        *removal = removal.filter(|removal| removal.told.is_some());
    }

    /// All that waits in a place may go.
    pub fn ask_purge(&mut self, at: u8) {
        for nth in 0..self.live.len() {
            let index = self.live[nth] as usize;
            if self.may_be_in(&self.items[index], at) {
                self.items[index].may_go = true;
            }
        }
    }

    /// A queue may go, with what is in it and what it remembers.
    pub fn ask_delete(&mut self, at: u8) {
        self.ask_purge(at);
        self.slots[at as usize].exists = Exists::Unsure;
        self.slots[at as usize].bound = Some(false);
        self.slots[at as usize].bound_told = false;
        for &index in &self.dedups {
            let item = &mut self.items[index as usize];
            item.forgotten |= item.slot == at;
            item.remembered &= !item.forgotten;
        }
    }

    /// Dead letters may go back to where they came from.
    pub fn ask_redrive(&mut self, at: u8) {
        for nth in 0..self.live.len() {
            let index = self.live[nth] as usize;
            let slot = &self.slots[self.items[index].slot as usize];
            if slot.grave == Some(at) {
                let ttl = slot.ttl.map_or(u64::MAX, |ttl| self.now + ttl);
                let item = &mut self.items[index];
                item.begins_anew();
                item.expires_min = item.expires_min.min(ttl);
                item.may_die = true;
            }
        }
    }

    /// Options change: the loosest of both count from here on.
    pub fn ask_alter(&mut self, at: u8, options: &QueueOptions) {
        let slot = &mut self.slots[at as usize];
        if let Some(Some(ttl)) = options.ttl {
            slot.ttl = Some(slot.ttl.map_or(ttl.0, |old| old.min(ttl.0)));
        }
        if let Some(Some(most)) = options.max_attempts {
            slot.max_attempts = Some(slot.max_attempts.map_or(most, |old| old.min(most)));
        }
        if let (Some(Some(_)), Some(grave)) = (options.capacity, slot.grave) {
            self.slots[grave as usize].may_be_full = true;
        }
        let slot = &mut self.slots[at as usize];
        if let Some(Some(most)) = options.capacity {
            slot.capacity = Some(slot.capacity.map_or(most, |old| old.min(most)));
        }
        if let Some(overflow) = options.overflow {
            slot.drops |= overflow == Overflow::DropOldest;
        }
        // What is leased may have used its attempts by the new count.
        self.all_may_die(at);
    }

    /// A message comes back, by whatever wait.
    pub fn ask_nack(&mut self, index: u32, delay: Option<u64>) {
        let spent = self.is_spent(index);
        let place = self.items[index as usize].place;
        let backoff = match self.slots[place as usize].is_grave {
            true => 2 * Backoff::default().max.0,
            false => BACKOFF_MAX,
        };
        let until = self.peak + delay.unwrap_or(backoff);
        let item = &mut self.items[index as usize];
        item.back_max = item.back_max.max(until);
        item.may_die |= spent;
    }

    /// A message is to die.
    pub fn ask_death(&mut self, index: u32) {
        let item = &mut self.items[index as usize];
        item.may_die = true;
        // Where it is a dead letter already, it is discarded.
        item.may_go |= item.place != item.slot;
    }

    /// Whether a message has used its attempts, if it was handed over now.
    fn is_spent(&self, index: u32) -> bool {
        let item = &self.items[index as usize];
        let slot = &self.slots[item.slot as usize];
        item.place == item.slot
            && slot
                .max_attempts
                .is_some_and(|most| item.attempts.1 >= most)
    }

    /// The message of a body in a place. Errors: nobody produced it there.
    pub fn find(&self, at: u8, message: &Message) -> Result<u32, String> {
        let Some(name) = name_of(&message.body).filter(|name| (*name as usize) < self.names.len())
        else {
            return Err(format!(
                "{} holds a body that was never produced: id {}, {} bytes",
                self.slots[at as usize].name,
                message.id.0,
                message.body.len()
            ));
        };
        let origin = match self.slots[at as usize].is_grave {
            true => origin(message.properties.as_deref()).and_then(|name| self.slot_named(name)),
            false => Some(at),
        };
        let (first, count) = self.names[name as usize];
        let mut copies = first..first + count;
        let found = copies.find(|copy| Some(self.items[*copy as usize].slot) == origin);
        let found = found.filter(|item| self.items[*item as usize].length == message.body.len());
        found.ok_or_else(|| {
            format!(
                "{} holds message {name}, which was not produced to it",
                self.slots[at as usize].name
            )
        })
    }

    /// A message is seen, live: by peek, or handed over.
    pub fn seen(&mut self, at: u8, message: &Message) -> Result<u32, String> {
        self.checks += 1;
        let index = self.find(at, message)?;
        self.may_be_seen(index, at, message)?;
        let (step, now) = (self.step, self.peak);
        let item = &mut self.items[index as usize];
        if item.removal.is_some_and(|removal| removal.told.is_some()) {
            return Err(format!("message {} was settled and is back", item.name));
        }
        item.written |= item.level >= Durability::Written;
        item.told = item.told.min(step);
        if item.told_at == u64::MAX {
            item.told_at = now;
        }
        if item.level == Durability::Durable {
            item.solid = true;
        }
        Ok(index)
    }

    /// Whether a message may be seen in a place at all.
    pub fn may_be_seen(&self, index: u32, at: u8, message: &Message) -> Verdict {
        let item = &self.items[index as usize];
        let name = item.name;
        if item.gone || item.accept == Accept::Refused {
            return Err(format!("message {name} must not be there, and is"));
        }
        if item.slot != at && !item.may_die && !self.may_have_expired(item) {
            return Err(format!("message {name} was dead-lettered for no reason"));
        }
        if item.slot == at && !item.moved {
            if item.id.is_some_and(|id| id != message.id) {
                return Err(format!("message {name} has another id than it was given"));
            }
            if message.priority != item.priority {
                return Err(format!("message {name} has another priority"));
            }
            // A delay that was over once stays over when the clock goes back.
            if item.due_min > self.peak {
                return Err(format!(
                    "message {name} is seen at {}, before it is due at {}",
                    self.peak, item.due_min
                ));
            }
        }
        Ok(())
    }

    /// Whether a time to live may be over.
    #[must_use]
    pub fn may_have_expired(&self, item: &Item) -> bool {
        item.expires_min <= self.peak
    }

    /// A message is handed over.
    pub fn delivered(&mut self, at: u8, delivery: &Delivery) -> Result<u32, String> {
        let message = &delivery.message;
        let index = self.seen(at, message)?;
        self.keeps_order(index, at, message)?;
        let through = self.through;
        let item = &mut self.items[index as usize];
        if let Some(back) = item.back
            && back.place == at
            && back.due > self.peak
        {
            return Err(format!("message {} came back before it was due", item.name));
        }
        let known = item.attempts.1;
        if item.place == at && !item.moved && message.attempt <= known {
            return Err(format!(
                "message {} is handed over as attempt {}, after {known}",
                item.name, message.attempt
            ));
        }
        item.count_attempt(at, message.attempt, self.step, through);
        if item.slot == at && self.is_spent(index) {
            self.items[index as usize].may_die = true;
        }
        if delivery.token.is_none() {
            self.removed(index, false);
        }
        Ok(index)
    }

    /// First deliveries come in the order of acceptance within their priority.
    fn keeps_order(&mut self, index: u32, at: u8, message: &Message) -> Verdict {
        let item = &self.items[index as usize];
        let slot = &mut self.slots[at as usize];
        let first = message.attempt == 1 && !message.redelivered;
        if !first || slot.pushes || item.delay > 0 || item.ordered {
            return Ok(());
        }
        let last = &mut slot.last_first[message.priority as usize];
        if message.id.0 <= *last {
            return Err(format!(
                "message {} (id {}) is handed over first after id {last}",
                item.name, message.id.0
            ));
        }
        *last = message.id.0;
        Ok(())
    }

    /// A call that takes messages has no answer: it may have got some.
    fn may_have_taken(&mut self, ask: &Ask) {
        let Asked::Consume { slot, auto_ack, .. } = ask.what else {
            return;
        };
        for nth in 0..self.live.len() {
            let index = self.live[nth] as usize;
            if self.may_be_in(&self.items[index], slot) {
                let most = self.slots[self.items[index].slot as usize].max_attempts;
                let item = &mut self.items[index];
                item.may_go |= auto_ack;
                item.may_die |= most.is_some_and(|most| item.attempts.1 + 1 >= most);
            }
        }
    }

    /// The process ends. What waited without an answer may have happened.
    pub fn crashed(&mut self, waiting: &[Ask]) {
        for ask in waiting {
            self.may_have_taken(ask);
        }
        for slot in &mut self.slots {
            slot.last_first = [0; 4];
            slot.pushes = false;
            let durable = self.durability == Durability::Durable && slot.bound_told;
            if !durable || slot.exists != Exists::Solid {
                slot.bound = None;
                slot.bound_told = false;
            }
        }
        for &index in &self.live {
            let item = &mut self.items[index as usize];
            if item.due_max == u64::MAX {
                item.due_max = self.peak + item.delay;
            }
            if item.told_at == u64::MAX {
                item.told_at = self.peak;
            }
        }
    }
}

/// Whether an answer says that something is as safe as asked.
fn waits(what: &Asked) -> bool {
    !matches!(what, Asked::Other { durable: false } | Asked::Declare(_))
}

fn slot_is_new(_: &Ask) -> bool {
    false
}

fn origin(properties: Option<&Properties>) -> Option<&str> {
    match properties?.headers.get("x-dead-queue")? {
        HeaderValue::Str(queue) => Some(queue),
        _ => None,
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
