//! What is trained: one small network, two losses, equal budgets.

use serde::{Deserialize, Serialize};
use star_cli::config::Precision;
use star_cli::config::{
    DataSection, DistanceName, LossKind, LossSection, ModelSection, SourceSection, TrainConfig,
};
use star_cli::device::DeviceName;
use star_cli::train::optimizer::OptimizerSection;
use star_cli::train::schedule::{Decay, Schedule};
use star_data::augment::{Augmentation, Flip, Similarity};
use star_data::synthetic::{Labels, SyntheticConfig};

/// Seeds of the default run: what fits in a quarter of an hour on two cores.
pub(crate) const SEEDS: u64 = 2;
/// Epochs of each training in the default run.
pub(crate) const EPOCHS: usize = 12;
/// Faces to train on, with ambiguous labels.
pub(crate) const TRAIN_FACES: usize = 960;
/// Faces to choose the best epoch by, with ambiguous labels, as one would with real ones.
pub(crate) const VALIDATION_FACES: usize = 96;
/// Faces to score on, with exact truth.
pub(crate) const TEST_FACES: usize = 480;
/// Side of the drawn pictures, pixels.
const PICTURE: u32 = 112;
/// Factor on the annotator's noise.
pub(crate) const STRENGTH: f64 = 1.0;

/// Seeds of the three sets: no face is in two of them.
const TRAIN_SEED: u64 = 101;
const VALIDATION_SEED: u64 = 202;
const TEST_SEED: u64 = 303;

/// How much is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) seeds: u64,
    pub(crate) epochs: usize,
}

/// The losses that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Method {
    SmoothL1,
    Star,
}

impl Method {
    pub(crate) const ALL: [Self; 2] = [Self::SmoothL1, Self::Star];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SmoothL1 => "smooth-L1",
            Self::Star => "STAR (smooth-L1)",
        }
    }

    /// Name of its folders.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::SmoothL1 => "smooth-l1",
            Self::Star => "star",
        }
    }
}

/// Test faces with their exact truth.
pub(crate) fn test_faces() -> SyntheticConfig {
    SyntheticConfig { labels: Labels::Exact, ..faces(TEST_FACES, TEST_SEED) }
}

fn faces(count: usize, seed: u64) -> SyntheticConfig {
    SyntheticConfig { count, seed, image_size: PICTURE, strength: STRENGTH, labels: Labels::Annotated }
}

impl Plan {
    /// The training of `method` under `seed`: only the landmark term of the loss differs between methods.
    pub(crate) fn config(&self, method: Method, seed: u64) -> TrainConfig {
        let kind = match method {
            Method::SmoothL1 => LossKind::Plain,
            Method::Star => LossKind::StarPerAxis,
        };
        TrainConfig {
            scheme: "wflw98".to_string(),
            seed,
            epochs: self.epochs,
            batch_size: 8,
            accumulate: 1,
            clip_norm: None,
            early_stop: None,
            init_from: None,
            device: DeviceName::Cpu,
            precision: Precision::F32,
            recompute: false,
            tensorboard: false,
            // The reference's 10 000 images suit its 3.75 million; this run sees 12 thousand.
            ema_half_life: 500.0,
            save_minutes: 1.0,
            workers: 0,
            data: DataSection {
                train: SourceSection::Synthetic(faces(TRAIN_FACES, TRAIN_SEED)),
                validation: Some(SourceSection::Synthetic(faces(VALIDATION_FACES, VALIDATION_SEED))),
                holdout: 0.1,
                loading: Default::default(),
            },
            model: ModelSection { stacks: 1, levels: 3, channels: 64, image_size: 64, ..Default::default() },
            loss: LossSection { kind, distance: DistanceName::SmoothL1, ..Default::default() },
            schedule: Schedule {
                learning_rate: 1e-3,
                warmup_epochs: 0.0,
                decay: Decay::Step {
                    milestones: vec![self.epochs * 7 / 10, self.epochs * 9 / 10],
                    gamma: 0.1,
                },
            },
            optimizer: OptimizerSection::default(),
            augmentation: augmentation(),
        }
    }
}

/// Geometry alone: the drawn faces bring their own light, occlusion, blur and noise.
fn augmentation() -> Augmentation {
    Augmentation {
        flip: Flip { probability: 0.5 },
        similarity: Similarity { shift: 0.03, rotation: 8.0, scale: 0.05, ..Default::default() },
        ..Augmentation::none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_trainings_differ_in_the_landmark_term_alone() {
        let plan = Plan { seeds: 1, epochs: 10 };
        let (plain, star) = (plan.config(Method::SmoothL1, 3), plan.config(Method::Star, 3));
        plain.validate().unwrap();
        assert_ne!(plain.loss.kind, star.loss.kind);
        let same = TrainConfig { loss: plain.loss.clone(), ..star };
        assert_eq!(plain, same);
    }
}
