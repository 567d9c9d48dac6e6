//! What is trained on portraits: losses, labels, seeds, and how.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use star_data::augment::{Augmentation, Flip, Similarity};
use star_data::formats::Format;
use star_train::OneCycle;
use star_train::config::{FilesSection, SourceSection, TrainConfig};

use crate::default_model::sets::SCHEME;
use crate::runner::Recipe;
use crate::small::Small;
use crate::variant::Variant;

/// Seeds of the pilots, which no table has.
const PILOT: u64 = 900;

/// Whose labels an image is trained under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Labels {
    /// Those of one detector, drawn for each image.
    Annotator,
    /// The mean of all detectors.
    Consensus,
}

impl Labels {
    pub(super) const ALL: [Self; 2] = [Self::Annotator, Self::Consensus];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Annotator => "annotator",
            Self::Consensus => "consensus",
        }
    }
}

/// Which images of a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Train,
    Validation,
}

/// Name of a file of drawn labels, below the folder of labels.
pub(super) fn file(seed: u64, labels: Labels, of: Use) -> String {
    let of = match of {
        Use::Train => "train",
        Use::Validation => "validation",
    };
    format!("seed-{seed}-{}-{of}.tsv", labels.name())
}

/// Weights of the restrictions: of smooth-L1 and of STAR those that the first synthetic experiment chose on its validation images
/// (docs/results), of the isotropic control STAR's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Weights {
    pub(super) restricted: f64,
    pub(super) isotropic: f64,
    pub(super) star: f64,
}

/// Weights that the pilots try: of the restriction of smooth-L1, and of both losses with factors.
const TRIED: [[f64; 3]; 2] = [[0.1, 0.3, 1.0], [1.0, 3.0, 10.0]];

/// All that a run does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Design {
    /// Also pilots under other weights.
    pub(super) pilot: bool,
    pub(super) seeds: u64,
    pub(super) pilots: u64,
    pub(super) weights: Weights,
    pub(super) epochs: usize,
    /// Portraits to train on, drawn for each seed.
    pub(super) train: usize,
    /// Portraits to choose the best epoch by, labelled as those to train on are.
    pub(super) validation: usize,
    pub(super) learning_rate: f64,
    pub(super) batch: usize,
    pub(super) image_size: usize,
    pub(super) levels: usize,
    pub(super) channels: usize,
    pub(super) stem: usize,
}

/// One training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) labels: Labels,
    pub(super) variant: Variant,
    pub(super) seed: u64,
}

impl Job {
    /// Name of its folder.
    pub(super) fn id(&self) -> String {
        format!("{}-{}-{}", self.labels.name(), self.variant.slug, self.seed)
    }

    pub(super) fn title(&self) -> String {
        format!("{} labels, {}, seed {}", self.labels.name(), self.variant.name, self.seed)
    }

    /// Whether it is under another weight, or another seed, than any table has.
    pub(super) fn is_pilot(&self) -> bool {
        self.seed >= PILOT
    }
}

impl Design {
    /// What the options ask for.
    pub(super) fn new(pilot: bool, seeds: Option<u64>, epochs: Option<usize>) -> Self {
        Self {
            pilot,
            seeds: seeds.unwrap_or(8),
            pilots: 2,
            weights: Weights { restricted: 0.3, isotropic: 3.0, star: 3.0 },
            epochs: epochs.unwrap_or(24),
            train: 480,
            validation: 48,
            learning_rate: 5e-3,
            batch: 4,
            image_size: 64,
            levels: 3,
            channels: 64,
            stem: 32,
        }
    }

    /// Whether this differs from `other` by its numbers of seeds alone, or by the pilots.
    pub(super) fn is_but_for_seeds(&self, other: &Self) -> bool {
        let Self { seeds, pilot, .. } = *other;
        Self { seeds, pilot, ..self.clone() } == *other
    }

    /// Smooth-L1, smooth-L1 with the restriction, the isotropic control, STAR.
    pub(super) fn losses(&self) -> [Variant; 4] {
        let Weights { restricted, isotropic, star } = self.weights;
        [
            Variant::plain(),
            Variant::plain_restricted(restricted),
            Variant::isotropic(isotropic),
            Variant::star_of(star),
        ]
    }

    /// The losses that are trained under `labels`: under the consensus the two that are compared.
    pub(super) fn losses_under(&self, labels: Labels) -> Vec<Variant> {
        let [plain, restricted, isotropic, star] = self.losses();
        match labels {
            Labels::Annotator => vec![plain, restricted, isotropic, star],
            Labels::Consensus => vec![restricted, star],
        }
    }

    /// Every training once; seed by seed, so that a run that is stopped has every table, of fewer seeds. The pilots come first.
    pub(super) fn jobs(&self) -> Vec<Job> {
        let mut jobs = Vec::new();
        if self.pilot {
            for seed in PILOT..PILOT + self.pilots {
                let [small, large] = TRIED;
                let variants = small
                    .into_iter()
                    .map(Variant::plain_restricted)
                    .chain(large.into_iter().map(Variant::isotropic))
                    .chain(large.into_iter().map(Variant::star_of));
                jobs.extend(variants.map(|variant| Job { labels: Labels::Annotator, variant, seed }));
            }
        }
        for seed in 0..self.seeds {
            for labels in Labels::ALL {
                let of = self.losses_under(labels).into_iter();
                jobs.extend(of.map(|variant| Job { labels, variant, seed }));
            }
        }
        jobs
    }

    /// The seeds that images and labels are drawn for.
    pub(super) fn drawn(&self) -> Vec<u64> {
        let mut seeds: Vec<u64> = self.jobs().iter().map(|job| job.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    }

    /// The training of a job on labels in the folder `labels`, on images below `data`; both from the root.
    pub(super) fn recipe(&self, job: &Job, labels: &Path, data: &Path) -> Recipe {
        Recipe { config: self.config(job, labels, data), control: job.variant.control() }
    }

    fn config(&self, job: &Job, labels: &Path, data: &Path) -> TrainConfig {
        let source = |of: Use| -> SourceSection {
            let annotations = labels.join(file(job.seed, job.labels, of));
            let files = FilesSection { annotations, images: Some(PathBuf::from(data)), ..Default::default() };
            SourceSection::Files(Format::Tsv, files)
        };
        let small = Small {
            scheme: SCHEME,
            seed: job.seed,
            epochs: self.epochs,
            batch: self.batch,
            learning_rate: self.learning_rate,
            decay: OneCycle { pct_start: 0.2, div_factor: 10.0, final_div_factor: 1000.0 }.into(),
            train: source(Use::Train),
            validation: source(Use::Validation),
            levels: self.levels,
            channels: self.channels,
            image_size: self.image_size,
            stem: Some(self.stem),
            augmentation: augmentation(),
        };
        small.config(&job.variant)
    }
}

/// Geometry alone: what light does to a photograph is the same for all losses.
fn augmentation() -> Augmentation {
    Augmentation {
        flip: Flip { probability: 0.5 },
        similarity: Similarity { shift: 0.04, rotation: 12.0, scale: 0.08, ..Default::default() },
        ..Augmentation::none()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_training_is_done_once_and_can_be_done() {
        for pilot in [false, true] {
            let design = Design::new(pilot, None, None);
            let jobs = design.jobs();
            let ids: BTreeSet<String> = jobs.iter().map(Job::id).collect();
            // Four losses and two, of eight seeds; nine pilots of two.
            assert_eq!((ids.len(), jobs.len()), if pilot { (66, 66) } else { (48, 48) });
            assert_eq!(jobs.iter().filter(|job| job.is_pilot()).count(), if pilot { 18 } else { 0 });
            for job in &jobs {
                let config = design.config(job, Path::new("/labels"), Path::new("/data"));
                config.validate().unwrap();
                config.model.architecture(&config.scheme(Path::new(".")).unwrap()).unwrap();
            }
        }
        let fewer = Design::new(false, Some(2), None);
        assert!(fewer.is_but_for_seeds(&Design::new(true, None, None)));
        assert!(!fewer.is_but_for_seeds(&Design::new(false, None, Some(3))));
    }

    #[test]
    fn losses_under_one_seed_differ_in_the_landmark_term_alone() {
        let design = Design::new(false, None, None);
        let of = |variant: &Variant| {
            let job = Job { labels: Labels::Annotator, variant: variant.clone(), seed: 3 };
            design.config(&job, Path::new("/labels"), Path::new("/data"))
        };
        let [plain, others @ ..] = design.losses();
        let plain = of(&plain);
        for other in others.iter().map(of) {
            assert_ne!(plain.loss, other.loss);
            assert_eq!(plain, TrainConfig { loss: plain.loss.clone(), ..other });
        }
    }
}
