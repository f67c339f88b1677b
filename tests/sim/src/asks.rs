//! What may follow from a command, before it is answered.

use ferrymq_core::model::{Backoff, Overflow, QueueOptions};

use crate::item::{Accept, Removal};
use crate::model::{Ask, Asked, Exists, Model};
use crate::workload::BACKOFF_MAX;

impl Model {
    /// Somebody asks for a message's end.
    pub fn ask_removal(&mut self, index: u32) {
        let removal = &mut self.items[index as usize].removal;
        let removal = removal.get_or_insert(Removal {
            told: None,
            durable: false,
            asked: 0,
        });
        removal.asked += 1;
    }

    /// It was not his to end.
    pub(crate) fn unask_removal(&mut self, index: u32) {
        let removal = &mut self.items[index as usize].removal;
        if let Some(removal) = removal {
            removal.asked = removal.asked.saturating_sub(1);
        }
        *removal = removal.filter(|removal| removal.told.is_some() || removal.asked > 0);
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

    /// A produce is sent again: if it is done anew, its messages live no longer than their queue says now.
    pub fn ask_again(&mut self, ask: &Ask) {
        if let Asked::Produce(items) = &ask.what {
            for &index in items {
                let item = &mut self.items[index as usize];
                let ttl = self.slots[item.slot as usize].ttl;
                let expires = ttl.map_or(u64::MAX, |ttl| self.now + ttl);
                item.expires_min = item.expires_min.min(expires);
            }
        }
    }

    /// Options change: the loosest of both count from here on.
    pub fn ask_alter(&mut self, at: u8, options: &QueueOptions) {
        let slot = &mut self.slots[at as usize];
        if let Some(Some(ttl)) = options.ttl {
            slot.ttl = Some(slot.ttl.map_or(ttl.0, |old| old.min(ttl.0)));
            // One that waits for room is accepted under the new time to live.
            for &index in &self.live {
                let item = &mut self.items[index as usize];
                if item.slot == at && item.accept == Accept::Asked {
                    item.expires_min = item.expires_min.min(self.now + ttl.0);
                }
            }
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
    pub(crate) fn is_spent(&self, index: u32) -> bool {
        let item = &self.items[index as usize];
        let slot = &self.slots[item.slot as usize];
        item.place == item.slot
            && slot
                .max_attempts
                .is_some_and(|most| item.attempts.1 >= most)
    }
}
