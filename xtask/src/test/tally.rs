//! How many tests ran, read from what the runners print.

use std::fmt;
use std::ops::Add;

/// Tests that passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Ran and held.
    pub(crate) passed: usize,
    /// Ran and did not hold, or could not be run.
    pub(crate) failed: usize,
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// From nextest's line `Summary [ 1.2s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 2 skipped`.
pub(crate) fn of_nextest(output: &str) -> Tally {
    let counts = output.lines().filter(|line| line.trim_start().starts_with("Summary ["));
    counts
        .filter_map(|line| line.split_once(" run:"))
        .map(|(_, counts)| sum(without_brackets(counts).split(',')))
        .fold(Tally::default(), Tally::add)
}

/// From the test harness's lines `test result: ok. 3 passed; 0 failed; 1 ignored; ...`, one a test binary.
pub(crate) fn of_cargo_test(output: &str) -> Tally {
    let results = output.lines().filter_map(|line| line.trim().strip_prefix("test result: "));
    results
        .filter_map(|line| line.split_once(". "))
        .map(|(_, counts)| sum(counts.split(';')))
        .fold(Tally::default(), Tally::add)
}

fn sum<'a>(counts: impl Iterator<Item = &'a str>) -> Tally {
    let mut tally = Tally::default();
    for count in counts {
        let Some((number, what)) = count.trim().split_once(' ') else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        match what.trim() {
            "passed" => tally.passed += number,
            "failed" | "timed out" | "exec failed" => tally.failed += number,
            _ => {}
        }
    }
    tally
}

fn without_brackets(text: &str) -> String {
    let mut depth = 0usize;
    let mut kept = String::new();
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nextest_counts_survive_remarks_in_brackets() {
        let output = "────\n     Summary [   4.210s] 17/20 tests run: 12 passed (1 slow, 2 flaky), 3 failed, 1 timed out, \
                      1 exec failed, 4 skipped\n";
        assert_eq!(of_nextest(output), Tally { passed: 12, failed: 5 });
        assert_eq!(of_nextest("     Summary [   0.005s] 1 test run: 1 passed, 0 skipped").passed, 1);
    }

    #[test]
    fn harness_counts_add_up_over_binaries() {
        let output = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; \
                      finished in 0.00s\n\ntest result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured\n";
        assert_eq!(of_cargo_test(output), Tally { passed: 7, failed: 2 });
    }

    #[test]
    fn a_test_that_prints_a_summary_of_its_own_is_not_counted() {
        assert_eq!(of_nextest("my Summary [x] 9 tests run: 9 passed"), Tally::default());
        assert_eq!(of_cargo_test("9 passed; 9 failed"), Tally::default());
    }

    #[test]
    fn the_closing_line_is_plain() {
        assert_eq!(
            (Tally { passed: 3, failed: 0 } + Tally { passed: 4, failed: 1 }).to_string(),
            "7 passed, 1 failed"
        );
    }
}
