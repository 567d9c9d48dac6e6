//! The brows.

use std::f64::consts::PI;

use super::Shape;
use super::surface::{Point3, mirror, on_face};

impl Shape {
    /// 33..=41 for side 0: the upper edge from the outer end inwards, the lower edge back. Side 1 mirrors it.
    pub(super) fn brow(&self, side: usize) -> Vec<Point3> {
        let edge = |t: f64, drop: f64| {
            // t is 0 at the outer end and 1 at the inner end.
            let arch = 0.085 * self.brow_arch * (PI * (0.12 + 0.8 * t)).sin();
            let y = -0.185 - arch - 0.02 * t + self.brow_frown * t - self.brow_raise[side] + drop;
            on_face(-0.59 + 0.45 * t, y, 0.05)
        };
        let thick = 0.062 * self.brow_thickness;
        let upper = [0.0, 0.25, 0.5, 0.75, 1.0].map(|t| edge(t, 0.0));
        let lower =
            [(0.98, 1.1), (0.72, 1.0), (0.46, 0.88), (0.2, 0.62)].map(|(t, part)| edge(t, thick * part));
        upper.into_iter().chain(lower).collect()
    }

    /// 42..=50: upper edge from the inner end outwards, lower edge back.
    pub(super) fn right_brow(&self) -> Vec<Point3> {
        let brow = self.brow(1);
        [4, 3, 2, 1, 0, 8, 7, 6, 5].map(|i| mirror(brow[i])).into()
    }
}
