//! What is trained: which losses under which strengths and seeds.

mod complete;
mod job;
mod regime;
mod training;

use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;

use crate::variant::Variant;
use crate::variant::tables::{self, Ablation};
pub(crate) use job::{Job, subject_name};
pub(crate) use regime::{Budget, Regime};

/// Factors on the annotator's noise: exact labels, labels as people's are imagined, and labels of people in a hurry.
pub(crate) const STRENGTHS: [f64; 3] = [0.0, 1.0, 3.0];
/// The strength at which everything but the dependence on strength is looked at.
pub(crate) const REALISTIC: f64 = 1.0;

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
                    strengths.for_each(|strength| add(subject, *strength, &Variant::isotropic(), seed));
                }
            }
        }
        for seed in 0..self.restriction_seeds {
            for variant in [Variant::no_restriction(), Variant::detached()] {
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
}

/// Everything that `--thorough` trains beside the comparison.
fn ablations() -> Vec<Planned> {
    let at = |strength: f64, table: Ablation| Planned { subject: Subject::Face, strength, table };
    vec![
        at(REALISTIC, tables::controls()),
        at(REALISTIC, tables::learning_rates()),
        Planned { subject: Subject::Hand, ..at(REALISTIC, tables::learning_rates()) },
        at(REALISTIC, tables::restrictions()),
        at(REALISTIC, tables::starts()),
        at(REALISTIC, tables::distances()),
        at(REALISTIC, tables::attention(false)),
        at(REALISTIC, tables::stacks(&[2])),
        at(REALISTIC, tables::backbones(8)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

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
}
