//! What every profile does with its networks: trains them, goes on with what was interrupted, scores what has changed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use star_data::atomic;
use star_model::checkpoint::WEIGHTS_FILE;
use star_predict::files;
use star_train::config::{Options, TrainConfig};
use star_train::records::EpochRecord;
use star_train::{Outcome, state};

use crate::controls::{Control, ControlLoss};
use crate::machine::sha256;
use crate::pool::{self, Workers};

/// Marks a training that is finished, so that `--resume` passes over it.
const DONE: &str = "done";

/// One training of a run.
#[derive(Clone, Debug)]
pub(crate) struct Training {
    /// Name of its folder.
    pub(crate) slug: String,
    /// What is printed of it.
    pub(crate) title: String,
    /// Hashes of what it sees and chooses its best epoch by, or of its settings; empty where nobody looked.
    pub(crate) data: String,
}

/// A network that is scored.
pub(crate) struct Network {
    /// Name of the file of its scores.
    pub(crate) slug: String,
    pub(crate) title: String,
    /// The folder of its weights.
    pub(crate) weights: PathBuf,
}

/// How the work of a run is done.
pub(crate) struct Runner<'a> {
    pub(crate) workers: Workers,
    pub(crate) stop: &'a Arc<AtomicBool>,
    pub(crate) detail: Detail,
}

/// What is printed of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// That it is done.
    Trainings,
    /// Every epoch of it: it takes hours.
    Epochs,
}

/// What is trained.
pub(crate) struct Recipe {
    pub(crate) config: TrainConfig,
    /// The loss instead of the configuration's.
    pub(crate) control: Option<Control>,
}

impl Recipe {
    /// Trains into `folder`.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn run(&self, folder: &Path, options: Options) -> Result<Outcome> {
        let prepared = self.config.prepare(Path::new("."), options)?;
        let Some(control) = self.control else { return prepared.run(folder) };
        let loss = ControlLoss { control, restriction_weight: self.config.loss.restriction_weight };
        // Without the training file in the folder: none can say this.
        let trainer = prepared.trainer.loss(loss);
        let description = serde_json::json!({"config": self.config, "control": control});
        trainer.description(description).run(&prepared.train, &prepared.validation, folder)
    }
}

/// Whether the training in `folder` is finished.
pub(crate) fn is_done(folder: &Path) -> bool {
    folder.join(DONE).exists()
}

/// That what is trained in `folder`, if anything is, was trained on what has the hash `now`; nothing is known where nobody looked.
///
/// # Errors
/// When it was trained on something else.
pub(crate) fn same_data(folder: &Path, now: &str) -> Result<()> {
    let then = std::fs::read_to_string(data_file(folder)).unwrap_or_default();
    ensure!(
        !folder.exists() || now.is_empty() || then.is_empty() || now == then,
        "{}: was trained on other data, or with other settings, than it would be now; remove it, or choose another --out",
        folder.display()
    );
    Ok(())
}

/// Removes a training whose weights nobody needs any more.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    std::fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    let data = data_file(folder);
    if data.exists() {
        std::fs::remove_file(&data).with_context(|| format!("removing {}", data.display()))?;
    }
    Ok(())
}

/// Where the hash of what a training is trained on is written down: beside its folder.
fn data_file(folder: &Path) -> PathBuf {
    folder.with_added_extension("data")
}

impl Runner<'_> {
    /// Trains each of `trainings` into its folder below `dir`; what is finished is passed over, what was interrupted goes on.
    ///
    /// # Errors
    /// When a training fails or is stopped, and when one was done on other data.
    pub(crate) fn train(
        &self,
        trainings: &[Training],
        dir: &Path,
        recipe: impl Fn(usize) -> Result<Recipe> + Sync,
    ) -> Result<()> {
        let left = trainings.iter().filter(|training| !is_done(&dir.join(&training.slug)));
        let progress = Progress::new(left.count());
        self.each(trainings.len(), |i| {
            let (training, folder) = (&trainings[i], dir.join(&trainings[i].slug));
            same_data(&folder, &training.data)?;
            if is_done(&folder) {
                return Ok(());
            }
            let train = || self.train_one(training, &folder, &recipe(i)?);
            if let Some(nme) = train().with_context(|| format!("training {}", training.title))? {
                progress.print(&format!("{}: validation NME {:.2} %", training.title, 100.0 * nme));
            }
            Ok(())
        })
    }

    /// Validation NME of the best epoch; `None` where it was stopped.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) fn train_one(
        &self,
        training: &Training,
        folder: &Path,
        recipe: &Recipe,
    ) -> Result<Option<f64>> {
        // Where nobody looked, what an earlier attempt wrote down stays.
        if !training.data.is_empty() {
            files::make_dir(folder.parent().unwrap_or(folder))?;
            atomic::write(&data_file(folder), training.data.as_bytes())?;
        }
        let mut options =
            Options { resume: state::exists(folder), stop: self.stop.clone(), ..Default::default() };
        if self.detail == Detail::Epochs {
            options.progress = Box::new(EpochLines(training.title.clone()));
        }
        if !options.resume && folder.exists() {
            // Killed before its first state: nothing in it can be gone on with.
            std::fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        match recipe.run(folder, options)? {
            Outcome::Stopped => Ok(None),
            Outcome::Finished(best) => {
                atomic::write(&folder.join(DONE), b"")?;
                Ok(Some(best.map_or(f64::NAN, |best| best.nme)))
            }
        }
    }

    /// Scores each of `networks` into its file below `dir`, unless that `is_current`: of these weights, by their hash.
    ///
    /// # Errors
    /// When a network or what it is scored on cannot be read, and when it is stopped.
    pub(crate) fn score<S: Serialize + DeserializeOwned>(
        &self,
        networks: &[Network],
        dir: &Path,
        is_current: impl Fn(usize, &S, &str) -> bool + Sync,
        score: impl Fn(usize, String) -> Result<S> + Sync,
    ) -> Result<()> {
        self.each(networks.len(), |i| {
            let network = &networks[i];
            let path = dir.join(format!("{}.json", network.slug));
            let hash = sha256(&network.weights.join(WEIGHTS_FILE))?;
            if read::<S>(&path).is_ok_and(|scores| is_current(i, &scores, &hash)) {
                return Ok(());
            }
            println!("{}: scoring", network.title);
            let scores = score(i, hash).with_context(|| format!("scoring {}", network.title))?;
            Ok(atomic::write(&path, serde_json::to_string(&scores)?.as_bytes())?)
        })
    }

    /// Does `work` for every index below `count`.
    ///
    /// # Errors
    /// The first of `work`; when it is stopped, how to go on.
    pub(crate) fn each(&self, count: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
        pool::run(count, self.workers, self.stop, work)?;
        if self.stop.load(Ordering::SeqCst) {
            bail!("stopped; go on with: cargo xtask reproduce-paper --resume (and the same options)");
        }
        Ok(())
    }
}

/// Reads what a network was scored as.
///
/// # Errors
/// Names the file, and what to do where it is not there.
pub(crate) fn read<S: DeserializeOwned>(path: &Path) -> Result<S> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: not scored; run without --skip eval", path.display()))?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// Prints a line an epoch of the training that is called so.
struct EpochLines(String);

impl star_train::Progress for EpochLines {
    fn epoch(&mut self, record: &EpochRecord, epochs: usize) {
        println!("{}: {}", self.0, record.line(epochs));
    }

    fn note(&mut self, text: &str) {
        println!("{}: {text}", self.0);
    }
}

/// Prints what is done and how long the rest may take.
pub(crate) struct Progress {
    count: usize,
    start: Instant,
    done: Mutex<usize>,
}

impl Progress {
    /// Of `count` pieces of work.
    pub(crate) fn new(count: usize) -> Self {
        Self { count, start: Instant::now(), done: Mutex::new(0) }
    }

    /// Says that one more is done.
    pub(crate) fn print(&self, what: &str) {
        let mut done = self.done.lock().unwrap_or_else(|broken| broken.into_inner());
        *done += 1;
        let elapsed = self.start.elapsed().as_secs_f64();
        let left = Duration::from_secs_f64(elapsed / *done as f64 * (self.count - *done) as f64).as_secs();
        println!("[{}/{}] {what}; about {} min {} s left", *done, self.count, left / 60, left % 60);
    }
}
