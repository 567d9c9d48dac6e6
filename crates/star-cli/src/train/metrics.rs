//! `metrics.jsonl`: one JSON object a line, for machines and for curves.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use star_eval::Report;
use star_predict::files;

use super::objective::TERMS;
use super::state::Position;

/// The loss terms by name, unweighted, of the last stack.
pub type Terms = std::collections::BTreeMap<String, f64>;

fn terms(values: &[f64]) -> Terms {
    TERMS.iter().zip(values).map(|(name, value)| (name.to_string(), *value)).collect()
}

/// What one step saw, as means over its batches.
pub(super) struct Seen {
    /// The figures of [`TERMS`].
    pub(super) terms: Vec<f64>,
    /// Norm of the gradient, before it was clipped.
    pub(super) gradient_norm: f64,
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
    pub(super) fn new(epoch: usize, step: usize, learning_rate: f64, seen: &Seen) -> Self {
        let (terms, gradient_norm) = (terms(&seen.terms), seen.gradient_norm);
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
    /// Mean NME of the validation faces, a fraction of `normalizer`.
    pub validation_nme: Option<f64>,
    /// The same for the moving average of the weights.
    pub validation_nme_ema: Option<f64>,
    /// Validation faces.
    pub validation_faces: usize,
    /// What NME is a fraction of.
    pub normalizer: String,
    /// Threshold of the two figures below, as a fraction.
    pub threshold: f64,
    /// Share of validation faces with a larger NME.
    pub failure_rate: f64,
    /// Area under the cumulative error curve up to the threshold.
    pub auc: f64,
    /// Smaller and larger eigenvalue of the distributions that the weights predict for validation faces, means over all landmarks,
    /// in squared halves of the network's input: what STAR's restriction keeps from growing.
    #[serde(default)]
    pub validation_eigenvalues: Option<[f64; 2]>,
    /// Seconds of training since the start, validation apart.
    pub seconds: f64,
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
            validation_faces: net.images,
            normalizer: net.normalizer.clone(),
            threshold: at.first().map_or(f64::NAN, |at| at.threshold_fraction),
            failure_rate: at.first().map_or(f64::NAN, |at| at.failure_rate_fraction),
            auc: at.first().map_or(f64::NAN, |at| at.auc),
            validation_eigenvalues: None,
            seconds: position.seconds,
            best,
        }
    }

    /// The record as a line for a person.
    pub fn line(&self, epochs: usize, normalizer: &str) -> String {
        let percent =
            |nme: Option<f64>| nme.map_or("missing".to_string(), |nme| format!("{:.3} %", 100.0 * nme));
        let loss = self.terms.get("total").copied().unwrap_or(f64::NAN);
        format!(
            "epoch {}/{epochs}  loss {loss:.3}  validation NME ({normalizer}) {}, average {}  {:.0} s{}",
            self.epoch,
            percent(self.validation_nme),
            percent(self.validation_nme_ema),
            self.seconds,
            if self.best { "  best" } else { "" }
        )
    }
}

/// The open log.
pub struct Log {
    file: std::io::BufWriter<std::fs::File>,
}

impl Log {
    /// Opens the log of a run at `step`: records of later steps, which a resumed run will make again, are dropped.
    ///
    /// # Errors
    /// Names the file.
    pub fn open(path: &Path, step: usize) -> Result<Self> {
        if path.exists() {
            let kept: Vec<String> = read(path)?
                .iter()
                .filter(|record| match record {
                    Record::Step(r) => r.step <= step,
                    Record::Epoch(r) => r.step <= step,
                })
                .map(serde_json::to_string)
                .collect::<Result<_, _>>()?;
            let text: String = kept.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            files::write_atomic(path, text.as_bytes())?;
        }
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| path.display().to_string())?;
        Ok(Self { file: std::io::BufWriter::new(file) })
    }

    /// Appends a step.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn step(&mut self, record: &StepRecord) -> Result<()> {
        self.write(&Record::Step(record.clone()))
    }

    /// Appends an epoch.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        self.write(&Record::Epoch(record.clone()))?;
        self.flush()
    }

    fn write(&mut self, record: &Record) -> Result<()> {
        writeln!(self.file, "{}", serde_json::to_string(record)?).context("writing metrics.jsonl")
    }

    /// Brings everything to disk.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().context("writing metrics.jsonl")
    }
}

/// Reads a log; a last line that was cut off in the middle is passed over.
///
/// # Errors
/// Names the file and line that is no record.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines: Vec<&str> = text.lines().collect();
    let mut records = Vec::with_capacity(lines.len());
    for (i, line) in lines.iter().enumerate() {
        match serde_json::from_str(line) {
            Ok(record) => records.push(record),
            Err(_) if i + 1 == lines.len() && !text.ends_with('\n') => {}
            Err(error) => {
                return Err(error).with_context(|| format!("{}: line {}", path.display(), i + 1));
            }
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen { terms: vec![1.0; TERMS.len()], gradient_norm: 1.0 }
    }

    #[test]
    fn reopening_drops_what_a_resumed_run_will_make_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut log = Log::open(&path, 0).unwrap();
        for step in [10, 20, 30] {
            log.step(&StepRecord::new(0, step, 1e-3, &seen())).unwrap();
        }
        drop(log);
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"kind\":\"st").unwrap();
        drop(Log::open(&path, 20).unwrap());
        let steps: Vec<usize> = read(&path)
            .unwrap()
            .iter()
            .map(|record| match record {
                Record::Step(r) => r.step,
                Record::Epoch(r) => r.step,
            })
            .collect();
        assert_eq!(steps, [10, 20]);
    }
}
