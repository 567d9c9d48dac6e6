//! A hand placed in an image.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::shape::normal;

/// Longer side of the hand's tight box, as a share of the image's side.
const HAND_SHARE: std::ops::Range<f64> = 0.5..0.75;
/// Joints keep this share of the image's side away from its border.
const MARGIN: f64 = 0.06;

/// One finger: where it leaves the palm (in palm lengths, the wrist at 0, fingers upwards), in which direction it points when
/// straight (degrees from upwards), the lengths of its three bones, and half its width.
struct Finger {
    base: [f64; 2],
    direction: f64,
    bones: [f64; 3],
    width: f64,
}

/// Thumb to little finger of a right hand seen from its back, roughly as adults' hands are proportioned.
const FINGERS: [Finger; 5] = [
    Finger { base: [-0.24, 0.24], direction: -48.0, bones: [0.42, 0.34, 0.26], width: 0.105 },
    Finger { base: [-0.27, 0.96], direction: -9.0, bones: [0.46, 0.28, 0.22], width: 0.088 },
    Finger { base: [0.0, 1.0], direction: 0.0, bones: [0.51, 0.32, 0.23], width: 0.09 },
    Finger { base: [0.23, 0.94], direction: 8.0, bones: [0.47, 0.30, 0.23], width: 0.085 },
    Finger { base: [0.43, 0.82], direction: 18.0, bones: [0.36, 0.22, 0.20], width: 0.073 },
];

/// A hand placed in an image.
#[derive(Clone, Debug)]
pub(super) struct Hand {
    /// Exact joints in pixels, pixel centres at whole numbers.
    pub(super) joints: Vec<[f32; 2]>,
    /// Pixels per palm length.
    pub(super) unit: f64,
    /// Half the widths of the fingers in pixels, thumb first.
    pub(super) widths: [f32; 5],
    /// Where the forearm leaves the image or ends, in pixels.
    pub(super) elbow: [f32; 2],
}

impl Hand {
    /// A random hand: left or right, turned, spread, its fingers bent in the image and towards the viewer.
    pub(super) fn draw(size: u32, rng: &mut ChaCha8Rng) -> Self {
        let side = f64::from(size);
        let spread = rng.random_range(0.6..1.7);
        let curl = rng.random_range(0.0..1.0f64).powi(2);
        let mut points = vec![[0.0, 0.0]];
        let mut widths = [0.0; 5];
        for (finger, width) in FINGERS.iter().zip(&mut widths) {
            let size = 1.0 + 0.06 * normal(rng);
            *width = finger.width * size * (1.0 + 0.08 * normal(rng));
            let mut at = finger.base.map(|v| v * (1.0 + 0.03 * normal(rng)));
            let mut angle = finger.direction * spread + 5.0 * normal(rng);
            points.push(at);
            for (i, bone) in finger.bones.iter().enumerate() {
                // Bent towards the viewer a bone looks shorter; bent in the image it turns.
                let short = 1.0 - (curl * rng.random_range(0.2..0.75)).min(0.65) * (0.6 + 0.2 * i as f64);
                angle +=
                    if i > 0 { 7.0 * normal(rng) + 14.0 * curl * finger.direction.signum() } else { 0.0 };
                let (sin, cos) = angle.to_radians().sin_cos();
                at = [at[0] + bone * size * short * sin, at[1] + bone * size * short * cos];
                points.push(at);
            }
        }
        let elbow = [0.12 * normal(rng), -1.6];
        let mirror = if rng.random_bool(0.5) { -1.0 } else { 1.0 };
        let (sin, cos) = (30f64.to_radians() * normal(rng)).sin_cos();
        // Upwards in the hand is downwards in pixels.
        let rotate = |[x, y]: [f64; 2]| {
            let (x, y) = (mirror * x, -y);
            [cos * x - sin * y, sin * x + cos * y]
        };
        let rotated: Vec<[f64; 2]> = points.into_iter().map(rotate).collect();
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for point in &rotated {
            for axis in 0..2 {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        let longer = (high[0] - low[0]).max(high[1] - low[1]);
        let unit = side * rng.random_range(HAND_SHARE) / longer;
        let offset = [0, 1].map(|axis| {
            let room = side * (1.0 - 2.0 * MARGIN) - unit * (high[axis] - low[axis]);
            MARGIN * side + rng.random_range(0.0..1.0f64) * room - 0.5 - unit * low[axis]
        });
        let place = |[x, y]: [f64; 2]| [(unit * x + offset[0]) as f32, (unit * y + offset[1]) as f32];
        Self {
            joints: rotated.into_iter().map(place).collect(),
            unit,
            widths: widths.map(|w| (unit * w) as f32),
            elbow: place(rotate(elbow)),
        }
    }
}
