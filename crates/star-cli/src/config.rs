//! The training file: what a person writes in TOML, and what it means.

mod loading;
mod model;
mod source;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use candle_core::DType;
use serde::{Deserialize, Serialize};
use star_data::Scheme;
use star_data::augment::Augmentation;
use star_loss::{Distance, Form, Restriction, StarLossConfig};

use crate::args::Preset;
use crate::train::optimizer::OptimizerSection;
use crate::train::schedule::Schedule;
pub use loading::{CacheSection, LoadingSection};
pub use model::{Backbone, ModelSection};
use star_predict::device::DeviceName;

pub use source::{FilesSection, SourceSection};

/// A training run. Every field but `scheme` and `data.train` has a default: the recipe of the published models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Keypoint scheme by name, or a TOML file beside this one.
    pub scheme: String,
    /// Seed of weights, data order and augmentation.
    #[serde(default)]
    pub seed: u64,
    /// Passes over the training set.
    #[serde(default = "default_epochs")]
    pub epochs: usize,
    /// Faces a step.
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
    /// Where the faces are.
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
    pub optimizer: OptimizerSection,
    /// Random changes to training images.
    #[serde(default)]
    pub augmentation: Augmentation,
}

fn default_epochs() -> usize {
    500
}

fn default_batch_size() -> usize {
    16
}

fn default_accumulate() -> usize {
    1
}

/// Numbers that a training computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits: the published models'.
    #[default]
    F32,
    /// 64 bits, to check gradients and runs against each other.
    F64,
    /// Mixed: activations of 16 bits on parameters of 32, for GPUs.
    Bf16,
}

impl Precision {
    /// The type of parameters, maps and losses.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 | Self::Bf16 => DType::F32,
            Self::F64 => DType::F64,
        }
    }

    /// The type of images and activations.
    pub fn activations(self) -> DType {
        if self == Self::Bf16 { DType::BF16 } else { self.dtype() }
    }
}

fn default_ema_half_life() -> f64 {
    10_000.0
}

fn default_save_minutes() -> f64 {
    5.0
}

/// Training and validation faces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// Faces to train on.
    pub train: SourceSection,
    /// Faces to choose the best epoch by. Without it, a share of the training faces is held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<SourceSection>,
    /// Share of the training faces held out where there is no validation set.
    #[serde(default = "default_holdout")]
    pub holdout: f64,
    /// How faces are read.
    #[serde(default)]
    pub loading: LoadingSection,
}

fn default_holdout() -> f64 {
    0.1
}

/// What the landmark term is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// STAR, one distance a principal axis (the paper's formula).
    StarPerAxis,
    /// STAR, one distance of the whitened error.
    StarWhitened,
    /// STAR under one factor for both axes: a control, everything of STAR but its direction.
    StarIsotropic,
    /// STAR without factors: a control, nothing of STAR but its restriction.
    StarUnscaled,
    /// Soft-argmax regression: the distance of the error itself.
    Plain,
    /// ADNet's anisotropic direction loss, which STAR replaces: normals from the scheme's edges.
    Adl,
}

/// Name of a distance, with the reference's constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DistanceName {
    /// Smooth-L1, scale 0.01.
    SmoothL1,
    /// Absolute.
    L1,
    /// Squared.
    L2,
    /// Wing, omega 0.01, epsilon 2.
    Wing,
}

/// How the network is kept from inflating its distributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestrictionName {
    /// The eigenvalues are added to the loss.
    Value,
    /// No gradient flows through the eigenvalues.
    Detach,
    /// Nothing: for ablations.
    None,
}

/// What is minimised. Defaults: the published models'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossSection {
    /// The landmark term.
    pub kind: LossKind,
    /// Its distance.
    pub distance: DistanceName,
    /// Restriction of the eigenvalues; STAR's alone.
    pub restriction: RestrictionName,
    /// Weight of the value restriction.
    pub restriction_weight: f64,
    /// Weight of the landmark term.
    pub landmark_weight: f64,
    /// Weight of each auxiliary term (point maps, edge maps).
    pub aux_weight: f64,
}

impl Default for LossSection {
    fn default() -> Self {
        Self {
            kind: LossKind::StarPerAxis,
            distance: DistanceName::SmoothL1,
            restriction: RestrictionName::Value,
            restriction_weight: 1.0,
            landmark_weight: 1.0,
            aux_weight: 10.0,
        }
    }
}

impl LossSection {
    /// The distance with the reference's constants.
    pub fn distance(&self) -> Distance {
        match self.distance {
            DistanceName::SmoothL1 => Distance::smooth_l1(),
            DistanceName::L1 => Distance::L1,
            DistanceName::L2 => Distance::L2,
            DistanceName::Wing => Distance::wing(),
        }
    }

    /// The STAR loss that this describes; `None` for the other kinds.
    pub fn star(&self) -> Option<StarLossConfig> {
        let form = match self.kind {
            LossKind::StarPerAxis => Form::PerAxis,
            LossKind::StarWhitened => Form::Whitened,
            LossKind::StarIsotropic => Form::Isotropic,
            LossKind::StarUnscaled => Form::Unscaled,
            LossKind::Plain | LossKind::Adl => return None,
        };
        let restriction = match self.restriction {
            RestrictionName::Value => Restriction::Value { weight: self.restriction_weight },
            RestrictionName::Detach => Restriction::Detach,
            RestrictionName::None => Restriction::None,
        };
        Some(StarLossConfig { form, distance: self.distance(), restriction, ..Default::default() })
    }
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
        for (name, value) in
            [("epochs", self.epochs), ("batch_size", self.batch_size), ("accumulate", self.accumulate)]
        {
            ensure!(value > 0, "{name}: expected at least 1, got 0");
        }
        for (name, value) in [
            ("ema_half_life", self.ema_half_life),
            ("save_minutes", self.save_minutes),
            ("clip_norm", self.clip_norm.unwrap_or(1.0)),
        ] {
            ensure!(value.is_finite() && value > 0.0, "{name}: expected a positive number, got {value}");
        }
        self.schedule.validate()?;
        self.optimizer.validate()?;
        if self.early_stop == Some(0) {
            bail!("early_stop: expected at least 1 epoch, got 0; leave it out to do all epochs")
        }
        for (name, value) in [
            ("loss.restriction_weight", self.loss.restriction_weight),
            ("loss.landmark_weight", self.loss.landmark_weight),
            ("loss.aux_weight", self.loss.aux_weight),
        ] {
            ensure!(
                value.is_finite() && value >= 0.0,
                "{name}: expected a number of at least 0, got {value}"
            );
        }
        if self.precision == Precision::Bf16 && self.device == DeviceName::Cpu {
            bail!(
                "precision: bf16 is for device \"cuda\" or \"metal\"; on \"cpu\" expected \"f32\" or \"f64\""
            )
        }
        let on_cpu = self.precision == Precision::F32 && self.device == DeviceName::Cpu;
        let fits = self.model.backbone == Backbone::Hourglass && self.model.channels.is_multiple_of(32);
        if self.recompute && !(on_cpu && fits) {
            bail!(
                "recompute: expected the hourglass with channels a multiple of 32, device \"cpu\" and precision \"f32\", which it \
                 is written for"
            )
        }
        self.data.loading.validate()?;
        if self.data.validation.is_none() && !(self.data.holdout > 0.0 && self.data.holdout < 1.0) {
            bail!("data.holdout: expected a share between 0 and 1, got {}", self.data.holdout)
        }
        Ok(())
    }

    /// The scheme of the run; a TOML file is looked for from `base`.
    ///
    /// # Errors
    /// When there is no such scheme.
    pub fn scheme(&self, base: &Path) -> Result<Scheme> {
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
        let mut config: Self = toml::from_str(
            "scheme = \"wflw98\"\n[data.train]\nformat = \"tsv\"\nannotations = \"train.tsv\"\nimages = \"images\"\n",
        )?;
        config.model = ModelSection::preset(preset);
        Ok(format!(
            "# Every setting of `star train` at its default: the recipe of the published models.\n{}",
            toml::to_string_pretty(&config)?
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_valid_configuration() {
        let config: TrainConfig = toml::from_str(&TrainConfig::example().unwrap()).unwrap();
        config.validate().unwrap();
        assert_eq!((config.epochs, config.model.stacks, config.loss.aux_weight), (500, 4, 10.0));
    }

    #[test]
    fn every_preset_is_a_valid_configuration() {
        for preset in [Preset::Reference, Preset::Lite, Preset::Tiny, Preset::HrnetW18] {
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
        let refused = |config: &TrainConfig| config.validate().unwrap_err().to_string();
        let half = TrainConfig { precision: Precision::Bf16, ..example.clone() };
        assert!(refused(&half).contains("precision: bf16"), "{}", refused(&half));
        let half = TrainConfig { device: DeviceName::Cuda(0), ..half };
        half.validate().unwrap();
        assert_eq!((half.precision.dtype(), half.precision.activations()), (DType::F32, DType::BF16));
        let again = TrainConfig { recompute: true, ..example.clone() };
        again.validate().unwrap();
        for wrong in [
            TrainConfig { precision: Precision::F64, ..again.clone() },
            TrainConfig { device: DeviceName::Cuda(0), ..again.clone() },
            TrainConfig { model: ModelSection::preset(Preset::HrnetW18), ..again },
        ] {
            assert!(refused(&wrong).contains("recompute: expected the hourglass"));
        }
    }
}
