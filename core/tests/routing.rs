//! Proves that the index of bindings finds what a look at every binding finds, whatever was bound, unbound and deleted before, that loops and chains of exchanges end,
//! and that no pattern costs more than its length times the key's. The reference is `route::matches` over a plain list.

use ferrymq_core::model::{
    Binding, Destination, ExchangeId, ExchangeKind, HeaderValue, Headers, Match, QueueId, QueueSpec,
};
use ferrymq_core::route::{headers_match, matches, resolve};
use ferrymq_core::topology::Topology;
use proptest::prelude::*;

const KINDS: [ExchangeKind; 4] = [
    ExchangeKind::Direct,
    ExchangeKind::Fanout,
    ExchangeKind::Topic,
    ExchangeKind::Headers,
];

fn declare_queue(topology: &mut Topology, name: &str) -> QueueId {
    let id = topology.vacancy();
    topology.add_queue(id, name, QueueSpec::default());
    id
}

fn declare_exchange(topology: &mut Topology, name: &str, kind: ExchangeKind) -> ExchangeId {
    let id = topology.exchange_vacancy(name).expect("a good name");
    topology.add_exchange(id, name, kind, None);
    id
}

/// Everything once more, without an index.
#[derive(Default)]
struct Plain {
    kinds: Vec<(ExchangeId, ExchangeKind)>,
    bindings: Vec<(ExchangeId, Binding)>,
}

impl Plain {
    fn reach(&self, exchange: ExchangeId, key: &str, headers: &Headers) -> Vec<u32> {
        let (mut reached, mut asked) = (Vec::new(), Vec::new());
        self.follow(exchange, key, headers, &mut reached, &mut asked);
        reached
    }

    fn follow(
        &self,
        id: ExchangeId,
        key: &str,
        headers: &Headers,
        reached: &mut Vec<u32>,
        asked: &mut Vec<ExchangeId>,
    ) {
        let Some((_, kind)) = self.kinds.iter().find(|(own, _)| *own == id) else {
            return;
        };
        if asked.contains(&id) {
            return;
        }
        asked.push(id);
        for (_, binding) in self.bindings.iter().filter(|(from, _)| *from == id) {
            let takes = matches(*kind, &binding.pattern, key)
                && (*kind != ExchangeKind::Headers || headers_match(binding, Some(headers)));
            match binding.to {
                Destination::Queue(queue) if takes && !reached.contains(&queue.index) => {
                    reached.push(queue.index);
                }
                Destination::Exchange(next) if takes => {
                    self.follow(next, key, headers, reached, asked);
                }
                _ => {}
            }
        }
    }

    fn forget(&mut self, to: Destination) {
        self.bindings.retain(|(_, binding)| binding.to != to);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Bind(u8, u8, String, u8),
    Unbind(u8),
    DeleteQueue(u8),
    DeleteExchange(u8),
}

/// Few words, so that patterns share their ways and keys meet them.
fn words(word: &'static str) -> impl Strategy<Value = String> {
    proptest::collection::vec(word, 0..6).prop_map(|words| words.join("."))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bind = (
        any::<u8>(),
        any::<u8>(),
        words("[ab*#]|[abc]{0,2}"),
        any::<u8>(),
    );
    let step = prop_oneof![
        12 => bind.prop_map(|(from, to, pattern, headers)| Step::Bind(from, to, pattern, headers)),
        4 => any::<u8>().prop_map(Step::Unbind),
        1 => any::<u8>().prop_map(Step::DeleteQueue),
        1 => any::<u8>().prop_map(Step::DeleteExchange),
    ];
    proptest::collection::vec(step, 0..120)
}

/// Up to two headers with small values, one of which may be a name alone.
fn some_headers(bits: u8) -> Headers {
    let value = |bits: u8| match bits & 3 {
        0 => HeaderValue::Int(1),
        1 => HeaderValue::Float(1.0),
        2 => HeaderValue::Str("1".to_owned()),
        _ => HeaderValue::Null,
    };
    let mut headers = Headers::new();
    if bits & 1 != 0 {
        headers.insert("a".to_owned(), value(bits >> 1));
    }
    if bits & 8 != 0 {
        headers.insert("x-b".to_owned(), value(bits >> 4));
    }
    headers
}

struct Pair {
    topology: Topology,
    plain: Plain,
    queues: Vec<QueueId>,
    exchanges: Vec<ExchangeId>,
}

impl Pair {
    fn new() -> Pair {
        let mut topology = Topology::seeded(7);
        let queues = (0..6).map(|n| declare_queue(&mut topology, &format!("q{n}")));
        let queues = queues.collect();
        let mut plain = Plain::default();
        for (n, kind) in KINDS.iter().chain(&KINDS).enumerate() {
            let id = declare_exchange(&mut topology, &format!("e{n}"), *kind);
            plain.kinds.push((id, *kind));
        }
        let exchanges = plain.kinds.iter().map(|(id, _)| *id).collect();
        Pair {
            topology,
            plain,
            queues,
            exchanges,
        }
    }

    fn kind_of(&self, id: ExchangeId) -> ExchangeKind {
        self.topology.exchange(id).expect("it was declared").kind
    }

    fn unbind(&mut self, from: ExchangeId, binding: &Binding) -> bool {
        let unbound = self.topology.unbind(from, binding);
        unbound.expect("both ends exist")
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Bind(from, to, pattern, bits) => {
                let from = self.exchanges[from as usize % self.exchanges.len()];
                let places = self.queues.len() + self.exchanges.len();
                let to = match to as usize % places {
                    at if at < self.queues.len() => Destination::Queue(self.queues[at]),
                    at => Destination::Exchange(self.exchanges[at - self.queues.len()]),
                };
                let mut binding = Binding::new(to, pattern);
                if self.kind_of(from) == ExchangeKind::Headers {
                    binding.headers = some_headers(bits);
                    binding.matching = [Match::All, Match::Any][bits as usize >> 7];
                }
                let bound = (from, binding.clone());
                let new = self.topology.check_binding(from, &binding);
                let new = new.expect("both ends exist");
                let is_bound =
                    |other: &(ExchangeId, Binding)| other.0 == from && other.1.is_alike(&binding);
                assert_eq!(new, !self.plain.bindings.iter().any(is_bound));
                if new {
                    self.topology.bind(from, binding);
                    self.plain.bindings.push(bound);
                }
            }
            Step::Unbind(at) => {
                if !self.plain.bindings.is_empty() {
                    let at = at as usize % self.plain.bindings.len();
                    let (from, binding) = self.plain.bindings.remove(at);
                    assert!(self.unbind(from, &binding));
                    assert!(!self.unbind(from, &binding));
                }
            }
            Step::DeleteQueue(at) => {
                let at = at as usize % self.queues.len();
                let id = self.queues[at];
                self.topology.remove_queue(id);
                self.plain.forget(Destination::Queue(id));
                self.queues[at] = declare_queue(&mut self.topology, &format!("q{at}"));
            }
            Step::DeleteExchange(at) => {
                let at = at as usize % self.exchanges.len();
                let id = self.exchanges[at];
                self.topology.remove_exchange(id);
                self.plain.forget(Destination::Exchange(id));
                self.plain.bindings.retain(|(from, _)| *from != id);
                let kind = KINDS[at % KINDS.len()];
                let new = declare_exchange(&mut self.topology, &format!("e{at}"), kind);
                self.plain.kinds[at] = (new, kind);
                self.exchanges[at] = new;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_a_look_at_every_binding_finds(
        steps in steps(),
        keys in proptest::collection::vec((words("[abc]{0,2}"), any::<u8>()), 1..20),
    ) {
        let mut pair = Pair::new();
        for step in steps {
            pair.step(step);
        }
        for (key, bits) in keys {
            let headers = some_headers(bits);
            for &exchange in &pair.exchanges {
                prop_assert_eq!(
                    resolve(&pair.topology, exchange, &key, Some(&headers)),
                    pair.plain.reach(exchange, &key, &headers),
                    "key {:?}, headers {:?}", key, headers
                );
            }
        }
    }
}

/// What is left when everything was taken away would grow for ever.
#[test]
fn what_was_unbound_leaves_nothing_behind() {
    let mut topology = Topology::seeded(7);
    let queue = declare_queue(&mut topology, "q");
    let exchange = declare_exchange(&mut topology, "e", ExchangeKind::Topic);
    let bare = format!("{topology:?}").len();
    for round in 0..100 {
        for word in 0..10 {
            let pattern = format!("{round}.*.{word}.#.{}", round * word);
            topology.bind(exchange, Binding::to_queue(queue, pattern));
        }
        for word in 0..10 {
            let pattern = format!("{round}.*.{word}.#.{}", round * word);
            let binding = Binding::to_queue(queue, pattern);
            assert!(topology.unbind(exchange, &binding).unwrap());
        }
    }
    let after = format!("{topology:?}").len();
    assert!(after <= bare + 10, "{bare} characters have become {after}");
}

/// Followed one by one, the ways through many `#` are more than there is time for.
#[test]
fn many_hashes_cost_no_more_than_their_number() {
    let mut topology = Topology::seeded(7);
    let queue = declare_queue(&mut topology, "q");
    let exchange = declare_exchange(&mut topology, "e", ExchangeKind::Topic);
    for pattern in ["#.a", "#", "#.*", "a.#.b", "*.#"] {
        let mut long = vec![pattern; 255 / (pattern.len() + 1)].join(".");
        topology.bind(exchange, Binding::to_queue(queue, long.clone()));
        long.push_str(".z");
        long.truncate(255);
        topology.bind(exchange, Binding::to_queue(queue, long));
    }
    let keys = ["a.".repeat(127), ".".repeat(255), "a.b.".repeat(63)];
    for key in keys {
        for _ in 0..100 {
            assert_eq!(resolve(&topology, exchange, &key, None), [queue.index]);
        }
    }
}

/// A chain of exchanges as long as there can be must not be followed by calls within calls.
#[test]
fn long_chains_and_loops_end() {
    let mut topology = Topology::seeded(7);
    let queue = declare_queue(&mut topology, "q");
    let ids: Vec<ExchangeId> = (0..50_000)
        .map(|n| {
            let name = format!("e{n}");
            let id = topology.exchange_vacancy(&name).unwrap();
            let alternate = (n % 2 == 0).then(|| format!("e{}", n + 1));
            topology.add_exchange(id, &name, ExchangeKind::Fanout, alternate);
            id
        })
        .collect();
    for pair in ids.windows(2).skip(1).step_by(2) {
        topology.bind(pair[0], Binding::new(Destination::Exchange(pair[1]), ""));
    }
    let last = *ids.last().unwrap();
    topology.bind(last, Binding::new(Destination::Exchange(ids[0]), ""));
    assert!(resolve(&topology, ids[0], "k", None).is_empty());
    topology.bind(last, Binding::to_queue(queue, ""));
    assert_eq!(resolve(&topology, ids[0], "k", None), [queue.index]);
    assert_eq!(resolve(&topology, ids[700], "k", None), [queue.index]);
}
