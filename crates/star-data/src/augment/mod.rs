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

use crate::{Error, Result};

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

    /// Checks every probability and magnitude.
    ///
    /// # Errors
    /// [`Error::Config`] with the first field out of range.
    pub fn validate(&self) -> Result<()> {
        let probabilities = [
            ("flip.probability", self.flip.probability),
            ("occlusion.probability", self.occlusion.probability),
            ("blur.probability", self.blur.probability),
            ("gamma.probability", self.gamma.probability),
            ("noise.probability", self.noise.probability),
            ("grey.probability", self.grey.probability),
        ];
        let (one, any) = (0.0..=1.0, 0.0..=f64::MAX);
        let magnitudes = [
            ("similarity.shift", self.similarity.shift, any.clone(), "a spread of at least 0"),
            ("similarity.rotation", self.similarity.rotation, any.clone(), "degrees of at least 0"),
            ("similarity.scale", self.similarity.scale, any, "a spread of at least 0"),
            (
                "occlusion.size",
                self.occlusion.size.0,
                0.0..=self.occlusion.size.1,
                "0 <= smallest <= largest",
            ),
            ("occlusion.size", self.occlusion.size.1, 0.0..=2.0, "at most 2, the whole crop"),
            ("blur.kernel", self.blur.kernel, one.clone(), "a share from 0 to 1"),
            ("gamma.power", self.gamma.power, 1.0..=100.0, "a power from 1 to 100"),
            ("noise.alpha", self.noise.alpha, one.clone(), "a share from 0 to 1"),
        ];
        let probabilities =
            probabilities.map(|(field, value)| (field, value, one.clone(), "a probability from 0 to 1"));
        match probabilities.into_iter().chain(magnitudes).find(|(_, value, range, _)| !range.contains(value))
        {
            None => Ok(()),
            Some((field, value, _, expected)) => {
                Err(Error::Config { field, expected: expected.into(), got: value.to_string() })
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_and_no_change_at_all_are_in_range() {
        Augmentation::default().validate().unwrap();
        Augmentation::none().validate().unwrap();
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let mut bad: [Augmentation; 5] = Default::default();
        bad[0].flip.probability = 1.5;
        bad[1].similarity.rotation = f64::NAN;
        bad[2].gamma.power = 0.5;
        bad[3].occlusion.size = (0.8, 0.2);
        bad[4].noise.alpha = -0.1;
        let fields =
            ["flip.probability", "similarity.rotation", "gamma.power", "occlusion.size", "noise.alpha"];
        for (config, field) in bad.iter().zip(fields) {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
    }
}
