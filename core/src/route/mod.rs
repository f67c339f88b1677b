//! Where a message leads. Turns an exchange, a key and headers into queues, through all exchanges that are on the way.
//! Owns: nothing. May use: model, topology (reads it). Never: changes anything.
//! Invariant: pure; the same arguments give the same answer, and each queue is in it once.

use crate::model::collections::Seen;
use crate::model::{Binding, Destination, ExchangeId, ExchangeKind, HeaderValue, Headers, Match};
use crate::topology::Topology;

/// The queues that a message reaches, each once, in the order of the bindings; what a binding to an exchange leads to stands in that binding's place.
///
/// What no binding takes goes to the exchange's alternate. An exchange is asked once, so that loops end.
#[must_use]
pub fn resolve(
    topology: &Topology,
    exchange: ExchangeId,
    key: &str,
    headers: Option<&Headers>,
) -> Vec<u32> {
    let mut queues = Seen::default();
    let mut exchanges = Seen::default();
    // The next is last.
    let mut ahead = vec![Destination::Exchange(exchange)];
    while let Some(next) = ahead.pop() {
        match next {
            Destination::Queue(queue) => {
                queues.is_new(queue.index);
            }
            Destination::Exchange(id) if id == Topology::DEFAULT_EXCHANGE => {
                ahead.extend(topology.queue_named(key).map(Destination::Queue));
            }
            Destination::Exchange(id) => {
                if let Ok(exchange) = topology.exchange(id)
                    && exchanges.is_new(id.index)
                {
                    let taken = ahead.len();
                    let by_headers = exchange.kind == ExchangeKind::Headers;
                    topology.each_candidate(exchange, key, &mut |to, binding| {
                        if !by_headers || headers_match(binding, headers) {
                            ahead.push(to);
                        }
                    });
                    ahead[taken..].reverse();
                    if ahead.len() == taken
                        && let Some(alternate) = &exchange.alternate
                    {
                        let alternate = topology.exchange_named(alternate);
                        ahead.extend(alternate.map(Destination::Exchange));
                    }
                }
            }
        }
    }
    queues.all
}

/// Whether a message carries what a binding asks for. A value must be alike; `Null` asks for the name alone. All of none is true, any of none is not.
///
/// ```
/// use ferrymq_core::model::{Binding, HeaderValue, Headers, QueueId};
/// use ferrymq_core::route::headers_match;
/// let mut binding = Binding::to_queue(QueueId { index: 0, generation: 0 }, "");
/// binding.headers.insert("size".into(), HeaderValue::Int(1));
/// let message = Headers::from_iter([("size".into(), HeaderValue::Int(1))]);
/// assert!(headers_match(&binding, Some(&message)));
/// assert!(!headers_match(&binding, None));
/// ```
#[must_use]
pub fn headers_match(binding: &Binding, headers: Option<&Headers>) -> bool {
    let carried = |(name, asked): (&String, &HeaderValue)| {
        let value = headers.and_then(|headers| headers.get(name));
        value.is_some_and(|value| *asked == HeaderValue::Null || asked.is_alike(value))
    };
    let mut asked = binding.headers.iter();
    match binding.matching {
        Match::All => asked.all(carried),
        Match::Any => asked.any(carried),
    }
}

/// Whether a pattern takes a key: what the index of topology finds without looking at every pattern. In a headers exchange patterns say nothing.
///
/// ```
/// use ferrymq_core::model::ExchangeKind;
/// use ferrymq_core::route::matches;
/// assert!(matches(ExchangeKind::Topic, "order.#", "order.new.eu"));
/// assert!(!matches(ExchangeKind::Topic, "order.*", "order.new.eu"));
/// ```
#[must_use]
pub fn matches(kind: ExchangeKind, pattern: &str, key: &str) -> bool {
    match kind {
        ExchangeKind::Fanout | ExchangeKind::Headers => true,
        ExchangeKind::Direct => pattern == key,
        ExchangeKind::Topic => topic_matches(pattern, key),
    }
}

/// Words separated by dots; `*` is one word, `#` none or more. Greedy with one place to go back to, so the time is at most pattern times key.
fn topic_matches(pattern: &str, key: &str) -> bool {
    let pattern: Vec<&str> = words(pattern).collect();
    let key: Vec<&str> = words(key).collect();
    let (mut p, mut k) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while k < key.len() {
        match pattern.get(p) {
            Some(&"#") => {
                back = Some((p, k));
                p += 1;
            }
            Some(&word) if word == "*" || word == key[k] => {
                p += 1;
                k += 1;
            }
            _ => match back {
                Some((hash, taken)) => {
                    back = Some((hash, taken + 1));
                    p = hash + 1;
                    k = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|word| *word == "#")
}

/// An empty text has no words.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('.').filter(move |_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics() {
        let table = [
            ("#", "", true),
            ("#", "a.b", true),
            ("", "", true),
            ("", "a", false),
            ("*", "", false),
            ("a.*", "a", false),
            ("a.*", "a.b", true),
            ("a.#", "a", true),
            ("#.b", "a.a.b", true),
            ("#.b", "b", true),
            ("a.#.b.#.c", "a.x.b.y.b.c", true),
            ("a.#.b.#.c", "a.x.c", false),
            ("*.*", "a..", false),
            ("a.*.c", "a..c", true),
        ];
        for (pattern, key, expected) in table {
            assert_eq!(
                matches(ExchangeKind::Topic, pattern, key),
                expected,
                "{pattern:?} {key:?}"
            );
        }
    }
}
