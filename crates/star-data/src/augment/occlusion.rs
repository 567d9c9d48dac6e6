//! Something black in front of the face.

use image::RgbImage;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::{between, happens};

/// A black rectangle somewhere. Reference: probability 0.4.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Occlusion {
    /// Probability in `[0, 1]`.
    pub probability: f64,
    /// Smallest and largest height as a share of half the crop. Reference: 0.2 and 0.8.
    pub size: (f64, f64),
    /// The width's share is the height's, give or take up to this. Reference: 0.2.
    pub spread: f64,
}

impl Default for Occlusion {
    fn default() -> Self {
        Self { probability: 0.4, size: (0.2, 0.8), spread: 0.2 }
    }
}

impl Occlusion {
    /// Blackens a rectangle, or does nothing.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        if !happens(self.probability, rng) {
            return;
        }
        let (w, h) = (f64::from(image.width()), f64::from(image.height()));
        let share_h = between(self.size, rng);
        let share_w = share_h + between((-self.spread, self.spread), rng);
        let (half_w, half_h) = (w / 4.0 * share_w, h / 4.0 * share_h);
        let (x, y) = (w * rng.random::<f64>(), h * rng.random::<f64>());
        let span = |centre: f64, half: f64, end: u32| {
            (centre - half).max(0.0) as usize..((centre + half).max(0.0) as usize).min(end as usize)
        };
        let (columns, rows) = (span(x, half_w, image.width()), span(y, half_h, image.height()));
        let line = 3 * image.width() as usize;
        for line in image.chunks_exact_mut(line).take(rows.end).skip(rows.start) {
            if let Some(hidden) = line.get_mut(3 * columns.start..3 * columns.end) {
                hidden.fill(0);
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
    fn an_occlusion_blackens_one_rectangle_of_the_configured_size_and_nothing_else() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..50 {
            let mut image = RgbImage::from_pixel(80, 60, Rgb([200; 3]));
            Occlusion { probability: 1.0, ..Default::default() }.apply(&mut image, &mut rng);
            let black: Vec<(u32, u32)> =
                image.enumerate_pixels().filter(|p| p.2.0 == [0; 3]).map(|p| (p.0, p.1)).collect();
            assert!(image.pixels().all(|p| p.0 == [0; 3] || p.0 == [200; 3]));
            let extent = |axis: fn(&(u32, u32)) -> u32| {
                let of = || black.iter().map(axis);
                of().max().map_or(0, |last| last - of().min().unwrap_or(last) + 1)
            };
            let (width, height) = (extent(|p| p.0), extent(|p| p.1));
            assert_eq!(black.len() as u32, width * height);
            // at most half the crop times 0.8 + 0.2 and 0.8
            assert!(width <= 40 && height <= 24, "{width}x{height}");
        }
    }
}
