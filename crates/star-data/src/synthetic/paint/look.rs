//! Colours, hair, light and what hangs before the face: everything random that moves no landmark.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Rgb, mix};
use crate::synthetic::shape::normal;

/// Lightest and darkest skin; people lie between.
const SKIN: [Rgb; 2] = [[0.96, 0.82, 0.72], [0.36, 0.23, 0.17]];
const HAIR: [Rgb; 6] = [
    [0.08, 0.06, 0.05],
    [0.2, 0.12, 0.07],
    [0.38, 0.22, 0.11],
    [0.72, 0.55, 0.3],
    [0.5, 0.2, 0.08],
    [0.66, 0.65, 0.64],
];
const IRIS: [Rgb; 5] =
    [[0.22, 0.13, 0.07], [0.33, 0.2, 0.09], [0.3, 0.42, 0.55], [0.3, 0.42, 0.27], [0.4, 0.43, 0.45]];

/// How hair frames the face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hair {
    Bald,
    Short,
    Long,
}

/// Random appearance of one image.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) skin: Rgb,
    pub(crate) lips: Rgb,
    pub(crate) brows: Rgb,
    pub(crate) hair_colour: Rgb,
    pub(crate) hair: Hair,
    /// Height of the hair line above the eyes; a fringe comes down to the brows.
    pub(crate) hair_line: f64,
    pub(crate) iris: Rgb,
    pub(crate) clothes: Rgb,
    /// Direction that the light comes from (in the image) and how uneven it is, 0 to 1.
    pub(crate) light: [f32; 2],
    pub(crate) unevenness: f32,
    /// Pixel values are multiplied by the gain, then the bias is added (1 is white).
    pub(crate) gain: f32,
    pub(crate) bias: f32,
    /// Standard deviation of pixel noise, 1 is white.
    pub(crate) noise: f32,
    /// Radius of a box blur in pixels; 0 is none.
    pub(crate) blur: usize,
    pub(crate) freckles: usize,
    pub(crate) stubble: f32,
    pub(crate) makeup: bool,
    pub(crate) glasses: bool,
    /// Number of things before the face.
    pub(crate) patches: usize,
}

impl Look {
    pub(crate) fn draw(rng: &mut ChaCha8Rng) -> Self {
        let tone = rng.random_range(0.0..1.0f32);
        let tint: Rgb = [0.0, 0.03, 0.04].map(|s| s * normal(rng) as f32 / 2.0);
        let base = mix(SKIN[0], SKIN[1], tone * tone.sqrt());
        let skin: Rgb = std::array::from_fn(|i| base[i] + tint[i]);
        let makeup = rng.random_bool(0.2);
        let red = if makeup { [0.7, 0.1, 0.18] } else { [0.66, 0.24, 0.24] };
        let lips = mix(skin, red, if makeup { 0.75 } else { rng.random_range(0.25..0.5) });
        let hair_colour = HAIR[rng.random_range(0..HAIR.len())];
        let brows = mix(mix(hair_colour, HAIR[1], 0.5), [0.05; 3], if makeup { 0.5 } else { 0.25 });
        let hair = match rng.random_range(0..10) {
            0 => Hair::Bald,
            1..=5 => Hair::Short,
            _ => Hair::Long,
        };
        let angle = rng.random_range(0.0..std::f32::consts::TAU);
        let extreme = rng.random_bool(0.2);
        Self {
            skin,
            lips,
            brows,
            hair_colour,
            hair,
            hair_line: if rng.random_bool(0.15) {
                rng.random_range(0.3..0.42)
            } else {
                rng.random_range(0.5..0.75)
            },
            iris: IRIS[rng.random_range(0..IRIS.len())],
            clothes: random_colour(rng),
            light: [angle.cos(), angle.sin()],
            unevenness: if extreme { rng.random_range(0.4..0.62) } else { rng.random_range(0.0..0.3) },
            gain: if extreme { rng.random_range(0.5..1.2) } else { rng.random_range(0.75..1.15) },
            bias: 0.03 * normal(rng) as f32,
            noise: rng.random_range(0.004..0.022),
            blur: if rng.random_bool(0.15) { rng.random_range(1..=2) } else { 0 },
            freckles: if rng.random_bool(0.2) { rng.random_range(10..50) } else { 0 },
            stubble: if !makeup && rng.random_bool(0.2) { rng.random_range(0.1..0.35) } else { 0.0 },
            makeup,
            glasses: rng.random_bool(0.15),
            patches: if rng.random_bool(0.25) { rng.random_range(1..=2) } else { 0 },
        }
    }

    /// Whether light is what makes this image hard.
    pub(crate) fn is_badly_lit(&self) -> bool {
        self.unevenness >= 0.4
    }
}

/// Any colour, not too saturated.
pub(crate) fn random_colour(rng: &mut ChaCha8Rng) -> Rgb {
    let grey = rng.random_range(0.1..0.9f32);
    std::array::from_fn(|_| mix([grey; 3], [rng.random_range(0.0..1.0f32); 3], 0.55)[0])
}
