//! What is recorded of a run: the lines of `metrics.jsonl`.

mod log;

use serde::{Deserialize, Serialize};
use star_eval::Report;

use crate::objective::TERMS;
use crate::state::Position;

pub use self::log::{Log, read};

/// The loss terms by name, unweighted, of the last stage.
pub type Terms = std::collections::BTreeMap<String, f64>;

fn terms(values: &[f64]) -> Terms {
    TERMS.iter().zip(values).map(|(name, value)| (name.to_string(), *value)).collect()
}

/// Figures of one step, as means over its batches.
pub(crate) struct StepFigures {
    /// The figures of [`TERMS`].
    pub(crate) terms: Vec<f64>,
    /// Norm of the gradient, before it was clipped.
    pub(crate) gradient_norm: f64,
}

/// A line of the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// Every few steps.
    Step(StepRecord),
    /// After every epoch.
    Epoch(EpochRecord),
}

/// Figures of one step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepRecord {
    /// Epoch, counted from 1.
    pub epoch: usize,
    /// Step, counted from 1.
    pub step: usize,
    /// Learning rate.
    pub learning_rate: f64,
    /// Loss terms, means over the step's batches.
    pub terms: Terms,
    /// Norm of the gradient, before it was clipped.
    pub gradient_norm: f64,
}

impl StepRecord {
    /// A record of `step`; `epoch` counted from 0.
    pub(crate) fn new(epoch: usize, step: usize, learning_rate: f64, figures: &StepFigures) -> Self {
        let (terms, gradient_norm) = (terms(&figures.terms), figures.gradient_norm);
        Self { epoch: epoch + 1, step, learning_rate, terms, gradient_norm }
    }
}

/// Figures of one epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Epoch, counted from 1.
    pub epoch: usize,
    /// Steps since the start.
    pub step: usize,
    /// Learning rate.
    pub learning_rate: f64,
    /// Mean loss terms over the epoch's batches.
    pub terms: Terms,
    /// Mean NME of the validation samples, a fraction of `normalizer`.
    pub validation_nme: Option<f64>,
    /// The same for the moving average of the weights.
    pub validation_nme_ema: Option<f64>,
    /// Validation samples.
    pub validation_samples: usize,
    /// What NME is a fraction of.
    pub normalizer: String,
    /// Threshold of the two figures below, as a fraction.
    pub threshold: f64,
    /// Share of validation samples with a larger NME.
    pub failure_rate: f64,
    /// Area under the cumulative error curve up to the threshold.
    pub auc: f64,
    /// Smaller and larger eigenvalue of the distributions that the weights predict for validation samples, means over all landmarks,
    /// in squared halves of the network's input: what STAR's restriction keeps from growing.
    #[serde(default)]
    pub validation_eigenvalues: Option<[f64; 2]>,
    /// Seconds of training since the start, validation apart.
    pub seconds: f64,
    /// Training images a second in this epoch, validation apart; of a resumed epoch in its last part.
    #[serde(default)]
    pub images_per_second: Option<f64>,
    /// Whether this is the best epoch so far.
    pub best: bool,
}

impl EpochRecord {
    /// A record of the epoch that `position` has just finished.
    pub fn new(position: &Position, learning_rate: f64, values: &[f64], net: &Report, ema: &Report) -> Self {
        let best = position.best.as_ref().is_some_and(|best| best.epoch == position.epoch);
        let at =
            if position.best.as_ref().is_some_and(|b| b.ema) { &ema.thresholds } else { &net.thresholds };
        Self {
            epoch: position.epoch + 1,
            step: position.step,
            learning_rate,
            terms: terms(values),
            validation_nme: net.nme_mean_fraction,
            validation_nme_ema: ema.nme_mean_fraction,
            validation_samples: net.images,
            normalizer: net.normalizer.clone(),
            threshold: at.first().map_or(f64::NAN, |at| at.threshold_fraction),
            failure_rate: at.first().map_or(f64::NAN, |at| at.failure_rate_fraction),
            auc: at.first().map_or(f64::NAN, |at| at.auc),
            validation_eigenvalues: None,
            seconds: position.seconds,
            images_per_second: None,
            best,
        }
    }

    /// The record of an epoch of `epochs` as a line for a person.
    pub fn line(&self, epochs: usize) -> String {
        let percent =
            |nme: Option<f64>| nme.map_or("missing".to_string(), |nme| format!("{:.3} %", 100.0 * nme));
        let loss = self.terms.get("total").copied().unwrap_or(f64::NAN);
        format!(
            "epoch {}/{epochs}  loss {loss:.3}  validation NME ({}) {}, average {}  {:.0} s{}",
            self.epoch,
            self.normalizer,
            percent(self.validation_nme),
            percent(self.validation_nme_ema),
            self.seconds,
            if self.best { "  best" } else { "" }
        )
    }
}
