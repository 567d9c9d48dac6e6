//! The noise of a poor sensor, blended in.

use image::RgbImage;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{between, happens};

/// A blend with uniform noise. Reference: probability 0.2, up to half noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Noise {
    /// Probability in `[0, 1]`.
    pub probability: f64,
    /// Largest share of noise.
    pub alpha: f64,
}

impl Default for Noise {
    fn default() -> Self {
        Self { probability: 0.2, alpha: 0.5 }
    }
}

impl Noise {
    /// Blends in noise of random strength, or does nothing.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        if !happens(self.probability, rng) {
            return;
        }
        let alpha = between((0.0, self.alpha), rng) as f32;
        let mut noise = vec![0u8; image.as_raw().len()];
        rng.fill_bytes(&mut noise);
        for (v, n) in image.iter_mut().zip(noise) {
            *v = (f32::from(*v) * (1.0 - alpha) + f32::from(n) * alpha + 0.5) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn noise_is_the_same_for_the_same_rng_and_at_most_its_share() {
        let noisy = |seed| {
            let mut image = RgbImage::from_pixel(40, 30, Rgb([100; 3]));
            Noise { probability: 1.0, ..Default::default() }
                .apply(&mut image, &mut ChaCha8Rng::seed_from_u64(seed));
            image
        };
        assert_eq!(noisy(7), noisy(7));
        assert_ne!(noisy(7), noisy(8));
        // half of 100, and half of 255 more
        assert!(noisy(7).iter().all(|v| (50..=178).contains(v)));
    }
}
