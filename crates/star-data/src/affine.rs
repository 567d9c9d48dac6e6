//! Plane affine maps: composed once, applied to pixels and points alike.

use crate::{Error, Result};

/// `(x, y) -> (a x + b y + c, d x + e y + f)`, in f64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine([[f64; 3]; 2]);

impl Affine {
    /// The map that changes nothing.
    pub const IDENTITY: Self = Self([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);

    /// From `[[a, b, c], [d, e, f]]`.
    pub fn new(matrix: [[f64; 3]; 2]) -> Self {
        Self(matrix)
    }

    /// A shift by `(x, y)`.
    pub fn translation(x: f64, y: f64) -> Self {
        Self([[1.0, 0.0, x], [0.0, 1.0, y]])
    }

    /// `x -> width - 1 - x`: the mirror of an image `width` pixels wide.
    pub fn mirror(width: f64) -> Self {
        Self([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])
    }

    /// Scales by `scale` and rotates by `angle` (radians, from the x axis towards the y axis) about `centre`.
    pub fn similarity(scale: f64, angle: f64, centre: [f64; 2]) -> Self {
        let (sin, cos) = angle.sin_cos();
        let [x, y] = centre;
        Self::translation(-x, -y)
            .then(Self([[scale * cos, -scale * sin, 0.0], [scale * sin, scale * cos, 0.0]]))
            .then(Self::translation(x, y))
    }

    /// `[[a, b, c], [d, e, f]]`.
    pub fn matrix(&self) -> [[f64; 3]; 2] {
        self.0
    }

    /// This map first, `next` after it.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let ([[a, b, c], [d, e, f]], [n, m]) = (self.0, next.0);
        let row = |r: [f64; 3]| [r[0] * a + r[1] * d, r[0] * b + r[1] * e, r[0] * c + r[1] * f + r[2]];
        Self([row(n), row(m)])
    }

    /// The map that undoes this one.
    ///
    /// # Errors
    /// [`Error::Degenerate`] where the map has no inverse.
    pub fn inverse(&self) -> Result<Self> {
        let [[a, b, c], [d, e, f]] = self.0;
        let determinant = a * e - b * d;
        if !(determinant.is_finite() && determinant != 0.0 && c.is_finite() && f.is_finite()) {
            return Err(Error::Degenerate { what: "affine map", got: format!("{:?}", self.0) });
        }
        let (p, q, r, s) = (e / determinant, -b / determinant, -d / determinant, a / determinant);
        Ok(Self([[p, q, -(p * c + q * f)], [r, s, -(r * c + s * f)]]))
    }

    /// Where a point goes.
    pub fn apply(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let (x, y) = (f64::from(x), f64::from(y));
        self.0.map(|row| (row[0] * x + row[1] * y + row[2]) as f32)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOLERANCE: f32 = 1e-3;

    fn maps() -> impl Strategy<Value = Affine> {
        (0.2..5.0f64, -3.0..3.0f64, -100.0..100.0f64, -100.0..100.0f64)
            .prop_map(|(scale, angle, x, y)| Affine::similarity(scale, angle, [x, y]))
    }

    fn close(a: [f32; 2], b: [f32; 2]) -> bool {
        (a[0] - b[0]).abs() < TOLERANCE && (a[1] - b[1]).abs() < TOLERANCE
    }

    proptest! {
        #[test]
        fn a_map_and_its_inverse_cancel(map in maps(), x in -100.0..100.0f32, y in -100.0..100.0f32) {
            prop_assert!(close(map.inverse().unwrap().apply(map.apply([x, y])), [x, y]));
            prop_assert!(close(map.then(map.inverse().unwrap()).apply([x, y]), [x, y]));
        }

        #[test]
        fn then_applies_the_first_map_first(a in maps(), x in -10.0..10.0f32, y in -10.0..10.0f32) {
            let b = Affine::translation(3.0, -2.0);
            prop_assert!(close(a.then(b).apply([x, y]), b.apply(a.apply([x, y]))));
        }
    }

    #[test]
    fn a_quarter_turn_takes_x_to_y() {
        let rotation = Affine::similarity(2.0, std::f64::consts::FRAC_PI_2, [1.0, 1.0]);
        assert!(close(rotation.apply([2.0, 1.0]), [1.0, 3.0]));
    }

    #[test]
    fn mirroring_keeps_the_outer_pixels_inside() {
        assert_eq!(Affine::mirror(10.0).apply([0.0, 4.0]), [9.0, 4.0]);
    }

    #[test]
    fn a_map_onto_a_line_has_no_inverse() {
        assert!(Affine::new([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]]).inverse().is_err());
    }
}
