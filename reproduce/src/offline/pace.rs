//! How long a run takes on this machine, from a step that is measured before it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::Device;
use star_data::synthetic::{self, SyntheticConfig};
use star_model::CompileOptions;
use star_model::checkpoint::Folder;
use star_predict::Predictor;
use star_train::config::{Options, SourceSection};
use star_train::evaluate::{self, Labels};

use super::design::{Design, Job, SetSeeds};
use crate::pool::{self, Workers};
use crate::runner::Recipe;

/// Images that are trained on, and scored, to measure.
const IMAGES: usize = 96;
/// Rounds over them; the first, in which memory is first touched and a network built, is not counted.
const ROUNDS: usize = 3;

/// Seconds of one thread while as many train as will at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// For an image of a training step.
    pub(super) train: f64,
    /// For an image that is scored.
    pub(super) score: f64,
}

impl Pace {
    /// Trains and scores for a second or two, `at_once` at a time, on images that no run has.
    ///
    /// # Errors
    /// When a training fails.
    pub(super) fn measure(design: &Design, job: &Job, at_once: usize) -> Result<Self> {
        let dir = tempfile()?;
        let seconds = std::sync::Mutex::new((0.0, 0.0));
        let done = pool::run(at_once, Workers::OneThreadEach(at_once), &AtomicBool::new(false), |i| {
            let (train, score) = one(design, job, &dir.join(i.to_string()))?;
            let mut sum = seconds.lock().unwrap_or_else(|broken| broken.into_inner());
            *sum = (sum.0 + train / at_once as f64, sum.1 + score / at_once as f64);
            Ok(())
        });
        let removed = std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()));
        done.and(removed)?;
        let (train, score) = *seconds.lock().unwrap_or_else(|broken| broken.into_inner());
        Ok(Self { train, score })
    }

    /// Seconds that the trainings in `jobs` take, so many at a time.
    pub(super) fn seconds<'a>(
        self,
        design: &Design,
        jobs: impl Iterator<Item = &'a Job>,
        at_once: usize,
    ) -> f64 {
        let of = |job: &Job| {
            let epochs = design.config(job).epochs;
            let trained = epochs * design.regime.budget(job.cell.subject).train;
            // After every epoch the weights and their average are scored on the validation images.
            let scored = 2 * epochs * design.regime.validation + design.regime.test;
            trained as f64 * self.train + scored as f64 * self.score
        };
        jobs.map(of).sum::<f64>() / at_once as f64
    }
}

/// A fresh folder for what is thrown away; one that a killed process of the same number left is removed.
fn tempfile() -> Result<std::path::PathBuf> {
    let dir = std::env::temp_dir().join(format!("star-reproduce-{}", std::process::id()));
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    star_predict::files::make_dir(&dir)?;
    Ok(dir)
}

/// Seconds for an image of a training step and for one that is scored.
fn one(design: &Design, job: &Job, dir: &Path) -> Result<(f64, f64)> {
    let Recipe { mut config, control } = design.recipe(job);
    let images = |count| SyntheticConfig {
        seed: SetSeeds::PACE,
        ..job.cell.images(count, 0, design.regime.image_side)
    };
    (config.epochs, config.data.validation) = (ROUNDS, Some(SourceSection::Synthetic(images(2))));
    config.data.train = SourceSection::Synthetic(images(IMAGES));
    let clock = Arc::new(std::sync::Mutex::new(Vec::new()));
    let options = Options { progress: Box::new(Clock(clock.clone())), ..Default::default() };
    Recipe { config, control }.run(dir, options)?;
    let times = clock.lock().unwrap_or_else(|broken| broken.into_inner()).clone();
    let span =
        times.first().zip(times.last()).map_or(0.0, |(a, b): (&Instant, &Instant)| (*b - *a).as_secs_f64());
    let train = span / ((ROUNDS - 1) * IMAGES) as f64;
    let folder = Folder::load(&dir.join("best"))?;
    let predictor = Predictor::from_folder(&folder, &Device::Cpu, &CompileOptions::default())?;
    let set = synthetic::open(images(IMAGES))?;
    let start = Instant::now();
    evaluate::run_over(&predictor, set.as_ref(), 32, Labels::AsAnnotated, |_| ())?;
    Ok((train, start.elapsed().as_secs_f64() / IMAGES as f64))
}

/// When each epoch ended.
struct Clock(Arc<std::sync::Mutex<Vec<Instant>>>);

impl star_train::Progress for Clock {
    fn epoch(&mut self, _: &star_train::records::EpochRecord, _: usize) {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner()).push(Instant::now());
    }

    fn note(&mut self, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::super::design::Kind;
    use super::*;

    #[test]
    fn a_run_takes_the_time_of_its_images() {
        let design = Design::new(Kind::Default, Some(1), Some(2));
        let jobs = design.jobs();
        let pace = Pace { train: 1.0, score: 0.5 };
        // Two epochs of the training images; twice the validation images after each of two epochs, and the test images, for half a second.
        let regime = &design.regime;
        let one = 2.0 * regime.faces.train as f64 + 0.5 * (4 * regime.validation + regime.test) as f64;
        let seconds = pace.seconds(&design, jobs.iter().take(3), 2);
        assert!((seconds - 1.5 * one).abs() < 1e-9, "{seconds}");
    }
}
