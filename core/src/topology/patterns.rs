//! One exchange's patterns by their words, so that a key finds those that take it without a look at the others.
//!
//! A tree with one node for each beginning of a pattern. Children are found by a hash of parent and word in one table for the whole tree; the hash has the
//! engine's seed, so that nobody can choose words that fall together, and what is found never depends on it.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::collections::BTreeSet;

use super::bindings::{List, NONE};

const ROOT: u32 = 0;

/// A pattern as the tree takes it: its words, of which `*` and `#` mean more than themselves in a topic.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    /// One word, whatever is in it.
    Whole(&'a str),
    /// Words separated by dots; an empty text has none.
    Words(&'a str),
}

#[derive(Debug)]
struct Node {
    word: Box<str>,
    /// Of the word, for this parent.
    hash: u64,
    parent: u32,
    /// The next of its place in the table; for a vacant node, the next vacant one.
    next: u32,
    any_word: u32,
    any_words: u32,
    /// Children by other words.
    children: u32,
    /// The bindings with exactly this pattern.
    bindings: List,
}

impl Node {
    fn is_empty(&self) -> bool {
        let childless = self.children == 0 && self.any_word == NONE && self.any_words == NONE;
        childless && self.bindings.first == NONE
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Patterns {
    /// The root is the first; made with the first pattern.
    nodes: Vec<Node>,
    vacant: u32,
    /// A power of two of places, each the first node with its hash; none before there is a child.
    table: Vec<u32>,
    seed: u64,
}

impl Patterns {
    pub fn new(seed: u64) -> Patterns {
        Patterns {
            nodes: Vec::new(),
            vacant: NONE,
            table: Vec::new(),
            seed,
        }
    }

    /// The node of a pattern; `NONE` if it has none.
    pub fn at(&self, path: Path<'_>) -> u32 {
        let mut node = if self.nodes.is_empty() { NONE } else { ROOT };
        path.each(|word, wild| {
            if node != NONE {
                node = self.child(node, word, wild);
            }
        });
        node
    }

    /// The node of a pattern, made if there is none.
    pub fn reach(&mut self, path: Path<'_>) -> u32 {
        if self.nodes.is_empty() {
            self.add_node("", 0, NONE);
        }
        let mut node = ROOT;
        path.each(|word, wild| {
            let child = self.child(node, word, wild);
            node = match child {
                NONE => self.grow(node, word, wild),
                child => child,
            };
        });
        node
    }

    /// The bindings of a node.
    pub fn list(&self, node: u32) -> List {
        self.nodes[node as usize].bindings
    }

    /// The bindings of a node, to change.
    pub fn list_mut(&mut self, node: u32) -> &mut List {
        &mut self.nodes[node as usize].bindings
    }

    /// Takes away what is there for nothing any more, from this node towards the root.
    pub fn prune(&mut self, mut node: u32) {
        while self.nodes[node as usize].is_empty() {
            if node == ROOT {
                *self = Patterns::new(self.seed);
                return;
            }
            node = self.cut(node);
        }
    }

    /// The lists of all patterns that take a topic's key.
    ///
    /// A set of nodes moves along the key's words. A node is in it once: a word's node has one parent, and a `#` stays in it once reached, so that the time is at
    /// most the number of nodes times words, however many `#` there are.
    pub fn taking(&self, key: &str) -> Vec<List> {
        let mut hashes: Vec<u32> = Vec::new();
        let mut reached = BTreeSet::new();
        let mut current = Vec::new();
        if !self.nodes.is_empty() {
            current.push(ROOT);
            self.add_any_words(ROOT, &mut hashes, &mut reached);
        }
        Path::Words(key).each(|word, _| {
            let own = self.hash(word);
            let mut next = Vec::new();
            for &node in current.iter().chain(&hashes) {
                for child in [
                    self.exact(node, word, own),
                    self.nodes[node as usize].any_word,
                ] {
                    if child != NONE {
                        next.push(child);
                    }
                }
            }
            for &node in &next {
                self.add_any_words(node, &mut hashes, &mut reached);
            }
            current = next;
        });
        let ends = current.iter().chain(&hashes);
        let lists = ends.map(|&node| self.nodes[node as usize].bindings);
        lists.filter(|list| list.first != NONE).collect()
    }

    /// `#` takes no word too: who reaches a node reaches the `#` behind it, and the `#` behind that.
    fn add_any_words(&self, mut node: u32, hashes: &mut Vec<u32>, reached: &mut BTreeSet<u32>) {
        loop {
            node = self.nodes[node as usize].any_words;
            if node == NONE || !reached.insert(node) {
                return;
            }
            hashes.push(node);
        }
    }

    fn child(&self, node: u32, word: &str, wild: bool) -> u32 {
        match word {
            "*" if wild => self.nodes[node as usize].any_word,
            "#" if wild => self.nodes[node as usize].any_words,
            _ => self.exact(node, word, self.hash(word)),
        }
    }

    fn hash(&self, word: &str) -> u64 {
        xxh3_64_with_seed(word.as_bytes(), self.seed)
    }

    /// The child by a word, whose own hash is known.
    fn exact(&self, parent: u32, word: &str, own: u64) -> u32 {
        let hash = of_edge(own, parent);
        let Some(mut node) = self.table.get(self.place(hash)).copied() else {
            return NONE;
        };
        while node != NONE {
            let here = &self.nodes[node as usize];
            if here.hash == hash && here.parent == parent && *here.word == *word {
                break;
            }
            node = here.next;
        }
        node
    }

    fn place(&self, hash: u64) -> usize {
        hash as usize & self.table.len().wrapping_sub(1)
    }

    fn grow(&mut self, parent: u32, word: &str, wild: bool) -> u32 {
        let hash = of_edge(self.hash(word), parent);
        let child = self.add_node(word, hash, parent);
        let here = &mut self.nodes[parent as usize];
        match word {
            "*" if wild => here.any_word = child,
            "#" if wild => here.any_words = child,
            _ => {
                here.children += 1;
                if self.nodes.len() > self.table.len() {
                    self.widen();
                }
                self.file(child);
            }
        }
        child
    }

    fn add_node(&mut self, word: &str, hash: u64, parent: u32) -> u32 {
        let node = Node {
            word: word.into(),
            hash,
            parent,
            next: NONE,
            any_word: NONE,
            any_words: NONE,
            children: 0,
            bindings: List::default(),
        };
        let at = self.vacant;
        if at == NONE {
            self.nodes.push(node);
            return self.nodes.len() as u32 - 1;
        }
        self.vacant = self.nodes[at as usize].next;
        self.nodes[at as usize] = node;
        at
    }

    /// Takes a node off its parent, and returns that.
    fn cut(&mut self, node: u32) -> u32 {
        let parent = self.nodes[node as usize].parent;
        let above = &mut self.nodes[parent as usize];
        if above.any_word == node {
            above.any_word = NONE;
        } else if above.any_words == node {
            above.any_words = NONE;
        } else {
            above.children -= 1;
            self.unfile(node);
        }
        let here = &mut self.nodes[node as usize];
        here.word = Box::default();
        here.next = std::mem::replace(&mut self.vacant, node);
        // What is vacant is no child.
        here.parent = NONE;
        parent
    }

    fn file(&mut self, node: u32) {
        let place = self.place(self.nodes[node as usize].hash);
        self.nodes[node as usize].next = std::mem::replace(&mut self.table[place], node);
    }

    fn unfile(&mut self, node: u32) {
        let place = self.place(self.nodes[node as usize].hash);
        let next = self.nodes[node as usize].next;
        let mut before = self.table[place];
        if before == node {
            self.table[place] = next;
            return;
        }
        while self.nodes[before as usize].next != node {
            before = self.nodes[before as usize].next;
        }
        self.nodes[before as usize].next = next;
    }

    /// Doubles the table.
    fn widen(&mut self) {
        let places = (self.table.len() * 2).max(8);
        let old = std::mem::replace(&mut self.table, vec![NONE; places]);
        for mut node in old {
            while node != NONE {
                let next = self.nodes[node as usize].next;
                self.file(node);
                node = next;
            }
        }
    }
}

impl Path<'_> {
    /// Each word, and whether `*` and `#` mean more than themselves.
    fn each(self, mut take: impl FnMut(&str, bool)) {
        match self {
            Path::Whole(text) => take(text, false),
            Path::Words("") => {}
            Path::Words(text) => text.split('.').for_each(|word| take(word, true)),
        }
    }
}

/// The hash of a word below a parent, from that of the word.
fn of_edge(own: u64, parent: u32) -> u64 {
    // The golden ratio's digits: neighbouring parents fall far apart.
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = (own ^ u64::from(parent).wrapping_mul(STEP)).wrapping_mul(STEP);
    mixed ^ (mixed >> 32)
}
