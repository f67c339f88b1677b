//! How many tests passed and failed, read from what the test programs print.

use std::ops::AddAssign;

use crate::shell::Printed;

/// Tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// That passed.
    pub passed: u64,
    /// That failed.
    pub failed: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl Counts {
    /// One check.
    pub fn one(ok: bool) -> Counts {
        Counts {
            passed: u64::from(ok),
            failed: u64::from(!ok),
        }
    }

    /// `cargo test`: a line `test result: ok. 3 passed; 0 failed; ...` per program.
    pub fn cargo(printed: &Printed) -> Counts {
        let lines = printed
            .text
            .lines()
            .filter(|line| line.starts_with("test result:"));
        Counts::sum(lines, &["passed"], &["failed"]).or_one(printed)
    }

    /// pytest's last line: `3 passed, 1 failed, 1 error in 2.00s`.
    pub fn pytest(printed: &Printed) -> Counts {
        let last = printed.text.lines().rev().find(|line| {
            line.contains(" in ")
                && ["passed", "failed", "error"]
                    .iter()
                    .any(|word| line.contains(word))
        });
        Counts::sum(
            last.into_iter(),
            &["passed"],
            &["failed", "error", "errors"],
        )
        .or_one(printed)
    }

    /// `node --test`: lines `pass 3` and `fail 0` after a mark.
    pub fn node(printed: &Printed) -> Counts {
        let mut counts = Counts::default();
        for line in printed.text.lines() {
            let mut words = line.split_whitespace();
            if let (Some("#" | "ℹ"), Some(word), Some(Ok(number)), None) = (
                words.next(),
                words.next(),
                words.next().map(str::parse::<u64>),
                words.next(),
            ) {
                match word {
                    "pass" => counts.passed += number,
                    "fail" | "cancelled" => counts.failed += number,
                    _ => {}
                }
            }
        }
        counts.or_one(printed)
    }

    fn sum<'a>(lines: impl Iterator<Item = &'a str>, good: &[&str], bad: &[&str]) -> Counts {
        let mut counts = Counts::default();
        for line in lines {
            let words: Vec<&str> = line
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .collect();
            for pair in words.windows(2) {
                if let Ok(number) = pair[0].parse::<u64>() {
                    if good.contains(&pair[1]) {
                        counts.passed += number;
                    } else if bad.contains(&pair[1]) {
                        counts.failed += number;
                    }
                }
            }
        }
        counts
    }

    /// A program that failed without saying how many counts as one failure; one that ran nothing does too.
    fn or_one(mut self, printed: &Printed) -> Counts {
        if self.failed == 0 && (!printed.ok || self.passed == 0) {
            self.failed = 1;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str, ok: bool) -> Printed {
        Printed {
            text: text.to_owned(),
            ok,
        }
    }

    #[test]
    fn every_program_is_understood() {
        let cargo = "test result: ok. 9 passed; 0 failed; 1 ignored\ntest result: FAILED. 2 passed; 3 failed;";
        assert_eq!(
            Counts::cargo(&printed(cargo, false)),
            Counts {
                passed: 11,
                failed: 3
            }
        );
        let pytest = "....\n==== 1 failed, 12 passed, 2 errors in 3.10s ====\n";
        assert_eq!(
            Counts::pytest(&printed(pytest, false)),
            Counts {
                passed: 12,
                failed: 3
            }
        );
        let node = "# tests 5\n# pass 4\n# fail 1\nℹ pass 2\n";
        assert_eq!(
            Counts::node(&printed(node, false)),
            Counts {
                passed: 6,
                failed: 1
            }
        );
    }

    #[test]
    fn silence_is_not_success() {
        for counts in [Counts::cargo, Counts::pytest, Counts::node] {
            assert_eq!(counts(&printed("", true)).failed, 1);
            assert_eq!(counts(&printed("# pass 3", false)).failed, 1);
        }
    }
}
