//! What a training sees: images that show where keypoints lie or do not, labels that are exact or not.

use serde::{Deserialize, Serialize};
use star_data::synthetic::{Labels, Marks, Noise, Subject, SyntheticConfig};

use crate::variant::Variant;

/// Factor on the annotator's noise where labels are noisy: slides along the contour, in its middle, of 7.5 % of the inter-ocular distance of faces, of 6.8 % of the length
/// of leaves.
const STRENGTH: f64 = 1.5;

/// Images and labels of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) subject: Subject,
    pub(crate) marks: Marks,
    pub(crate) noise: Noise,
    /// Factor on the annotator's noise; 0 labels exactly.
    pub(crate) strength: f64,
}

impl Cell {
    /// Images of `subject`, and labels that are exact or those of annotators who slide.
    pub(crate) fn new(subject: Subject, marks: Marks, noisy: bool) -> Self {
        Self { subject, marks, noise: Noise::Slide, strength: if noisy { STRENGTH } else { 0.0 } }
    }

    /// Faces under the annotator of the first experiment, who errs along the tangent, keypoint by keypoint.
    pub(crate) fn tangent(strength: f64) -> Self {
        Self { subject: Subject::Face, marks: Marks::None, noise: Noise::Tangent, strength }
    }

    /// In the names of files.
    pub(crate) fn slug(&self) -> String {
        let subject = match self.subject {
            Subject::Face => "face",
            Subject::Hand => "hand",
            Subject::Leaf => "leaf",
        };
        let marks = match self.marks {
            Marks::None => "plain",
            Marks::Ticks => "marked",
        };
        let labels = match (self.noise, self.strength) {
            (Noise::Tangent, strength) => format!("tangent{strength}"),
            (Noise::Slide, 0.0) => "exact".to_string(),
            (Noise::Slide, _) => "noisy".to_string(),
        };
        format!("{subject}-{marks}-{labels}")
    }

    /// What a reader calls it, without its subject.
    pub(crate) fn name(&self) -> String {
        let images = match self.marks {
            Marks::None => "plain images",
            Marks::Ticks => "marked images",
        };
        match (self.noise, self.strength) {
            (Noise::Tangent, strength) => format!("label noise of strength {strength}"),
            (Noise::Slide, 0.0) => format!("{images}, exact labels"),
            (Noise::Slide, _) => format!("{images}, noisy labels"),
        }
    }

    /// `faces`, `hands` or `leaves`.
    pub(crate) fn subjects(&self) -> &'static str {
        match self.subject {
            Subject::Face => "faces",
            Subject::Hand => "hands",
            Subject::Leaf => "leaves",
        }
    }

    /// Images to train on or to validate with.
    pub(crate) fn images(&self, count: usize, seed: u64, image_size: u32) -> SyntheticConfig {
        let Self { subject, marks, noise, strength } = *self;
        SyntheticConfig {
            subject,
            count,
            seed,
            image_size,
            strength,
            labels: Labels::Annotated,
            marks,
            noise,
        }
    }

    /// Images to score on: exact labels; the strength says which keypoints are ambiguous and moves nothing.
    pub(crate) fn scored(&self, count: usize, seed: u64, image_size: u32) -> SyntheticConfig {
        SyntheticConfig {
            labels: Labels::Exact,
            noise: Noise::Tangent,
            strength: 1.0,
            ..self.images(count, seed, image_size)
        }
    }
}

/// One training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) cell: Cell,
    pub(crate) variant: Variant,
    pub(crate) seed: u64,
}

impl Job {
    /// Name of its files.
    pub(crate) fn id(&self) -> String {
        format!("{}-{}-{}", self.cell.slug(), self.variant.slug, self.seed)
    }

    /// What is printed of it.
    pub(crate) fn title(&self) -> String {
        let (cell, variant) = (&self.cell, &self.variant);
        format!("{}, {}, {}, seed {}", cell.subjects(), cell.name(), variant.name, self.seed)
    }
}
