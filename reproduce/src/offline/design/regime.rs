//! How every training is done: images, network, budget, seeds.

use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;

/// What a training sees.
///
/// Few images are seen many times, as the published recipe sees its faces 500 times: only then are labels' errors learnt by heart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Budget {
    pub(crate) epochs: usize,
    /// Images, the same in every epoch.
    pub(crate) train: usize,
    /// The highest.
    pub(crate) learning_rate: f64,
}

/// Seeds of the sets: no image is in two of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SetSeeds {
    /// A training adds its own seed, and so has its own images and its own annotators: what differs between seeds is then all that
    /// would differ if somebody did it all again, but the test images.
    pub(crate) train: u64,
    pub(crate) validation: u64,
    /// One set for all that is scored.
    pub(crate) test: u64,
}

impl SetSeeds {
    /// The confirmation of what was found post hoc.
    pub(crate) const CONFIRM: Self = Self { train: 444_000, validation: 466_000, test: 555_000 };
    /// The experiment.
    pub(crate) const MAIN: Self = Self { train: 711_000, validation: 722_000, test: 733_000 };
    /// What a step is timed on.
    pub(crate) const PACE: u64 = 900_000;
    /// What budgets and weights were chosen by: no image of it is in another run.
    pub(crate) const PILOT: Self = Self { train: 811_000, validation: 822_000, test: 833_000 };
}

/// How every training of a run is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Regime {
    pub(crate) faces: Budget,
    pub(crate) leaves: Budget,
    /// Images to choose the best epoch by, labelled as those to train on.
    pub(crate) validation: usize,
    /// Images to score on, against the exact truth.
    pub(crate) test: usize,
    /// Side of the synthetic images, pixels.
    pub(crate) image_side: u32,
    pub(crate) batch: usize,
    pub(crate) sets: SetSeeds,
    pub(crate) image_size: usize,
    pub(crate) levels: usize,
    pub(crate) channels: usize,
    /// Whether the rate climbs and falls in one cycle; else it falls in two steps.
    pub(crate) one_cycle: bool,
    /// Channels of the stem; `None` for the published 64, with which a step takes 1.8 times as long.
    pub(crate) stem: Option<usize>,
}

impl Regime {
    /// That of the first experiment, on images that it had not seen.
    pub(crate) fn confirm() -> Self {
        let faces = Budget { epochs: 40, train: 144, learning_rate: 3e-3 };
        Self {
            faces,
            test: 400,
            validation: 48,
            sets: SetSeeds::CONFIRM,
            stem: None,
            one_cycle: false,
            ..Self::thorough()
        }
    }

    /// Half of the thorough run's leaves, for a run of 30 trainings in minutes.
    pub(crate) fn default_run() -> Self {
        let budget = Budget { epochs: 24, train: 160, learning_rate: 5e-3 };
        Self { faces: budget, leaves: budget, validation: 24, test: 200, ..Self::thorough() }
    }

    /// All of them.
    pub(crate) fn thorough() -> Self {
        let budget = |train| Budget { epochs: 24, train, learning_rate: 5e-3 };
        Self {
            faces: budget(480),
            leaves: budget(320),
            validation: 48,
            test: 300,
            image_side: 112,
            batch: 4,
            sets: SetSeeds::MAIN,
            image_size: 64,
            levels: 3,
            channels: 64,
            one_cycle: true,
            stem: Some(32),
        }
    }

    pub(crate) fn budget(&self, subject: Subject) -> Budget {
        match subject {
            Subject::Face | Subject::Hand => self.faces,
            Subject::Leaf => self.leaves,
        }
    }
}
