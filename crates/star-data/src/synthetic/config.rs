//! What to draw.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Name of the scheme of synthetic hands.
pub const HAND_SCHEME: &str = "hand21";
/// Name of the scheme of synthetic leaves.
pub const LEAF_SCHEME: &str = "leaf24";
/// Smallest image in which eyelids are still further apart than a pixel.
const SMALLEST: u32 = 32;
/// Largest image; a face painted larger shows no more.
const LARGEST: u32 = 4096;
/// Most images of a set: what is kept of each, such as its place in a split, adds up to 150 MB.
const MOST: usize = 1_000_000;

/// Which coordinates a sample carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Labels {
    /// As the imagined annotator labels: for training.
    #[default]
    Annotated,
    /// The truth: for evaluation.
    Exact,
}

/// What is in the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A face in the 98-point WFLW markup.
    #[default]
    Face,
    /// A hand in the 21-point markup `hand21`.
    Hand,
    /// The outline of a leaf, 24 points of the markup `leaf24`.
    Leaf,
}

impl Subject {
    /// Name of the scheme of its keypoints.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Face => "wflw98",
            Self::Hand => HAND_SCHEME,
            Self::Leaf => LEAF_SCHEME,
        }
    }
}

/// Whether images show where along its edge a keypoint lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Marks {
    /// They do not, but at corners and tips: an edge looks the same a little further on.
    #[default]
    None,
    /// A small coloured tick stands across the edge at every keypoint, over all that is before the subject; neighbours have other
    /// colours.
    Ticks,
}

/// How the annotator errs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// Each keypoint by itself, along the straight tangent of its edge and a little across it.
    #[default]
    Tangent,
    /// Whole stretches of an edge slide along its curve: neighbours move together, their order and the curve are kept, and each of five
    /// annotators has habits of their own; see [`Slide`](super::Slide).
    Slide,
}

/// What to draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyntheticConfig {
    /// What is in the images.
    pub subject: Subject,
    /// Number of faces, one an image; 1,000,000 at most.
    pub count: usize,
    /// Sets with different seeds share no face; train and test sets differ by it.
    pub seed: u64,
    /// Side of the square images, 32 to 4096 pixels.
    pub image_size: u32,
    /// Factor on the label noise; see [`Annotator`](super::Annotator). It changes no image.
    pub strength: f64,
    /// Which coordinates samples carry.
    pub labels: Labels,
    /// Whether images show where along its edge a keypoint lies. It changes no label.
    pub marks: Marks,
    /// How the annotator errs. It changes no image.
    pub noise: Noise,
}

/// 1000 faces of 160 pixels, annotated at strength 1.
impl Default for SyntheticConfig {
    fn default() -> Self {
        Self {
            subject: Subject::Face,
            count: 1000,
            seed: 0,
            image_size: 160,
            strength: 1.0,
            labels: Labels::Annotated,
            marks: Marks::None,
            noise: Noise::Tangent,
        }
    }
}

impl SyntheticConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, what it may be and what it is.
    pub fn validate(&self) -> Result<()> {
        if !(SMALLEST..=LARGEST).contains(&self.image_size) {
            return Err(invalid("image_size", format!("{SMALLEST} to {LARGEST} pixels"), self.image_size));
        }
        if self.count > MOST {
            return Err(invalid("count", format!("at most {MOST} images"), self.count));
        }
        if !(self.strength.is_finite() && self.strength >= 0.0) {
            return Err(invalid("strength", "a finite number of at least 0".into(), self.strength));
        }
        Ok(())
    }
}

/// The error of a setting.
pub(super) fn invalid(field: &'static str, expected: String, got: impl ToString) -> Error {
    Error::Config { field, expected, got: got.to_string() }
}
