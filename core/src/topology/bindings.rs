//! The bindings of all exchanges, each in three lists: those of its exchange, in the order in which they were made; those with its pattern; those that lead where it
//! leads. The lists are links within the bindings, so that taking one out of all of them looks at no other.

use crate::model::{Binding, Destination, ExchangeId};

/// No binding, no node.
pub(super) const NONE: u32 = u32::MAX;

/// The ends of a list of bindings, and how long it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub first: u32,
    pub last: u32,
    pub len: u32,
}

impl Default for List {
    fn default() -> Self {
        List {
            first: NONE,
            last: NONE,
            len: 0,
        }
    }
}

/// Which list.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// One exchange's.
    Exchange,
    /// One exchange's, of one pattern.
    Pattern,
    /// Those that lead to one end.
    End,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
}

/// A binding that was made: what is read on a message's way, in one line of the processor's cache, and the rest apart.
#[derive(Debug)]
pub(super) struct Bound {
    pub from: ExchangeId,
    pub to: Destination,
    pub binding: Box<Binding>,
    /// Grows with every binding.
    pub number: u64,
    /// Its pattern's node.
    pub node: u32,
    links: [Link; 3],
}

const _: () = assert!(size_of::<Option<Bound>>() <= 64);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    places: Vec<Option<Bound>>,
    vacant: Vec<u32>,
    made: u64,
}

impl Bindings {
    pub fn get(&self, at: u32) -> &Bound {
        let place = self.places[at as usize].as_ref();
        place.expect("what is on a list is there")
    }

    fn get_mut(&mut self, at: u32) -> &mut Bound {
        let place = self.places[at as usize].as_mut();
        place.expect("what is on a list is there")
    }

    /// Makes a binding, which is on no list yet.
    pub fn add(&mut self, from: ExchangeId, binding: Binding, node: u32) -> u32 {
        self.made += 1;
        let alone = Link {
            before: NONE,
            after: NONE,
        };
        let bound = Some(Bound {
            from,
            to: binding.to,
            binding: Box::new(binding),
            number: self.made,
            node,
            links: [alone; 3],
        });
        match self.vacant.pop() {
            Some(at) => {
                self.places[at as usize] = bound;
                at
            }
            None => {
                self.places.push(bound);
                self.places.len() as u32 - 1
            }
        }
    }

    /// Forgets a binding that was taken off its lists.
    pub fn remove(&mut self, at: u32) {
        self.places[at as usize] = None;
        self.vacant.push(at);
        if self.vacant.len() == self.places.len() {
            self.places = Vec::new();
            self.vacant = Vec::new();
        }
    }

    /// Puts a binding at the end of a list.
    pub fn push(&mut self, of: Of, list: &mut List, at: u32) {
        self.get_mut(at).links[of as usize].before = list.last;
        if list.last == NONE {
            list.first = at;
        } else {
            self.get_mut(list.last).links[of as usize].after = at;
        }
        list.last = at;
        list.len += 1;
    }

    /// Takes a binding off a list.
    pub fn unlink(&mut self, of: Of, list: &mut List, at: u32) {
        let Link { before, after } = self.get(at).links[of as usize];
        if before == NONE {
            list.first = after;
        } else {
            self.get_mut(before).links[of as usize].after = after;
        }
        if after == NONE {
            list.last = before;
        } else {
            self.get_mut(after).links[of as usize].before = before;
        }
        list.len -= 1;
    }

    /// A list in its order: places and bindings.
    pub fn iter(&self, of: Of, list: List) -> impl Iterator<Item = (u32, &Bound)> {
        let mut next = list.first;
        std::iter::from_fn(move || {
            let at = (next != NONE).then_some(next)?;
            let bound = self.get(at);
            next = bound.links[of as usize].after;
            Some((at, bound))
        })
    }
}
