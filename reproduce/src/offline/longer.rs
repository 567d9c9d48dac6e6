//! Longer trainings, and trainings from other weights at the start.

use anyhow::Result;
use serde::Serialize;

use super::design::{Design, Kind, LONGER, longer as extended, start};
use super::measure::Record;
use super::runs::{Runs, mean, scatter};
use crate::variant::Variant;

/// A loss in the main cell after more steps, means over seeds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Longer {
    pub(crate) loss: String,
    pub(crate) steps: usize,
    pub(crate) seeds: usize,
    pub(crate) nme: Option<f64>,
    pub(crate) across: Option<f64>,
    pub(crate) along: Option<f64>,
}

/// Disagreement of trainings on the same images and labels.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Restarts {
    pub(crate) loss: String,
    /// Sets of images, on each of which the loss was trained several times.
    pub(crate) sets: usize,
    pub(crate) starts: usize,
    pub(crate) scatter: Option<f64>,
}

/// Those of the thorough run, the main budget first.
pub(super) fn longer(design: &Design, runs: &Runs<'_>) -> Vec<Longer> {
    if design.kind != Kind::Thorough {
        return Vec::new();
    }
    let cell = design.main_cell();
    let mut rows = Vec::new();
    for base in design.losses(cell.subject) {
        let longer: Vec<Vec<&Record>> =
            LONGER.map(|factor| runs.of(&cell, &extended(&base, factor))).into_iter().collect();
        // What is not trained longer says nothing here; all budgets over the same seeds.
        let seeds = longer.iter().map(Vec::len).max().unwrap_or(0);
        if seeds == 0 {
            continue;
        }
        let usual = runs.of(&cell, &base).into_iter().take(seeds).collect();
        for of in std::iter::once(usual).chain(longer).filter(|of| !of.is_empty()) {
            rows.push(row(&base, &of));
        }
    }
    rows
}

fn row(base: &Variant, of: &[&Record]) -> Longer {
    let over = |figure: fn(&Record) -> f64| mean(of.iter().map(|record| figure(record)));
    Longer {
        loss: base.name.clone(),
        steps: of[0].epochs.last().map_or(0, |(step, _)| *step),
        seeds: of.len(),
        nme: over(|record| record.nme),
        across: over(|record| record.across),
        along: over(|record| record.along),
    }
}

/// Those of the thorough run.
///
/// # Errors
/// When records keep different numbers of keypoints.
pub(super) fn restarts(design: &Design, runs: &Runs<'_>) -> Result<Vec<Restarts>> {
    let mut rows = Vec::new();
    if design.kind != Kind::Thorough {
        return Ok(rows);
    }
    let cell = design.main_cell();
    for base in design.losses(cell.subject) {
        let variants = [base.clone(), start(&base, 1), start(&base, 2)];
        let mut found = Vec::new();
        for seed in 0..design.blocks.iter().map(|block| block.seeds).max().unwrap_or(0) {
            let one = |variant: &Variant| runs.one(&cell, variant, seed);
            let together: Option<Vec<&Record>> = variants.iter().map(one).collect();
            if let Some(together) = together {
                found.extend(scatter(&together)?);
            }
        }
        let sets = found.len();
        if sets > 0 {
            rows.push(Restarts {
                loss: base.name.clone(),
                sets,
                starts: variants.len(),
                scatter: mean(found),
            });
        }
    }
    Ok(rows)
}
