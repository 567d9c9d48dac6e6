//! One predicted 2x2 covariance: its ellipse, and distances measured by it.

use serde::{Deserialize, Serialize};

/// Covariance of a predicted position, in squared units of the coordinates (pixels squared, usually).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Covariance {
    /// Variance along x.
    pub xx: f64,
    /// Covariance of x and y.
    pub xy: f64,
    /// Variance along y.
    pub yy: f64,
}

/// Entries of f32 round the smaller eigenvalue by some 1e-7 of the larger one; a hundred times that is still no measurement.
const ROUNDING: f64 = 1e-5;

impl Covariance {
    /// From an ellipse: standard deviations along its axes (in either order of size) and the direction of the first one, in degrees
    /// from the x axis towards the y axis.
    ///
    /// ```
    /// // 3 along y, 2 along x.
    /// let c = star_eval::Covariance::from_axes(3.0, 2.0, 90.0);
    /// assert!((c.xx - 4.0).abs() < 1e-12 && (c.yy - 9.0).abs() < 1e-12 && c.xy.abs() < 1e-12);
    /// ```
    pub fn from_axes(first: f64, second: f64, degrees: f64) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let (a, b) = (first * first, second * second);
        Self { xx: a * cos * cos + b * sin * sin, xy: (a - b) * sin * cos, yy: a * sin * sin + b * cos * cos }
    }

    /// The same with coordinates multiplied by `factor`.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let square = factor * factor;
        Self { xx: self.xx * square, xy: self.xy * square, yy: self.yy * square }
    }

    /// Whether all entries are finite and the smaller eigenvalue is above 0, so that distances can be measured by it.
    pub fn is_proper(&self) -> bool {
        self.xx.is_finite() && self.xy.is_finite() && self.yy.is_finite() && self.eigenvalues()[0] > 0.0
    }

    /// Eigenvalues, ascending: the variances along the short and the long axis.
    pub fn eigenvalues(&self) -> [f64; 2] {
        let (mean, half) = ((self.xx + self.yy) / 2.0, self.half_difference());
        let large = mean + half;
        // The product is the determinant; the difference would cancel where the ellipse is thin.
        let small = if large > 0.0 { (self.xx * self.yy - self.xy * self.xy) / large } else { mean - half };
        [small, large]
    }

    /// As [`eigenvalues`](Self::eigenvalues), at least 0; `None` for what is no covariance: with entries that are not finite, or with
    /// an eigenvalue that is negative by more than rounding.
    pub fn variances(&self) -> Option<[f64; 2]> {
        let [small, large] = self.eigenvalues();
        let valid = small.is_finite() && large.is_finite() && large >= 0.0 && small >= -ROUNDING * large;
        valid.then(|| [small.max(0.0), large])
    }

    /// Direction of the long axis, radians from x towards y, in `(-pi/2, pi/2]`; 0 for an isotropic one.
    pub fn direction(&self) -> f64 {
        0.5 * (2.0 * self.xy).atan2(self.xx - self.yy)
    }

    /// A residual along the short and the long axis, each in standard deviations along it; its squared length is the squared
    /// Mahalanobis distance. Not finite where the covariance is not [proper](Self::is_proper).
    pub fn standardise(&self, [dx, dy]: [f64; 2]) -> [f64; 2] {
        let (sin, cos) = self.direction().sin_cos();
        let [small, large] = self.eigenvalues();
        [(cos * dy - sin * dx) / small.sqrt(), (cos * dx + sin * dy) / large.sqrt()]
    }

    fn half_difference(&self) -> f64 {
        ((self.xx - self.yy) / 2.0).hypot(self.xy)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn axes_and_direction_come_back(major in 1.5f64..9.0, minor in 0.1f64..1.4, degrees in -89.0f64..89.0) {
            let covariance = Covariance::from_axes(major, minor, degrees);
            let [small, large] = covariance.eigenvalues();
            prop_assert!((small.sqrt() - minor).abs() < 1e-9 && (large.sqrt() - major).abs() < 1e-9);
            prop_assert!((covariance.direction().to_degrees() - degrees).abs() < 1e-6);
        }

        #[test]
        fn a_standardised_residual_is_as_long_as_by_the_inverse(
            major in 0.5f64..9.0, minor in 0.1f64..9.0, degrees in -180.0f64..180.0, x in -9.0f64..9.0, y in -9.0f64..9.0
        ) {
            let c = Covariance::from_axes(major, minor, degrees);
            let [u, v] = c.standardise([x, y]);
            let direct = (c.yy * x * x - 2.0 * c.xy * x * y + c.xx * y * y) / (c.xx * c.yy - c.xy * c.xy);
            prop_assert!((u * u + v * v - direct).abs() <= 1e-6 * (1.0 + direct), "{} {direct}", u * u + v * v);
        }
    }

    #[test]
    fn the_long_axis_comes_second_and_is_divided_by_its_own_deviation() {
        // 3 along x, 1 along y; the residual (3, 2) is 1 deviation along the long axis and 2 along the short one.
        let [short, long] = Covariance::from_axes(3.0, 1.0, 0.0).standardise([3.0, 2.0]);
        assert!((short - 2.0).abs() < 1e-12 && (long - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_line_a_point_and_nan_are_not_proper() {
        assert!(!Covariance::from_axes(1.0, 0.0, 0.0).is_proper());
        assert!(!Covariance::default().is_proper());
        assert!(!Covariance { xx: f64::NAN, xy: 0.0, yy: 1.0 }.is_proper());
        assert!(Covariance::from_axes(1.0, 1.0, 30.0).is_proper());
    }

    #[test]
    fn rounding_below_zero_counts_as_zero_and_an_indefinite_matrix_is_no_covariance() {
        // Determinant -1e-8 of a line of variance 2 along the diagonal.
        let line = Covariance { xx: 1.0, xy: 1.0 + 5e-9, yy: 1.0 };
        assert_eq!(line.variances().map(|[small, _]| small), Some(0.0));
        assert_eq!(Covariance { xx: 1.0, xy: 2.0, yy: 1.0 }.variances(), None);
        assert_eq!(Covariance { xx: -1.0, xy: 0.0, yy: -1.0 }.variances(), None);
        assert_eq!(Covariance { xx: f64::INFINITY, xy: 0.0, yy: 1.0 }.variances(), None);
    }

    #[test]
    fn variances_grow_by_the_square_of_the_scale() {
        let [small, large] = Covariance::from_axes(3.0, 1.0, 20.0).scaled(2.0).eigenvalues();
        assert!((small - 4.0).abs() < 1e-12 && (large - 36.0).abs() < 1e-12);
    }
}
