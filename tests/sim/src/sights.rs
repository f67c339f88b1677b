//! What follows from a message that is seen: peeked, handed over, or perhaps handed over when the process ended.

use ferrymq_core::model::{Delivery, Durability, HeaderValue, Message, Properties};

use crate::item::{Accept, Item, name_of};
use crate::model::{Ask, Asked, Exists, Model, Verdict};

impl Model {
    /// Errors: nobody produced a message of this body.
    pub fn knows(&self, message: &Message) -> Verdict {
        let known = |name: u32| {
            let first = self.names.get(name as usize)?.0;
            let length = self.items.get(first as usize)?.length;
            (length == message.body.len()).then_some(())
        };
        name_of(&message.body).and_then(known).ok_or_else(|| {
            format!(
                "message {} has a body that was never produced",
                message.id.0
            )
        })
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
    pub(crate) fn may_have_taken(&mut self, ask: &Ask) {
        let Asked::Consume { slot, auto_ack, .. } = ask.what else {
            return;
        };
        for nth in 0..self.live.len() {
            let index = self.live[nth] as usize;
            if self.may_be_in(&self.items[index], slot) {
                let most = self.slots[self.items[index].slot as usize].max_attempts;
                let item = &mut self.items[index];
                item.may_go |= auto_ack;
                // How often it was taken before is known from below only.
                item.may_die |= most.is_some();
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

fn origin(properties: Option<&Properties>) -> Option<&str> {
    match properties?.headers.get("x-dead-queue")? {
        HeaderValue::Str(queue) => Some(queue),
        _ => None,
    }
}
