//! Scores of a trained network against the exact truth of synthetic images: a few kilobytes a training, from which all else follows.

mod score;

use std::path::Path;

use anyhow::{Result, ensure};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use star_data::synthetic;
use star_model::CompileOptions;
use star_model::checkpoint::Folder;
use star_predict::Predictor;
use star_train::evaluate::{self, Labels};
use star_train::records;

use super::design::{Design, Job};

/// The figures of one training; lengths are in per cent of the normalizer, rounded to what is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) job: Job,
    /// Hash of the training file and of what is scored.
    pub(crate) settings: String,
    /// Where it was trained.
    pub(crate) machine: String,
    pub(crate) nme: f64,
    /// Per cent of images with an NME above 10 %.
    pub(crate) failures: f64,
    /// Root mean square error of the keypoints that are ambiguous in one direction: across it and along it.
    pub(crate) across: f64,
    pub(crate) along: f64,
    /// Mean ratio of larger to smaller eigenvalue of their predicted distributions.
    pub(crate) ratio: f64,
    /// Mean angle in degrees between the long axis of a predicted distribution and that direction; 45 by chance.
    pub(crate) angle: f64,
    /// NME of the validation images against their labels, at the epoch whose weights were kept.
    pub(crate) validation: f64,
    /// Step and validation NME after each epoch.
    pub(crate) epochs: Vec<(usize, f64)>,
    /// Eigenvalue ratio, and root mean square error across and along, of each ambiguous keypoint.
    pub(crate) keypoints: Vec<[f64; 3]>,
    /// Predicted positions of some keypoints in some test images, hundredths of a per cent of the normalizer, so that trainings can be set
    /// against each other: `[image][x, y, x, y, ...]`.
    pub(crate) predicted: Vec<Vec<i32>>,
    /// Of the first seed: what it predicts for the first test images.
    pub(crate) examples: Vec<Example>,
}

/// A prediction for one test image, in hundredths of its pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Example {
    /// `x, y` of every keypoint.
    pub(crate) points: Vec<i32>,
    /// Standard deviations along both axes, and the angle of the longer one in hundredths of a degree, of every keypoint.
    pub(crate) ellipses: Vec<i32>,
}

/// Scores `dir/best`, the training of `job`.
///
/// # Errors
/// When the training is not there or not finished.
pub(crate) fn measure(design: &Design, job: &Job, dir: &Path, machine: &str) -> Result<Record> {
    let folder = Folder::load(&dir.join("best"))?;
    let predictor = Predictor::from_folder(&folder, &Device::Cpu, &CompileOptions::default())?;
    let set = synthetic::open(design.test(job))?;
    let scored = evaluate::run_over(&predictor, set.as_ref(), 32, Labels::AsAnnotated, |_| ())?;
    let mut record = score::score(job, set.as_ref(), &scored)?;
    for epoch in records::read(&dir.join("metrics.jsonl"))? {
        if let records::Record::Epoch(epoch) = epoch {
            let nmes = [epoch.validation_nme, epoch.validation_nme_ema].into_iter().flatten();
            record.epochs.push((epoch.step, score::rounded(100.0 * nmes.fold(f64::NAN, f64::min))));
        }
    }
    // Only those that are drawn.
    if job.cell != design.main_cell() || !design.losses(job.cell.subject).contains(&job.variant) {
        record.examples.clear();
    }
    let wanted = design.config(job).epochs;
    ensure!(
        record.epochs.len() == wanted,
        "{}: {} of {wanted} epochs are trained; go on with --resume",
        dir.display(),
        record.epochs.len()
    );
    let validation = record.epochs.iter().map(|(_, nme)| *nme).fold(f64::NAN, f64::min);
    Ok(Record { settings: design.settings(job)?, machine: machine.to_string(), validation, ..record })
}
