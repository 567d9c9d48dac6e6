//! Random geometry: whether to mirror, and a similarity about the crop's centre.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use super::happens;
use crate::affine::Affine;

/// A mirror with some probability. Reference: 0.5.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Flip {
    /// Probability in `[0, 1]`.
    pub probability: f64,
}

impl Default for Flip {
    fn default() -> Self {
        Self { probability: 0.5 }
    }
}

impl Flip {
    /// Whether to mirror this time.
    pub fn draw(&self, rng: &mut impl Rng) -> bool {
        happens(self.probability, rng)
    }
}

/// Normally distributed shift, rotation and scale; a magnitude of 0 switches one of them off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Similarity {
    /// Probability in `[0, 1]`. Reference: 1.
    pub probability: f64,
    /// Standard deviation of the shift along each axis, as a share of the crop's side minus one pixel. Reference: 0.05.
    pub shift: f64,
    /// Standard deviation of the rotation in degrees. Reference: 18.
    pub rotation: f64,
    /// Standard deviation of the scale about 1. Reference: 0.1.
    pub scale: f64,
}

impl Default for Similarity {
    fn default() -> Self {
        Self { probability: 1.0, shift: 0.05, rotation: 18.0, scale: 0.1 }
    }
}

/// Smallest and largest scale drawn: a normal distribution knows no bounds, a face that has vanished teaches nothing.
const SCALE_BOUNDS: (f64, f64) = (0.5, 1.5);

impl Similarity {
    /// A map from crop to crop, about its centre.
    pub fn draw(&self, size: usize, rng: &mut impl Rng) -> Affine {
        let happens = happens(self.probability, rng);
        let mut normal = || -> f64 { StandardNormal.sample(rng) };
        let span = size as f64 - 1.0;
        let (x, y) = (normal() * self.shift * span, normal() * self.shift * span);
        let angle = (normal() * self.rotation).to_radians();
        let scale = (1.0 + normal() * self.scale).clamp(SCALE_BOUNDS.0, SCALE_BOUNDS.1);
        if !happens {
            return Affine::IDENTITY;
        }
        Affine::similarity(scale, angle, [span / 2.0, span / 2.0]).then(Affine::translation(x, y))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn drawn_shifts_and_scales_have_the_configured_spread() {
        let (config, mut rng) = (Similarity::default(), ChaCha8Rng::seed_from_u64(1));
        let (mut shifts, mut scales) = (0.0, 0.0);
        const DRAWS: usize = 4000;
        for _ in 0..DRAWS {
            let map = config.draw(101, &mut rng);
            let [x, y] = map.apply([50.0, 50.0]).map(|v| f64::from(v) - 50.0);
            shifts += x * x + y * y;
            let [[a, b, _], _] = map.matrix();
            scales += (a.hypot(b) - 1.0).powi(2);
        }
        // 0.05 * 100 pixels on both axes; 0.1. Four standard errors of a variance over 4000 draws are 9 %.
        assert!((shifts / DRAWS as f64 / 50.0 - 1.0).abs() < 0.09);
        assert!((scales / DRAWS as f64 / 0.01 - 1.0).abs() < 0.09);
    }

    #[test]
    fn no_spread_and_no_probability_are_the_identity() {
        let none = Similarity { shift: 0.0, rotation: 0.0, scale: 0.0, ..Default::default() };
        let never = Similarity { probability: 0.0, ..Default::default() };
        for config in [none, never] {
            let map = config.draw(64, &mut ChaCha8Rng::seed_from_u64(1));
            assert_eq!(map.apply([3.0, 5.0]), [3.0, 5.0]);
        }
    }
}
