//! The nose.

use super::Shape;
use super::surface::{Point3, on_face};

impl Shape {
    /// 51..=54 down the ridge, 55..=59 along the base.
    pub(super) fn nose(&self) -> Vec<Point3> {
        let tip = 0.43 * self.nose_length;
        let ridge = (0..4).map(|i| {
            let t = f64::from(i) / 3.0;
            on_face(0.0, 0.02 + t * (tip - 0.02), 0.05 + 0.27 * t.powf(1.3))
        });
        let wing = 0.175 * self.nose_width;
        let base = [
            (-1.0, 0.065, 0.05),
            (-0.52, 0.118, 0.14),
            (0.0, 0.14, 0.18),
            (0.52, 0.118, 0.14),
            (1.0, 0.065, 0.05),
        ];
        ridge.chain(base.map(|(part, below, bulge)| on_face(part * wing, tip + below, bulge))).collect()
    }
}
