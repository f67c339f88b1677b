//! One exchange's bindings: in the order in which they were made, and by pattern.

use crate::model::collections::{BTreeMap, BTreeSet};
use crate::model::{Binding, Destination, ExchangeId, ExchangeKind};

use super::trie::{Path, Trie};

/// The bindings that lead to a queue or exchange: from where, and under which number there.
pub(super) type Leading = BTreeSet<(ExchangeId, u64)>;

/// See the module.
#[derive(Debug)]
pub struct Bindings {
    kind: ExchangeKind,
    /// By a number that grows with every binding of the broker.
    ordered: BTreeMap<u64, Binding>,
    patterns: Trie,
}

impl Bindings {
    pub(super) fn new(kind: ExchangeKind) -> Bindings {
        Bindings {
            kind,
            ordered: BTreeMap::new(),
            patterns: Trie::default(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ordered.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ordered.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.ordered.values()
    }

    /// Where those lead whose pattern is this text, in order.
    pub fn of_pattern(&self, pattern: &str) -> impl Iterator<Item = Destination> {
        let entries = self.patterns.at(self.path(pattern)).iter();
        entries.map(|(_, to)| *to)
    }

    /// Where those lead whose topic pattern takes the key, in order. In a topic exchange only.
    pub fn of_topic(&self, key: &str) -> impl Iterator<Item = Destination> {
        self.patterns.taking(key).into_iter().map(|(_, to)| to)
    }

    fn path<'a>(&self, pattern: &'a str) -> Path<'a> {
        match self.kind {
            ExchangeKind::Topic => Path::Words(pattern),
            _ => Path::Whole(pattern),
        }
    }

    /// The number of a binding that is there. `leading`: those that lead where it leads; whichever list is shorter is looked through.
    pub(super) fn find(&self, id: ExchangeId, binding: &Binding, leading: &Leading) -> Option<u64> {
        let alike = self.patterns.at(self.path(&binding.pattern));
        let is_it = |number: &u64| {
            let there = self.ordered.get(number);
            there.is_some_and(|there| there.is_alike(binding))
        };
        if leading.len() < alike.len() {
            let own = leading.iter().filter(|(from, _)| *from == id);
            own.map(|(_, number)| *number).find(is_it)
        } else {
            let own = alike.iter().filter(|(_, to)| *to == binding.to);
            own.map(|(number, _)| *number).find(is_it)
        }
    }

    pub(super) fn add(&mut self, number: u64, binding: Binding) {
        let path = self.path(&binding.pattern);
        self.patterns.add(path, (number, binding.to));
        self.ordered.insert(number, binding);
    }

    pub(super) fn remove(&mut self, number: u64) {
        if let Some(binding) = self.ordered.remove(&number) {
            let path = self.path(&binding.pattern);
            self.patterns.remove(path, number);
        }
    }

    /// The numbers with where they lead, to undo them all.
    pub(super) fn into_numbered(self) -> impl Iterator<Item = (u64, Destination)> {
        let numbers: Vec<(u64, Destination)> = (self.ordered.iter())
            .map(|(number, binding)| (*number, binding.to))
            .collect();
        numbers.into_iter()
    }
}
