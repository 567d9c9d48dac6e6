//! The cells of the paper's tables, each with what was measured or why not.

mod measure;
mod targeted;
#[cfg(test)]
mod tests;
mod untargeted;

use serde::{Deserialize, Serialize};
use star_data::formats::Compat;
use star_eval::Interval;

use super::plan::RealPlan;
use super::scores::SetOutcome;
use crate::args::Origin;
use crate::targets::{Target, Targets};
use targeted::cell;
use untargeted::without_target;

/// What a cell came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Within the tolerance, or better.
    Reached,
    /// Worse by more than the tolerance; for published weights, off by more than it.
    Missed,
    /// Not measured, and why.
    NotMeasured,
    /// The paper's figure is not known: nothing to be held to.
    NoTarget,
}

/// A cell of the paper's tables with what was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) set: String,
    pub(crate) subset: String,
    pub(crate) normalizer: String,
    pub(crate) what: String,
    /// Digits that the target is given with.
    pub(crate) digits: usize,
    /// `None` where it is not known.
    pub(crate) paper: Option<f64>,
    pub(crate) tolerance: Option<f64>,
    pub(crate) source: String,
    pub(crate) rerun: Option<f64>,
    /// Mean over seeds, in the paper's unit.
    pub(crate) ours: Option<f64>,
    /// Over seeds; `None` for fewer than two.
    pub(crate) interval: Option<Interval>,
    pub(crate) verdict: Verdict,
    /// Why nothing was measured, or what must be known of what was.
    pub(crate) remark: String,
}

/// The slug of the training that a target is about.
fn variant_of(target: &Target) -> &str {
    target.variant.as_deref().unwrap_or("star")
}

/// How a run read its data and weights, which decides whether a target holds for it.
#[derive(Clone, Copy, Debug)]
struct Reading {
    compat: bool,
    /// The published weights themselves: they must give the published figures, not better ones.
    published: bool,
}

/// Every target of the sets, measured or explained, then every other cell of the same tables.
pub(crate) fn cells(targets: &Targets, plan: &RealPlan, sets: &[SetOutcome]) -> Vec<Cell> {
    let of_sets = targets.target.iter().filter_map(|target| {
        let set = sets.iter().find(|set| set.key == target.set)?;
        // Figures of published weights hold for no training.
        let concerns = !target.published_weights || plan.from == Origin::Weights;
        let reading = Reading {
            compat: plan.compat == Compat::Reference,
            published: plan.from == Origin::Weights && plan.weights.iter().all(|(key, _)| *key != set.key),
        };
        concerns.then(|| cell(targets, target, set, reading))
    });
    of_sets.chain(sets.iter().flat_map(|set| without_target(targets, set))).collect()
}

/// Why a network that was scored has no figure.
const NOT_AMONG_SCORES: &str = "the figure is not among the scores: the files do not tell the subset, or a face has no such normalizer or no prediction";
