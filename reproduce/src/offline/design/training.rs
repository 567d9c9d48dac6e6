//! The training file of a job, and what it is scored on.

use star_data::augment::{Augmentation, Flip, Similarity};
use star_data::synthetic::{Labels, Subject, SyntheticConfig};
use star_predict::device::DeviceName;
use star_train::config::{
    DataSection, DistanceName, LossKind, LossSection, ModelSection, SourceSection, TrainConfig,
};
use star_train::{OptimizerConfig, Precision, Schedule, StepDecay};

use super::{Budget, Design, Job, REALISTIC};
use crate::runner::Recipe;

impl Design {
    /// The training of a job.
    pub(crate) fn recipe(&self, job: &Job) -> Recipe {
        Recipe { config: self.config(job), control: job.variant.control() }
    }

    /// The training file of a job: in one design only strength, subject, seed and what the variant changes differ.
    pub(crate) fn config(&self, job: &Job) -> TrainConfig {
        let regime = &self.regime;
        let Budget { epochs, train, learning_rate } = regime.budget(job.subject);
        let mut config = TrainConfig {
            scheme: job.subject.scheme().to_string(),
            seed: job.seed,
            epochs,
            batch_size: regime.batch,
            accumulate: 1,
            clip_norm: None,
            early_stop: None,
            init_from: None,
            device: DeviceName::Cpu,
            precision: Precision::F32,
            recompute: false,
            tensorboard: false,
            // The reference's 10 000 images suit its 3.75 million; these runs see six to twelve thousand images.
            ema_half_life: 500.0,
            save_minutes: 1.0,
            workers: 1,
            data: DataSection {
                more: Vec::new(),
                train: SourceSection::Synthetic(self.images(job, train, regime.sets.train + job.seed)),
                validation: Some(SourceSection::Synthetic(self.images(
                    job,
                    regime.validation,
                    regime.sets.validation + job.seed,
                ))),
                holdout: 0.1,
                weights: None,
                loading: Default::default(),
            },
            model: ModelSection {
                stacks: 1,
                levels: regime.levels,
                channels: regime.channels,
                image_size: regime.image_size,
                // The landmark term is then all there is to the loss: nothing has to be weighed against it.
                attention: Some(false),
                ..Default::default()
            },
            loss: LossSection {
                kind: LossKind::Plain,
                distance: DistanceName::SmoothL1,
                ..Default::default()
            },
            schedule: Schedule {
                learning_rate,
                warmup_epochs: 0.0,
                decay: StepDecay { milestones: vec![epochs * 7 / 10, epochs * 9 / 10], gamma: 0.1 }.into(),
            },
            optimizer: OptimizerConfig::default(),
            augmentation: augmentation(),
        };
        job.variant.apply(&mut config);
        config
    }

    /// The images that a job is scored on, with exact labels.
    pub(crate) fn test(&self, subject: Subject) -> SyntheticConfig {
        SyntheticConfig {
            subject,
            count: self.regime.test,
            seed: self.regime.sets.test,
            image_size: self.regime.image_side,
            strength: REALISTIC,
            labels: Labels::Exact,
        }
    }

    fn images(&self, job: &Job, count: usize, seed: u64) -> SyntheticConfig {
        SyntheticConfig {
            subject: job.subject,
            count,
            seed,
            image_size: self.regime.image_side,
            strength: job.strength,
            labels: Labels::Annotated,
        }
    }
}

/// Geometry alone: the synthetic images bring their own light, occlusion, blur and noise.
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
    use crate::variant::Variant;

    #[test]
    fn the_two_losses_differ_in_the_landmark_term_alone() {
        let design = Design::new(false, None, None);
        let of = |variant: Variant| Job { subject: Subject::Face, strength: 1.0, variant, seed: 3 };
        let (plain, star) = (design.config(&of(Variant::plain())), design.config(&of(Variant::star())));
        plain.validate().unwrap();
        assert_ne!(plain.loss.kind, star.loss.kind);
        assert_eq!(plain, TrainConfig { loss: plain.loss.clone(), ..star });
    }
}
