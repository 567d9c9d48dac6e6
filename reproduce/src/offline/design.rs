//! What is trained: pictures, network, budget, and which losses under which strengths and seeds.

use serde::{Deserialize, Serialize};
use star_data::augment::{Augmentation, Flip, Similarity};
use star_data::synthetic::{Labels, Subject, SyntheticConfig};
use star_predict::device::DeviceName;
use star_train::config::{
    DataSection, DistanceName, LossKind, LossSection, ModelSection, SourceSection, TrainConfig,
};
use star_train::{OptimizerConfig, Precision, Schedule, StepDecay};

use crate::variant::{self, Ablation, Variant};

/// Factors on the annotator's noise: exact labels, labels as people's are imagined, and labels of people in a hurry.
pub(crate) const STRENGTHS: [f64; 3] = [0.0, 1.0, 3.0];
/// The strength at which everything but the dependence on strength is looked at.
pub(crate) const REALISTIC: f64 = 1.0;

/// What a training sees.
///
/// Few pictures are seen many times, as the published recipe sees its faces 500 times: only then are labels' errors learnt by heart.
/// With seven times the pictures for a seventh of the epochs they average out. Hands take poses where faces have one: from as few of
/// them as of faces, and as few steps, the network does not learn where fingers are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Budget {
    pub(crate) epochs: usize,
    /// Pictures, the same in every epoch.
    pub(crate) train: usize,
    /// The best of those tried for both losses before the test pictures were drawn (docs/reproduce.md); `--thorough` tries them again.
    pub(crate) learning_rate: f64,
}

impl Budget {
    /// Pictures that are seen in all.
    pub(crate) fn pictures(self) -> usize {
        self.epochs * self.train
    }
}

/// What the sets are drawn from: no picture is in two of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SetSeeds {
    /// A training adds its own seed, and so has its own pictures and its own annotator: what differs between seeds is then all that
    /// would differ if somebody did it all again, but the test pictures.
    pub(crate) train: u64,
    pub(crate) validation: u64,
    /// One set for all. No picture of it was looked at before the design was as it is.
    pub(crate) test: u64,
}

/// How every training of the profile is done; chosen so that the default run fits a quarter of an hour on two cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Regime {
    pub(crate) faces: Budget,
    pub(crate) hands: Budget,
    /// Pictures to choose the best epoch by, as ambiguously labelled as those to train on.
    pub(crate) validation: usize,
    /// Pictures to score on, against the exact truth.
    pub(crate) test: usize,
    /// Side of the drawn pictures, pixels.
    pub(crate) picture: u32,
    pub(crate) batch: usize,
    pub(crate) sets: SetSeeds,
    pub(crate) image_size: usize,
    pub(crate) levels: usize,
    pub(crate) channels: usize,
}

impl Default for Regime {
    fn default() -> Self {
        Self {
            faces: Budget { epochs: 40, train: 144, learning_rate: 3e-3 },
            hands: Budget { epochs: 24, train: 480, learning_rate: 1e-3 },
            validation: 48,
            test: 400,
            picture: 112,
            batch: 4,
            sets: SetSeeds { train: 111_000, validation: 222_000, test: 333_000 },
            image_size: 64,
            levels: 3,
            channels: 64,
        }
    }
}

impl Regime {
    pub(crate) fn budget(&self, subject: Subject) -> Budget {
        match subject {
            Subject::Face => self.faces,
            Subject::Hand => self.hands,
        }
    }
}

/// One training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) subject: Subject,
    pub(crate) strength: f64,
    pub(crate) variant: Variant,
    pub(crate) seed: u64,
}

impl Job {
    /// Name of its folder.
    pub(crate) fn id(&self) -> String {
        format!("{}-s{}-{}-{}", subject_name(self.subject), self.strength, self.variant.slug, self.seed)
    }

    /// What a person is told that is being done.
    pub(crate) fn title(&self) -> String {
        format!(
            "{}, strength {}, {}, seed {}",
            subject_name(self.subject),
            self.strength,
            self.variant.name,
            self.seed
        )
    }
}

/// `face` or `hand`.
pub(crate) fn subject_name(subject: Subject) -> &'static str {
    match subject {
        Subject::Face => "face",
        Subject::Hand => "hand",
    }
}

/// All that a run does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Design {
    pub(crate) thorough: bool,
    pub(crate) regime: Regime,
    /// Seeds of the comparison of faces.
    pub(crate) seeds: u64,
    /// Seeds of the second domain.
    pub(crate) hand_seeds: u64,
    /// Strengths of the second domain.
    pub(crate) hand_strengths: Vec<f64>,
    /// Seeds of the control, faces and hands; at most those of the comparison.
    pub(crate) control_seeds: u64,
    /// Seeds of the trainings without and with other restrictions.
    pub(crate) restriction_seeds: u64,
    /// Seeds of each training of the ablations.
    pub(crate) ablation_seeds: u64,
    pub(crate) ablations: Vec<Planned>,
}

/// A table of trainings at one strength.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Planned {
    pub(crate) subject: Subject,
    pub(crate) strength: f64,
    pub(crate) table: Ablation,
}

impl Design {
    /// What the options ask for.
    pub(crate) fn new(thorough: bool, seeds: Option<u64>, epochs: Option<usize>) -> Self {
        let mut regime = Regime::default();
        for budget in [&mut regime.faces, &mut regime.hands] {
            budget.epochs = epochs.unwrap_or(budget.epochs);
        }
        // A number that is asked for is the number of everything; of those chosen here the comparison of faces has the most.
        let of = |usual: u64| seeds.unwrap_or(usual);
        Self {
            thorough,
            regime,
            seeds: of(if thorough { 6 } else { 4 }),
            hand_seeds: of(if thorough { 4 } else { 3 }),
            hand_strengths: if thorough { STRENGTHS.to_vec() } else { vec![REALISTIC] },
            control_seeds: if thorough { of(6) } else { 0 },
            restriction_seeds: of(if thorough { 3 } else { 2 }),
            ablation_seeds: of(3),
            ablations: if thorough { ablations() } else { Vec::new() },
        }
    }

    /// Whether this differs from `other` by its numbers of seeds alone.
    pub(crate) fn is_but_for_seeds(&self, other: &Self) -> bool {
        let Self { seeds, hand_seeds, control_seeds, restriction_seeds, ablation_seeds, .. } = *other;
        Self { seeds, hand_seeds, control_seeds, restriction_seeds, ablation_seeds, ..self.clone() } == *other
    }

    /// Strengths at which both losses are compared on a subject.
    pub(crate) fn strengths(&self, subject: Subject) -> &[f64] {
        match subject {
            Subject::Face => &STRENGTHS,
            Subject::Hand => &self.hand_strengths,
        }
    }

    /// Paired trainings of that comparison.
    pub(crate) fn seeds_of(&self, subject: Subject) -> u64 {
        match subject {
            Subject::Face => self.seeds,
            Subject::Hand => self.hand_seeds,
        }
    }

    /// Paired trainings of the isotropic loss.
    pub(crate) fn control_seeds_of(&self, subject: Subject) -> u64 {
        self.control_seeds.min(self.seeds_of(subject))
    }

    /// Every training once, in an order in which the first comparisons are complete soonest: those of the default run come first.
    pub(crate) fn jobs(&self) -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::new();
        if self.thorough {
            let usual = Self::new(false, None, None);
            let first = Self {
                seeds: self.seeds.min(usual.seeds),
                hand_seeds: self.hand_seeds.min(usual.hand_seeds),
                restriction_seeds: self.restriction_seeds.min(usual.restriction_seeds),
                ..usual
            };
            jobs = first.jobs();
        }
        let mut add = |subject, strength, variant: &Variant, seed| {
            let job = Job { subject, strength, variant: variant.clone(), seed };
            if !jobs.contains(&job) {
                jobs.push(job);
            }
        };
        let pair = [Variant::plain(), Variant::star()];
        for seed in 0..self.seeds.max(self.hand_seeds) {
            for subject in [Subject::Face, Subject::Hand] {
                if seed < self.seeds_of(subject) {
                    for &strength in self.strengths(subject) {
                        pair.iter().for_each(|variant| add(subject, strength, variant, seed));
                    }
                }
            }
        }
        for seed in 0..self.control_seeds {
            for subject in [Subject::Face, Subject::Hand] {
                if seed < self.control_seeds_of(subject) {
                    let strengths = self.strengths(subject).iter();
                    strengths.for_each(|strength| add(subject, *strength, &variant::isotropic(), seed));
                }
            }
        }
        for seed in 0..self.restriction_seeds {
            for variant in [variant::no_restriction(), variant::detached()] {
                add(Subject::Face, REALISTIC, &variant, seed);
            }
        }
        // Seed by seed: a run that is stopped has every table, of fewer seeds.
        for seed in 0..self.ablation_seeds {
            for Planned { subject, strength, table } in &self.ablations {
                table.variants.iter().for_each(|variant| add(*subject, *strength, variant, seed));
            }
        }
        jobs
    }

    /// The largest part of the design whose trainings are all among `done`, which tells of a training whether it is there: as many
    /// seeds of each comparison as are complete, and at least one.
    pub(crate) fn complete(&self, done: impl Fn(&Job) -> bool) -> Self {
        let pair = [Variant::plain(), Variant::star()];
        let has = |subject, strength, variant: &Variant, seed| {
            done(&Job { subject, strength, variant: variant.clone(), seed })
        };
        let seeds = |subject: Subject| {
            let whole = |seed: &u64| {
                let strengths = self.strengths(subject).iter();
                strengths.flat_map(|s| pair.iter().map(|v| (*s, v))).all(|(s, v)| has(subject, s, v, *seed))
            };
            (0..self.seeds_of(subject)).take_while(whole).count().max(1) as u64
        };
        let controlled = |seed: &u64| {
            [Subject::Face, Subject::Hand].iter().all(|subject| {
                let wanted = *seed < self.control_seeds_of(*subject);
                let mut strengths = self.strengths(*subject).iter();
                !wanted || strengths.all(|s| has(*subject, *s, &variant::isotropic(), *seed))
            })
        };
        let restrictions = [Variant::star(), variant::no_restriction(), variant::detached()];
        let restricted = |seed: &u64| restrictions.iter().all(|v| has(Subject::Face, REALISTIC, v, *seed));
        Self {
            seeds: seeds(Subject::Face),
            hand_seeds: seeds(Subject::Hand),
            control_seeds: (0..self.control_seeds).take_while(controlled).count() as u64,
            restriction_seeds: (0..self.restriction_seeds).take_while(restricted).count().max(1) as u64,
            ..self.clone()
        }
    }

    /// The training of a job: in one design only strength, subject, seed and what the variant changes differ.
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
            // The reference's 10 000 images suit its 3.75 million; these runs see six to twelve thousand pictures.
            ema_half_life: 500.0,
            save_minutes: 1.0,
            workers: 1,
            data: DataSection {
                train: SourceSection::Synthetic(self.pictures(job, train, regime.sets.train + job.seed)),
                validation: Some(SourceSection::Synthetic(self.pictures(
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
                attention: false,
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

    /// The pictures that a job is scored on, with exact labels.
    pub(crate) fn test(&self, subject: Subject) -> SyntheticConfig {
        SyntheticConfig {
            subject,
            count: self.regime.test,
            seed: self.regime.sets.test,
            image_size: self.regime.picture,
            strength: REALISTIC,
            labels: Labels::Exact,
        }
    }

    fn pictures(&self, job: &Job, count: usize, seed: u64) -> SyntheticConfig {
        SyntheticConfig {
            subject: job.subject,
            count,
            seed,
            image_size: self.regime.picture,
            strength: job.strength,
            labels: Labels::Annotated,
        }
    }
}

/// Everything that `--thorough` trains beside the comparison.
fn ablations() -> Vec<Planned> {
    let at = |strength: f64, table: Ablation| Planned { subject: Subject::Face, strength, table };
    vec![
        at(REALISTIC, variant::controls()),
        at(REALISTIC, variant::learning_rates()),
        Planned { subject: Subject::Hand, ..at(REALISTIC, variant::learning_rates()) },
        at(REALISTIC, variant::restrictions()),
        at(REALISTIC, variant::starts()),
        at(REALISTIC, variant::distances()),
        at(REALISTIC, variant::attention(false)),
        at(REALISTIC, variant::stacks(&[2])),
        at(REALISTIC, variant::backbones(8)),
    ]
}

/// Geometry alone: the drawn pictures bring their own light, occlusion, blur and noise.
fn augmentation() -> Augmentation {
    Augmentation {
        flip: Flip { probability: 0.5 },
        similarity: Similarity { shift: 0.03, rotation: 8.0, scale: 0.05, ..Default::default() },
        ..Augmentation::none()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_two_losses_differ_in_the_landmark_term_alone() {
        let design = Design::new(false, None, None);
        let of = |variant: Variant| Job { subject: Subject::Face, strength: 1.0, variant, seed: 3 };
        let (plain, star) = (design.config(&of(Variant::plain())), design.config(&of(Variant::star())));
        plain.validate().unwrap();
        assert_ne!(plain.loss.kind, star.loss.kind);
        assert_eq!(plain, TrainConfig { loss: plain.loss.clone(), ..star });
    }

    #[test]
    fn every_training_is_done_once_and_can_be_done() {
        for design in [Design::new(false, None, None), Design::new(true, None, None)] {
            let jobs = design.jobs();
            let ids: BTreeSet<String> = jobs.iter().map(Job::id).collect();
            assert_eq!(ids.len(), jobs.len());
            for job in &jobs {
                let config = design.config(job);
                config.validate().unwrap();
                config.model.architecture(&config.scheme(Path::new(".")).unwrap()).unwrap();
            }
        }
        // Three strengths, two losses, four seeds; hands, three seeds; two more restrictions, two seeds.
        let usual = Design::new(false, None, None).jobs();
        assert_eq!(usual.len(), 24 + 6 + 4);
        assert_eq!(usual, Design::new(true, None, None).jobs()[..usual.len()]);
    }

    #[test]
    fn what_is_complete_is_known_from_what_is_done() {
        let design = Design::new(true, None, None);
        let all = design.complete(|_| true);
        assert_eq!(all, design);
        // Faces lack one loss of the third seed, hands one strength of the second.
        let part = design.complete(|job| match job.subject {
            Subject::Face => job.seed < 2 || (job.seed == 2 && job.variant == Variant::plain()),
            Subject::Hand => job.seed < 1 || job.strength == REALISTIC,
        });
        assert_eq!((part.seeds, part.hand_seeds, part.restriction_seeds), (2, 1, 2));
        // The control of hands is there for one seed.
        assert_eq!(part.control_seeds, 1);
    }
}
