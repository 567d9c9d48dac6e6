//! A leaf placed in an image.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::shape::normal;

/// Keypoints along each side, the stem's and the tip's included.
pub(super) const SIDE: usize = 13;
/// Corners of a side from which its evenly spaced points are taken.
const SAMPLES: usize = 256;
/// Longer side of the leaf's tight box, as a share of the image's side.
const SHARE: std::ops::Range<f64> = 0.5..0.75;
/// The outline keeps this share of the image's side away from its border.
const MARGIN: f64 = 0.06;
/// Largest rotation, degrees.
const ROTATION: f64 = 20.0;

/// A leaf placed in an image, its tip upwards.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// Exact keypoints in pixels, pixel centres at whole numbers: from the stem up the image-left side to the tip (12) and down the other.
    pub(super) points: Vec<[f32; 2]>,
    /// Where the stem ends, in pixels.
    pub(super) stem: [f32; 2],
    /// Pixels between stem and tip.
    pub(super) unit: f64,
}

impl Leaf {
    /// A random leaf: narrow or broad, bent, turned by up to 20 degrees. The image-left side is broad near the stem, the other near the
    /// tip, so that none is the mirror image of another.
    pub(super) fn draw(size: u32, rng: &mut ChaCha8Rng) -> Self {
        let side = f64::from(size);
        let width = 0.30 * (1.0 + 0.16 * normal(rng));
        let peaks = [0.36 + 0.03 * normal(rng), 0.60 + 0.03 * normal(rng)];
        let widths = [width * (1.0 + 0.1 * normal(rng)), 0.78 * width * (1.0 + 0.1 * normal(rng))];
        let bend = 0.08 * normal(rng);
        let power = 0.85 + 0.06 * normal(rng);
        // The stem at 0, the tip at (0, 1): how far out each side is at a height.
        let outline = |which: usize, t: f64| {
            let peak = peaks[which];
            // sin rises to 1 at the peak and falls to 0 at the tip.
            let phase = if t < peak { 0.5 * t / peak } else { 0.5 + 0.5 * (t - peak) / (1.0 - peak) };
            let out = widths[which] * (std::f64::consts::PI * phase).sin().abs().powf(power);
            let middle = bend * (std::f64::consts::PI * t).sin();
            [middle + if which == 0 { -out } else { out }, t]
        };
        let mut points: Vec<[f64; 2]> = Vec::new();
        for which in 0..2 {
            let dense: Vec<[f64; 2]> =
                (0..=SAMPLES).map(|i| outline(which, i as f64 / SAMPLES as f64)).collect();
            let mut even = super::shape::evenly_spaced(&dense, SIDE);
            if which == 1 {
                // Down from the tip; tip and stem are there already.
                even.reverse();
                even = even[1..SIDE - 1].to_vec();
            }
            points.extend(even);
        }
        let (sin, cos) = rng.random_range(-ROTATION..ROTATION).to_radians().sin_cos();
        // Upwards in the leaf is downwards in pixels.
        let rotate = |[x, y]: [f64; 2]| [cos * x + sin * y, sin * x - cos * y];
        let rotated: Vec<[f64; 2]> = points.into_iter().map(rotate).collect();
        let stem = rotate([0.06 * normal(rng), -0.22 - 0.04 * normal(rng)]);
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for point in &rotated {
            for axis in 0..2 {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        let longer = (high[0] - low[0]).max(high[1] - low[1]);
        let unit = side * rng.random_range(SHARE) / longer;
        let offset = [0, 1].map(|axis| {
            let room = side * (1.0 - 2.0 * MARGIN) - unit * (high[axis] - low[axis]);
            MARGIN * side + rng.random_range(0.0..1.0f64) * room - 0.5 - unit * low[axis]
        });
        let place = |[x, y]: [f64; 2]| [(unit * x + offset[0]) as f32, (unit * y + offset[1]) as f32];
        Self { points: rotated.into_iter().map(place).collect(), stem: place(stem), unit }
    }
}
