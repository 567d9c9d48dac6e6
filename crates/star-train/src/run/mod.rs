//! A run that can be stopped at any step and goes on as if it never was.

mod begin;
mod checkpoint;
mod feed;
mod first_sample;
#[cfg(test)]
#[cfg(feature = "cuda")]
mod on_a_card;
mod shares;
mod steps;
mod table;
mod validation;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::Scope;

use anyhow::{Result, ensure};
use candle_core::Device;
use star_data::loader::{Loader, LoaderConfig, Part};
use star_data::{Dataset, Scheme};
use star_eval::Setting;
use star_model::InputSpec;
use star_predict::failure;
use star_predict::tensors::{Target, Uploader};

use crate::collective::{self, Collective, SharedError};
use crate::ema::Ema;
use crate::network::{Network, Start};
use crate::objective::{Objective, TERMS};
use crate::optimizer::Optimizer;
use crate::progress::Progress;
use crate::records::Log;
use crate::settings::Settings;
use crate::state::{Best, Position, State};
use crate::tensorboard::Events;
use crate::trainer::Trainer;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All epochs are done, or the validation stopped getting better.
    Finished(Option<Best>),
    /// Stopped from outside; the state is saved.
    Stopped,
}

/// What was said about loading already; each is said once a run.
#[derive(Default)]
struct Warned {
    unreadable: BTreeSet<usize>,
    waiting: bool,
}

/// A run under way.
pub(crate) struct Run<'a> {
    pub(crate) settings: Settings,
    out: &'a Path,
    scheme: Scheme,
    pub(crate) network: Network,
    uploader: Uploader,
    collective: Arc<dyn Collective>,
    objective: Objective,
    pub(crate) optimizer: Optimizer,
    ema: Ema,
    pub(crate) samples: &'a dyn Dataset,
    pub(crate) train: Loader<'a>,
    warned: Warned,
    pub(crate) validation: &'a dyn Dataset,
    /// Validation samples that the network sees at a time.
    validation_batch: usize,
    setting: Setting,
    /// Which validation samples are scored.
    scored: Vec<bool>,
    /// Written by rank 0.
    log: Option<Log>,
    events: Option<Events>,
    position: Position,
    /// Training images a second in the epoch that is done.
    pace: Option<f64>,
    progress: Box<dyn Progress>,
    stop: Arc<AtomicBool>,
}

/// Carries out a run, see [`Trainer::run`].
pub(crate) fn run(
    trainer: Trainer,
    train: &dyn Dataset,
    validation: &dyn Dataset,
    out: &Path,
) -> Result<Outcome> {
    let collective = trainer.collective.clone();
    let ended = std::thread::scope(|scope| carry_out(trainer, scope, train, validation, out));
    if let Err(error) = &ended
        && !error.is::<SharedError>()
    {
        collective.abort(&failure::describe(error));
    }
    ended
}

fn carry_out<'scope>(
    mut trainer: Trainer,
    scope: &'scope Scope<'scope, '_>,
    train: &'scope dyn Dataset,
    validation: &'scope dyn Dataset,
    out: &'scope Path,
) -> Result<Outcome> {
    trainer.validate()?;
    let collective = trainer.collective.clone();
    let begun = if collective.leads() { begin::begin(&mut trainer, out) } else { Ok(None) };
    let saved = collective.state_from_first(collective.agree(begun)?)?;
    let mut run = Run::new(trainer, scope, train, validation, out, saved.as_ref())?;
    if let Some(saved) = saved {
        run.optimizer.restore(&saved.optimizer, saved.position.step)?;
        run.ema.restore(&saved.ema)?;
        run.position = saved.position;
    }
    run.epochs()
}

impl<'a> Run<'a> {
    /// Builds everything that a run needs; `saved` is the state that it goes on from.
    pub(crate) fn new(
        trainer: Trainer,
        scope: &'a Scope<'a, '_>,
        samples: &'a dyn Dataset,
        validation: &'a dyn Dataset,
        out: &'a Path,
        saved: Option<&State>,
    ) -> Result<Self> {
        let Trainer { source, loss, settings, weights, collective, mut progress, stop, .. } = trainer;
        let ranks = collective.ranks();
        let validation_batch = collective::share(settings.batch_size, ranks)?;
        let scheme = samples.scheme().clone();
        ensure!(
            validation.scheme().name == scheme.name,
            "the validation samples follow scheme `{}`, the training samples `{}`",
            validation.scheme().name,
            scheme.name
        );
        ensure!(
            samples.len() >= settings.batch_size,
            "batch_size: {} training samples are fewer than one batch of {}",
            samples.len(),
            settings.batch_size
        );
        let start = match (saved, weights) {
            (Some(saved), _) => Start::Saved(&saved.model),
            (None, Some((name, weights))) => Start::From(name, weights),
            (None, None) => Start::Fresh,
        };
        let (network, note) = Network::new(source, &settings, &scheme, start, &collective)?;
        if let Some(note) = note.filter(|_| collective.leads()) {
            progress.note(&note);
        }
        let part = Part { index: collective.rank(), count: ranks };
        let loader = loader_config(&settings, network.model.input(), network.has_aux, part);
        let step = saved.map_or(0, |saved| saved.position.step);
        let setting = validation::setting(&settings, &scheme)?;
        let tell = |text: &str| {
            if collective.leads() {
                progress.note(text)
            }
        };
        let scored = validation::measurable(validation, &setting, tell)?;
        let writes = collective.leads();
        let target = Target {
            input: network.model.input().clone(),
            images: network.activations,
            dtype: network.dtype,
            device: network.device.clone(),
        };
        Ok(Self {
            uploader: Uploader::new(target)?,
            optimizer: Optimizer::new(&settings.optimizer, network.trainable.clone())?,
            ema: Ema::new(
                &network.parameters,
                settings.batch_size * settings.accumulate,
                settings.ema_half_life,
            )?,
            objective: Objective::new(loss, settings.landmark_weight, settings.aux_weight),
            train: Loader::scoped(scope, samples, loader)?,
            warned: Warned::default(),
            log: if writes { Some(Log::open(&out.join("metrics.jsonl"), step)?) } else { None },
            events: if writes && settings.tensorboard {
                Some(Events::create(&out.join("tensorboard"))?)
            } else {
                None
            },
            position: Position { sums: vec![0.0; TERMS.len()], ..Default::default() },
            pace: None,
            setting,
            scored,
            settings,
            out,
            scheme,
            network,
            samples,
            validation,
            validation_batch,
            collective,
            progress,
            stop,
        })
    }

    fn epochs(&mut self) -> Result<Outcome> {
        let steps = self.train.batches_per_epoch().div_ceil(self.settings.accumulate);
        let total = self.settings.epochs * steps;
        let done = self.position.step;
        let about = self.about();
        self.report(|progress| {
            progress.note(&about);
            progress.started(done, total);
        });
        while self.position.epoch < self.settings.epochs && !self.has_settled() {
            if !self.epoch()? {
                self.report(|progress| progress.ended());
                return Ok(Outcome::Stopped);
            }
        }
        self.report(|progress| progress.ended());
        if self.position.epoch < self.settings.epochs {
            let patience = self.settings.early_stop.unwrap_or_default();
            self.report(|progress| {
                progress.note(&format!("no better validation for {patience} epochs: done"))
            });
        }
        Ok(Outcome::Finished(self.position.best.clone()))
    }

    /// What is trained on what, where: a line.
    fn about(&self) -> String {
        let network = self.network.architecture.as_ref().map(ToString::to_string).unwrap_or_default();
        let kind =
            network.split(',').next().filter(|kind| !kind.is_empty()).unwrap_or("a network of your own");
        let parameters: usize = self.network.trainable.iter().map(|(_, var)| var.elem_count()).sum();
        let device = match &self.network.device {
            Device::Cpu => "cpu",
            Device::Cuda(_) => "cuda",
            Device::Metal(_) => "metal",
        };
        let ranks = match self.collective.ranks() {
            1 => String::new(),
            ranks => format!(", {ranks} processes"),
        };
        format!(
            "{} images, {} to validate; {kind}, {:.1} M, on {device}{ranks}; in {}",
            self.samples.len(),
            self.validation.len(),
            parameters as f64 / 1e6,
            self.out.display()
        )
    }

    /// Whether the best validation lies as far back as `early_stop` allows.
    fn has_settled(&self) -> bool {
        match (self.settings.early_stop, &self.position.best) {
            (Some(patience), Some(best)) => self.position.epoch > best.epoch + patience,
            _ => false,
        }
    }

    /// Tells of what all ranks do, once.
    fn report(&mut self, tell: impl FnOnce(&mut dyn Progress)) {
        if self.collective.leads() {
            tell(self.progress.as_mut());
        }
    }
}

/// How training samples are prepared for a network with this input.
fn loader_config(settings: &Settings, input: &InputSpec, has_aux: bool, part: Part) -> LoaderConfig {
    LoaderConfig {
        face_scale: input.face_scale.into(),
        map_size: input.map_size,
        shuffle_buffer: settings.shuffle_buffer,
        unreadable: settings.unreadable,
        augmentation: settings.augmentation.clone(),
        targets: has_aux && settings.aux_weight > 0.0,
        seed: settings.seed,
        workers: settings.workers,
        part,
        ..LoaderConfig::training(settings.batch_size, input.image_size)
    }
}
