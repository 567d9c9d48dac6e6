//! What of a design is done.

use star_data::synthetic::Subject;

use super::{Design, Job, REALISTIC};
use crate::variant::Variant;

impl Design {
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
                !wanted || strengths.all(|s| has(*subject, *s, &Variant::isotropic(), *seed))
            })
        };
        let restrictions = [Variant::star(), Variant::no_restriction(), Variant::detached()];
        let restricted = |seed: &u64| restrictions.iter().all(|v| has(Subject::Face, REALISTIC, v, *seed));
        Self {
            seeds: seeds(Subject::Face),
            hand_seeds: seeds(Subject::Hand),
            control_seeds: (0..self.control_seeds).take_while(controlled).count() as u64,
            restriction_seeds: (0..self.restriction_seeds).take_while(restricted).count().max(1) as u64,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
