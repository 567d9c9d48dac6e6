//! Heads drawn at random: shape, expression, skin, light and what stands behind them.

use image::{Rgb, RgbImage};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use super::camera::{Camera, Turn};
use super::model::{EYES, FACE, HEAD, HeadModel, INSIDE, TEETH};
use super::raster::{Light, unit};

/// Share of an identity component's standard deviation that heads are drawn with: 1 makes some that no person has.
const IDENTITY: f32 = 0.8;
/// Expressions a head shows at once, at most.
const EXPRESSIONS: usize = 5;
/// The side of an image over the side of a face in it: room for augmentation, as in the portraits.
const MARGIN: f32 = 1.9;
/// Height of a face from brow to chin, centimetres.
const FACE_HEIGHT: f32 = 14.5;

fn normal(rng: &mut impl Rng) -> f32 {
    StandardNormal.sample(rng)
}

fn between(low: f32, high: f32, rng: &mut impl Rng) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

/// A turn with a yaw spread evenly up to `yaw` degrees to either side.
pub(super) fn turn(yaw: f32, rng: &mut impl Rng) -> Turn {
    Turn { yaw: between(-yaw, yaw, rng), pitch: 12.0 * normal(rng), roll: 8.0 * normal(rng) }
}

/// Vertices of a random person with a random expression.
pub(super) fn shape(model: &HeadModel, rng: &mut impl Rng) -> Vec<[f32; 3]> {
    let identity: Vec<(usize, f32)> = (0..model.identities()).map(|i| (i, IDENTITY * normal(rng))).collect();
    let count = rng.random_range(0..=EXPRESSIONS);
    let expression: Vec<(usize, f32)> =
        (0..count).map(|_| (rng.random_range(0..model.expressions()), between(0.0, 0.8, rng))).collect();
    model.shape(&identity, &expression)
}

/// A camera that shows the head in an image of `size` pixels with the margin of the portraits.
pub(super) fn camera(size: usize, rng: &mut impl Rng) -> Camera {
    let side = size as f32;
    let scale = side / MARGIN / FACE_HEIGHT * between(0.9, 1.1, rng);
    let distance = between(45.0, 150.0, rng);
    let mut off = || side * (0.5 + 0.03 * normal(rng));
    Camera { scale, distance, centre: [off(), off() - 0.1 * side] }
}

/// Light from a random direction in front of the head.
pub(super) fn light(rng: &mut impl Rng) -> Light {
    Light {
        direction: unit([normal(rng), 0.6 * normal(rng) + 0.5, between(0.1, 1.5, rng)]),
        ambient: between(0.25, 0.7, rng),
        strength: between(0.7, 1.3, rng),
        gloss: between(0.0, 0.2, rng),
    }
}

/// Two colours that run into each other, with some blurred blobs.
pub(super) fn background(size: usize, rng: &mut impl Rng) -> RgbImage {
    let mut colour = || -> [f32; 3] { std::array::from_fn(|_| between(0.0, 255.0, rng)) };
    let (from, to) = (colour(), colour());
    let blobs: Vec<([f32; 3], [f32; 3])> = (0..6).map(|_| (colour(), colour())).collect();
    let side = size as f32;
    RgbImage::from_fn(size as u32, size as u32, |x, y| {
        let (u, v) = (x as f32 / side, y as f32 / side);
        let mut pixel: [f32; 3] = std::array::from_fn(|k| from[k] + (to[k] - from[k]) * (0.6 * u + 0.4 * v));
        for (colour, place) in &blobs {
            let (dx, dy) = (u - place[0] / 255.0, v - place[1] / 255.0);
            let share = (-(dx * dx + dy * dy) / (0.02 + 0.1 * place[2] / 255.0)).exp();
            (0..3).for_each(|k| pixel[k] += share * (colour[k] - pixel[k]));
        }
        Rgb(pixel.map(|c| c as u8))
    })
}

/// A colour a vertex: skin of a random tone, lips, brows, eyes, teeth, and often hair.
pub(super) fn colours(model: &HeadModel, rng: &mut impl Rng) -> Vec<[f32; 3]> {
    let tone = between(0.25, 1.0, rng);
    let skin = [235.0 * tone, 195.0 * tone.powf(1.25), 170.0 * tone.powf(1.5)];
    let lips = [
        skin[0] * between(0.75, 0.95, rng),
        skin[1] * between(0.5, 0.8, rng),
        skin[2] * between(0.5, 0.85, rng),
    ];
    let grey = between(0.05, 0.6, rng);
    let hair = [200.0 * grey, 160.0 * grey, 120.0 * grey];
    let iris: [f32; 3] = std::array::from_fn(|_| between(10.0, 120.0, rng));
    let haired = rng.random::<f32>() < 0.7;
    let waves: Vec<[f32; 4]> =
        (0..8).map(|_| [normal(rng), normal(rng), normal(rng), between(0.0, 6.3, rng)]).collect();
    let at = |landmark: usize| model.mean[model.landmarks[landmark]];
    let mouth: Vec<[f32; 3]> = (48..60).map(at).collect();
    let brows = [(17..22).map(at).collect::<Vec<_>>(), (22..27).map(at).collect()];
    let thickness = between(0.25, 0.5, rng);
    let colour = |(vertex, p): (usize, &[f32; 3])| -> [f32; 3] {
        if EYES.contains(&vertex) {
            return eye(p, iris);
        }
        if TEETH.contains(&vertex) {
            return [225.0, 215.0, 195.0];
        }
        if INSIDE.contains(&vertex) {
            return [90.0, 40.0, 40.0];
        }
        let scalp = HEAD.contains(&vertex) && p[1] > 2.0 || p[1] > 9.5;
        if haired && scalp {
            return hair;
        }
        if FACE.contains(&vertex) && inside(&mouth, p) {
            return lips;
        }
        if FACE.contains(&vertex) && brows.iter().any(|brow| distance(brow, p) < thickness) {
            return hair.map(|c| 0.7 * c + 15.0);
        }
        let wave: f32 =
            waves.iter().map(|w| (0.4 * (w[0] * p[0] + w[1] * p[1] + w[2] * p[2]) + w[3]).sin()).sum();
        skin.map(|c| c * (1.0 + 0.015 * wave))
    };
    model.mean.iter().enumerate().map(colour).collect()
}

/// White, iris and pupil by the distance from the middle of an eyeball's front.
fn eye(p: &[f32; 3], iris: [f32; 3]) -> [f32; 3] {
    /// Middle of an eyeball in the mean head, centimetres.
    const MIDDLE: [f32; 2] = [3.09, 3.61];
    match (p[0].abs() - MIDDLE[0]).hypot(p[1] - MIDDLE[1]) {
        away if p[2] < 7.5 || away > 0.62 => [225.0, 220.0, 215.0],
        away if away < 0.25 => [12.0; 3],
        _ => iris,
    }
}

/// Whether a point lies in a polygon, both seen from the front.
fn inside(polygon: &[[f32; 3]], p: &[f32; 3]) -> bool {
    let mut within = false;
    for (i, a) in polygon.iter().enumerate() {
        let b = polygon[(i + 1) % polygon.len()];
        if (a[1] > p[1]) != (b[1] > p[1]) && p[0] < a[0] + (b[0] - a[0]) * (p[1] - a[1]) / (b[1] - a[1]) {
            within = !within;
        }
    }
    within
}

/// Distance of a point from a line through `line`, both seen from the front.
fn distance(line: &[[f32; 3]], p: &[f32; 3]) -> f32 {
    let to = |(a, b): (&[f32; 3], &[f32; 3])| {
        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
        let along = ((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / (dx * dx + dy * dy).max(f32::MIN_POSITIVE);
        let along = along.clamp(0.0, 1.0);
        (p[0] - a[0] - along * dx).hypot(p[1] - a[1] - along * dy)
    };
    line.iter().zip(&line[1..]).map(to).fold(f32::INFINITY, f32::min)
}
