//! Scores of a trained network against the exact truth of synthetic images.

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
use star_train::records::{self, Record};

use super::design::{Design, Job};

/// The figures of one training; lengths are fractions of the normalizer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) job: Job,
    /// SHA-256 of the weights.
    pub(crate) weights: String,
    pub(crate) nme: f64,
    pub(crate) failure_rate: f64,
    pub(crate) auc: f64,
    /// Mean error of keypoints that are ambiguous in one direction, and of the others.
    pub(crate) ambiguous: f64,
    pub(crate) others: f64,
    /// Root mean square error of the former along that direction and across it.
    pub(crate) along: f64,
    pub(crate) across: f64,
    /// Mean angle in degrees between the long axis of a predicted distribution and that direction; 45 by chance.
    pub(crate) angle: f64,
    /// Share of those angles in each tenth degree from 0 to 90.
    pub(crate) angles: Vec<f64>,
    /// Mean ratio of larger to smaller eigenvalue of the ambiguous keypoints, and of the others.
    pub(crate) ratio: f64,
    pub(crate) other_ratio: f64,
    /// Mean eigenvalue ratio and error of each keypoint.
    pub(crate) keypoint_ratios: Vec<f64>,
    pub(crate) keypoint_errors: Vec<f64>,
    /// NME of every test image, and its mean eigenvalue ratio.
    pub(crate) per_image: Vec<f64>,
    pub(crate) image_ratios: Vec<f64>,
    /// Predicted positions in units of the normalizer, `[image][keypoint]`, so that trainings can be set against each other.
    pub(crate) predicted: Vec<Vec<[f32; 2]>>,
    pub(crate) epochs: Vec<Epoch>,
    /// Seconds of training.
    pub(crate) seconds: f64,
}

/// The state of a training after an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Epoch {
    pub(crate) step: usize,
    pub(crate) loss: f64,
    /// NME of the validation images against their ambiguous labels, of the weights or of their average, whichever is better.
    pub(crate) validation: f64,
    /// Mean eigenvalues of the predicted distributions, smaller and larger, squared halves of the input.
    pub(crate) eigenvalues: [f64; 2],
}

impl Measured {
    /// NME of the validation images after the epoch whose weights were kept.
    pub(crate) fn validation(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.validation).fold(f64::NAN, f64::min)
    }
}

/// Scores `dir/best`, the training of `job`, whose weights have the hash `weights`.
///
/// # Errors
/// When the training is not there or not finished.
pub(crate) fn measure(design: &Design, job: &Job, dir: &Path, weights: String) -> Result<Measured> {
    let best = dir.join("best");
    let folder = Folder::load(&best)?;
    let options = CompileOptions::default();
    let predictor = Predictor::from_folder(&folder, &Device::Cpu, &options)?;
    let set = synthetic::open(design.test(job.subject))?;
    let scored = evaluate::run_over(&predictor, &set, 32, Labels::AsAnnotated, |_| ())?;
    let mut measured = Measured { weights, ..score::score(job, set.as_ref(), &scored)? };
    for record in records::read(&dir.join("metrics.jsonl"))? {
        if let Record::Epoch(epoch) = record {
            measured.epochs.push(Epoch {
                step: epoch.step,
                loss: epoch.terms.get("total").copied().unwrap_or(f64::NAN),
                validation: [epoch.validation_nme, epoch.validation_nme_ema]
                    .into_iter()
                    .flatten()
                    .fold(f64::NAN, f64::min),
                eigenvalues: epoch.validation_eigenvalues.unwrap_or([f64::NAN; 2]),
            });
            measured.seconds = epoch.seconds;
        }
    }
    let wanted = design.regime.budget(job.subject).epochs;
    ensure!(
        measured.epochs.len() == wanted,
        "{}: {} of {wanted} epochs are trained; run without --skip train, with --resume",
        dir.display(),
        measured.epochs.len()
    );
    Ok(measured)
}
