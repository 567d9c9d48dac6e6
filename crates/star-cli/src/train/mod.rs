//! `star train`: a run that can be stopped at any step and goes on as if it never was.

pub mod ema;
pub mod metrics;
pub mod objective;
pub mod optimizer;
pub mod schedule;
pub mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device};
use indicatif::ProgressBar;
use star_data::dataset::Subset;
use star_data::loader::{Loader, LoaderConfig};
use star_data::{Dataset, Scheme};
use star_eval::{Evaluation, Report, Setting};
use star_model::checkpoint::{Architecture, Folder, FolderConfig, Provenance, Tensors};
use star_model::{LandmarkModel, Parameters, StackedHourglass};

use crate::config::TrainConfig;
use crate::landmarks::Predictor;
use crate::{batch, evaluate, output, progress, weights};
use ema::Ema;
use metrics::{EpochRecord, Log, StepRecord};
use objective::{Objective, TERMS};
use optimizer::Adam;
use state::{Best, Position, State};

/// The configuration that a run was started with, kept in its folder.
const CONFIG_COPY: &str = "config.toml";

/// Steps between the step records of `metrics.jsonl`.
const LOG_EVERY: usize = 10;

/// How a run is to be carried out, beside what it computes.
pub struct Options {
    /// Go on from the newest state.
    pub resume: bool,
    /// Set from outside to stop after the step under way.
    pub stop: Arc<AtomicBool>,
    /// Shown before the progress bar's figures.
    pub label: String,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All epochs are done.
    Finished(Option<Best>),
    /// Stopped from outside; the state is saved.
    Stopped,
}

struct Run<'a> {
    config: &'a TrainConfig,
    out: &'a Path,
    scheme: Scheme,
    architecture: Architecture,
    device: Device,
    parameters: Parameters,
    model: StackedHourglass,
    objective: Objective,
    optimizer: Adam,
    ema: Ema,
    train: Loader,
    validation: Arc<dyn Dataset>,
    setting: Setting,
    log: Log,
    position: Position,
}

/// Trains what `config` describes into the folder `out`; relative data paths start from `base`.
///
/// `out` then holds `best/` and `last/` (weights that every other command takes), `metrics.jsonl`, `config.toml` and
/// the state to resume from.
///
/// # Errors
/// On a configuration or data set that cannot be used, a loss that is not finite, and files that cannot be written;
/// earlier checkpoints are then intact.
pub fn run(config: &TrainConfig, base: &Path, out: &Path, options: &Options) -> Result<Outcome> {
    config.validate()?;
    if !options.resume && state::exists(out) {
        bail!("{} already holds a run: add --resume to go on with it, or choose another --out", out.display())
    }
    let saved = if options.resume { Some(State::load(out)?) } else { None };
    keep_config(config, out, options.resume)?;
    let mut run = Run::new(config, base, out, saved.as_ref())?;
    if let Some(saved) = saved {
        run.optimizer.restore(&saved.moments, saved.position.step)?;
        run.ema.restore(&saved.ema)?;
        run.position = saved.position;
    }
    run.epochs(options)
}

/// Keeps a copy of the configuration, and refuses to resume a run under another one (more epochs are fine).
fn keep_config(config: &TrainConfig, out: &Path, resume: bool) -> Result<()> {
    let path = out.join(CONFIG_COPY);
    if resume && path.exists() {
        let started = TrainConfig::read(&path)?;
        let same = TrainConfig { epochs: 0, workers: 0, save_minutes: 0.0, ..started.clone() }
            == TrainConfig { epochs: 0, workers: 0, save_minutes: 0.0, ..config.clone() };
        ensure!(
            same,
            "the configuration differs from the one this run was started with, {}; only epochs, workers and \
             save_minutes may change on --resume",
            path.display()
        );
    }
    output::make_dir(out)?;
    output::write_renamed(&path, toml::to_string_pretty(config)?.as_bytes())
}

/// The training faces without those held out, and the validation faces.
fn datasets(
    config: &TrainConfig,
    base: &Path,
    scheme: &Scheme,
) -> Result<(Arc<dyn Dataset>, Arc<dyn Dataset>)> {
    let train = config.data.train.open(base, scheme).context("data.train")?;
    if let Some(source) = &config.data.validation {
        return Ok((train, source.open(base, scheme).context("data.validation")?));
    }
    let held = ((train.len() as f64 * config.data.holdout).round() as usize).max(1);
    ensure!(
        train.len() > held,
        "data.train: {} faces are too few to hold {held} out for validation",
        train.len()
    );
    let (held, kept) = Subset::split(train, held, config.seed);
    Ok((Arc::new(kept), Arc::new(held)))
}

impl<'a> Run<'a> {
    fn new(config: &'a TrainConfig, base: &Path, out: &'a Path, saved: Option<&State>) -> Result<Self> {
        let scheme = config.scheme(base)?;
        let (train, validation) = datasets(config, base, &scheme)?;
        let network = config.model.network(&scheme);
        network.validate().context("model")?;
        ensure!(
            train.len() >= config.batch_size,
            "batch_size: {} training faces are fewer than one batch of {}",
            train.len(),
            config.batch_size
        );
        let device = Device::Cpu;
        let parameters = match saved {
            Some(saved) => Parameters::from_tensors(&saved.model, DType::F32, &device, config.seed)?,
            None => Parameters::new(config.seed),
        };
        let model = StackedHourglass::new(&network, parameters.var_builder(DType::F32, &device))?;
        let loader = LoaderConfig {
            batch_size: config.batch_size,
            image_size: network.image_size,
            map_size: network.map_size(),
            shuffle: true,
            drop_last: true,
            augmentation: config.augmentation.clone(),
            targets: network.attention && config.loss.aux_weight > 0.0,
            clamp: true,
            seed: config.seed,
            workers: config.workers,
            ..LoaderConfig::evaluation(config.batch_size, network.image_size)
        };
        let (ruler, ruler_name) = evaluate::ruler(&scheme, None)?;
        let setting = Setting {
            dataset: "validation".to_string(),
            subset: "full".to_string(),
            ruler_name: ruler_name.to_string(),
            ruler,
            thresholds: vec![scheme.threshold],
            groups: Vec::new(),
            notes: Vec::new(),
        };
        Ok(Self {
            optimizer: Adam::new(parameters.trainable())?,
            ema: Ema::new(&parameters, config.batch_size, config.ema_half_life)?,
            objective: Objective::new(&config.loss)?,
            train: Loader::new(train, loader)?,
            log: Log::open(&out.join("metrics.jsonl"), saved.map_or(0, |saved| saved.position.step))?,
            architecture: Architecture::StackedHourglass(network),
            position: Position { sums: vec![0.0; TERMS.len()], ..Default::default() },
            config,
            out,
            scheme,
            device,
            parameters,
            model,
            validation,
            setting,
        })
    }

    fn epochs(&mut self, options: &Options) -> Result<Outcome> {
        let batches = self.train.batches_per_epoch();
        let bar = progress::bar(self.config.epochs * batches, "steps");
        bar.set_position(self.position.step as u64);
        bar.reset_eta();
        while self.position.epoch < self.config.epochs {
            if !self.epoch(batches, &bar, options)? {
                bar.finish_and_clear();
                return Ok(Outcome::Stopped);
            }
        }
        bar.finish_and_clear();
        Ok(Outcome::Finished(self.position.best.clone()))
    }

    /// Trains to the end of the epoch under way and validates; false where it was stopped before.
    fn epoch(&mut self, batches: usize, bar: &ProgressBar, options: &Options) -> Result<bool> {
        let epoch = self.position.epoch;
        let rate = self.config.schedule.rate(epoch);
        let interval = Duration::from_secs_f64(self.config.save_minutes * 60.0);
        let (mut since, mut saved) = (Instant::now(), Instant::now());
        for batch in self.train.epoch(epoch as u64, self.position.batch) {
            let terms = self.step(&batch?, rate)?;
            self.position.batch += 1;
            self.position.step += 1;
            self.position.sums.iter_mut().zip(&terms).for_each(|(sum, term)| *sum += term);
            self.position.seconds += since.elapsed().as_secs_f64();
            since = Instant::now();
            bar.inc(1);
            bar.set_message(format!(
                "{} epoch {}/{}  loss {:.3}  landmark {:.4}",
                options.label,
                epoch + 1,
                self.config.epochs,
                terms[0],
                terms[1]
            ));
            if self.position.step.is_multiple_of(LOG_EVERY) {
                self.log.step(&StepRecord::new(epoch, self.position.step, rate, &terms))?;
            }
            let stop = options.stop.load(Ordering::SeqCst);
            if stop || saved.elapsed() >= interval {
                self.save_state()?;
                saved = Instant::now();
            }
            if stop {
                return Ok(false);
            }
        }
        self.finish_epoch(batches, rate, bar)?;
        Ok(true)
    }

    /// One step; returns the loss terms.
    fn step(&mut self, batch: &star_data::loader::Batch, rate: f64) -> Result<Vec<f64>> {
        let tensors = batch::tensors(batch, self.model.input(), DType::F32, &self.device)?;
        let stages = self.model.forward_t(&tensors.images, true)?;
        let loss = self.objective.loss(&stages, &tensors)?;
        let terms: Vec<f64> = loss
            .terms
            .iter()
            .map(|term| Ok(f64::from(term.to_dtype(DType::F32)?.to_scalar::<f32>()?)))
            .collect::<Result<_>>()?;
        if !terms[0].is_finite() {
            bail!(
                "the loss is not finite at step {} (epoch {}): samples {:?}; the state before it is kept. Lower the \
                 learning rate or look at these samples",
                self.position.step + 1,
                self.position.epoch + 1,
                batch.indices
            )
        }
        self.optimizer.step(&loss.total.backward()?, rate)?;
        self.ema.update(&self.parameters)?;
        Ok(terms)
    }

    fn finish_epoch(&mut self, batches: usize, rate: f64, bar: &ProgressBar) -> Result<()> {
        let epoch = self.position.epoch;
        let net = self.validate(&self.parameters.tensors())?;
        let ema = self.validate(self.ema.tensors())?;
        let nme = |report: &Report| report.nme_mean_fraction.unwrap_or(f64::INFINITY);
        let (use_ema, nme) = if nme(&ema) < nme(&net) { (true, nme(&ema)) } else { (false, nme(&net)) };
        if self.position.best.as_ref().is_none_or(|best| nme < best.nme) {
            self.position.best = Some(Best { epoch, nme, ema: use_ema });
            let tensors = if use_ema { self.ema.tensors().clone() } else { self.parameters.tensors() };
            self.save_folder("best", tensors, if use_ema { "net_ema" } else { "net" })?;
        }
        self.save_folder("last", self.parameters.tensors(), "net")?;
        let means: Vec<f64> = self.position.sums.iter().map(|sum| sum / batches as f64).collect();
        let record = EpochRecord::new(&self.position, rate, &means, &net, &ema);
        self.log.epoch(&record)?;
        bar.suspend(|| eprintln!("{}", record.line(self.config.epochs, &self.setting.ruler_name)));
        self.position = Position {
            epoch: epoch + 1,
            batch: 0,
            sums: vec![0.0; TERMS.len()],
            best: self.position.best.clone(),
            ..self.position
        };
        self.save_state()
    }

    /// Scores weights on the validation faces.
    fn validate(&self, tensors: &Tensors) -> Result<Report> {
        let vb = candle_nn::VarBuilder::from_tensors(
            tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect(),
            DType::F32,
            &self.device,
        );
        let predictor = Predictor::new(self.architecture.build(vb)?, DType::F32, &self.device);
        let mut evaluation = Evaluation::new(self.setting.clone())?;
        for face in evaluate::run_over(&predictor, self.validation.clone(), self.config.batch_size, |_| ())? {
            let name = format!("row {}", face.index);
            evaluation.add(name, Some(&face.landmarks.points), &face.truth, Some(&face.weights))?;
        }
        Ok(evaluation.report()?)
    }

    fn save_folder(&self, name: &str, tensors: Tensors, which: &str) -> Result<()> {
        let provenance = Provenance {
            source: format!("trained: epoch {}, seed {}", self.position.epoch + 1, self.config.seed),
            which: which.to_string(),
            written_by: weights::WRITTEN_BY.to_string(),
        };
        let config = FolderConfig::new(self.architecture.clone(), &self.scheme.name, provenance);
        let dir: PathBuf = self.out.join(name);
        Folder::new(config, tensors)?.save(&dir).with_context(|| format!("saving {}", dir.display()))
    }

    fn save_state(&mut self) -> Result<()> {
        self.log.flush()?;
        State {
            position: self.position.clone(),
            model: self.parameters.tensors(),
            ema: self.ema.tensors().clone(),
            moments: self.optimizer.state(),
        }
        .save(self.out)
    }
}
