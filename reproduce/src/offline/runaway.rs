//! What the restrictions of the eigenvalues prevent.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;
use star_eval::Interval;

use super::design::REALISTIC;
use super::phrase::percent;
use super::runs::{Runs, mean, over_seeds};
use crate::document::{Figure, Section};
use crate::variant::{self, Variant};

/// Eigenvalues over the epochs under each restriction, faces at the realistic strength.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Runaway {
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
pub(crate) fn runaway(runs: &Runs<'_>) -> Result<Runaway> {
    let seeds = runs.design.restriction_seeds;
    let value = runs.seeds(Subject::Face, REALISTIC, &Variant::star(), seeds)?;
    let last =
        |run: &super::measure::Measured| run.epochs.last().map_or(f64::NAN, |epoch| epoch.eigenvalues[1]);
    let mut rows = Vec::new();
    let value_named = Variant { name: "STAR (smooth-L1), value, weight 1".to_string(), ..Variant::star() };
    for (variant, name) in [
        (Variant::star(), value_named.name.clone()),
        (variant::no_restriction(), variant::no_restriction().name),
        (variant::detached(), variant::detached().name),
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
    Ok(Runaway { seeds, rows })
}

/// The answer.
pub(crate) fn section(found: &Runaway) -> Section {
    let mut section = Section::new("restriction", "What do the restrictions of the eigenvalues prevent?");
    section.text(format!(
        "Mean of the larger eigenvalue on validation pictures after each epoch (faces, strength 1, {} seed{}), in squared halves of the \
         network's input: 1/3 is a map spread evenly over the whole input, 1 and more one whose mass lies in far corners (the \
         estimate is unbiased, which doubles it where two pixels hold everything).",
        found.seeds,
        if found.seeds == 1 { "" } else { "s" }
    ));
    let rows = found.rows.iter().map(|row| {
        let last = row.larger.last().map_or(f64::NAN, |(_, value)| *value);
        vec![
            row.variant.clone(),
            format!("{last:.4}"),
            format!("{:.2}", row.growth),
            match row.against_value_interval {
                Some(i) => format!("{:.2} ({:.2} to {:.2})", row.against_value, i.low, i.high),
                None => format!("{:.2}", row.against_value),
            },
            percent(row.nme, 3),
        ]
    });
    section.table(
        &[
            "loss",
            "larger eigenvalue at the end",
            "end over first epoch",
            "end over value restriction",
            "NME %",
        ],
        rows.collect(),
    );
    if let [_, none, ..] = &found.rows[..] {
        section.text(format!(
            "Without a restriction the eigenvalues end at {:.1} times those of the value restriction: {}.",
            none.against_value,
            match none.against_value_interval.map(|i| i.low) {
                Some(low) if low > 2.0 => "they run away",
                Some(low) if low > 1.0 => "they are larger, but do not run away here",
                Some(_) => "they do not run away here",
                None => "one seed, no interval",
            }
        ));
    }
    let series = found.rows.iter().map(|row| (row.variant.clone(), row.larger.clone())).collect();
    section.figure(
        "Larger eigenvalue by training step under each restriction.",
        Figure::Curves { axes: ["step", "mean larger eigenvalue"], series },
    );
    section
}
