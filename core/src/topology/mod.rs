//! What exists. Turns names into ids, and ids into options and bindings.
//! Owns: queues and their options, exchanges, bindings.
//! May use: model. Never: sees a message.
//! Invariant: an id that was given out never names another queue or exchange later.

mod registry;

use crate::model::collections::BTreeMap;
use crate::model::limits::{BINDINGS_MAX, EXCHANGES_MAX, KEY_BYTES_MAX, QUEUES_MAX};
use crate::model::{
    Error, ErrorKind, ExchangeId, ExchangeKind, QueueId, QueueSpec, Result, check_name, quoted,
};

pub use registry::Registry;

/// A queue as it was declared.
#[derive(Clone, Debug)]
pub struct DeclaredQueue {
    /// Its name.
    pub name: String,
    /// Its options in force.
    pub spec: QueueSpec,
}

/// An exchange with its bindings.
#[derive(Clone, Debug)]
pub struct DeclaredExchange {
    /// Its name.
    pub name: String,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Where it leads, in the order in which it was bound.
    pub bindings: Vec<Binding>,
}

/// One way from an exchange to a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// To.
    pub queue: QueueId,
    /// Which keys.
    pub pattern: String,
}

/// All queues and exchanges.
#[derive(Debug, Default)]
pub struct Topology {
    queues: Registry<DeclaredQueue>,
    queue_names: BTreeMap<String, QueueId>,
    exchanges: Registry<DeclaredExchange>,
    exchange_names: BTreeMap<String, ExchangeId>,
}

impl Topology {
    /// The queue of this name.
    #[must_use]
    pub fn queue_named(&self, name: &str) -> Option<QueueId> {
        self.queue_names.get(name).copied()
    }

    /// A queue. Errors: `NotFound`.
    #[inline]
    pub fn queue(&self, id: QueueId) -> Result<&DeclaredQueue> {
        self.queues
            .get(id.index, id.generation)
            .ok_or_else(queue_gone)
    }

    /// The queue at an index.
    #[must_use]
    #[inline]
    pub fn queue_at(&self, index: u32) -> Option<&DeclaredQueue> {
        self.queues.at(index).map(|(_, queue)| queue)
    }

    /// The id of the queue at an index.
    #[must_use]
    pub fn queue_id_at(&self, index: u32) -> Option<QueueId> {
        self.queues
            .at(index)
            .map(|(generation, _)| QueueId { index, generation })
    }

    /// Every queue, by name.
    pub fn queues(&self) -> impl Iterator<Item = (&str, QueueId)> {
        self.queue_names
            .iter()
            .map(|(name, id)| (name.as_str(), *id))
    }

    /// How many queues there are.
    #[must_use]
    pub fn queue_count(&self) -> usize {
        self.queue_names.len()
    }

    /// The id that the next queue of this name gets. Errors: `InvalidArgument` for a bad name or too many queues.
    pub fn queue_vacancy(&self, name: &str) -> Result<QueueId> {
        check_name("queue", name)?;
        if self.queue_names.len() >= QUEUES_MAX {
            return Err(Error::invalid(format!(
                "there are {QUEUES_MAX} queues, the most a broker has; delete some first"
            )));
        }
        Ok(self.vacancy())
    }

    /// The id that the next queue gets.
    #[must_use]
    pub fn vacancy(&self) -> QueueId {
        let (index, generation) = self.queues.vacancy();
        QueueId { index, generation }
    }

    /// Adds a queue under an id from `queue_vacancy` or from the log.
    pub fn add_queue(&mut self, id: QueueId, name: &str, spec: QueueSpec) {
        let queue = DeclaredQueue {
            name: name.to_owned(),
            spec,
        };
        self.queues.fill(id.index, id.generation, queue);
        self.queue_names.insert(name.to_owned(), id);
    }

    /// Changes a queue's options.
    pub fn alter_queue(&mut self, id: QueueId, spec: QueueSpec) {
        if let Some(queue) = self.queues.get_mut(id.index, id.generation) {
            queue.spec = spec;
        }
    }

    /// Takes a queue and the bindings that lead to it away.
    pub fn remove_queue(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.vacate(id.index, id.generation) {
            self.queue_names.remove(&queue.name);
        }
        for exchange in self.exchange_names.values() {
            if let Some(exchange) = self.exchanges.get_mut(exchange.index, exchange.generation) {
                exchange.bindings.retain(|binding| binding.queue != id);
            }
        }
    }

    /// A generation that no queue and no exchange had so far.
    #[must_use]
    pub fn unused_generation(&self) -> u32 {
        let queues = self.queues.unused_generation();
        queues.max(self.exchanges.unused_generation())
    }

    /// New queues and exchanges get generations from here on.
    pub fn raise_floor(&mut self, floor: u32) {
        self.queues.raise_floor(floor);
        self.exchanges.raise_floor(floor);
    }

    /// The exchange of this name.
    #[must_use]
    pub fn exchange_named(&self, name: &str) -> Option<ExchangeId> {
        self.exchange_names.get(name).copied()
    }

    /// An exchange. Errors: `NotFound`.
    pub fn exchange(&self, id: ExchangeId) -> Result<&DeclaredExchange> {
        self.exchanges
            .get(id.index, id.generation)
            .ok_or_else(exchange_gone)
    }

    /// Every exchange, by name.
    pub fn exchanges(&self) -> impl Iterator<Item = (ExchangeId, &DeclaredExchange)> {
        self.exchange_names
            .values()
            .filter_map(|id| Some((*id, self.exchanges.get(id.index, id.generation)?)))
    }

    /// The id that the next exchange of this name gets. Errors: `InvalidArgument`.
    pub fn exchange_vacancy(&self, name: &str) -> Result<ExchangeId> {
        check_name("exchange", name)?;
        if self.exchange_names.len() >= EXCHANGES_MAX {
            return Err(Error::invalid(format!(
                "there are {EXCHANGES_MAX} exchanges, the most a broker has; delete some first"
            )));
        }
        let (index, generation) = self.exchanges.vacancy();
        Ok(ExchangeId { index, generation })
    }

    /// Adds an exchange.
    pub fn add_exchange(&mut self, id: ExchangeId, name: &str, kind: ExchangeKind) {
        let exchange = DeclaredExchange {
            name: name.to_owned(),
            kind,
            bindings: Vec::new(),
        };
        self.exchanges.fill(id.index, id.generation, exchange);
        self.exchange_names.insert(name.to_owned(), id);
    }

    /// Takes an exchange away.
    pub fn remove_exchange(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.exchanges.vacate(id.index, id.generation) {
            self.exchange_names.remove(&exchange.name);
        }
    }

    /// Whether the binding may be made, and whether it is new. Errors: `NotFound`, `InvalidArgument`.
    pub fn check_binding(&self, id: ExchangeId, binding: &Binding) -> Result<bool> {
        let exchange = self.exchange(id)?;
        self.queue(binding.queue)?;
        if binding.pattern.len() > KEY_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the pattern has {} bytes, the limit is {KEY_BYTES_MAX}",
                binding.pattern.len()
            )));
        }
        if exchange.bindings.contains(binding) {
            return Ok(false);
        }
        if exchange.bindings.len() >= BINDINGS_MAX {
            return Err(Error::invalid(format!(
                "exchange {} has {BINDINGS_MAX} bindings, the most there can be",
                quoted(&exchange.name)
            )));
        }
        Ok(true)
    }

    /// Makes a binding.
    pub fn bind(&mut self, id: ExchangeId, binding: Binding) {
        if let Some(exchange) = self.exchanges.get_mut(id.index, id.generation) {
            exchange.bindings.push(binding);
        }
    }

    /// Takes a binding away; false if there is none.
    pub fn unbind(&mut self, id: ExchangeId, binding: &Binding) -> bool {
        let Some(exchange) = self.exchanges.get_mut(id.index, id.generation) else {
            return false;
        };
        let before = exchange.bindings.len();
        exchange.bindings.retain(|other| other != binding);
        exchange.bindings.len() < before
    }
}

#[cold]
fn queue_gone() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "the queue was deleted; declare it again with broker.queue(name)",
    )
}

#[cold]
fn exchange_gone() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "the exchange was deleted; declare it again with broker.exchange(name)",
    )
}
