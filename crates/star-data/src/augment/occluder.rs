//! Something in front of the face: a hand, a microphone, a scarf, somebody's shoulder, as a coloured shape.

use image::RgbImage;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::{between, happens};

/// A rotated ellipse or rectangle of some colour, shaded and grainy. Beyond the paper; off by default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Occluder {
    /// Probability in `[0, 1]`.
    pub probability: f64,
    /// Smallest and largest side, as a share of the crop's.
    pub size: (f64, f64),
}

impl Default for Occluder {
    fn default() -> Self {
        Self { probability: 0.0, size: (0.1, 0.5) }
    }
}

/// Largest standard deviation of the grain, grey levels of 255.
const GRAIN: f64 = 25.0;

impl Occluder {
    /// Covers a part of the crop, or does nothing.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        if !happens(self.probability, rng) {
            return;
        }
        let side = f64::from(image.width() + image.height()) / 2.0;
        let half = [between(self.size, rng) * side / 2.0, between(self.size, rng) * side / 2.0];
        let centre =
            [rng.random::<f64>() * f64::from(image.width()), rng.random::<f64>() * f64::from(image.height())];
        let (sin, cos) = between((0.0, std::f64::consts::TAU), rng).sin_cos();
        let ellipse = happens(0.5, rng);
        let colour: [f64; 3] = std::array::from_fn(|_| between((0.0, 255.0), rng));
        let (shade, grain) = (between((-0.5, 0.5), rng), between((0.0, GRAIN), rng));
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let (dx, dy) = (f64::from(x) + 0.5 - centre[0], f64::from(y) + 0.5 - centre[1]);
            let [u, v] = [(cos * dx + sin * dy) / half[0], (cos * dy - sin * dx) / half[1]];
            let inside = if ellipse { u * u + v * v <= 1.0 } else { u.abs().max(v.abs()) <= 1.0 };
            if inside {
                let noise = grain * between((-1.0, 1.0), rng);
                pixel.0 = colour.map(|c| (c * (1.0 + shade * u) + noise).clamp(0.0, 255.0) as u8);
            }
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
    fn a_shape_of_at_most_the_largest_size_is_covered_and_the_rest_is_untouched() {
        let before = RgbImage::from_fn(60, 60, |x, y| Rgb([(x * 4) as u8, (y * 4) as u8, 77]));
        let config = Occluder { probability: 1.0, size: (0.2, 0.4) };
        let mut covered = 0;
        for seed in 0..40 {
            let mut image = before.clone();
            config.apply(&mut image, &mut ChaCha8Rng::seed_from_u64(seed));
            let changed: Vec<(f64, f64)> = image
                .enumerate_pixels()
                .filter(|(x, y, pixel)| *pixel != before.get_pixel(*x, *y))
                .map(|(x, y, _)| (f64::from(x), f64::from(y)))
                .collect();
            // the diagonal of a square of 0.4 * 60 = 24 pixels
            let reach =
                changed.iter().flat_map(|a| changed.iter().map(move |b| (a.0 - b.0).hypot(a.1 - b.1)));
            assert!(reach.fold(0.0, f64::max) <= 24.0 * 2f64.sqrt() + 1.0);
            covered += usize::from(!changed.is_empty());
        }
        assert!(covered > 35, "{covered} of 40: the centre always lies in the crop");
    }
}
