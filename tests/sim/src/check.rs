//! What is there after a crash, against what was promised.

use ferrymq_core::engine::{Answer, Command, Engine, Reply};
use ferrymq_core::model::{Message, MessageId, QueueId, QueueStats, SessionId, Time};

use crate::item::{Accept, Item};
use crate::model::{Exists, Model, Verdict};
use crate::rng::Hash;

/// One queue as it is seen.
#[derive(Debug)]
pub struct SeenQueue {
    /// Its handle.
    pub id: QueueId,
    /// Its numbers.
    pub stats: QueueStats,
    /// What peek shows.
    pub messages: Vec<Message>,
}

/// All that commands show of an engine.
#[derive(Debug)]
pub struct Seen {
    /// Its queues, by name.
    pub queues: Vec<SeenQueue>,
}

impl Seen {
    /// Looks. Errors: a command fails that must not.
    pub fn look(engine: &mut Engine, now: u64) -> Result<Seen, String> {
        let now = Time(now);
        let Reply::Queues(all) = ask(engine, now, Command::Queues)? else {
            return Err("Queues answers something else".to_owned());
        };
        let mut queues = Vec::with_capacity(all.len());
        for stats in all {
            let lookup = Command::DeclareQueue {
                name: stats.name.clone(),
                options: Default::default(),
                create: false,
                session: SessionId::NOBODY,
            };
            let Reply::Queue(id) = ask(engine, now, lookup)? else {
                return Err("a lookup answers something else".to_owned());
            };
            let peek = Command::Peek {
                queue: id,
                max: 100_000,
            };
            let Reply::Messages(messages) = ask(engine, now, peek)? else {
                return Err("Peek answers something else".to_owned());
            };
            queues.push(SeenQueue {
                id,
                stats,
                messages,
            });
        }
        Ok(Seen { queues })
    }

    /// The messages that peek shows.
    #[must_use]
    pub fn ids(&self) -> Vec<MessageId> {
        let messages = self.queues.iter().flat_map(|queue| &queue.messages);
        messages.map(|message| message.id).collect()
    }

    /// All of it in words, without bodies.
    #[must_use]
    pub fn numbers(&self) -> String {
        let mut text = String::new();
        for queue in &self.queues {
            text += &format!("{:?} {:?}", queue.id, queue.stats);
            for message in &queue.messages {
                text += &format!(" {}({})", message.id.0, message.attempt);
            }
            text.push('\n');
        }
        text
    }

    /// Equal for equal states.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut hash = Hash::default();
        for queue in &self.queues {
            let stats = &queue.stats;
            hash.bytes(stats.name.as_bytes());
            hash.add(u64::from(queue.id.index) << 32 | u64::from(queue.id.generation));
            for number in [
                stats.ready,
                stats.delayed,
                stats.held,
                stats.bytes,
                stats.produced,
                stats.acked,
                stats.nacked,
                stats.rejected,
                stats.released,
                stats.expired,
                stats.dead_lettered,
                stats.redelivered,
                stats.dropped,
                stats.head,
                stats.tail,
            ] {
                hash.add(number);
            }
            for message in &queue.messages {
                hash.add(message.id.0);
                hash.add(u64::from(message.attempt) << 1 | u64::from(message.redelivered));
                hash.add(message.produced_at.0);
                hash.bytes(&message.body);
            }
        }
        hash.0
    }
}

/// A command that is answered at once, and well.
pub fn ask(engine: &mut Engine, now: Time, command: Command) -> Result<Reply, String> {
    match engine.handle(now, command) {
        Answer::Done(Ok(reply)) => Ok(reply),
        Answer::Done(Err(error)) => Err(format!("a look is refused: {error}")),
        Answer::Pending(_) => Err("a look waits".to_owned()),
    }
}

/// Where a message was found.
#[derive(Clone, Copy)]
struct Found {
    at: u8,
    queue: u8,
    nth: u32,
}

/// What a crash left, message by message.
pub struct Findings {
    /// For each message that may be there: where it is.
    found: Vec<Option<Found>>,
    power: bool,
}

impl Model {
    /// Whether what is seen is what a crash may leave.
    pub fn judge(&mut self, seen: &Seen, power: bool) -> Result<Findings, String> {
        let findings = self.locate(seen, power)?;
        self.judge_queues(seen, power)?;
        self.judge_messages(seen, &findings)?;
        self.judge_hidden(seen, &findings)?;
        self.judge_groups(&findings)?;
        Ok(findings)
    }

    /// Finds each message's place. Errors: it has two, or none may be there.
    fn locate(&mut self, seen: &Seen, power: bool) -> Result<Findings, String> {
        let mut found: Vec<Option<Found>> = vec![None; self.items.len()];
        for (queue, there) in seen.queues.iter().enumerate() {
            let Some(at) = self.slot_named(&there.stats.name) else {
                return Err(format!("queue {} was never declared", there.stats.name));
            };
            let mut before = None;
            for (nth, message) in there.messages.iter().enumerate() {
                self.checks += 1;
                let place = (u8::MAX - message.priority, message.id);
                if before >= Some(place) {
                    return Err(format!("{} is out of order", there.stats.name));
                }
                before = Some(place);
                let index = self.find(at, message)?;
                self.may_be_seen(index, at, message)?;
                let here = Found {
                    at,
                    queue: queue as u8,
                    nth: nth as u32,
                };
                if found[index as usize].replace(here).is_some() {
                    return Err(format!(
                        "message {} is there twice",
                        self.items[index as usize].name
                    ));
                }
            }
        }
        Ok(Findings { found, power })
    }

    fn judge_queues(&mut self, seen: &Seen, power: bool) -> Verdict {
        for slot in self.slots.iter().filter(|slot| !slot.is_grave) {
            self.checks += 1;
            let there = seen.queues.iter().find(|q| q.stats.name == slot.name);
            let must = slot.exists == Exists::Solid;
            let must_not = slot.exists == Exists::No || (slot.exists == Exists::Deleted && !power);
            match there {
                None if must => return Err(format!("queue {} is lost", slot.name)),
                Some(_) if must_not => return Err(format!("queue {} is back", slot.name)),
                Some(queue) if must && slot.id.is_some_and(|id| id != queue.id) => {
                    return Err(format!("queue {} has another handle", slot.name));
                }
                _ => {}
            }
        }
        for SeenQueue {
            stats, messages, ..
        } in &seen.queues
        {
            let size = stats.ready + stats.delayed + stats.leased;
            let ring = stats.capacity.unwrap_or(u64::MAX);
            let around = match ring {
                u64::MAX => stats.head + stats.size == stats.tail,
                _ => (stats.head + stats.size) % ring == stats.tail % ring,
            };
            let shown = messages.len() as u64;
            let bytes: usize = messages.iter().map(|message| message.body.len()).sum();
            let right = size == stats.size
                && around
                && stats.leased == 0
                && stats.held <= stats.delayed
                && shown <= stats.ready
                && (shown < size || bytes as u64 == stats.bytes);
            if !right {
                return Err(format!("{} does not add up: {stats:?}", stats.name));
            }
        }
        Ok(())
    }

    fn judge_messages(&mut self, seen: &Seen, findings: &Findings) -> Verdict {
        let (power, through) = (findings.power, self.through);
        for &index in &self.live {
            self.checks += 1;
            let item = &self.items[index as usize];
            let Some(found) = findings.found[index as usize] else {
                if self.must_be_there(item, power) && !self.may_hide(item) {
                    return Err(format!(
                        "message {} of {} was confirmed and is lost",
                        item.name, self.slots[item.slot as usize].name
                    ));
                }
                continue;
            };
            if item.is_removed(power, through) {
                return Err(format!("message {} was settled and is back", item.name));
            }
            let message = &seen.queues[found.queue as usize].messages[found.nth as usize];
            let least = item.attempts_left(power, through);
            if found.at == item.place && !item.moved && message.attempt < least {
                return Err(format!(
                    "message {} was handed over {least} times and says {}",
                    item.name, message.attempt
                ));
            }
            if let Some(back) = item.back
                && back.place == found.at
                && back.due > self.peak
                && (!power || back.told < through)
            {
                return Err(format!("message {} came back before it was due", item.name));
            }
        }
        Ok(())
    }

    /// Messages that peek does not show (delayed, held, behind their key) are counted: there are as many as must be there, and no more than may be there.
    fn judge_hidden(&mut self, seen: &Seen, findings: &Findings) -> Verdict {
        for queue in &seen.queues {
            let hidden = queue.stats.size - queue.messages.len() as u64;
            let at = self.slot_named(&queue.stats.name).unwrap_or_default();
            let (mut least, mut most) = (0, 0);
            for &index in &self.live {
                let item = &self.items[index as usize];
                if findings.found[index as usize].is_some() || !self.may_be_in(item, at) {
                    continue;
                }
                let must = self.must_be_there(item, findings.power);
                let only_here = item.slot == at && !item.may_die && !self.may_have_expired(item);
                least += u64::from(must && only_here);
                most += u64::from(
                    self.may_hide(item) && !item.is_removed(findings.power, self.through),
                );
            }
            self.checks += 1;
            if hidden < least || hidden > most {
                return Err(format!(
                    "{} hides {hidden} messages; there should be {least} to {most}",
                    queue.stats.name
                ));
            }
        }
        Ok(())
    }

    /// All of a group or none.
    fn judge_groups(&mut self, findings: &Findings) -> Verdict {
        for &group in &self.open_groups {
            let group = &self.groups[group as usize];
            if group.items.len() + group.acks.len() < 2 {
                continue;
            }
            self.checks += 1;
            let came = group
                .items
                .iter()
                .filter_map(|item| self.came(*item, findings));
            let left = group
                .acks
                .iter()
                .filter_map(|item| self.left(*item, findings));
            let mut votes = came.chain(left);
            if let Some((first, name)) = votes.next()
                && let Some((_, other)) = votes.find(|(vote, _)| *vote != first)
            {
                return Err(format!(
                    "messages {name} and {other} were in one batch or transaction, and only a part of it is there"
                ));
            }
        }
        Ok(())
    }

    /// Whether a message's part of its group happened, if that can be told.
    fn came(&self, index: u32, findings: &Findings) -> Option<(bool, u32)> {
        let item = &self.items[index as usize];
        if item.accept == Accept::Refused || item.level == ferrymq_core::model::Durability::Memory {
            return None;
        }
        if findings.found[index as usize].is_some() {
            return Some((true, item.name));
        }
        let other_reasons = self.may_go(item) || self.may_hide(item) || item.dedup.is_some();
        (!other_reasons).then_some((false, item.name))
    }

    fn left(&self, index: u32, findings: &Findings) -> Option<(bool, u32)> {
        let item = &self.items[index as usize];
        if findings.found[index as usize].is_some() {
            return Some((false, item.name));
        }
        let without = Item {
            removal: None,
            ..item.clone()
        };
        let only_reason = self.must_be_there(&without, findings.power) && !self.may_hide(item);
        only_reason.then_some((true, item.name))
    }

    fn must_be_there(&self, item: &Item, power: bool) -> bool {
        item.must_stay(power, self.through) && !self.may_go(item)
    }

    /// Whether it may be gone for good.
    pub(crate) fn may_go(&self, item: &Item) -> bool {
        let discards = self.slots[item.slot as usize].grave.is_none();
        let expired = self.may_have_expired(item);
        let expires_for_good = discards || self.slots[item.slot as usize].discards_expired();
        item.may_go
            || item.gone
            || item.removal.is_some()
            || (item.may_die && discards)
            || (expired && expires_for_good)
    }

    /// Whether it may be there unseen.
    fn may_hide(&self, item: &Item) -> bool {
        if item.accept == Accept::Refused || item.gone {
            return false;
        }
        let slot = &self.slots[item.slot as usize];
        let held = slot.grave.is_some_and(|grave| {
            let dies = item.may_die || self.may_have_expired(item);
            dies && self.slots[grave as usize].may_be_full
        });
        item.due_max.max(item.back_max) > self.now || item.ordered || held
    }

    /// What was found becomes what is known. Opening has synced it.
    pub fn adopt(&mut self, seen: &Seen, findings: &Findings) {
        let (power, through) = (findings.power, self.through);
        let mut live = Vec::with_capacity(self.live.len());
        for &index in &self.live {
            let stays = self.items[index as usize].must_stay(power, through);
            let removed = self.items[index as usize].is_removed(power, through);
            let hides = self.may_hide(&self.items[index as usize]);
            let is_grave = |at: u8| self.slots[at as usize].is_grave;
            let item = &mut self.items[index as usize];
            item.remembered &= stays || findings.found[index as usize].is_some();
            if let Some(found) = findings.found[index as usize] {
                let message = &seen.queues[found.queue as usize].messages[found.nth as usize];
                self.solid_id = self.solid_id.max(message.id);
                item.found(found.at, message, is_grave(found.at));
                live.push(index);
            } else if removed || !hides {
                item.gone = true;
            } else {
                item.may_go |= !stays || item.removal.is_some();
                item.solid = stays;
                item.written = stays;
                item.removal = None;
                item.attempts_solid = item.attempts_left(power, through);
                item.attempts = (0, item.attempts_solid);
                item.back = item.back.filter(|back| !power || back.told < through);
                live.push(index);
            }
        }
        self.live = live;
        self.open_groups.clear();
        for slot in &mut self.slots {
            let there = seen.queues.iter().find(|q| q.stats.name == slot.name);
            slot.id = there.map(|queue| queue.id);
            slot.exists = match there {
                Some(_) => Exists::Solid,
                None => Exists::No,
            };
            if there.is_none() {
                slot.bound = Some(false);
            }
        }
        self.through = self.step;
        self.poisoned = false;
    }
}

impl Item {
    /// It is there, and opening has synced it.
    fn found(&mut self, at: u8, message: &Message, is_grave: bool) {
        self.accept = Accept::Told;
        self.solid = true;
        self.written = true;
        self.may_go = false;
        self.may_die = is_grave;
        self.removal = None;
        self.back = None;
        self.due_max = 0;
        self.back_max = 0;
        self.place = at;
        self.attempts = (0, message.attempt);
        self.attempts_solid = message.attempt;
        self.told = 0;
        self.ever_moved |= is_grave;
        if !is_grave {
            // A message that was dead and went back keeps the priority that its grave had room for.
            self.priority = message.priority;
            if !self.ever_moved {
                self.first_id = self.first_id.or(Some(message.id));
            }
            self.moved = false;
            self.id = Some(message.id);
        }
    }
}
