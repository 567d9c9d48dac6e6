//! Strong light from one side, and the edge of a shadow across the face.

use image::RgbImage;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{between, happens};

/// Light that falls off across the crop, half the time with the edge of a cast shadow. Beyond the paper; off by default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SideLight {
    /// Probability in `[0, 1]`.
    pub probability: f64,
    /// Smallest and largest number of stops (factors of 2) between the lit and the dark side of the crop.
    pub stops: (f64, f64),
    /// Smallest and largest share of the light that is left in the shadow.
    pub shadow: (f64, f64),
}

impl Default for SideLight {
    fn default() -> Self {
        Self { probability: 0.0, stops: (0.5, 3.0), shadow: (0.25, 0.7) }
    }
}

/// Narrowest and widest penumbra of a shadow's edge, as a share of the crop's side.
const PENUMBRA: (f64, f64) = (0.01, 0.15);

impl SideLight {
    /// Lights the crop from a random direction, or does nothing: the lit side gets brighter by half of the stops, the dark side
    /// darker by the other half.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        if !happens(self.probability, rng) {
            return;
        }
        let (sin, cos) = between((0.0, std::f64::consts::TAU), rng).sin_cos();
        let stops = between(self.stops, rng);
        let shadow = happens(0.5, rng).then(|| Shadow {
            left: between(self.shadow, rng),
            edge: between((-0.35, 0.35), rng),
            width: between(PENUMBRA, rng),
            across: between((0.0, std::f64::consts::TAU), rng).sin_cos(),
        });
        let (w, h) = (f64::from(image.width()), f64::from(image.height()));
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let (u, v) = ((f64::from(x) + 0.5) / w - 0.5, (f64::from(y) + 0.5) / h - 0.5);
            let mut gain = (stops * (cos * u + sin * v)).exp2();
            if let Some(shadow) = &shadow {
                gain *= shadow.gain(u, v);
            }
            pixel.0 = pixel.0.map(|value| (f64::from(value) * gain + 0.5).min(255.0) as u8);
        }
    }
}

/// Half of the crop in shadow.
struct Shadow {
    /// Share of the light that is left.
    left: f64,
    /// Distance of the edge from the centre, as a share of the side.
    edge: f64,
    /// Width of the penumbra.
    width: f64,
    /// Sine and cosine of the direction across the edge.
    across: (f64, f64),
}

impl Shadow {
    fn gain(&self, u: f64, v: f64) -> f64 {
        let distance = (self.across.1 * u + self.across.0 * v - self.edge) / self.width;
        let lit = (distance + 0.5).clamp(0.0, 1.0);
        self.left + (1.0 - self.left) * lit * lit * (3.0 - 2.0 * lit)
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn one_side_gets_brighter_and_the_other_darker() {
        let config = SideLight { probability: 1.0, stops: (2.0, 2.0), shadow: (1.0, 1.0) };
        for seed in 0..20 {
            let mut image = RgbImage::from_pixel(64, 64, Rgb([100; 3]));
            config.apply(&mut image, &mut ChaCha8Rng::seed_from_u64(seed));
            let values: Vec<u8> = image.pixels().map(|p| p.0[0]).collect();
            let (low, high) = (values.iter().min().unwrap(), values.iter().max().unwrap());
            // 2 stops along the direction of the light: a factor of 4 from side to side, up to 2^(2 * sqrt 2) = 7.1 from corner to
            // corner
            let ratio = f64::from(*high) / f64::from(*low);
            assert!((3.5..7.5).contains(&ratio), "{ratio}");
            // beside the centre, half a pixel of 64 away, the light is as it was: 2 stops * 0.7 / 64 are 1.5 %
            assert!((95..=105).contains(&values[32 * 64 + 32]));
        }
    }

    #[test]
    fn a_shadow_leaves_its_share_of_the_light() {
        let shadow = Shadow { left: 0.3, edge: 0.0, width: 0.1, across: (0.0, 1.0) };
        assert_eq!((shadow.gain(-0.4, 0.2), shadow.gain(0.4, 0.2)), (0.3, 1.0));
        // halfway through the penumbra: 0.3 + 0.7 / 2
        assert!((shadow.gain(0.0, 0.0) - 0.65).abs() < 1e-12);
    }
}
