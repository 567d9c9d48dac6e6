//! Conditions without which the questions are not asked: that images are ambiguous where they should be, and that noise of labels costs.

use serde::Serialize;
use star_data::synthetic::Subject;

use super::design::{Cell, Design, Kind, marked_exact, plain_exact, plain_noisy};
use super::measure::Record;
use super::runs::{Runs, mean};
use crate::variant::Variant;

/// Mean squared error of smooth-L1 along the edge over that across it: at least on plain images, at most on marked ones.
const PLAIN: f64 = 1.5;
const MARKED: f64 = 1.2;
/// Points of NME that noisy labels cost smooth-L1 at least.
const NOISE: f64 = 0.4;

/// One condition, on smooth-L1 alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Gate {
    pub(crate) what: String,
    /// `at least` or `at most`.
    pub(crate) bound: &'static str,
    pub(crate) wanted: f64,
    /// Mean over seeds; `None` where a training is missing.
    pub(crate) value: Option<f64>,
    pub(crate) passed: Option<bool>,
}

/// The gates of a run; the confirmation has none.
pub(super) fn gates(design: &Design, runs: &Runs<'_>) -> Vec<Gate> {
    if design.kind == Kind::Confirm {
        return Vec::new();
    }
    let over = |cell: Cell, figure: fn(&Record) -> f64| {
        mean(runs.of(&cell, &Variant::plain()).into_iter().map(figure))
    };
    let [ambiguous, sure, exact] = [plain_noisy, marked_exact, plain_exact].map(|cell| cell(Subject::Leaf));
    let noise = over(ambiguous, |record| record.nme).zip(over(exact, |record| record.nme));
    let ambiguity = |cell| over(cell, |record| (record.along / record.across).powi(2));
    vec![
        gate(
            "smooth-L1 on plain images, noisy labels: squared error along over that across",
            true,
            PLAIN,
            ambiguity(ambiguous),
        ),
        gate(
            "smooth-L1 on marked images, exact labels: squared error along over that across",
            false,
            MARKED,
            ambiguity(sure),
        ),
        gate(
            "smooth-L1 on plain images: NME with noisy labels minus that with exact ones",
            true,
            NOISE,
            noise.map(|(noisy, exact)| noisy - exact),
        ),
    ]
}

/// Whether all gates hold, as they do where there are none; `None` where none failed and one is not measured.
pub(super) fn tested(gates: &[Gate]) -> Option<bool> {
    match gates.iter().any(|gate| gate.passed == Some(false)) {
        true => Some(false),
        false => gates.iter().all(|gate| gate.passed.is_some()).then_some(true),
    }
}

fn gate(what: &str, at_least: bool, wanted: f64, value: Option<f64>) -> Gate {
    let passed = value.map(|value| if at_least { value >= wanted } else { value <= wanted });
    Gate { what: what.into(), bound: if at_least { "at least" } else { "at most" }, wanted, value, passed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_passed_on_its_side_of_the_bound_and_open_without_a_value() {
        assert_eq!(gate("", true, 4.0, Some(4.0)).passed, Some(true));
        assert_eq!(gate("", true, 4.0, Some(3.9)).passed, Some(false));
        assert_eq!(gate("", false, 1.6, Some(1.6)).passed, Some(true));
        assert_eq!(gate("", false, 1.6, Some(1.7)).passed, Some(false));
        assert_eq!(gate("", false, 1.6, None).passed, None);
    }

    #[test]
    fn one_gate_that_failed_is_no_test_whatever_the_others_are() {
        let [passed, failed, open] = [Some(5.0), Some(3.0), None].map(|value| gate("", true, 4.0, value));
        assert_eq!(tested(&[open.clone(), failed.clone(), passed.clone()]), Some(false));
        assert_eq!(tested(&[passed.clone(), open]), None);
        assert_eq!((tested(&[passed]), tested(&[])), (Some(true), Some(true)));
    }
}
