//! Patterns by their words, so that a key finds the bindings that take it without a look at the others.
//!
//! Words are numbered, and an edge is a pair of numbers: a key's words are looked up once each, whatever the number of ways they are then followed.

use crate::model::Destination;
use crate::model::collections::{BTreeMap, BTreeSet, sorted};

/// A binding's number and where it leads.
pub(super) type Entry = (u64, Destination);

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

/// A pattern as the trie takes it: its words, of which `*` and `#` mean more than themselves in a topic.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    /// One word, whatever is in it.
    Whole(&'a str),
    /// Words separated by dots; an empty text has none.
    Words(&'a str),
}

impl<'a> Path<'a> {
    fn words(self) -> impl Iterator<Item = (&'a str, bool)> {
        let (text, separate) = match self {
            Path::Whole(text) => (text, false),
            Path::Words(text) => (text, true),
        };
        text.split(move |c| separate && c == '.')
            .filter(move |_| !(separate && text.is_empty()))
            .map(move |word| (word, separate))
    }
}

#[derive(Debug)]
struct Node {
    star: u32,
    hash: u32,
    /// Edges to other words.
    children: u32,
    /// In the order of their numbers.
    entries: Vec<Entry>,
}

impl Node {
    fn new() -> Node {
        Node {
            star: NONE,
            hash: NONE,
            children: 0,
            entries: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.children == 0 && self.star == NONE && self.hash == NONE
    }
}

/// A word's number, and how many edges have it.
#[derive(Debug)]
struct Word {
    number: u32,
    edges: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Trie {
    /// The root is the first; made with the first entry.
    nodes: Vec<Node>,
    vacant: Vec<u32>,
    words: BTreeMap<String, Word>,
    vacant_words: Vec<u32>,
    edges: BTreeMap<(u32, u32), u32>,
}

impl Trie {
    /// Adds an entry, whose number is above all others.
    pub fn add(&mut self, path: Path<'_>, entry: Entry) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::new());
        }
        let mut node = ROOT;
        for (word, wild) in path.words() {
            node = match self.child(node, word, wild) {
                Some(child) => child,
                None => self.grow(node, word, wild),
            };
        }
        let entries = &mut self.nodes[node as usize].entries;
        if entries.is_empty() {
            // Most patterns have one binding.
            entries.reserve_exact(1);
        }
        entries.push(entry);
    }

    /// Takes an entry away, and what was there for it alone.
    pub fn remove(&mut self, path: Path<'_>, number: u64) {
        let Some(way) = self.way(path) else {
            return;
        };
        let end = way.last().map_or(ROOT, |(_, child)| *child);
        let entries = &mut self.nodes[end as usize].entries;
        if let Ok(at) = entries.binary_search_by_key(&number, |entry| entry.0) {
            entries.remove(at);
        }
        let words: Vec<(&str, bool)> = path.words().collect();
        for ((parent, child), (word, wild)) in way.into_iter().zip(words).rev() {
            if !self.nodes[child as usize].is_empty() {
                break;
            }
            self.cut(parent, child, word, wild);
        }
        if self.nodes[ROOT as usize].is_empty() {
            *self = Trie::default();
        }
    }

    /// The entries of exactly this pattern.
    pub fn at(&self, path: Path<'_>) -> &[Entry] {
        let end = self
            .way(path)
            .map(|way| way.last().map_or(ROOT, |(_, child)| *child));
        match end.and_then(|end| self.nodes.get(end as usize)) {
            Some(node) => &node.entries,
            None => &[],
        }
    }

    /// The entries of all patterns that take a topic's key, in the order of their numbers.
    ///
    /// A set of nodes moves along the key's words. A node is in it once: a word's node has one parent, and a `#` stays in it once reached, so that the time is at
    /// most the number of nodes times words, however many `#` there are.
    pub fn taking(&self, key: &str) -> Vec<Entry> {
        let mut hashes: Vec<u32> = Vec::new();
        let mut reached = BTreeSet::new();
        let mut current = vec![ROOT];
        if self.nodes.is_empty() {
            return Vec::new();
        }
        self.add_hashes(ROOT, &mut hashes, &mut reached);
        for (word, _) in Path::Words(key).words() {
            let word = self.words.get(word).map(|word| word.number);
            let mut next = Vec::new();
            for &node in current.iter().chain(&hashes) {
                let exact = word.and_then(|word| self.edges.get(&(node, word)).copied());
                let star = self.nodes[node as usize].star;
                next.extend(exact.into_iter().chain((star != NONE).then_some(star)));
            }
            for &node in &next {
                self.add_hashes(node, &mut hashes, &mut reached);
            }
            current = next;
        }
        let ends = current.iter().chain(&hashes);
        let mut lists = ends
            .map(|&node| &self.nodes[node as usize].entries)
            .filter(|entries| !entries.is_empty());
        let mut entries = lists.next().cloned().unwrap_or_default();
        let first = entries.len();
        for more in lists {
            entries.extend_from_slice(more);
        }
        if entries.len() > first {
            entries = sorted(entries);
        }
        entries
    }

    /// `#` takes no word too: who reaches a node reaches the `#` behind it, and the `#` behind that.
    fn add_hashes(&self, mut node: u32, hashes: &mut Vec<u32>, reached: &mut BTreeSet<u32>) {
        loop {
            node = self.nodes[node as usize].hash;
            if node == NONE || !reached.insert(node) {
                return;
            }
            hashes.push(node);
        }
    }

    fn child(&self, node: u32, word: &str, wild: bool) -> Option<u32> {
        let here = self.nodes.get(node as usize)?;
        let child = match word {
            "*" if wild => here.star,
            "#" if wild => here.hash,
            _ => {
                let word = self.words.get(word)?.number;
                return self.edges.get(&(node, word)).copied();
            }
        };
        (child != NONE).then_some(child)
    }

    /// The edges along a path, if it is there.
    fn way(&self, path: Path<'_>) -> Option<Vec<(u32, u32)>> {
        let mut node = ROOT;
        path.words()
            .map(|(word, wild)| {
                let parent = node;
                node = self.child(parent, word, wild)?;
                Some((parent, node))
            })
            .collect()
    }

    fn grow(&mut self, parent: u32, word: &str, wild: bool) -> u32 {
        let child = match self.vacant.pop() {
            Some(vacant) => vacant,
            None => {
                self.nodes.push(Node::new());
                self.nodes.len() as u32 - 1
            }
        };
        let here = &mut self.nodes[parent as usize];
        match word {
            "*" if wild => here.star = child,
            "#" if wild => here.hash = child,
            _ => {
                here.children += 1;
                let word = self.number(word);
                self.edges.insert((parent, word), child);
            }
        }
        child
    }

    fn cut(&mut self, parent: u32, child: u32, word: &str, wild: bool) {
        let here = &mut self.nodes[parent as usize];
        match word {
            "*" if wild => here.star = NONE,
            "#" if wild => here.hash = NONE,
            _ => {
                here.children -= 1;
                let known = self.words.get_mut(word).expect("an edge's word is known");
                known.edges -= 1;
                let (number, unused) = (known.number, known.edges == 0);
                self.edges.remove(&(parent, number));
                if unused {
                    self.words.remove(word);
                    self.vacant_words.push(number);
                }
            }
        }
        self.vacant.push(child);
    }

    /// A word's number, for one more edge.
    fn number(&mut self, word: &str) -> u32 {
        if let Some(known) = self.words.get_mut(word) {
            known.edges += 1;
            return known.number;
        }
        let vacant = self.vacant_words.pop();
        let number = vacant.unwrap_or(self.words.len() as u32);
        let new = Word { number, edges: 1 };
        self.words.insert(word.to_owned(), new);
        number
    }
}
