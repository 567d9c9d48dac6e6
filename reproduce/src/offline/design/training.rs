//! The training file of a job, and what it is scored on.

use star_data::augment::{Augmentation, Flip, Similarity};
use star_data::synthetic::{Subject, SyntheticConfig};
use star_train::config::{SourceSection, TrainConfig};
use star_train::{OneCycle, StepDecay};

use super::{Budget, Design, Job};
use crate::machine::sha256_of;
use crate::runner::Recipe;
use crate::small::Small;

impl Design {
    /// The training of a job.
    pub(crate) fn recipe(&self, job: &Job) -> Recipe {
        Recipe { config: self.config(job), control: job.variant.control() }
    }

    /// The training file of a job: in one design only images, labels, seed and what the variant changes differ.
    pub(crate) fn config(&self, job: &Job) -> TrainConfig {
        let regime = &self.regime;
        let Budget { epochs, train, learning_rate } = regime.budget(job.cell.subject);
        let images = |count, seed| {
            SourceSection::Synthetic(job.cell.images(count, seed + job.seed, regime.image_side))
        };
        let small = Small {
            scheme: job.cell.subject.scheme(),
            seed: job.seed,
            epochs,
            batch: regime.batch,
            learning_rate,
            decay: if regime.one_cycle {
                OneCycle { pct_start: 0.2, div_factor: 10.0, final_div_factor: 1000.0 }.into()
            } else {
                StepDecay { milestones: vec![epochs * 7 / 10, epochs * 9 / 10], gamma: 0.1 }.into()
            },
            train: images(train, regime.sets.train),
            validation: images(regime.validation, regime.sets.validation),
            levels: regime.levels,
            channels: regime.channels,
            image_size: regime.image_size,
            stem: regime.stem,
            augmentation: augmentation(job.cell.subject),
        };
        small.config(&job.variant)
    }

    /// The images that a job is scored on, with exact labels.
    pub(crate) fn test(&self, job: &Job) -> SyntheticConfig {
        job.cell.scored(self.regime.test, self.regime.sets.test, self.regime.image_side)
    }

    /// A hash of all that decides a job's figures, but the program.
    ///
    /// # Errors
    /// Never in practice: settings can be written.
    pub(crate) fn settings(&self, job: &Job) -> anyhow::Result<String> {
        let all = serde_json::to_string(&(self.config(job), &job.variant, self.test(job)))?;
        Ok(sha256_of(all.as_bytes())[..16].to_string())
    }
}

/// Geometry alone: the synthetic images bring their own light, occlusion, blur and noise. A mirrored leaf is none.
fn augmentation(subject: Subject) -> Augmentation {
    Augmentation {
        flip: Flip { probability: if subject == Subject::Leaf { 0.0 } else { 0.5 } },
        similarity: Similarity { shift: 0.03, rotation: 8.0, scale: 0.05, ..Default::default() },
        ..Augmentation::none()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cell, Kind, Weights, longer, plain_noisy};
    use super::*;
    use crate::variant::Variant;

    #[test]
    fn losses_differ_in_the_landmark_term_alone() {
        let design = Design::new(Kind::Thorough, None, None);
        let of =
            |variant: Variant| design.config(&Job { cell: plain_noisy(Subject::Face), variant, seed: 3 });
        let [plain, others @ ..] = Weights::of(Subject::Face).losses();
        let plain = of(plain);
        for other in others {
            let other = of(other);
            assert_ne!(plain.loss, other.loss);
            assert_eq!(plain, TrainConfig { loss: plain.loss.clone(), ..other });
        }
    }

    #[test]
    fn a_longer_training_has_its_milestones_later_and_other_settings_another_hash() {
        let design = Design::new(Kind::Confirm, None, None);
        let job = |variant| Job { cell: Cell::tangent(1.0), variant, seed: 0 };
        let [usual, long] = [Variant::plain(), longer(&Variant::plain(), 8.0)].map(job);
        let (short, twice) = (design.config(&usual), design.config(&long));
        assert_eq!((twice.epochs, short.epochs), (320, 40));
        let milestones = StepDecay { milestones: vec![28 * 8, 36 * 8], gamma: 0.1 };
        assert_eq!(twice.schedule.decay, milestones.into());
        assert_ne!(design.settings(&usual).unwrap(), design.settings(&long).unwrap());
        let other = Design::new(Kind::Confirm, None, Some(3));
        assert_ne!(design.settings(&usual).unwrap(), other.settings(&usual).unwrap());
    }
}
