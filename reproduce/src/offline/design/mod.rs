//! What is trained and what is asked of it: which losses see which images and labels under which seeds.

mod cell;
mod question;
mod regime;
mod training;
mod weights;

use serde::{Deserialize, Serialize};
use star_data::synthetic::{Marks, Subject};

use crate::variant::{Change, Variant};
pub(crate) use cell::{Cell, Job};
pub(crate) use question::{Question, Term};
pub(crate) use regime::{Budget, Regime, SetSeeds};
pub(crate) use weights::Weights;

/// Which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The two ends of ambiguity.
    Default,
    /// Hours: ambiguity of images and of labels switched each by itself, a second domain, longer trainings, restarts.
    Thorough,
    /// What the first experiment showed post hoc, on fresh images.
    Confirm,
    /// What weights of restrictions are chosen by, on images that no other run has.
    Pilot,
}

impl Kind {
    /// In the names of folders.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Thorough => "thorough",
            Self::Confirm => "confirm",
            Self::Pilot => "pilot",
        }
    }
}

/// Losses that see one kind of images and labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Block {
    pub(crate) cell: Cell,
    pub(crate) variants: Vec<Variant>,
    pub(crate) seeds: u64,
    /// Blocks of a later phase wait for all of an earlier one.
    pub(crate) phase: usize,
}

/// All that a run does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Design {
    pub(crate) kind: Kind,
    pub(crate) regime: Regime,
    pub(crate) blocks: Vec<Block>,
}

/// Multiples of the main budget in the thorough run's longer trainings.
pub(crate) const LONGER: [f64; 2] = [2.0, 8.0];
/// Strengths of label noise in the confirmation.
const STRENGTHS: [f64; 3] = [0.0, 1.0, 3.0];

impl Design {
    /// What the options ask for: another number of seeds for everything, another number of epochs.
    pub(crate) fn new(kind: Kind, seeds: Option<u64>, epochs: Option<usize>) -> Self {
        let (mut regime, mut blocks) = match kind {
            Kind::Default => (Regime::default_run(), default_blocks()),
            Kind::Thorough => (Regime::thorough(), thorough_blocks()),
            Kind::Confirm => (Regime::confirm(), confirm_blocks()),
            Kind::Pilot => (Regime { sets: SetSeeds::PILOT, ..Regime::default_run() }, pilot_blocks()),
        };
        for budget in [&mut regime.faces, &mut regime.leaves] {
            budget.epochs = epochs.unwrap_or(budget.epochs);
        }
        for block in &mut blocks {
            block.seeds = seeds.unwrap_or(block.seeds);
        }
        Self { kind, regime, blocks }
    }

    /// Whether this differs from `other` by its numbers of seeds alone.
    pub(crate) fn is_but_for_seeds(&self, other: &Self) -> bool {
        let same = |(a, b): (&Block, &Block)| Block { seeds: a.seeds, ..b.clone() } == *a;
        self.kind == other.kind
            && self.regime == other.regime
            && self.blocks.len() == other.blocks.len()
            && self.blocks.iter().zip(&other.blocks).all(same)
    }

    /// Every training once: phase by phase, seed by seed, so that a run that is stopped has whole seeds.
    pub(crate) fn jobs(&self) -> Vec<Job> {
        let mut jobs: Vec<Job> = Vec::new();
        let most = |field: fn(&Block) -> u64| self.blocks.iter().map(field).max().unwrap_or(0);
        for phase in 0..=most(|block| block.phase as u64) as usize {
            for seed in 0..most(|block| block.seeds) {
                for block in self.blocks.iter().filter(|block| block.phase == phase && seed < block.seeds) {
                    for variant in &block.variants {
                        let job = Job { cell: block.cell, variant: variant.clone(), seed };
                        if !jobs.contains(&job) {
                            jobs.push(job);
                        }
                    }
                }
            }
        }
        jobs
    }

    /// Where the first table, and what is asked first, are of.
    pub(crate) fn main_cell(&self) -> Cell {
        match self.kind {
            Kind::Confirm => Cell::tangent(1.0),
            _ => plain_noisy(Subject::Leaf),
        }
    }

    /// What is drawn: first what the questions are about.
    pub(crate) fn subjects(&self) -> [Subject; 2] {
        match self.kind {
            Kind::Confirm => [Subject::Face, Subject::Leaf],
            _ => [Subject::Leaf, Subject::Face],
        }
    }

    /// The cells of a subject, in order.
    pub(crate) fn cells(&self, subject: Subject) -> Vec<Cell> {
        let mut cells: Vec<Cell> = Vec::new();
        for block in self.blocks.iter().filter(|block| block.cell.subject == subject) {
            if !cells.contains(&block.cell) {
                cells.push(block.cell);
            }
        }
        cells
    }

    /// The losses that are compared, in the order of tables.
    pub(crate) fn losses(&self, subject: Subject) -> Vec<Variant> {
        match self.kind {
            Kind::Confirm => confirm_losses().to_vec(),
            _ => Weights::of(subject).losses().to_vec(),
        }
    }

    /// What was asked before the run, tested with Holm's correction for their number.
    pub(crate) fn primaries(&self) -> Vec<Question> {
        let [_, restricted, isotropic, star] = match self.kind {
            Kind::Confirm => confirm_losses(),
            _ => Weights::of(Subject::Leaf).losses(),
        };
        if self.kind == Kind::Confirm {
            let cells = STRENGTHS.map(Cell::tangent);
            return vec![
                Question::difference(
                    "isotropic",
                    "STAR errs less across the contour than with one factor for both axes, which passes no gradient",
                    "STAR - isotropic",
                    &cells,
                    [&star, &isotropic],
                ),
                Question::difference(
                    "restricted",
                    "STAR errs less across the contour than smooth-L1 with a tuned restriction",
                    "STAR - restricted smooth-L1",
                    &cells,
                    [&star, &restricted],
                ),
            ];
        }
        let ambiguous = plain_noisy(Subject::Leaf);
        // Each end of ambiguity, or the mean over both kinds of labels where both were trained.
        let [plain, marked] = self.contrasted();
        let of = |cells: &[Cell]| {
            Question::difference(
                "ambiguity",
                "STAR's lead across the contour over one factor for both axes, which passes no gradient, is larger where images are ambiguous",
                "(STAR - isotropic on plain images) - (the same on marked images)",
                cells,
                [&star, &isotropic],
            )
        };
        vec![
            Question::difference(
                "plain",
                "on ambiguous images with noisy labels STAR errs less across the contour than smooth-L1 with a tuned restriction",
                "STAR - restricted smooth-L1",
                &[ambiguous],
                [&star, &restricted],
            ),
            of(&plain).minus(&of(&marked)),
        ]
    }

    /// The plain and the marked cells that the second question sets against each other.
    fn contrasted(&self) -> [Vec<Cell>; 2] {
        let of =
            |marks, labels: &[bool]| labels.iter().map(|l| Cell::new(Subject::Leaf, marks, *l)).collect();
        match self.kind {
            Kind::Thorough => [of(Marks::None, &[false, true]), of(Marks::Ticks, &[false, true])],
            _ => [of(Marks::None, &[true]), of(Marks::Ticks, &[false])],
        }
    }
}

/// Images and labels as ambiguous as they come.
pub(crate) fn plain_noisy(subject: Subject) -> Cell {
    Cell::new(subject, Marks::None, true)
}

/// Neither.
pub(crate) fn marked_exact(subject: Subject) -> Cell {
    Cell::new(subject, Marks::Ticks, false)
}

/// Ambiguous images, exact labels: what label noise costs is told from here.
pub(crate) fn plain_exact(subject: Subject) -> Cell {
    Cell::new(subject, Marks::None, false)
}

/// Smooth-L1, restricted, isotropic, STAR. The weight is the best of the first experiment, on its validation images.
fn confirm_losses() -> [Variant; 4] {
    [Variant::plain(), Variant::plain_restricted(0.3), Variant::isotropic(1.0), Variant::star_of(1.0)]
}

fn confirm_blocks() -> Vec<Block> {
    let block = |strength| Block {
        cell: Cell::tangent(strength),
        variants: confirm_losses().to_vec(),
        seeds: 12,
        phase: 0,
    };
    STRENGTHS.map(block).to_vec()
}

fn default_blocks() -> Vec<Block> {
    let [plain, compared @ ..] = Weights::of(Subject::Leaf).losses();
    let of = |cell, variants: &[Variant], seeds| Block { cell, variants: variants.to_vec(), seeds, phase: 0 };
    let (ambiguous, sure) = (plain_noisy(Subject::Leaf), marked_exact(Subject::Leaf));
    let gate = |cell| of(cell, std::slice::from_ref(&plain), 2);
    vec![
        of(ambiguous, &compared, 4),
        of(sure, &compared, 4),
        gate(ambiguous),
        gate(sure),
        gate(plain_exact(Subject::Leaf)),
    ]
}

fn thorough_blocks() -> Vec<Block> {
    let of = |cell, variants: Vec<Variant>, seeds, phase| Block { cell, variants, seeds, phase };
    let leaves = Weights::of(Subject::Leaf).losses();
    let mut blocks = Vec::new();
    for (marks, noisy) in
        [(Marks::None, true), (Marks::Ticks, false), (Marks::None, false), (Marks::Ticks, true)]
    {
        blocks.push(of(Cell::new(Subject::Leaf, marks, noisy), leaves.to_vec(), 8, 0));
    }
    let faces = Weights::of(Subject::Face).losses()[1..].to_vec();
    blocks.push(of(plain_noisy(Subject::Face), faces.clone(), 6, 1));
    blocks.push(of(marked_exact(Subject::Face), faces, 6, 1));
    let [plain, restricted, _, star] = leaves;
    let again = [&restricted, &star].into_iter().flat_map(|base| [1, 2].map(|n| start(base, n)));
    blocks.push(of(plain_noisy(Subject::Leaf), again.collect(), 3, 2));
    for factor in LONGER {
        let variants = [&plain, &restricted, &star].map(|base| longer(base, factor));
        blocks.push(of(plain_noisy(Subject::Leaf), variants.to_vec(), 2, 3));
    }
    blocks
}

fn pilot_blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for subject in [Subject::Leaf, Subject::Face] {
        blocks.push(Block {
            cell: plain_noisy(subject),
            variants: weights::candidates(),
            seeds: 2,
            phase: usize::from(subject == Subject::Face),
        });
    }
    // What the gates will ask.
    for cell in [plain_noisy, marked_exact, plain_exact] {
        let variants = vec![Variant::plain()];
        blocks.push(Block { cell: cell(Subject::Leaf), variants, seeds: 2, phase: 0 });
    }
    blocks
}

/// The same images and labels from other weights at the start.
pub(crate) fn start(base: &Variant, number: u64) -> Variant {
    base.with(&format!("start{number}"), &format!("start {number}"), Change::Start(number))
}

/// The same for more epochs.
pub(crate) fn longer(base: &Variant, factor: f64) -> Variant {
    base.with(&format!("x{factor}"), &format!("{factor} times the steps"), Change::Epochs(factor))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_training_is_done_once_and_can_be_done() {
        for (kind, count) in [
            // Two cells, three losses, four seeds; smooth-L1 in three cells under two seeds.
            (Kind::Default, 24 + 6),
            // Leaves, faces, two more starts of two losses, two longer budgets of three.
            (Kind::Thorough, 4 * 4 * 8 + 2 * 3 * 6 + 2 * 2 * 3 + 2 * 3 * 2),
            (Kind::Confirm, 12 * 3 * 4),
            (Kind::Pilot, 2 * 9 * 2 + 3 * 2),
        ] {
            let design = Design::new(kind, None, None);
            let jobs = design.jobs();
            let ids: BTreeSet<String> = jobs.iter().map(Job::id).collect();
            assert_eq!((ids.len(), jobs.len()), (count, count), "{kind:?}");
            for job in &jobs {
                let config = design.config(job);
                config.validate().unwrap();
                config.model.architecture(&config.scheme(Path::new(".")).unwrap()).unwrap();
            }
        }
    }

    #[test]
    fn every_question_is_about_trainings_of_the_run_and_its_factors_sum_to_nothing() {
        for kind in [Kind::Default, Kind::Thorough, Kind::Confirm] {
            let design = Design::new(kind, None, None);
            let jobs = design.jobs();
            let questions = design.primaries();
            assert_eq!(questions.len(), 2);
            for Question { id, terms, .. } in questions {
                assert!(terms.iter().map(|term| term.factor).sum::<f64>().abs() < 1e-12, "{id}");
                let trained = |term: &Term| {
                    let job = Job { cell: term.cell, variant: term.variant.clone(), seed: 0 };
                    jobs.contains(&job)
                };
                assert!(terms.iter().all(trained), "{kind:?}: {id}");
            }
        }
    }

    #[test]
    fn no_set_of_images_is_in_two_runs() {
        let sets = [SetSeeds::CONFIRM, SetSeeds::MAIN, SetSeeds::PILOT];
        let seeds: BTreeSet<u64> = sets.iter().flat_map(|s| [s.train, s.validation, s.test]).collect();
        assert_eq!(seeds.len(), 9);
        // A training adds its own seed to two of them.
        let seeds: Vec<u64> = seeds.into_iter().collect();
        assert!(seeds.windows(2).all(|pair| pair[1] - pair[0] > 100));
    }
}
