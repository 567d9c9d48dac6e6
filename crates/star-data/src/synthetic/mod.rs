//! Synthetic faces with exact truth and labels as ambiguous as people's.
//!
//! Every landmark of the 98-point WFLW markup lies on something painted: the rim of the skin, of the brows, of the eyes and lips,
//! the ridge and base of the nose, the irises. People, expressions, poses, light, hair, glasses and occlusions vary. Labels are the
//! truth plus noise that is large along the landmark's edge and small across it ([`Annotator`]), drawn once per image.
//! The faces are for tests, examples and experiments on ambiguity without any licence; they are no substitute for photographs.
//! [`Subject::Hand`] draws hands and [`Subject::Leaf`] the outlines of leaves instead, with schemes and annotators of their own.
//! [`Noise::Slide`] is an annotator who moves whole stretches of an edge; [`Marks::Ticks`] paints where along its edge a keypoint lies,
//! which is how an experiment switches the ambiguity of images on and off.
//!
//! ```
//! use star_data::Dataset;
//! use star_data::synthetic::{SyntheticConfig, SyntheticFaces};
//!
//! let faces = SyntheticFaces::new(SyntheticConfig { count: 10, seed: 7, ..Default::default() })?;
//! let sample = faces.get(3)?;
//! assert_eq!((sample.image.width(), sample.points.len()), (160, 98));
//! // Labels miss the truth along the jaw more than across it.
//! let sigma = faces.sigmas(3)[8];
//! assert!(sigma.tangential > 6.0 * sigma.normal);
//! # Ok::<(), star_data::Error>(())
//! ```

mod annotator;
mod config;
mod faces;
mod figure;
mod hand;
mod hands;
mod leaf;
mod leaves;
mod paint;
mod pose;
mod shape;
mod slide;
mod stream;

use std::sync::Arc;

pub use annotator::{Annotator, Sigma};
pub use config::{HAND_SCHEME, LEAF_SCHEME, Labels, Marks, Noise, Subject, SyntheticConfig};
pub use faces::SyntheticFaces;
pub use hands::SyntheticHands;
pub use leaves::SyntheticLeaves;
pub use slide::{ANNOTATORS, Slide};

use crate::{Dataset, Result};

/// A synthetic data set: the exact truth is known, and how far and in which direction its annotator errs.
pub trait SyntheticDataset: Dataset {
    /// Exact keypoints of an image in its pixels, pixel centres at whole numbers.
    fn truth(&self, index: usize) -> Vec<[f32; 2]>;

    /// Labels as the annotator gives them, whichever labels the samples carry.
    fn annotated(&self, index: usize) -> Vec<[f32; 2]> {
        self.annotated_as(index, index)
    }

    /// Labels of an image as whoever labels image `other` gives them, with the slips that are made there: how far people disagree about one
    /// image.
    fn annotated_as(&self, index: usize, other: usize) -> Vec<[f32; 2]>;

    /// Unit direction in which the label of each keypoint is least sure; `(1, 0)` for keypoints whose noise is isotropic.
    fn tangent(&self, index: usize) -> Vec<[f32; 2]>;

    /// Standard deviations of each keypoint's label in pixels.
    fn sigmas(&self, index: usize) -> Vec<Sigma>;
}

/// The set that `config` describes, whatever its subject.
///
/// # Errors
/// As [`SyntheticConfig::validate`].
pub fn open(config: SyntheticConfig) -> Result<Arc<dyn SyntheticDataset>> {
    Ok(match config.subject {
        Subject::Face => Arc::new(SyntheticFaces::new(config)?),
        Subject::Hand => Arc::new(SyntheticHands::new(config)?),
        Subject::Leaf => Arc::new(SyntheticLeaves::new(config)?),
    })
}

#[cfg(test)]
mod ambiguity_tests;
#[cfg(test)]
mod tests;
