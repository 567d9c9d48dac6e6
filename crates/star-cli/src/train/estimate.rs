//! What a run would cost, measured on its first steps.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use star_data::loader::Batch;

use super::Run;
use super::collective::{Alone, Collective};
use crate::config::TrainConfig;

/// Steps that are timed; one more warms up.
const STEPS: usize = 2;

/// Takes the first steps of the run that `config` describes and says what the whole of it would need. Nothing is kept.
///
/// # Errors
/// As [`super::run`].
pub fn estimate(config: &TrainConfig, base: &Path) -> Result<String> {
    config.validate()?;
    let scratch = tempfile::tempdir().context("a temporary folder")?;
    let config = TrainConfig { tensorboard: false, ..config.clone() };
    let alone: Arc<dyn Collective> = Arc::new(Alone);
    let mut run = Run::new(&config, base, scratch.path(), None, &alone)?;
    let seconds = times(&mut run, STEPS)?;
    told(&run, seconds.iter().sum::<f64>() / seconds.len() as f64)
}

/// Seconds of each of `count` steps of the run that `config` describes, loading apart, after one more to warm up, and the largest
/// resident size of this process in bytes, where the system tells. Nothing is kept.
///
/// # Errors
/// As [`super::run`].
pub fn step_times(config: &TrainConfig, base: &Path, count: usize) -> Result<(Vec<f64>, Option<f64>)> {
    config.validate()?;
    let scratch = tempfile::tempdir().context("a temporary folder")?;
    let alone: Arc<dyn Collective> = Arc::new(Alone);
    let mut run = Run::new(config, base, scratch.path(), None, &alone)?;
    Ok((times(&mut run, count)?, peak_bytes()))
}

fn times(run: &mut Run<'_>, count: usize) -> Result<Vec<f64>> {
    let group: Vec<Batch> = run.train.epoch(0, 0).take(run.config.accumulate).collect::<Result<_, _>>()?;
    let mut seconds = Vec::new();
    for step in 0..=count {
        let start = Instant::now();
        run.step(&group, 0.0)?;
        if step > 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(seconds)
}

fn told(run: &Run<'_>, step: f64) -> Result<String> {
    let config = run.config;
    let steps = run.train.batches_per_epoch().div_ceil(config.accumulate);
    let numbers: usize = run.trainable.iter().map(|(_, var)| var.elem_count()).sum();
    let state = 2 * numbers + run.optimizer.state_numbers();
    let bytes = config.precision.dtype().size_in_bytes();
    let megabytes = |numbers: usize| (numbers * bytes) as f64 / 1e6;
    let mut text = String::new();
    let mut line = |name: &str, value: String| writeln!(text, "{name:<22}{value}");
    line("training faces", run.faces.len().to_string())?;
    line("validation faces", run.validation.len().to_string())?;
    line("trained parameters", format!("{:.3} million", numbers as f64 / 1e6))?;
    line("state on disk", format!("{:.0} MB a copy, two are kept", megabytes(state)))?;
    line("peak memory", peak_memory().unwrap_or_else(|| "not known on this system".to_string()))?;
    line("step", format!("{step:.2} s for {} faces, loading apart", config.batch_size * config.accumulate))?;
    line("epoch", format!("{} steps, {}", steps, span(step * steps as f64)))?;
    let whole = step * (steps * config.epochs) as f64;
    line("run", format!("{} epochs, {} without validation", config.epochs, span(whole)))?;
    Ok(text)
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

fn peak_memory() -> Option<String> {
    peak_bytes().map(|bytes| format!("{:.2} GB", bytes / 1e9))
}

/// The largest resident size of this process so far, where the system tells (Linux).
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
    fn spans_are_told_in_the_units_that_matter() {
        let told: Vec<String> = [5.25, 65.0, 7260.0, 180_000.0].into_iter().map(span).collect();
        assert_eq!(told, ["5.2 s", "1 min 5 s", "2 h 1 min", "2 days 2 h"]);
    }
}
