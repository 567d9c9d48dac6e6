//! What is asked of a run: sums of figures of trainings under one seed.

use serde::{Deserialize, Serialize};

use super::Cell;
use crate::variant::Variant;

/// A figure of one training with its factor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Term {
    pub(crate) factor: f64,
    pub(crate) cell: Cell,
    pub(crate) variant: Variant,
}

/// A sum over trainings of one seed that is below 0 where STAR is better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) id: String,
    /// What is asked, a sentence's end: `STAR lowers ...`.
    pub(crate) claim: String,
    /// What is subtracted from what.
    pub(crate) difference: String,
    pub(crate) terms: Vec<Term>,
}

impl Question {
    /// `better - than` in a cell.
    pub(crate) fn difference(
        id: &str,
        claim: &str,
        difference: &str,
        cells: &[Cell],
        [better, than]: [&Variant; 2],
    ) -> Self {
        let factor = 1.0 / cells.len() as f64;
        let terms = cells.iter().flat_map(|cell| {
            [(factor, better), (-factor, than)].map(|(factor, variant)| Term {
                factor,
                cell: *cell,
                variant: variant.clone(),
            })
        });
        Self { id: id.into(), claim: claim.into(), difference: difference.into(), terms: terms.collect() }
    }

    /// This minus another.
    pub(crate) fn minus(mut self, other: &Self) -> Self {
        let turned = other.terms.iter().map(|term| Term { factor: -term.factor, ..term.clone() });
        self.terms.extend(turned);
        self
    }
}
