//! How long a message waits after a failure.

use crate::model::{Backoff, Span};

/// A seeded source of numbers (SplitMix64), so that the same seed gives the same waits.
#[derive(Clone, Debug)]
pub struct Randomness(u64);

impl Randomness {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Randomness {
        Randomness(seed)
    }

    /// The next number, evenly from 0 up to 1.
    pub fn next_fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The wait after attempt number `attempt` (from 1) has failed.
#[must_use]
pub fn wait_after(backoff: &Backoff, attempt: u32, randomness: &mut Randomness) -> Span {
    let exponent = attempt.saturating_sub(1).min(i32::MAX as u32) as i32;
    let grown = backoff.initial.0 as f64 * backoff.factor.powi(exponent);
    let mut wait = grown.min(backoff.max.0 as f64);
    if backoff.jitter > 0.0 {
        wait *= 1.0 + backoff.jitter * (2.0 * randomness.next_fraction() - 1.0);
    }
    Span((wait.round() as u64).min(backoff.max.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_up_to_the_maximum() {
        let backoff = Backoff {
            initial: Span(100),
            factor: 2.0,
            max: Span(1000),
            jitter: 0.0,
        };
        let mut randomness = Randomness::new(1);
        let waits: Vec<u64> = [1, 2, 3, 4, 5, 4_000_000_000]
            .map(|attempt| wait_after(&backoff, attempt, &mut randomness).0)
            .to_vec();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn jitter_spreads_to_both_sides_and_stays_below_the_maximum() {
        let backoff = Backoff {
            initial: Span(1000),
            factor: 1.0,
            max: Span(1050),
            jitter: 0.1,
        };
        let mut randomness = Randomness::new(7);
        let waits: Vec<u64> = (0..1000)
            .map(|_| wait_after(&backoff, 1, &mut randomness).0)
            .collect();
        assert!(waits.iter().all(|wait| (900..=1050).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < 950));
        assert!(waits.iter().any(|wait| *wait > 1000));
    }
}
