//! What the restrictions of the eigenvalues prevent.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;
use star_eval::Interval;

use super::design::REALISTIC;
use super::runs::{Runs, mean, over_seeds};
use crate::variant::Variant;

/// Eigenvalues over the epochs under each restriction, faces at the realistic strength.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Restrictions {
    pub(crate) seeds: u64,
    pub(crate) rows: Vec<Trajectory>,
}

/// One restriction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Trajectory {
    pub(crate) variant: String,
    /// `(step, mean of the larger eigenvalue)` after each epoch, mean over seeds; squared halves of the input.
    pub(crate) larger: Vec<(f64, f64)>,
    /// The larger eigenvalue after the last epoch over that after the first, geometric mean over seeds.
    pub(crate) growth: f64,
    /// The larger eigenvalue after the last epoch over that of the value restriction under the same seed: geometric mean and
    /// interval over seeds.
    pub(crate) against_value: f64,
    pub(crate) against_value_interval: Option<Interval>,
    /// NME against the truth, mean over seeds.
    pub(crate) nme: f64,
}

/// The trajectories of the value restriction, none, and the detached one.
///
/// # Errors
/// When a training is missing.
pub(crate) fn restrictions(runs: &Runs<'_>) -> Result<Restrictions> {
    let seeds = runs.design.restriction_seeds;
    let value = runs.seeds(Subject::Face, REALISTIC, &Variant::star(), seeds)?;
    let last =
        |run: &super::measure::Measured| run.epochs.last().map_or(f64::NAN, |epoch| epoch.eigenvalues[1]);
    let mut rows = Vec::new();
    let value_named = Variant { name: "STAR (smooth-L1), value, weight 1".to_string(), ..Variant::star() };
    for (variant, name) in [
        (Variant::star(), value_named.name.clone()),
        (Variant::no_restriction(), Variant::no_restriction().name),
        (Variant::detached(), Variant::detached().name),
    ] {
        let of = runs.seeds(Subject::Face, REALISTIC, &variant, seeds)?;
        let epochs = of.iter().map(|run| run.epochs.len()).min().unwrap_or(0);
        let larger = (0..epochs)
            .map(|e| (of[0].epochs[e].step as f64, mean(of.iter().map(|run| run.epochs[e].eigenvalues[1]))));
        let growth = of.iter().map(|run| {
            let first = run.epochs.first().map_or(f64::NAN, |epoch| epoch.eigenvalues[1]);
            (last(run) / first).ln()
        });
        let against: Vec<f64> =
            of.iter().zip(&value).map(|(run, value)| (last(run) / last(value)).ln()).collect();
        let exp = |i: Interval| Interval {
            estimate: i.estimate.exp(),
            low: i.low.exp(),
            high: i.high.exp(),
            level: i.level,
        };
        rows.push(Trajectory {
            variant: name,
            larger: larger.collect(),
            growth: mean(growth).exp(),
            against_value: mean(against.iter().copied()).exp(),
            against_value_interval: over_seeds(&against).map(exp),
            nme: mean(of.iter().map(|run| run.nme)),
        });
    }
    Ok(Restrictions { seeds, rows })
}
