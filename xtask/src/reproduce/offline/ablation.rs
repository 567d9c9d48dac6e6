//! Trainings beside the comparison, each against the first of its table.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;
use star_eval::Interval;

use super::design::Planned;
use super::outcome::{Runs, mean, over_seeds};

/// A table of trainings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AblationResult {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) strength: f64,
    pub(crate) seeds: u64,
    pub(crate) rows: Vec<Row>,
}

/// One training, means over seeds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) variant: String,
    pub(crate) nme: f64,
    pub(crate) failure_rate: f64,
    pub(crate) lopsided: f64,
    pub(crate) angle: f64,
    pub(crate) ratio: f64,
    /// NME less that of the table's first row, paired by seed; `None` for the first row and for one seed.
    pub(crate) difference: Option<Interval>,
}

/// The table of an ablation on faces.
///
/// # Errors
/// When a training is missing.
pub(crate) fn ablation(runs: &Runs<'_>, wanted: &Planned) -> Result<AblationResult> {
    let Planned { strength, table } = wanted;
    let whole = |seed: &u64| {
        let has = |variant| runs.of(Subject::Face, *strength, variant, *seed).is_ok();
        table.variants.iter().all(has)
    };
    // Of an unfinished run the seeds that are complete.
    let seeds = (0..runs.design.ablation_seeds).take_while(whole).count().max(1) as u64;
    let mut rows: Vec<Row> = Vec::new();
    let mut first: Vec<f64> = Vec::new();
    for variant in &table.variants {
        let of = runs.seeds(Subject::Face, *strength, variant, seeds)?;
        let nmes: Vec<f64> = of.iter().map(|run| run.nme).collect();
        let apart: Vec<f64> = first.iter().zip(&nmes).map(|(first, nme)| nme - first).collect();
        rows.push(Row {
            variant: variant.name.clone(),
            nme: mean(nmes.iter().copied()),
            failure_rate: mean(of.iter().map(|run| run.failure_rate)),
            lopsided: mean(of.iter().map(|run| run.lopsided)),
            angle: mean(of.iter().map(|run| run.angle)),
            ratio: mean(of.iter().map(|run| run.ratio)),
            difference: over_seeds(&apart),
        });
        if first.is_empty() {
            first = nmes;
        }
    }
    Ok(AblationResult { id: table.id.clone(), title: table.title.clone(), strength: *strength, seeds, rows })
}
