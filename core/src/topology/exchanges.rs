//! The exchanges' part of what exists: declaring, binding, and what goes when one of the ends goes.

use crate::model::collections::sorted;
use crate::model::limits::{BINDINGS_MAX, EXCHANGES_MAX};
use crate::model::{
    Binding, Destination, Error, ErrorKind, ExchangeId, ExchangeKind, Result, check_name, quoted,
};

use super::bindings::{List, NONE, Of};
use super::patterns::{Path, Patterns};
use super::{DeclaredQueue, Registry, Topology};

/// An exchange.
#[derive(Debug)]
pub struct DeclaredExchange {
    /// Its name.
    pub name: String,
    /// How it routes.
    pub kind: ExchangeKind,
    /// The name of the exchange that gets what no binding takes.
    pub alternate: Option<String>,
    bindings: List,
    patterns: Patterns,
    leading: List,
}

impl DeclaredExchange {
    pub(super) fn new(
        name: &str,
        kind: ExchangeKind,
        alternate: Option<String>,
        seed: u64,
    ) -> DeclaredExchange {
        DeclaredExchange {
            name: name.to_owned(),
            kind,
            alternate,
            bindings: List::default(),
            patterns: Patterns::new(seed),
            leading: List::default(),
        }
    }

    fn path<'a>(&self, pattern: &'a str) -> Path<'a> {
        match self.kind {
            ExchangeKind::Topic => Path::Words(pattern),
            _ => Path::Whole(pattern),
        }
    }

    /// The bindings with exactly this pattern.
    fn of_pattern(&self, pattern: &str) -> List {
        match self.patterns.at(self.path(pattern)) {
            NONE => List::default(),
            node => self.patterns.list(node),
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

    /// Adds an exchange. One that has its place or name was deleted, though the record of that is damaged.
    pub fn add_exchange(
        &mut self,
        id: ExchangeId,
        name: &str,
        kind: ExchangeKind,
        alternate: Option<String>,
    ) {
        let there = self.exchanges.at(id.index);
        let there = there.map(|(generation, _)| ExchangeId {
            index: id.index,
            generation,
        });
        for gone in there.into_iter().chain(self.exchange_named(name)) {
            self.remove_exchange(gone);
        }
        let exchange = DeclaredExchange::new(name, kind, alternate, self.seed);
        self.exchanges.fill(id.index, id.generation, exchange);
        self.exchange_names.insert(name.to_owned(), id);
    }

    /// Takes an exchange, its bindings, and those that lead to it away.
    pub fn remove_exchange(&mut self, id: ExchangeId) {
        while let Ok(exchange) = self.exchange(id)
            && exchange.bindings.first != NONE
        {
            self.remove_binding(exchange.bindings.first);
        }
        self.unlead(Destination::Exchange(id));
        if let Some(exchange) = self.exchanges.vacate(id.index, id.generation) {
            self.exchange_names.remove(&exchange.name);
        }
    }

    /// Takes the bindings away that lead to an end.
    pub(super) fn unlead(&mut self, to: Destination) {
        while let Some(leading) = self.leading_mut(to)
            && leading.first != NONE
        {
            let first = leading.first;
            self.remove_binding(first);
        }
    }

    /// The bindings that may take a key, with where they lead, in the order in which they were made: by pattern in a direct or topic exchange, all of any other.
    pub fn each_candidate(
        &self,
        exchange: &DeclaredExchange,
        key: &str,
        take: &mut dyn FnMut(Destination, &Binding),
    ) {
        match exchange.kind {
            ExchangeKind::Topic => {
                let mut found = Vec::new();
                let lists = exchange.patterns.taking(key);
                for list in &lists {
                    let bindings = self.bindings.iter(Of::Pattern, *list);
                    found.extend(bindings.map(|(at, bound)| (bound.number, at)));
                }
                if lists.len() > 1 {
                    found = sorted(found);
                }
                for (_, at) in found {
                    let bound = self.bindings.get(at);
                    take(bound.to, &bound.binding);
                }
            }
            ExchangeKind::Direct => {
                let list = exchange.of_pattern(key);
                let bindings = self.bindings.iter(Of::Pattern, list);
                bindings.for_each(|(_, bound)| take(bound.to, &bound.binding));
            }
            ExchangeKind::Fanout | ExchangeKind::Headers => {
                self.each_binding(exchange, take);
            }
        }
    }

    /// All bindings of an exchange, in the order in which they were made.
    pub fn each_binding(
        &self,
        exchange: &DeclaredExchange,
        take: &mut dyn FnMut(Destination, &Binding),
    ) {
        let bindings = self.bindings.iter(Of::Exchange, exchange.bindings);
        bindings.for_each(|(_, bound)| take(bound.to, &bound.binding));
    }

    /// Whether the binding may be made, and whether it is new. Errors: `NotFound`, `InvalidArgument`.
    pub fn check_binding(&self, id: ExchangeId, binding: &Binding) -> Result<bool> {
        let there = self.find_binding(id, binding)?;
        let exchange = self.exchange(id)?;
        if there.is_none() && exchange.bindings.len as usize >= BINDINGS_MAX {
            return Err(Error::invalid(format!(
                "exchange {} has {BINDINGS_MAX} bindings, the most there can be",
                quoted(&exchange.name)
            )));
        }
        Ok(there.is_none())
    }

    /// The place of a binding, if it is there. Errors: as for `check_binding`.
    fn find_binding(&self, id: ExchangeId, binding: &Binding) -> Result<Option<u32>> {
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
            Destination::Queue(queue) => self.queue(queue)?.leading,
            Destination::Exchange(other) => self.exchange(other)?.leading,
        };
        let alike = exchange.of_pattern(&binding.pattern);
        // Whichever list is shorter.
        let (of, list) = if leading.len < alike.len {
            (Of::End, leading)
        } else {
            (Of::Pattern, alike)
        };
        let mut there = self.bindings.iter(of, list);
        let it = there.find(|(_, bound)| bound.from == id && bound.binding.is_alike(binding));
        Ok(it.map(|(at, _)| at))
    }

    /// Makes a binding whose ends exist.
    pub fn bind(&mut self, id: ExchangeId, binding: Binding) {
        let to = binding.to;
        if self.leading_mut(to).is_none() {
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(id.index, id.generation) else {
            return;
        };
        let path = exchange.path(&binding.pattern);
        let node = exchange.patterns.reach(path);
        let at = self.bindings.add(id, binding, node);
        let bindings = &mut self.bindings;
        bindings.push(Of::Exchange, &mut exchange.bindings, at);
        bindings.push(Of::Pattern, exchange.patterns.list_mut(node), at);
        if let Some(leading) = leading_mut(&mut self.queues, &mut self.exchanges, to) {
            bindings.push(Of::End, leading, at);
        }
    }

    /// Takes a binding away; false if there is none. Errors: as for `check_binding`.
    pub fn unbind(&mut self, id: ExchangeId, binding: &Binding) -> Result<bool> {
        let there = self.find_binding(id, binding)?;
        if let Some(at) = there {
            self.remove_binding(at);
        }
        Ok(there.is_some())
    }

    fn remove_binding(&mut self, at: u32) {
        let bindings = &mut self.bindings;
        let bound = bindings.get(at);
        let (from, to, node) = (bound.from, bound.to, bound.node);
        if let Some(exchange) = self.exchanges.get_mut(from.index, from.generation) {
            bindings.unlink(Of::Exchange, &mut exchange.bindings, at);
            bindings.unlink(Of::Pattern, exchange.patterns.list_mut(node), at);
            exchange.patterns.prune(node);
        }
        if let Some(leading) = leading_mut(&mut self.queues, &mut self.exchanges, to) {
            bindings.unlink(Of::End, leading, at);
        }
        bindings.remove(at);
    }

    fn leading_mut(&mut self, to: Destination) -> Option<&mut List> {
        leading_mut(&mut self.queues, &mut self.exchanges, to)
    }
}

/// The bindings that lead to an end, if it is there.
fn leading_mut<'a>(
    queues: &'a mut Registry<DeclaredQueue>,
    exchanges: &'a mut Registry<DeclaredExchange>,
    to: Destination,
) -> Option<&'a mut List> {
    match to {
        Destination::Queue(id) => {
            let queue = queues.get_mut(id.index, id.generation)?;
            Some(&mut queue.leading)
        }
        Destination::Exchange(id) => {
            let exchange = exchanges.get_mut(id.index, id.generation)?;
            Some(&mut exchange.leading)
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
