//! The training file: what a person writes in TOML, and what it means for a [`Trainer`].

mod example;
mod loading;
mod loss;
mod model;
mod prepare;
mod source;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use star_data::Scheme;
use star_data::augment::Augmentation;
use star_predict::device::DeviceName;

pub use self::loading::{CacheSection, LoadingSection};
pub use self::loss::{DistanceName, LossKind, LossSection, RestrictionName};
pub use self::model::{Backbone, ModelSection, Preset};
pub use self::prepare::{Options, Prepared};
pub use self::source::{FilesSection, Problems, SourceSection, split, usable};
use crate::optimizer::OptimizerConfig;
use crate::schedule::Schedule;
use crate::settings::{Precision, Settings};
#[cfg(doc)]
use crate::trainer::Trainer;

/// A training run. Every field but `data.train` has a default: the recipe of the published models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Keypoint scheme by name, or a TOML file beside this one; where none is named, that of the training data, if they have one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scheme: String,
    /// Seed of weights, data order and augmentation.
    #[serde(default)]
    pub seed: u64,
    /// Passes over the training set.
    #[serde(default = "default_epochs")]
    pub epochs: usize,
    /// Samples a step.
    #[serde(default = "default_batch_size")]
    pub batch_size: usize,
    /// Batches whose gradients are averaged into one step.
    #[serde(default = "default_accumulate")]
    pub accumulate: usize,
    /// Largest norm of a step's gradient; a longer one is scaled down to it. Without it none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Epochs without a better validation after which the run ends. Without it all are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<usize>,
    /// Weights to start from: a folder, a file, a name of `star fetch --list`, or `hf:owner/repo[@revision]/file`. The trunk must
    /// fit; heads of another shape, such as those of another scheme, are drawn anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// Where to compute: `cpu`, `cuda`, `cuda:1`, `metal`.
    #[serde(default)]
    pub device: DeviceName,
    /// Numbers to compute with.
    #[serde(default)]
    pub precision: Precision,
    /// Keep of each stack only what goes into it and work the rest out again on the way back: less memory, more time, the same
    /// numbers. For the hourglass in `f32` on the CPU.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recompute: bool,
    /// Also write TensorBoard event files, into `tensorboard/`.
    #[serde(default)]
    pub tensorboard: bool,
    /// Images after which a value's weight in the moving average of the weights has halved.
    #[serde(default = "default_ema_half_life")]
    pub ema_half_life: f64,
    /// Minutes between saved states inside an epoch; states are saved after every epoch too.
    #[serde(default = "default_save_minutes")]
    pub save_minutes: f64,
    /// Threads that read and warp images; 0 for all cores. Changes no result.
    #[serde(default)]
    pub workers: usize,
    /// Where the samples are.
    pub data: DataSection,
    /// Shape of the network.
    #[serde(default)]
    pub model: ModelSection,
    /// What is minimised.
    #[serde(default)]
    pub loss: LossSection,
    /// Learning rate.
    #[serde(default)]
    pub schedule: Schedule,
    /// What moves the weights.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Random changes to training images.
    #[serde(default)]
    pub augmentation: Augmentation,
}

fn default_epochs() -> usize {
    Settings::default().epochs
}

fn default_batch_size() -> usize {
    Settings::default().batch_size
}

fn default_accumulate() -> usize {
    Settings::default().accumulate
}

fn default_ema_half_life() -> f64 {
    Settings::default().ema_half_life
}

fn default_save_minutes() -> f64 {
    Settings::default().save_minutes
}

/// Training and validation samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// Samples to train on.
    pub train: SourceSection,
    /// More samples to train on, of the same scheme, each source behind the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<SourceSection>,
    /// Samples to choose the best epoch by. Without it, a share of the training samples is held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<SourceSection>,
    /// Share of the training samples held out where there is no validation set.
    #[serde(default = "default_holdout")]
    pub holdout: f64,
    /// CSV file with the columns `image,weight`: how often each training image is seen in an epoch. Without it each is seen once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// How samples are read.
    #[serde(default)]
    pub loading: LoadingSection,
}

fn default_holdout() -> f64 {
    0.1
}

impl TrainConfig {
    /// Reads and checks a training file.
    ///
    /// # Errors
    /// Names the file, and the line and field that is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let config: Self = toml::from_str(&text).with_context(|| path.display().to_string())?;
        config.validate().with_context(|| path.display().to_string())?;
        Ok(config)
    }

    /// Checks that the numbers describe a run that can be done.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        self.settings().validate()?;
        self.loss.validate()?;
        self.data.loading.validate()?;
        ensure!(
            self.data.validation.is_some() || (self.data.holdout > 0.0 && self.data.holdout < 1.0),
            "data.holdout: expected a share between 0 and 1, got {}",
            self.data.holdout
        );
        Ok(())
    }

    /// What this says of a run's settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            seed: self.seed,
            epochs: self.epochs,
            batch_size: self.batch_size,
            accumulate: self.accumulate,
            clip_norm: self.clip_norm,
            early_stop: self.early_stop,
            device: Some(self.device),
            precision: Some(self.precision),
            recompute: self.recompute,
            ema_half_life: self.ema_half_life,
            save_minutes: self.save_minutes,
            tensorboard: self.tensorboard,
            workers: self.workers,
            unreadable: self.data.loading.unreadable,
            shuffle_buffer: self.data.loading.shuffle_buffer,
            landmark_weight: self.loss.landmark_weight,
            aux_weight: self.loss.aux_weight,
            schedule: self.schedule.clone(),
            optimizer: self.optimizer.clone(),
            augmentation: self.augmentation.clone(),
            normalizer: None,
            threshold: None,
        }
    }

    /// The scheme of the run; a TOML file is looked for from `base`.
    ///
    /// # Errors
    /// When there is no such scheme.
    pub fn scheme(&self, base: &Path) -> Result<Scheme> {
        if self.scheme.is_empty() {
            return self.data.train.scheme(base).context("scheme: none is named");
        }
        if self.scheme.ends_with(".toml") {
            return star_predict::weights::scheme(&base.join(&self.scheme).to_string_lossy());
        }
        star_predict::weights::scheme(&self.scheme)
    }

    /// A configuration with every setting at its default, as TOML.
    ///
    /// # Errors
    /// Never in practice: the defaults can be written.
    pub fn example() -> Result<String> {
        Self::example_of(Preset::Reference)
    }

    /// The same for another network.
    ///
    /// # Errors
    /// Never in practice: the defaults can be written.
    pub fn example_of(preset: Preset) -> Result<String> {
        example::example(preset)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn the_example_is_a_valid_configuration() {
        let config: TrainConfig = toml::from_str(&TrainConfig::example().unwrap()).unwrap();
        config.validate().unwrap();
        assert_eq!((config.epochs, config.model.stacks, config.loss.aux_weight), (500, 4, 10.0));
    }

    #[test]
    fn every_preset_is_a_valid_configuration() {
        for preset in [Preset::Reference, Preset::Lite, Preset::Tiny, Preset::HrnetW18, Preset::Light] {
            let config: TrainConfig = toml::from_str(&TrainConfig::example_of(preset).unwrap()).unwrap();
            config.validate().unwrap();
            config.model.architecture(&config.scheme(Path::new(".")).unwrap()).unwrap();
            assert_eq!(config.model, ModelSection::preset(preset));
        }
    }

    #[test]
    fn an_unknown_setting_is_named_with_its_line() {
        let text =
            "scheme = \"cofw29\"\nepocs = 3\n[data.train]\nformat = \"tsv\"\nannotations = \"a.tsv\"\n";
        let message = toml::from_str::<TrainConfig>(text).unwrap_err().to_string();
        assert!(message.contains("line 2") && message.contains("epocs"), "{message}");
    }

    #[test]
    fn out_of_range_numbers_are_named() {
        let mut config: TrainConfig = toml::from_str(&TrainConfig::example().unwrap()).unwrap();
        config.schedule.learning_rate = -1.0;
        assert!(config.validate().unwrap_err().to_string().contains("schedule.learning_rate"));
        config.schedule.learning_rate = 1.0;
        config.data.holdout = 1.0;
        assert!(config.validate().unwrap_err().to_string().contains("data.holdout"));
    }

    #[test]
    fn what_a_device_cannot_do_is_refused_before_a_run() {
        let example: TrainConfig = toml::from_str(&TrainConfig::example().unwrap()).unwrap();
        let scheme = Scheme::named("wflw98").unwrap();
        let checked = |config: &TrainConfig| config.trainer(&scheme).unwrap().validate();
        let refused = |config: &TrainConfig| checked(config).unwrap_err().to_string();
        let half = TrainConfig { precision: Precision::Bf16, ..example.clone() };
        checked(&half).unwrap();
        let half = TrainConfig { device: DeviceName::Cuda(0), ..half };
        checked(&half).unwrap();
        // Of 16 bits on a GPU alone.
        assert_eq!(
            (half.precision.dtype(), half.precision.activations(&Device::Cpu)),
            (DType::F32, DType::F32)
        );
        let rounded = TrainConfig { precision: Precision::Tf32, ..example.clone() };
        assert!(refused(&rounded).contains("expected device \"cuda\""));
        checked(&TrainConfig { device: DeviceName::Cuda(0), ..rounded }).unwrap();
        let again = TrainConfig { recompute: true, ..example.clone() };
        checked(&again).unwrap();
        checked(&TrainConfig { model: ModelSection::preset(Preset::HrnetW18), ..again.clone() }).unwrap();
        for wrong in [
            TrainConfig { precision: Precision::F64, ..again.clone() },
            TrainConfig { device: DeviceName::Cuda(0), ..again },
        ] {
            assert!(refused(&wrong).contains("recompute: expected device"));
        }
    }
}
