//! What a run would cost, measured on its first steps.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use star_data::Dataset;
use star_data::loader::Batch;

use crate::run::Run;
use crate::trainer::Trainer;

/// Steps that are timed; one more warms up.
const STEPS: usize = 2;

/// What a run would cost. Its text is a table for a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Training samples.
    pub training_samples: usize,
    /// Validation samples.
    pub validation_samples: usize,
    /// Trained parameters, as numbers.
    pub parameters: usize,
    /// Bytes of a state on disk; two are kept.
    pub state_bytes: usize,
    /// Samples of a step.
    pub step_samples: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Epochs of the run.
    pub epochs: usize,
    /// Seconds of each step that was timed, and the memory they took.
    pub times: StepTimes,
}

/// How long steps took.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTimes {
    /// Seconds of each step, loading apart.
    pub seconds: Vec<f64>,
    /// The largest resident size of this process in bytes, where the system tells (Linux).
    pub peak_bytes: Option<f64>,
}

impl StepTimes {
    /// Mean seconds of a step.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.seconds.iter().sum::<f64>() / self.seconds.len() as f64
    }
}

/// Takes the first steps of a run in a folder that is then deleted, and asks `tell` about it.
fn try_out<R>(
    mut trainer: Trainer,
    train: &dyn Dataset,
    validation: &dyn Dataset,
    count: usize,
    tell: impl FnOnce(&Run<'_>, StepTimes) -> R,
) -> Result<R> {
    trainer.settings.tensorboard = false;
    trainer.validate()?;
    let scratch = tempfile::tempdir().context("a temporary folder")?;
    std::thread::scope(|scope| {
        let mut run = Run::new(trainer, scope, train, validation, scratch.path(), None)?;
        let accumulate = run.settings.accumulate;
        let group: Vec<Batch> = run.train.epoch(0, 0).take(accumulate).collect::<Result<_, _>>()?;
        let mut seconds = Vec::new();
        for step in 0..=count {
            let start = Instant::now();
            run.step(&group, 0.0)?;
            if step > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        Ok(tell(&run, StepTimes { seconds, peak_bytes: peak_bytes() }))
    })
}

/// See [`Trainer::step_times`].
pub(crate) fn step_times(
    trainer: Trainer,
    train: &dyn Dataset,
    validation: &dyn Dataset,
    count: usize,
) -> Result<StepTimes> {
    try_out(trainer, train, validation, count, |_, times| times)
}

/// See [`Trainer::estimate`].
pub(crate) fn estimate(trainer: Trainer, train: &dyn Dataset, validation: &dyn Dataset) -> Result<Estimate> {
    try_out(trainer, train, validation, STEPS, |run, times| {
        let (settings, network) = (&run.settings, &run.network);
        let parameters: usize = network.trainable.iter().map(|(_, var)| var.elem_count()).sum();
        let state = 2 * parameters + run.optimizer.state_numbers();
        Estimate {
            training_samples: train.len(),
            validation_samples: validation.len(),
            parameters,
            state_bytes: state * network.dtype.size_in_bytes(),
            step_samples: settings.batch_size * settings.accumulate,
            steps: run.train.batches_per_epoch().div_ceil(settings.accumulate),
            epochs: settings.epochs,
            times,
        }
    })
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.times.mean();
        let memory = self.times.peak_bytes.map(|bytes| format!("{:.2} GB", bytes / 1e9));
        let mut line = |name: &str, value: String| writeln!(f, "{name:<22}{value}");
        line("training samples", self.training_samples.to_string())?;
        line("validation samples", self.validation_samples.to_string())?;
        line("trained parameters", format!("{:.3} million", self.parameters as f64 / 1e6))?;
        line("state on disk", format!("{:.0} MB a copy, two are kept", self.state_bytes as f64 / 1e6))?;
        line("peak memory", memory.unwrap_or_else(|| "not known on this system".to_string()))?;
        line("step", format!("{step:.2} s for {} samples, loading apart", self.step_samples))?;
        line("epoch", format!("{} steps, {}", self.steps, span(step * self.steps as f64)))?;
        let whole = step * (self.steps * self.epochs) as f64;
        line("run", format!("{} epochs, {} without validation", self.epochs, span(whole)))
    }
}

/// Hours, minutes and seconds, as far as they matter.
fn span(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds.clamp(0.0, 1e12)).as_secs();
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds:.1} s"),
        (0, 0, m) => format!("{m} min {} s", whole % 60),
        (0, h, m) => format!("{h} h {m} min"),
        (d, h, _) => format!("{d} days {h} h"),
    }
}

fn peak_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_in_the_units_that_matter() {
        let spans: Vec<String> = [5.25, 65.0, 7260.0, 180_000.0].into_iter().map(span).collect();
        assert_eq!(spans, ["5.2 s", "1 min 5 s", "2 h 1 min", "2 days 2 h"]);
    }
}
