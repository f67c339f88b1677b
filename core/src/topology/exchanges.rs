//! The exchanges' part of what exists: declaring, binding, and what goes when one of the ends goes.

use crate::model::limits::{BINDINGS_MAX, EXCHANGES_MAX};
use crate::model::{
    Binding, Destination, Error, ErrorKind, ExchangeId, ExchangeKind, Result, check_name, quoted,
};

use super::Topology;
use super::bindings::{Bindings, Leading};

/// An exchange with its bindings.
#[derive(Debug)]
pub struct DeclaredExchange {
    /// Its name.
    pub name: String,
    /// How it routes.
    pub kind: ExchangeKind,
    /// The name of the exchange that gets what no binding takes.
    pub alternate: Option<String>,
    /// Where it leads.
    pub bindings: Bindings,
    pub(super) leading: Leading,
}

impl DeclaredExchange {
    pub(super) fn new(
        name: &str,
        kind: ExchangeKind,
        alternate: Option<String>,
    ) -> DeclaredExchange {
        DeclaredExchange {
            name: name.to_owned(),
            kind,
            alternate,
            bindings: Bindings::new(kind),
            leading: Leading::new(),
        }
    }
}

impl Topology {
    /// The exchange without a name: it is always there and leads to the queue that is named by the key.
    pub const DEFAULT_EXCHANGE: ExchangeId = ExchangeId {
        index: u32::MAX,
        generation: 0,
    };

    /// The exchange of this name; an empty name is the default exchange's.
    #[must_use]
    pub fn exchange_named(&self, name: &str) -> Option<ExchangeId> {
        if name.is_empty() {
            return Some(Topology::DEFAULT_EXCHANGE);
        }
        self.exchange_names.get(name).copied()
    }

    /// An exchange. Errors: `NotFound`.
    pub fn exchange(&self, id: ExchangeId) -> Result<&DeclaredExchange> {
        if id == Topology::DEFAULT_EXCHANGE {
            return Ok(&self.default_exchange);
        }
        self.exchanges
            .get(id.index, id.generation)
            .ok_or_else(exchange_gone)
    }

    /// Every exchange that was declared, by name.
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
    pub fn add_exchange(
        &mut self,
        id: ExchangeId,
        name: &str,
        kind: ExchangeKind,
        alternate: Option<String>,
    ) {
        let exchange = DeclaredExchange::new(name, kind, alternate);
        self.exchanges.fill(id.index, id.generation, exchange);
        self.exchange_names.insert(name.to_owned(), id);
    }

    /// Takes an exchange, its bindings, and those that lead to it away.
    pub fn remove_exchange(&mut self, id: ExchangeId) {
        let Some(exchange) = self.exchanges.vacate(id.index, id.generation) else {
            return;
        };
        self.exchange_names.remove(&exchange.name);
        for (number, to) in exchange.bindings.into_numbered() {
            if let Some(leading) = self.leading_mut(to) {
                leading.remove(&(id, number));
            }
        }
        self.unlead(&exchange.leading);
    }

    /// Takes bindings away whose end has gone.
    pub(super) fn unlead(&mut self, leading: &Leading) {
        for (from, number) in leading.iter() {
            if let Some(exchange) = self.exchanges.get_mut(from.index, from.generation) {
                exchange.bindings.remove(*number);
            }
        }
    }

    /// Whether the binding may be made, and whether it is new. Errors: `NotFound`, `InvalidArgument`.
    pub fn check_binding(&self, id: ExchangeId, binding: &Binding) -> Result<bool> {
        let there = self.find_binding(id, binding)?;
        let exchange = self.exchange(id)?;
        if there.is_none() && exchange.bindings.len() >= BINDINGS_MAX {
            return Err(Error::invalid(format!(
                "exchange {} has {BINDINGS_MAX} bindings, the most there can be",
                quoted(&exchange.name)
            )));
        }
        Ok(there.is_none())
    }

    /// The number of a binding, if it is there. Errors: as for `check_binding`.
    pub fn find_binding(&self, id: ExchangeId, binding: &Binding) -> Result<Option<u64>> {
        let exchange = self.exchange(id)?;
        let default = Topology::DEFAULT_EXCHANGE;
        if id == default || binding.to == Destination::Exchange(default) {
            return Err(Error::invalid(
                "the default exchange leads to every queue by its name and has no bindings; declare an exchange with a name",
            ));
        }
        binding.check()?;
        if exchange.kind != ExchangeKind::Headers && binding.asks_for_headers() {
            return Err(Error::invalid(format!(
                "exchange {} is of kind {}, headers and match bind in a headers exchange only; leave them out",
                quoted(&exchange.name),
                quoted(exchange.kind.name())
            )));
        }
        let leading = match binding.to {
            Destination::Queue(queue) => &self.queue(queue)?.leading,
            Destination::Exchange(other) => &self.exchange(other)?.leading,
        };
        Ok(exchange.bindings.find(id, binding, leading))
    }

    /// Makes a binding whose ends exist.
    pub fn bind(&mut self, id: ExchangeId, binding: Binding) {
        let number = self.next_binding;
        let Some(leading) = self.leading_mut(binding.to) else {
            return;
        };
        leading.insert((id, number));
        self.next_binding += 1;
        if let Some(exchange) = self.exchanges.get_mut(id.index, id.generation) {
            exchange.bindings.add(number, binding);
        }
    }

    /// Takes a binding away; false if there is none. Errors: as for `check_binding`.
    pub fn unbind(&mut self, id: ExchangeId, binding: &Binding) -> Result<bool> {
        let Some(number) = self.find_binding(id, binding)? else {
            return Ok(false);
        };
        if let Some(exchange) = self.exchanges.get_mut(id.index, id.generation) {
            exchange.bindings.remove(number);
        }
        if let Some(leading) = self.leading_mut(binding.to) {
            leading.remove(&(id, number));
        }
        Ok(true)
    }

    fn leading_mut(&mut self, to: Destination) -> Option<&mut Leading> {
        match to {
            Destination::Queue(id) => {
                let queue = self.queues.get_mut(id.index, id.generation)?;
                Some(&mut queue.leading)
            }
            Destination::Exchange(id) => {
                let exchange = self.exchanges.get_mut(id.index, id.generation)?;
                Some(&mut exchange.leading)
            }
        }
    }
}

#[cold]
fn exchange_gone() -> Error {
    Error::new(
        ErrorKind::NotFound,
        "the exchange was deleted; declare it again with broker.exchange(name)",
    )
}
