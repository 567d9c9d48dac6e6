//! How every training is done: images, network, budget.

use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;

/// What a training sees.
///
/// Few images are seen many times, as the published recipe sees its faces 500 times: only then are labels' errors learnt by heart.
/// With seven times the images for a seventh of the epochs they average out. Hands take poses where faces have one: from as few of
/// them as of faces, and as few steps, the network does not learn where fingers are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Budget {
    pub(crate) epochs: usize,
    /// Images, the same in every epoch.
    pub(crate) train: usize,
    /// The best of those tried for both losses before the test images were made (docs/reproduce.md); `--thorough` tries them again.
    pub(crate) learning_rate: f64,
}

impl Budget {
    /// Images that are seen in all.
    pub(crate) fn images(self) -> usize {
        self.epochs * self.train
    }
}

/// Seeds of the sets: no image is in two of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SetSeeds {
    /// A training adds its own seed, and so has its own images and its own annotator: what differs between seeds is then all that
    /// would differ if somebody did it all again, but the test images.
    pub(crate) train: u64,
    pub(crate) validation: u64,
    /// One set for all. No image of it was looked at before the design was as it is.
    pub(crate) test: u64,
}

/// How every training of the profile is done; chosen so that the default run fits a quarter of an hour on two cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Regime {
    pub(crate) faces: Budget,
    pub(crate) hands: Budget,
    /// Images to choose the best epoch by, as ambiguously labelled as those to train on.
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
}

impl Default for Regime {
    fn default() -> Self {
        Self {
            faces: Budget { epochs: 40, train: 144, learning_rate: 3e-3 },
            hands: Budget { epochs: 24, train: 480, learning_rate: 1e-3 },
            validation: 48,
            test: 400,
            image_side: 112,
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
