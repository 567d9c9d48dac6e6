//! A face far from the camera: fewer pixels than the network's input has.

use image::RgbImage;
use image::imageops::{FilterType, resize};
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{between, happens};

/// The crop scaled down and up again. Beyond the paper; off by default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LowResolution {
    /// Probability in `[0, 1]`.
    pub probability: f64,
    /// Smallest and largest side of the scaled-down crop in pixels, drawn uniformly on a logarithmic scale. A side of at least the
    /// crop's changes nothing.
    pub side: (f64, f64),
}

impl Default for LowResolution {
    fn default() -> Self {
        Self { probability: 0.0, side: (22.0, 96.0) }
    }
}

impl LowResolution {
    /// Takes away pixels, or does nothing. Pixels are averaged on the way down; on the way up they are interpolated, linearly or
    /// by a cubic with equal chance, as cameras and image viewers do.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        if !happens(self.probability, rng) {
            return;
        }
        let side = between((self.side.0.ln(), self.side.1.ln()), rng).exp();
        let up = if happens(0.5, rng) { FilterType::Triangle } else { FilterType::CatmullRom };
        let (width, height) = image.dimensions();
        let scale = side / (f64::from(width + height) / 2.0);
        if scale >= 1.0 {
            return;
        }
        let scaled = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
        let small = resize(image, scaled(width), scaled(height), FilterType::Triangle);
        *image = resize(&small, width, height, up);
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn detail_goes_and_size_and_mean_stay() {
        let stripes = RgbImage::from_fn(64, 64, |x, _| Rgb([if x % 2 == 0 { 0 } else { 200 }; 3]));
        for seed in 0..20 {
            let mut image = stripes.clone();
            let config = LowResolution { probability: 1.0, side: (16.0, 32.0) };
            config.apply(&mut image, &mut ChaCha8Rng::seed_from_u64(seed));
            assert_eq!(image.dimensions(), (64, 64));
            let (mean, reach) = mean_and_reach(&image);
            // Stripes of one pixel are gone at half the resolution: every pixel is near the mean of 100.
            assert!((mean - 100.0).abs() < 3.0 && reach < 60.0, "{mean} {reach}");
        }
    }

    #[test]
    fn a_side_of_the_crops_own_changes_nothing() {
        let mut image = RgbImage::from_fn(32, 32, |x, y| Rgb([x as u8, y as u8, 9]));
        let before = image.clone();
        let config = LowResolution { probability: 1.0, side: (32.0, 64.0) };
        config.apply(&mut image, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(image, before);
    }

    /// Mean of the red channel and the largest distance from it, borders apart.
    fn mean_and_reach(image: &RgbImage) -> (f64, f64) {
        let inner = image.enumerate_pixels().filter(|(x, y, _)| (4..60).contains(x) && (4..60).contains(y));
        let inner: Vec<f64> = inner.map(|(_, _, pixel)| f64::from(pixel.0[0])).collect();
        let mean = inner.iter().sum::<f64>() / inner.len() as f64;
        (mean, inner.iter().map(|v| (v - mean).abs()).fold(0.0, f64::max))
    }
}
