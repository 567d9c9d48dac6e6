//! The training of a small network by which losses are compared: what no design chooses.

use star_data::augment::Augmentation;
use star_predict::device::DeviceName;
use star_train::config::{
    DataSection, DistanceName, LossKind, LossSection, ModelSection, SourceSection, TrainConfig,
};
use star_train::{Decay, OptimizerConfig, Precision, Schedule};

use crate::variant::Variant;

/// What a design chooses.
pub(crate) struct Small<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) seed: u64,
    pub(crate) epochs: usize,
    pub(crate) batch: usize,
    pub(crate) learning_rate: f64,
    pub(crate) decay: Decay,
    pub(crate) train: SourceSection,
    pub(crate) validation: SourceSection,
    pub(crate) levels: usize,
    pub(crate) channels: usize,
    pub(crate) image_size: usize,
    pub(crate) stem: Option<usize>,
    pub(crate) augmentation: Augmentation,
}

impl Small<'_> {
    /// The training file: one hourglass without attention, smooth-L1, and what `variant` changes.
    pub(crate) fn config(self, variant: &Variant) -> TrainConfig {
        let mut config = TrainConfig {
            scheme: self.scheme.to_owned(),
            seed: self.seed,
            epochs: self.epochs,
            batch_size: self.batch,
            accumulate: 1,
            clip_norm: None,
            early_stop: None,
            init_from: None,
            device: DeviceName::Cpu,
            precision: Precision::F32,
            recompute: false,
            tensorboard: false,
            // The reference's 10 000 images suit its 3.75 million; these networks see some ten thousand.
            ema_half_life: 500.0,
            save_minutes: 1.0,
            workers: 1,
            data: DataSection {
                more: Vec::new(),
                train: self.train,
                validation: Some(self.validation),
                holdout: 0.1,
                weights: None,
                loading: Default::default(),
            },
            model: ModelSection {
                stacks: 1,
                levels: self.levels,
                channels: self.channels,
                image_size: self.image_size,
                stem: self.stem,
                // The landmark term is then all there is to the loss: nothing has to be weighed against it.
                attention: Some(false),
                ..Default::default()
            },
            loss: LossSection {
                kind: LossKind::Plain,
                distance: DistanceName::SmoothL1,
                ..Default::default()
            },
            schedule: Schedule { learning_rate: self.learning_rate, warmup_epochs: 0.0, decay: self.decay },
            optimizer: OptimizerConfig::default(),
            augmentation: self.augmentation,
        };
        variant.apply(&mut config);
        config
    }
}
