//! What exists. Turns names into ids, and ids into options and bindings.
//! Owns: queues and their options, exchanges, bindings.
//! May use: model. Never: sees a message.
//! Invariant: an id that was given out never names another queue or exchange later.

mod bindings;
mod exchanges;
mod patterns;
mod registry;

use crate::model::collections::BTreeMap;
use crate::model::limits::QUEUES_MAX;
use crate::model::{
    Destination, Error, ErrorKind, ExchangeId, ExchangeKind, QueueId, QueueSpec, Result, check_name,
};

use bindings::{Bindings, List};

pub use exchanges::DeclaredExchange;
pub use registry::Registry;

/// A queue as it was declared.
#[derive(Clone, Debug)]
pub struct DeclaredQueue {
    /// Its name.
    pub name: String,
    /// Its options in force.
    pub spec: QueueSpec,
    leading: List,
}

/// All queues and exchanges.
#[derive(Debug)]
pub struct Topology {
    queues: Registry<DeclaredQueue>,
    queue_names: BTreeMap<String, QueueId>,
    exchanges: Registry<DeclaredExchange>,
    exchange_names: BTreeMap<String, ExchangeId>,
    default_exchange: DeclaredExchange,
    bindings: Bindings,
    seed: u64,
}

impl Topology {
    /// Nothing but the default exchange. The seed spreads the index of bindings; what is found does not depend on it.
    #[must_use]
    pub fn seeded(seed: u64) -> Topology {
        Topology {
            queues: Registry::default(),
            queue_names: BTreeMap::new(),
            exchanges: Registry::default(),
            exchange_names: BTreeMap::new(),
            default_exchange: DeclaredExchange::new("", ExchangeKind::Direct, None, seed),
            bindings: Bindings::default(),
            seed,
        }
    }

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
            leading: List::default(),
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
        self.unlead(Destination::Queue(id));
        if let Some(queue) = self.queues.vacate(id.index, id.generation) {
            self.queue_names.remove(&queue.name);
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
}

#[cold]
fn queue_gone() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "the queue was deleted; declare it again with broker.queue(name)",
    )
}
