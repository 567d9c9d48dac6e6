//! Eyes and pupils.

use super::Shape;
use super::surface::{Point3, mirror, on_face};

impl Shape {
    /// 60..=67 for side 0: outer corner, upper lid inwards, inner corner, lower lid outwards.
    pub(super) fn eye(&self, side: usize) -> Vec<Point3> {
        let lid = |t: f64, rise: f64| {
            let bow = 1.0 - t.abs().powf(2.2);
            self.in_eye([t, rise * self.eye_open[side] * bow])
        };
        let (upper, lower) = (-0.46, 0.27);
        [
            (-1.0, 0.0),
            (-0.5, upper),
            (0.0, upper),
            (0.5, upper),
            (1.0, 0.0),
            (0.5, lower),
            (0.0, lower),
            (-0.5, lower),
        ]
        .map(|(t, rise)| lid(t, rise))
        .into()
    }

    /// 68..=75: inner corner, upper lid outwards, outer corner, lower lid inwards.
    pub(super) fn right_eye(&self) -> Vec<Point3> {
        let eye = self.eye(1);
        [4, 3, 2, 1, 0, 7, 6, 5].map(|i| mirror(eye[i])).into()
    }

    /// 96 (side 0) and 97: between the lids, moved by the gaze.
    pub(super) fn pupil(&self, side: usize) -> Point3 {
        let open = self.eye_open[side];
        let middle = (-0.46 + 0.27) / 2.0 * open;
        let down = middle + (self.gaze[1]).clamp(-0.12, 0.12) * open;
        let across = self.gaze[0].clamp(-0.5, 0.5);
        if side == 0 { self.in_eye([across, down]) } else { mirror(self.in_eye([-across, down])) }
    }

    /// A point of the image-left eye from its own axes: right and down in half widths of the eye.
    fn in_eye(&self, [right, down]: [f64; 2]) -> Point3 {
        let half = 0.158 * self.eye_size;
        let (sin, cos) = self.eye_tilt.sin_cos();
        let x = -0.342 * self.eye_spacing + half * (cos * right - sin * down);
        let y = half * (sin * right + cos * down);
        on_face(x, y, -0.02)
    }

    /// Half the width of an iris.
    pub(in super::super) fn iris_radius(&self) -> f64 {
        0.158 * self.eye_size * 0.43
    }
}
