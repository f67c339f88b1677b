//! Where a key leads. Turns an exchange's kind, a pattern and a key into yes or no.
//! Owns: nothing. May use: model. Never: changes anything.
//! Invariant: pure; the same arguments give the same answer.

use crate::model::ExchangeKind;

/// Whether a binding with this pattern takes a message with this key.
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
        ExchangeKind::Fanout => true,
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
