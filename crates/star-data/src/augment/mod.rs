//! Random changes to training images, as the published models were trained with.
//!
//! Geometry (flip, similarity) is composed with the crop into one map, so pixels are sampled once and points go through the same
//! arithmetic. What changes pixels in place comes after, in the reference's order: occlusion, blur, gamma, noise, grey.

mod flip;
mod geometric;
mod photometric;

use image::RgbImage;
use rand::Rng;
use serde::{Deserialize, Serialize};

pub use flip::{flip_points, mirrored};
pub use geometric::{Flip, Similarity};
pub use photometric::{Blur, Gamma, Grey, Noise, Occlusion};

/// Everything that may happen to a training image. The default is the reference's recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Mirror.
    pub flip: Flip,
    /// Shift, turn and scale about the crop's centre.
    pub similarity: Similarity,
    /// Black rectangle.
    pub occlusion: Occlusion,
    /// Box blur.
    pub blur: Blur,
    /// Brighter or darker by a power.
    pub gamma: Gamma,
    /// Blend with uniform noise.
    pub noise: Noise,
    /// All colour gone.
    pub grey: Grey,
}

impl Augmentation {
    /// Nothing happens: for evaluation.
    pub fn none() -> Self {
        Self {
            flip: Flip { probability: 0.0 },
            similarity: Similarity { shift: 0.0, rotation: 0.0, scale: 0.0 },
            occlusion: Occlusion { probability: 0.0, ..Default::default() },
            blur: Blur { probability: 0.0, ..Default::default() },
            gamma: Gamma { probability: 0.0, ..Default::default() },
            noise: Noise { probability: 0.0, ..Default::default() },
            grey: Grey { probability: 0.0 },
        }
    }

    /// Applies all that changes pixels in place, in the reference's order.
    pub fn apply_photometric(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        self.occlusion.apply(image, rng);
        self.blur.apply(image, rng);
        self.gamma.apply(image, rng);
        self.noise.apply(image, rng);
        self.grey.apply(image, rng);
    }
}
