//! The door to training: a network, a loss, settings; then data.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use candle_core::Var;
use star_data::Dataset;
use star_data::augment::Augmentation;
use star_eval::Normalizer;
use star_loss::HeatmapLoss;
use star_model::LandmarkModel;
use star_model::checkpoint::{Architecture, Tensors};
use star_predict::device::DeviceName;

use crate::collective::{Alone, Collective};
use crate::estimate::{self, Estimate, StepTimes};
use crate::network::{self, Source};
use crate::optimizer::OptimizerConfig;
use crate::progress::Progress;
use crate::run::{self, Outcome};
use crate::schedule::Decay;
use crate::settings::{Precision, Settings};

/// Trains a network.
///
/// The run's folder then holds `best/` and `last/` (weights), `metrics.jsonl`, curves as SVG, `run.json` and the state to resume from.
/// Weights of star-model's networks are folders that [`star_predict::Predictor::open`] takes; those of another network are
/// `model.safetensors`, by the names of its variables, and `input.json`, its input spec.
pub struct Trainer {
    pub(crate) source: Source,
    pub(crate) loss: Box<dyn HeatmapLoss>,
    pub(crate) settings: Settings,
    pub(crate) weights: Option<(String, Tensors)>,
    pub(crate) collective: Arc<dyn Collective>,
    pub(crate) progress: Box<dyn Progress>,
    pub(crate) resume: bool,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) description: serde_json::Value,
    pub(crate) files: Vec<(&'static str, String)>,
}

impl Trainer {
    /// Trains `model` to minimise `loss` on the heatmaps of each of its stages. Where stages have auxiliary maps, AWing on these is
    /// added.
    ///
    /// The model names its variables, see [`LandmarkModel::variables`], or [`Trainer::variables`] does.
    pub fn new(model: impl LandmarkModel + 'static, loss: impl HeatmapLoss + 'static) -> Self {
        Self::from_source(Source::Built { model: Arc::new(model), variables: None }, loss)
    }

    /// Trains one of star-model's networks, which the run builds: on its device, in its precision, from its seed.
    pub fn from_architecture(architecture: Architecture, loss: impl HeatmapLoss + 'static) -> Self {
        Self::from_source(Source::Architecture(architecture), loss)
    }

    fn from_source(source: Source, loss: impl HeatmapLoss + 'static) -> Self {
        Self {
            source,
            loss: Box::new(loss),
            settings: Settings::default(),
            weights: None,
            collective: Arc::new(Alone),
            progress: Box::new(()),
            resume: false,
            stop: Arc::default(),
            description: serde_json::Value::Null,
            files: Vec::new(),
        }
    }

    /// The network's variables by name, where it does not name them itself: parameters and buffers, see
    /// [`LandmarkModel::variables`]. Does nothing for a network that the run builds.
    #[must_use]
    pub fn variables(mut self, all: Vec<(String, Var)>) -> Self {
        if let Source::Built { variables, .. } = &mut self.source {
            *variables = Some(all);
        }
        self
    }

    /// Another loss.
    #[must_use]
    pub fn loss(mut self, loss: impl HeatmapLoss + 'static) -> Self {
        self.loss = Box::new(loss);
        self
    }

    /// Starts from these weights: of star-model's networks the trunk must fit, and heads of another shape, as those of another scheme,
    /// are drawn anew; of another network whatever fits by name and shape is taken. A resumed run passes over them. Messages call them
    /// `name`.
    #[must_use]
    pub fn start_from(mut self, name: impl Into<String>, weights: Tensors) -> Self {
        self.weights = Some((name.into(), weights));
        self
    }

    /// The ranks that share every batch; by default this process is alone.
    ///
    /// Batch norms of star-model's networks share their statistics. Those of another network have those of their own part of the batch.
    #[must_use]
    pub fn collective(mut self, collective: Arc<dyn Collective>) -> Self {
        self.collective = collective;
        self
    }

    /// Who hears how the run goes; by default nobody.
    #[must_use]
    pub fn progress(self, progress: impl Progress + 'static) -> Self {
        self.boxed_progress(Box::new(progress))
    }

    pub(crate) fn boxed_progress(mut self, progress: Box<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    /// A file that rank 0 writes into the run's folder, for a person.
    pub(crate) fn keep_file(mut self, name: &'static str, text: String) -> Self {
        self.files.push((name, text));
        self
    }

    /// Goes on from the newest state in the run's folder, as if it had never stopped.
    #[must_use]
    pub fn resume(mut self) -> Self {
        self.resume = true;
        self
    }

    /// Set from outside, this flag stops the run after the step under way, with its state saved.
    #[must_use]
    pub fn stop(mut self, flag: Arc<AtomicBool>) -> Self {
        self.stop = flag;
        self
    }

    /// What a resumed run must have in common beside its settings, such as its data: kept in `run.json` and compared.
    #[must_use]
    pub fn description(mut self, description: serde_json::Value) -> Self {
        self.description = description;
        self
    }

    /// All settings at once.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Checks the settings, and an architecture against them.
    ///
    /// # Errors
    /// Names the first setting that is out of range, or that the network cannot do.
    pub fn validate(&self) -> Result<()> {
        self.settings.validate()?;
        match &self.source {
            Source::Architecture(architecture) => network::check_architecture(&self.settings, architecture),
            Source::Built { .. } => Ok(()),
        }
    }

    /// Trains on `train` into the folder `out`; each epoch is scored on `validation`, and the best one kept.
    ///
    /// # Errors
    /// On settings or data sets that cannot be used, a loss that is not finite, and files that cannot be written; earlier checkpoints
    /// are then intact. Where several ranks train, an error on one ends all.
    pub fn run(
        self,
        train: &dyn Dataset,
        validation: &dyn Dataset,
        out: impl AsRef<Path>,
    ) -> Result<Outcome> {
        run::run(self, train, validation, out.as_ref())
    }

    /// Takes the first steps of the run and measures what the whole of it would need. Nothing is kept.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn estimate(self, train: &dyn Dataset, validation: &dyn Dataset) -> Result<Estimate> {
        estimate::estimate(self, train, validation)
    }

    /// Takes `count` steps of the run, and one more before to warm up, and measures each. Nothing is kept.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn step_times(
        self,
        train: &dyn Dataset,
        validation: &dyn Dataset,
        count: usize,
    ) -> Result<StepTimes> {
        estimate::step_times(self, train, validation, count)
    }
}

/// A setter for each of the [`Settings`] that has a plain value.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty => $($field:ident).+ = $value:expr;)*) => {
        impl Trainer {$(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.settings.$($field).+ = $value;
                self
            }
        )*}
    };
}

setters! {
    /// Seed of data order and augmentation, and of the weights of a network that the run builds.
    seed: u64 => seed = seed;
    /// Passes over the training set.
    epochs: usize => epochs = epochs;
    /// Samples a step, of all ranks together.
    batch_size: usize => batch_size = batch_size;
    /// Batches whose gradients are averaged into one step.
    accumulate: usize => accumulate = accumulate;
    /// Largest norm of a step's gradient; a longer one is scaled down to it.
    clip_norm: f64 => clip_norm = Some(clip_norm);
    /// Epochs without a better validation after which the run ends.
    early_stop: usize => early_stop = Some(early_stop);
    /// Where to compute, for a network that the run builds.
    device: DeviceName => device = Some(device);
    /// Numbers to compute with.
    precision: Precision => precision = Some(precision);
    /// Images after which a value's weight in the moving average of the weights has halved.
    ema_half_life: f64 => ema_half_life = ema_half_life;
    /// Minutes between saved states inside an epoch.
    save_minutes: f64 => save_minutes = save_minutes;
    /// Threads that read and warp images; 0 for all cores. Changes no result.
    workers: usize => workers = workers;
    /// Weight of the landmark term.
    landmark_weight: f64 => landmark_weight = landmark_weight;
    /// Weight of each auxiliary term.
    aux_weight: f64 => aux_weight = aux_weight;
    /// The highest learning rate.
    learning_rate: f64 => schedule.learning_rate = learning_rate;
    /// Epochs over which the rate first climbs from 0; may be a fraction.
    warmup_epochs: f64 => schedule.warmup_epochs = warmup_epochs;
    /// Random changes to training images.
    augmentation: Augmentation => augmentation = augmentation;
    /// What validation errors are divided by; by default the scheme says.
    normalizer: Normalizer => normalizer = Some(normalizer);
    /// NME above which a validation sample has failed, a fraction; by default the scheme says.
    threshold: f64 => threshold = Some(threshold);
}

impl Trainer {
    /// What moves the weights: [`Adam`](crate::Adam), [`AdamW`](crate::AdamW) or [`Sgd`](crate::Sgd).
    #[must_use]
    pub fn optimizer(mut self, optimizer: impl Into<OptimizerConfig>) -> Self {
        self.settings.optimizer = optimizer.into();
        self
    }

    /// Shape of the learning rate: [`Constant`](crate::Constant), [`StepDecay`](crate::StepDecay), [`Cosine`](crate::Cosine) or
    /// [`OneCycle`](crate::OneCycle).
    #[must_use]
    pub fn schedule(mut self, decay: impl Into<Decay>) -> Self {
        self.settings.schedule.decay = decay.into();
        self
    }
}
