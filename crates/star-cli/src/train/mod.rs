//! `star train`: a run that can be stopped at any step and goes on as if it never was.

pub mod collective;
mod curves;
mod data;
pub mod ema;
mod estimate;
mod initial;
pub mod metrics;
pub mod objective;
pub mod optimizer;
mod picture;
pub mod schedule;
pub mod state;
mod steps;
mod table;
mod tensorboard;
mod update;
mod validation;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Var};
use indicatif::ProgressBar;
use star_data::loader::{Loader, LoaderConfig, Part};
use star_data::{Dataset, Scheme};
use star_eval::Setting;
use star_model::checkpoint::Architecture;
use star_model::{LandmarkModel, Parameters, TrainingOptions};
use star_predict::{failure, files};

use crate::config::TrainConfig;
use crate::{plan, progress};
use collective::{Collective, Known, Statistics};
use ema::Ema;
use metrics::Log;
use objective::{Objective, TERMS};
use optimizer::Optimizer;
use state::{Best, Position, State};
use tensorboard::Events;

pub use estimate::{estimate, step_times};

/// The configuration that a run was started with, kept in its folder.
const CONFIG_COPY: &str = "config.toml";

/// How a run is to be carried out, beside what it computes.
pub struct Options {
    /// Those who train the same network on the rest of every batch.
    pub collective: Arc<dyn Collective>,
    /// Go on from the newest state.
    pub resume: bool,
    /// Set from outside to stop after the step under way.
    pub stop: Arc<AtomicBool>,
    /// Shown before the progress bar's figures.
    pub label: String,
    /// Neither progress bar nor a line an epoch: for programs that train several networks at once.
    pub quiet: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All epochs are done, or the validation stopped getting better.
    Finished(Option<Best>),
    /// Stopped from outside; the state is saved.
    Stopped,
}

/// What was said about loading already.
#[derive(Default)]
struct Told {
    unreadable: BTreeSet<usize>,
    waiting: bool,
}

struct Run<'a> {
    config: &'a TrainConfig,
    out: &'a Path,
    scheme: Scheme,
    architecture: Architecture,
    device: Device,
    dtype: DType,
    parameters: Parameters,
    trainable: Vec<(String, Var)>,
    model: Box<dyn LandmarkModel>,
    collective: Arc<dyn Collective>,
    objective: Objective,
    optimizer: Optimizer,
    ema: Ema,
    faces: Arc<dyn Dataset>,
    train: Loader<'static>,
    told: Told,
    validation: Arc<dyn Dataset>,
    /// Validation faces that the network sees at a time.
    validation_batch: usize,
    setting: Setting,
    /// Written by rank 0.
    log: Option<Log>,
    events: Option<Events>,
    position: Position,
}

/// Trains what `config` describes into the folder `out`; relative data paths start from `base`.
///
/// `out` then holds `best/` and `last/` (weights that every other command takes), `metrics.jsonl`, curves as SVG, `config.toml`
/// and the state to resume from.
///
/// # Errors
/// On a configuration or data set that cannot be used, a loss that is not finite, and files that cannot be written;
/// earlier checkpoints are then intact. Where several ranks train, an error on one ends all.
pub fn run(config: &TrainConfig, base: &Path, out: &Path, options: &Options) -> Result<Outcome> {
    let ended = carry_out(config, base, out, options);
    if let Err(error) = &ended
        && !error.is::<Known>()
    {
        options.collective.abort(&failure::describe(error));
    }
    ended
}

fn carry_out(config: &TrainConfig, base: &Path, out: &Path, options: &Options) -> Result<Outcome> {
    config.validate()?;
    let collective = &options.collective;
    let saved = if collective.leads() { begin(config, out, options.resume) } else { Ok(None) };
    let saved = collective.state_from_first(collective.agree(saved)?)?;
    let mut run = Run::new(config, base, out, saved.as_ref(), collective)?;
    if let Some(saved) = saved {
        run.optimizer.restore(&saved.optimizer, saved.position.step)?;
        run.ema.restore(&saved.ema)?;
        run.position = saved.position;
    }
    run.epochs(options)
}

/// What rank 0 does before a run: the state to resume from, the folder and the configuration in it.
fn begin(config: &TrainConfig, out: &Path, resume: bool) -> Result<Option<State>> {
    if !resume && state::exists(out) {
        bail!("{} already holds a run: add --resume to go on with it, or choose another --out", out.display())
    }
    let saved = if resume { Some(State::load(out)?) } else { None };
    keep_config(config, out, resume)?;
    Ok(saved)
}

/// Keeps a copy of the configuration, and refuses to resume a run under another one (more epochs are fine where the learning rate
/// does not depend on their number).
fn keep_config(config: &TrainConfig, out: &Path, resume: bool) -> Result<()> {
    let path = out.join(CONFIG_COPY);
    if resume && path.exists() {
        let started = TrainConfig::read(&path)?;
        let fixed = |c: &TrainConfig| TrainConfig {
            epochs: if c.schedule.needs_the_end() { c.epochs } else { 0 },
            workers: 0,
            save_minutes: 0.0,
            tensorboard: false,
            early_stop: None,
            ..c.clone()
        };
        ensure!(
            fixed(&started) == fixed(config),
            "the configuration differs from the one this run was started with, {}; only epochs (under a constant or stepped \
             learning rate), workers, save_minutes, tensorboard and early_stop may change on --resume",
            path.display()
        );
    }
    files::make_dir(out)?;
    files::write_atomic(&path, toml::to_string_pretty(config)?.as_bytes())
}

impl<'a> Run<'a> {
    fn new(
        config: &'a TrainConfig,
        base: &Path,
        out: &'a Path,
        saved: Option<&State>,
        collective: &Arc<dyn Collective>,
    ) -> Result<Self> {
        let ranks = collective.ranks();
        let here = collective::share(config.batch_size, ranks)?;
        let opened = || -> Result<_> {
            let scheme = config.scheme(base)?;
            let (faces, validation) = data::sets(config, base, &scheme)?;
            Ok((scheme, faces, validation))
        };
        let (scheme, faces, validation) = collective.agree(opened())?;
        let architecture = config.model.architecture(&scheme).context("model")?;
        let aux = architecture.edges().is_some();
        ensure!(
            faces.len() >= config.batch_size,
            "batch_size: {} training faces are fewer than one batch of {}",
            faces.len(),
            config.batch_size
        );
        let device = config.device.of_rank(collective.local_rank()).open()?;
        let dtype = config.precision.dtype();
        let parameters = match (saved, &config.init_from) {
            (Some(saved), _) => Parameters::from_tensors(&saved.model, dtype, &device, config.seed)?,
            (None, Some(from)) => {
                let read = || initial::tensors(from, base, &architecture).map(Some);
                let tensors = collective.agree(if collective.leads() { read() } else { Ok(None) })?;
                let tensors = collective.tensors_from_first(tensors)?.unwrap_or_default();
                Parameters::from_tensors(&tensors, dtype, &device, config.seed)?
            }
            (None, None) => Parameters::new(config.seed),
        };
        let vb = parameters.var_builder(dtype, &device);
        let exchange = (ranks > 1).then(|| Arc::new(Statistics(collective.clone())) as _);
        let options = TrainingOptions { process_group: exchange, recompute: config.recompute };
        let model = architecture.build_for_training(vb, &options)?;
        let part = Part { index: collective.rank(), count: ranks };
        let loader = LoaderConfig { part, ..data::loader_config(config, model.input(), aux) };
        let (normalizer, normalizer_name) = plan::normalizer(&scheme, None)?;
        let setting = Setting {
            dataset: "validation".to_string(),
            subset: "full".to_string(),
            normalizer_name: normalizer_name.to_string(),
            normalizer,
            thresholds: vec![scheme.threshold],
            groups: Vec::new(),
            notes: Vec::new(),
        };
        let step = saved.map_or(0, |saved| saved.position.step);
        let trainable = parameters.trainable();
        let writes = collective.leads();
        Ok(Self {
            optimizer: Optimizer::new(&config.optimizer, trainable.clone())?,
            ema: Ema::new(&parameters, config.batch_size * config.accumulate, config.ema_half_life)?,
            objective: Objective::new(&config.loss, &scheme)?,
            train: Loader::new(faces.clone(), loader)?,
            told: Told::default(),
            log: if writes { Some(Log::open(&out.join("metrics.jsonl"), step)?) } else { None },
            events: if writes && config.tensorboard {
                Some(Events::create(&out.join("tensorboard"))?)
            } else {
                None
            },
            position: Position { sums: vec![0.0; TERMS.len()], ..Default::default() },
            config,
            out,
            scheme,
            architecture,
            device,
            dtype,
            parameters,
            trainable,
            model,
            faces,
            validation,
            validation_batch: here,
            setting,
            collective: collective.clone(),
        })
    }

    fn epochs(&mut self, options: &Options) -> Result<Outcome> {
        let steps = self.train.batches_per_epoch().div_ceil(self.config.accumulate);
        let bar = if self.collective.leads() && !options.quiet {
            progress::bar(self.config.epochs * steps, "steps")
        } else {
            ProgressBar::hidden()
        };
        bar.set_position(self.position.step as u64);
        bar.reset_eta();
        while self.position.epoch < self.config.epochs && !self.has_settled() {
            if !self.epoch(&bar, options)? {
                bar.finish_and_clear();
                return Ok(Outcome::Stopped);
            }
        }
        bar.finish_and_clear();
        if self.position.epoch < self.config.epochs && self.collective.leads() {
            eprintln!("no better validation for {} epochs: done", self.config.early_stop.unwrap_or_default());
        }
        Ok(Outcome::Finished(self.position.best.clone()))
    }

    /// Whether the best validation lies as far back as `early_stop` allows.
    fn has_settled(&self) -> bool {
        match (self.config.early_stop, &self.position.best) {
            (Some(patience), Some(best)) => self.position.epoch > best.epoch + patience,
            _ => false,
        }
    }
}
