//! Patches cut out of the image.

use image::RgbImage;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::{between, happens};

/// What a patch is filled with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// Nothing: 0.
    Black,
    /// The mean colour of the image.
    #[default]
    Mean,
    /// Uniform noise.
    Noise,
}

/// Some square patches cut out: what is left must do. Beyond the paper; off by default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CutOut {
    /// Probability in `[0, 1]`.
    pub probability: f64,
    /// Fewest and most patches.
    pub patches: (usize, usize),
    /// Smallest and largest side of a patch as a share of the mean of width and height.
    pub size: (f64, f64),
    /// What they are filled with.
    pub fill: Fill,
}

impl Default for CutOut {
    fn default() -> Self {
        Self { probability: 0.0, patches: (1, 6), size: (0.05, 0.15), fill: Fill::Mean }
    }
}

impl CutOut {
    /// Cuts out patches of random number, size and place, or does nothing.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        if !happens(self.probability, rng) {
            return;
        }
        let (w, h) = (image.width() as usize, image.height() as usize);
        let mean = mean(image);
        let count = rng.random_range(self.patches.0.min(self.patches.1)..=self.patches.1);
        for _ in 0..count {
            let side = between(self.size, rng) * (w + h) as f64 / 2.0;
            let mut span = |length: usize| {
                let start = rng.random::<f64>() * length as f64 - side / 2.0;
                start.max(0.0) as usize..((start + side).max(0.0) as usize).min(length)
            };
            let (columns, rows) = (span(w), span(h));
            for line in image.chunks_exact_mut(3 * w).take(rows.end).skip(rows.start) {
                let Some(patch) = line.get_mut(3 * columns.start..3 * columns.end) else { continue };
                match self.fill {
                    Fill::Black => patch.fill(0),
                    Fill::Mean => patch.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&mean)),
                    Fill::Noise => rng.fill_bytes(patch),
                }
            }
        }
    }
}

fn mean(image: &RgbImage) -> [u8; 3] {
    let pixels = (image.as_raw().len() / 3).max(1) as u64;
    let mut sums = [0u64; 3];
    image.pixels().for_each(|p| (0..3).for_each(|k| sums[k] += u64::from(p.0[k])));
    sums.map(|sum| (sum / pixels) as u8)
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn patches_take_up_no_more_than_they_may_and_hold_their_fill() {
        let original = RgbImage::from_fn(60, 60, |x, _| Rgb([if x < 30 { 10 } else { 200 }; 3]));
        for (fill, expected) in [(Fill::Black, 0), (Fill::Mean, 105)] {
            let config = CutOut { probability: 1.0, patches: (3, 3), size: (0.1, 0.2), fill };
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            for _ in 0..20 {
                let mut image = original.clone();
                config.apply(&mut image, &mut rng);
                let changed: Vec<u8> =
                    image.iter().zip(original.iter()).filter(|(a, b)| a != b).map(|(&a, _)| a).collect();
                assert!(changed.iter().all(|&v| v == expected));
                // three patches of at most 12 pixels a side
                assert!(!changed.is_empty() && changed.len() <= 3 * 3 * 13 * 13);
            }
        }
    }
}
