//! One exchange's patterns by their words, so that a key finds those that take it without a look at the others.
//!
//! A tree with one node for each beginning of a pattern. Children are found by a hash of parent and word in one table for the whole tree; the hash has the
//! engine's seed, so that nobody can choose words that fall together, and what is found never depends on it. Most words fit into a number, so that looking one up
//! touches the table and the node and no third place: among 100,000 bindings each of them is a wait for memory.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::collections::Seen;

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
    /// See [`Word`].
    word: u64,
    /// The word, if it is a long one.
    long: Box<str>,
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
            self.add_node(Word::new("", 0), NONE);
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
        if self.nodes.is_empty() {
            return Vec::new();
        }
        let mut hashes = Seen::default();
        let (mut current, mut next) = (vec![ROOT], Vec::new());
        self.add_hashes(ROOT, &mut hashes);
        Path::Words(key).each(|word, _| {
            let word = Word::new(word, self.seed);
            for &node in current.iter().chain(&hashes.all) {
                for child in [self.exact(node, word), self.nodes[node as usize].any_word] {
                    if child != NONE {
                        next.push(child);
                    }
                }
            }
            for &node in &next {
                self.add_hashes(node, &mut hashes);
            }
            std::mem::swap(&mut current, &mut next);
            next.clear();
        });
        let ends = current.iter().chain(&hashes.all);
        let lists = ends.map(|&node| self.nodes[node as usize].bindings);
        lists.filter(|list| list.first != NONE).collect()
    }

    /// `#` takes no word too: who reaches a node reaches the `#` behind it, and the `#` behind that.
    fn add_hashes(&self, mut node: u32, hashes: &mut Seen) {
        loop {
            node = self.nodes[node as usize].any_words;
            if node == NONE || !hashes.is_new(node) {
                return;
            }
        }
    }

    fn child(&self, node: u32, word: &str, wild: bool) -> u32 {
        match word {
            "*" if wild => self.nodes[node as usize].any_word,
            "#" if wild => self.nodes[node as usize].any_words,
            _ => self.exact(node, Word::new(word, self.seed)),
        }
    }

    /// The child by a word.
    fn exact(&self, parent: u32, word: Word<'_>) -> u32 {
        if self.nodes[parent as usize].children == 0 {
            return NONE;
        }
        let mut node = self.table[self.place(parent, word.number)];
        while node != NONE {
            let here = &self.nodes[node as usize];
            if here.word == word.number && here.parent == parent && *here.long == *word.long {
                break;
            }
            node = here.next;
        }
        node
    }

    /// Where in the table the child by a word belongs.
    fn place(&self, parent: u32, word: u64) -> usize {
        let mut edge = [0; 12];
        edge[..8].copy_from_slice(&word.to_le_bytes());
        edge[8..].copy_from_slice(&parent.to_le_bytes());
        xxh3_64_with_seed(&edge, self.seed) as usize & (self.table.len() - 1)
    }

    fn grow(&mut self, parent: u32, word: &str, wild: bool) -> u32 {
        let child = self.add_node(Word::new(word, self.seed), parent);
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

    fn add_node(&mut self, word: Word<'_>, parent: u32) -> u32 {
        let node = Node {
            word: word.number,
            long: word.long.into(),
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
        here.long = Box::default();
        here.next = std::mem::replace(&mut self.vacant, node);
        parent
    }

    fn place_of(&self, node: u32) -> usize {
        let node = &self.nodes[node as usize];
        self.place(node.parent, node.word)
    }

    fn file(&mut self, node: u32) {
        let place = self.place_of(node);
        self.nodes[node as usize].next = std::mem::replace(&mut self.table[place], node);
    }

    fn unfile(&mut self, node: u32) {
        let place = self.place_of(node);
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

/// A word as a number: the bytes of a short one and how many they are, which no other word has; the hash of a long one, which is to be compared as well.
#[derive(Clone, Copy)]
struct Word<'a> {
    number: u64,
    /// Empty for a short one.
    long: &'a str,
}

impl<'a> Word<'a> {
    fn new(word: &'a str, seed: u64) -> Word<'a> {
        const SHORT: usize = 7;
        if word.len() > SHORT {
            let number = xxh3_64_with_seed(word.as_bytes(), seed) | 0xff << 56;
            return Word { number, long: word };
        }
        let mut bytes = [0; 8];
        bytes[..word.len()].copy_from_slice(word.as_bytes());
        bytes[SHORT] = word.len() as u8;
        Word {
            number: u64::from_le_bytes(bytes),
            long: "",
        }
    }
}
