//! Ticks across edges, which show where along them keypoints lie.

use super::canvas::{Canvas, Rgb, curve};
use crate::target::Ends;

/// Neighbours differ; none is a colour of skin, lips, hair or leaves.
const COLOURS: [Rgb; 4] = [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0], [0.1, 0.2, 1.0]];
/// Half the length of a tick and its width, as fractions of the subject's unit (the distance between the eyes, the length of a leaf).
const HALF_LENGTH: f32 = 0.04;
const WIDTH: f32 = 0.035;

/// Paints a tick at each point, across its tangent.
pub(super) fn ticks(canvas: &mut Canvas, points: &[[f32; 2]], tangents: &[[f32; 2]], unit: f32) {
    let (half, width) = (HALF_LENGTH * unit, (WIDTH * unit).max(1.0));
    for (k, ([x, y], [tx, ty])) in points.iter().zip(tangents).enumerate() {
        let ends = [[x - half * -ty, y - half * tx], [x + half * -ty, y + half * tx]];
        canvas.stroke(curve(&ends, Ends::Open), width, COLOURS[k % COLOURS.len()], 1.0);
    }
}
