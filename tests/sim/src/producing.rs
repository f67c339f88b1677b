//! Steps that bring messages in.

use std::sync::Arc;

use ferrymq_core::engine::{Command, Operation};
use ferrymq_core::model::{Durability, Outgoing, Properties, Span};

use crate::item::body;
use crate::model::{Asked, Part, Verdict};
use crate::world::World;

impl World<'_> {
    fn message(&mut self, name: u32, priorities: u64) -> Outgoing {
        let rng = &mut self.rng;
        let length = match rng.below(12) {
            0 => 700 + rng.below(700),
            1 | 2 => 150 + rng.below(200),
            _ => 4 + rng.below(40),
        };
        let key = rng.percent(40).then(|| rng.pick(&["a", "b"]).to_owned());
        let dedup_id = rng
            .percent(30)
            .then(|| Arc::from(rng.pick(&["d1", "d2", "d3", "d4"])));
        let durability = match rng.below(10) {
            0 => Some(Durability::Memory),
            1 | 2 => Some(Durability::Written),
            _ => None,
        };
        let properties = Properties {
            key,
            dedup_id,
            ..Properties::default()
        };
        Outgoing {
            priority: rng.below(priorities) as u8,
            delay: rng.percent(12).then(|| Span(1 + rng.below(300))),
            ttl: rng.percent(10).then(|| Span(1 + rng.below(400))),
            durability,
            ..Outgoing::new(body(name, length as usize))
        }
        .with_properties(properties)
    }

    /// A message that a place admits, and its number in the model.
    fn new_message(&mut self, at: u8, group: u32) -> (u32, Outgoing) {
        let name = self.model.new_name();
        let priorities = self.model.slots[at as usize].spec.priorities;
        let mut message = self.message(name, u64::from(priorities));
        let most = self.model.slots[at as usize].level;
        message.durability = message.durability.map(|level| level.min(most));
        let item = self.model.add_item(name, at, group, &message);
        (item, message)
    }

    pub(crate) fn produce(&mut self) -> Verdict {
        let Some((at, queue)) = self.queue(false)? else {
            return Ok(());
        };
        let group = self.model.begin_group();
        let (item, message) = self.new_message(at, group);
        let wait = self.wait();
        let command = Command::Produce {
            queue,
            message,
            wait,
        };
        self.hand_in_by_somebody(command, Asked::Produce(vec![item]))
    }

    pub(crate) fn produce_many(&mut self) -> Verdict {
        let Some((at, queue)) = self.queue(false)? else {
            return Ok(());
        };
        let group = self.model.begin_group();
        let count = 1 + self.rng.below(4);
        let new = (0..count).map(|_| self.new_message(at, group));
        let (items, messages) = new.unzip();
        let wait = self.wait();
        let command = Command::ProduceMany {
            queue,
            messages,
            wait,
        };
        self.hand_in_by_somebody(command, Asked::Produce(items))
    }

    /// A message for the exchange; a copy for each queue that is bound to it.
    fn published(&mut self, group: u32) -> (Vec<u32>, String, Outgoing) {
        let name = self.model.new_name();
        let message = self.message(name, 3);
        let with_key = Outgoing {
            properties: Some(Arc::new(Properties {
                key: Some("k".to_owned()),
                ..message.properties.as_deref().cloned().unwrap_or_default()
            })),
            ..message.clone()
        };
        let mut items = Vec::new();
        for at in 0..self.plan.queues.len() as u8 {
            let bound = self.model.slots[at as usize].bound;
            if bound == Some(false) {
                continue;
            }
            let item = self.model.add_item(name, at, group, &with_key);
            self.model.items[item as usize].unsure = bound.is_none();
            self.model.items[item as usize].may_go = bound.is_none();
            items.push(item);
        }
        (items, "k".to_owned(), message)
    }

    pub(crate) fn publish(&mut self) -> Verdict {
        let Some(exchange) = self.exchange else {
            return Ok(());
        };
        let group = self.model.begin_group();
        let (items, key, message) = self.published(group);
        let command = Command::Publish {
            exchange,
            key,
            message,
            mandatory: false,
        };
        self.hand_in(command, Asked::Publish(items))
    }

    pub(crate) fn transact(&mut self) -> Verdict {
        let group = self.model.begin_group();
        let mut operations = Vec::new();
        let mut parts = Vec::new();
        let mut acked = Vec::new();
        for _ in 0..1 + self.rng.below(4) {
            match self.rng.below(3) {
                0 if self.exchange.is_some() => {
                    let (items, key, message) = self.published(group);
                    operations.push(Operation::Publish {
                        exchange: self.exchange.unwrap_or(ferrymq_core::model::ExchangeId {
                            index: 0,
                            generation: 0,
                        }),
                        key,
                        message,
                        mandatory: false,
                    });
                    parts.push(Part::Publish(items));
                }
                1 => {
                    if let Some(held) = self.let_go() {
                        acked.push(held);
                        self.model.ask_removal(held.item);
                        self.model.groups[group as usize].acks.push(held.item);
                        operations.push(Operation::Ack { token: held.token });
                        parts.push(Part::Ack(held.item));
                    }
                }
                _ => {
                    if let Some((at, queue)) = self.queue(false)? {
                        let (item, message) = self.new_message(at, group);
                        operations.push(Operation::Produce { queue, message });
                        parts.push(Part::Produce(item));
                    }
                }
            }
        }
        let transaction = Command::Transaction { operations };
        self.hand_in(transaction, Asked::Transaction(parts, group))?;
        // What it did not take stays in his hands.
        let items = &self.model.items;
        acked.retain(|held| items[held.item as usize].removal.is_none());
        self.held.extend(acked);
        Ok(())
    }
}
