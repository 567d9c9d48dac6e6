//! Settings of a run: everything but its network, its loss and its data.

use anyhow::{Result, bail, ensure};
use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};
use star_data::augment::Augmentation;
use star_data::loader::{SHUFFLE_BUFFER, Unreadable};
use star_eval::Normalizer;
use star_predict::device::DeviceName;

use crate::optimizer::OptimizerConfig;
use crate::schedule::Schedule;

/// Settings of a run. The defaults are the recipe of the published models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Seed of data order and augmentation, and of the weights of a network that the run builds.
    pub seed: u64,
    /// Passes over the training set.
    pub epochs: usize,
    /// Samples a step, of all ranks together.
    pub batch_size: usize,
    /// Batches whose gradients are averaged into one step.
    pub accumulate: usize,
    /// Largest norm of a step's gradient; a longer one is scaled down to it. `None` scales none.
    pub clip_norm: Option<f64>,
    /// Epochs without a better validation after which the run ends. `None` does all.
    pub early_stop: Option<usize>,
    /// Where to compute. `None` is the CPU, or where the variables of a network are that is built already.
    pub device: Option<DeviceName>,
    /// Numbers to compute with. `None` is `f32`, or those of the variables of a network that is built already.
    pub precision: Option<Precision>,
    /// Keep of each stack only what goes into it and work the rest out again on the way back: less memory, more time, the same
    /// numbers. For star-model's hourglass in `f32` on the CPU.
    pub recompute: bool,
    /// Images after which a value's weight in the moving average of the weights has halved.
    pub ema_half_life: f64,
    /// Minutes between saved states inside an epoch; states are saved after every epoch too.
    pub save_minutes: f64,
    /// Also write TensorBoard event files, into `tensorboard/`.
    pub tensorboard: bool,
    /// Threads that read and warp images; 0 for all cores. Changes no result.
    pub workers: usize,
    /// What becomes of training samples that cannot be read.
    pub unreadable: Unreadable,
    /// Of shards, the samples that a shuffle mixes with each other.
    pub shuffle_buffer: usize,
    /// Weight of the landmark term.
    pub landmark_weight: f64,
    /// Weight of each auxiliary term (pointmaps, edgemaps), where the network predicts such maps.
    pub aux_weight: f64,
    /// Learning rate.
    pub schedule: Schedule,
    /// What moves the weights.
    pub optimizer: OptimizerConfig,
    /// Random changes to training images.
    pub augmentation: Augmentation,
    /// What validation errors are divided by. `None` is the scheme's default.
    pub normalizer: Option<Normalizer>,
    /// NME above which a validation sample has failed, a fraction. `None` is the scheme's.
    pub threshold: Option<f64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            epochs: 500,
            batch_size: 16,
            accumulate: 1,
            clip_norm: None,
            early_stop: None,
            device: None,
            precision: None,
            recompute: false,
            ema_half_life: 10_000.0,
            save_minutes: 5.0,
            tensorboard: false,
            workers: 0,
            unreadable: Unreadable::Fail,
            shuffle_buffer: SHUFFLE_BUFFER,
            landmark_weight: 1.0,
            aux_weight: 10.0,
            schedule: Schedule::default(),
            optimizer: OptimizerConfig::default(),
            augmentation: Augmentation::default(),
            normalizer: None,
            threshold: None,
        }
    }
}

/// Numbers that a training computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits: the published models'.
    #[default]
    F32,
    /// 32 bits whose products a CUDA card may round to TF32: faster.
    Tf32,
    /// 64 bits, to check gradients and runs against each other.
    F64,
    /// Mixed: on GPUs activations of 16 bits on parameters of 32; on CPUs products of 16 bits, see
    /// [`TrainingOptions::bf16`](star_model::TrainingOptions::bf16), and all else of 32.
    Bf16,
}

impl Precision {
    /// The type of parameters, maps and losses.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 | Self::Tf32 | Self::Bf16 => DType::F32,
            Self::F64 => DType::F64,
        }
    }

    /// Says to CUDA cards how products of f32 are rounded in this process.
    pub(crate) fn say(self, device: &Device) {
        if device.is_cuda() {
            candle_core::cuda::set_gemm_reduced_precision_f32(self == Self::Tf32);
        }
    }

    /// The type of images and activations on `device`.
    pub fn activations(self, device: &Device) -> DType {
        if self == Self::Bf16 && !device.is_cpu() { DType::BF16 } else { self.dtype() }
    }
}

impl Settings {
    /// Checks that the numbers describe a run that can be done.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        for (name, value) in [
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("accumulate", self.accumulate),
            ("shuffle_buffer", self.shuffle_buffer),
        ] {
            ensure!(value > 0, "{name}: expected at least 1, got 0");
        }
        for (name, value) in [
            ("ema_half_life", self.ema_half_life),
            ("save_minutes", self.save_minutes),
            ("clip_norm", self.clip_norm.unwrap_or(1.0)),
            ("threshold", self.threshold.unwrap_or(1.0)),
        ] {
            ensure!(value.is_finite() && value > 0.0, "{name}: expected a positive number, got {value}");
        }
        for (name, value) in [("landmark_weight", self.landmark_weight), ("aux_weight", self.aux_weight)] {
            ensure!(
                value.is_finite() && value >= 0.0,
                "{name}: expected a number of at least 0, got {value}"
            );
        }
        if self.early_stop == Some(0) {
            bail!("early_stop: expected at least 1 epoch, got 0; leave it out to do all epochs")
        }
        self.schedule.validate()?;
        self.optimizer.validate()
    }

    /// The settings that a resumed run may not change: those that its result depends on.
    pub(crate) fn fixed(&self) -> Self {
        Self {
            epochs: if self.schedule.needs_the_end() { self.epochs } else { 0 },
            workers: 0,
            save_minutes: 0.0,
            tensorboard: false,
            early_stop: None,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_named() {
        let cases = [
            (Settings { epochs: 0, ..Default::default() }, "epochs"),
            (Settings { clip_norm: Some(0.0), ..Default::default() }, "clip_norm"),
            (Settings { aux_weight: f64::NAN, ..Default::default() }, "aux_weight"),
            (Settings { early_stop: Some(0), ..Default::default() }, "early_stop"),
        ];
        for (settings, name) in cases {
            let message = settings.validate().unwrap_err().to_string();
            assert!(message.starts_with(name), "{message}");
        }
        Settings::default().validate().unwrap();
    }
}
