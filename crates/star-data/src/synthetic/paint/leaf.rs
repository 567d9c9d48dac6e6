//! Paints a placed leaf: background, stem, blade, midrib.

use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Canvas, Rgb, curve, mix, outline, scaled};
use super::look::Look;
use super::{light, marks, scene};
use crate::synthetic::config::Marks;
use crate::synthetic::leaf::Leaf;
use crate::target::Ends;

/// From spring to autumn.
const BLADES: [Rgb; 5] =
    [[0.22, 0.45, 0.14], [0.42, 0.6, 0.18], [0.72, 0.62, 0.15], [0.78, 0.38, 0.1], [0.55, 0.16, 0.1]];

/// Paints `leaf` in a square image of `size` pixels, with ticks across `tangents` where `marks` says so; `None` where no such image can
/// be allocated.
pub(crate) fn paint_leaf(
    leaf: &Leaf,
    size: u32,
    marks: Marks,
    tangents: &[[f32; 2]],
    rng: &mut ChaCha8Rng,
) -> Option<RgbImage> {
    let look = Look::draw(rng);
    let mut canvas = Canvas::new(size)?;
    scene::background(&mut canvas, rng);
    let blade = mix(
        BLADES[rng.random_range(0..BLADES.len())],
        BLADES[rng.random_range(0..BLADES.len())],
        rng.random_range(0.0..0.5),
    );
    let rim = scaled(blade, rng.random_range(0.35..0.55));
    let unit = leaf.unit as f32;
    let (base, tip) = (leaf.points[0], leaf.points[12]);
    canvas.stroke(curve(&[base, leaf.stem], Ends::Open), (0.035 * unit).max(1.2), rim, 1.0);
    let left = &leaf.points[..13];
    let right: Vec<[f32; 2]> = leaf.points[12..].iter().chain([&base]).copied().collect();
    let shape = outline(&[left, &right]);
    canvas.fill_gradient(shape.clone(), base, tip, &[scaled(blade, 0.85), blade, scaled(blade, 1.15)]);
    // The midrib ends at stem and tip: along a side nothing is written.
    canvas.stroke(curve(&[base, tip], Ends::Open), (0.018 * unit).max(0.7), mix(blade, rim, 0.5), 0.7);
    canvas.stroke(shape, (0.022 * unit).max(0.8), rim, 0.9);
    if marks == Marks::Ticks {
        marks::ticks(&mut canvas, &leaf.points, tangents, unit);
    }
    let centre = [0, 1].map(|axis| base[axis].midpoint(tip[axis]));
    Some(light::expose(&canvas, &look, centre, unit, rng))
}
