//! Paints a placed hand: arm, palm, fingers with creases at their joints and nails at their tips.

use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Canvas, circle, curve, mix, scaled};
use super::look::Look;
use super::{light, marks, scene};
use crate::synthetic::config::Marks;
use crate::synthetic::hand::Hand;
use crate::target::Ends;

/// Paints `hand` in a square image of `size` pixels, with ticks across `tangents` where `marks` says so; `None` where no such image can
/// be allocated.
pub(crate) fn paint_hand(
    hand: &Hand,
    size: u32,
    marks: Marks,
    tangents: &[[f32; 2]],
    rng: &mut ChaCha8Rng,
) -> Option<RgbImage> {
    let look = Look::draw(rng);
    let mut canvas = Canvas::new(size)?;
    scene::background(&mut canvas, rng);
    let skin = look.skin;
    let rim = scaled(skin, rng.random_range(0.45..0.65));
    let unit = hand.unit as f32;
    let edge = (0.025 * unit).max(0.6);
    let joint = |k: usize| hand.joints[k];
    let wrist = joint(0);
    let arm = curve(&[wrist, hand.elbow], Ends::Open);
    canvas.stroke(arm.clone(), 0.46 * unit, rim, 1.0);
    canvas.stroke(arm, 0.46 * unit - 2.0 * edge, scaled(skin, 0.92), 1.0);
    // The palm: thick bones from the wrist to each knuckle, first their rim and then their inside, so that they run together.
    let thumb = [wrist, joint(1), joint(2)];
    let bones: Vec<Vec<[f32; 2]>> =
        (1..5).map(|f| vec![wrist, joint(4 * f + 1)]).chain([thumb.to_vec()]).collect();
    for (grow, colour) in [(edge, rim), (0.0, skin)] {
        for (i, bone) in bones.iter().enumerate() {
            let width = if i == 4 { 0.26 } else { 0.34 } * unit;
            canvas.stroke(curve(bone, Ends::Open), width + 2.0 * grow, colour, 1.0);
        }
    }
    // Fingers from the far side inwards, each over the one before.
    for finger in [4, 3, 2, 1, 0] {
        let bones: Vec<[f32; 2]> = (4 * finger + 1..=4 * finger + 4).map(joint).collect();
        let bones = if finger == 0 { &bones[1..] } else { &bones[..] };
        let width = 2.0 * hand.widths[finger];
        let tone = scaled(skin, rng.random_range(0.95..1.05));
        canvas.stroke(curve(bones, Ends::Open), width + 2.0 * edge, rim, 1.0);
        canvas.stroke(curve(bones, Ends::Open), width, tone, 1.0);
        let count = bones.len();
        for k in 0..count - 1 {
            crease(&mut canvas, bones[k], bones[k + 1], 0.4 * width, edge, mix(skin, rim, 0.55));
        }
        let (tip, before) = (bones[count - 1], bones[count - 2]);
        let nail = [0, 1].map(|axis| tip[axis] + 0.12 * (tip[axis] - before[axis]));
        canvas.fill(circle(nail, 0.27 * width), mix(skin, [0.95, 0.8, 0.78], 0.6), 1.0);
    }
    if marks == Marks::Ticks {
        marks::ticks(&mut canvas, &hand.joints, tangents, unit);
    }
    let centre = [0, 1].map(|axis| wrist[axis].midpoint(joint(9)[axis]));
    Some(light::expose(&canvas, &look, centre, unit, rng))
}

/// A short line across the finger at `at`, whose bone leads to `next`.
fn crease(canvas: &mut Canvas, at: [f32; 2], next: [f32; 2], half: f32, width: f32, colour: [f32; 3]) {
    let along = [next[0] - at[0], next[1] - at[1]];
    let length = along[0].hypot(along[1]).max(1e-3);
    let across = [-along[1] / length * half, along[0] / length * half];
    let ends = [[at[0] - across[0], at[1] - across[1]], [at[0] + across[0], at[1] + across[1]]];
    canvas.stroke(curve(&ends, Ends::Open), width, colour, 0.7);
}
