//! Covariances as ellipses, for what is printed or drawn.

use serde::{Deserialize, Serialize};

/// One predicted landmark's spread: standard deviations along the principal axes of its heatmap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ellipse {
    /// Standard deviation along the longer axis, pixels of the image.
    pub major: f32,
    /// Standard deviation along the shorter axis, pixels of the image.
    pub minor: f32,
    /// Direction of the longer axis in degrees from the x axis towards the y axis (down), in `(-90, 90]`.
    pub angle: f32,
}

impl Ellipse {
    /// Of a covariance `[[xx, xy], [xy, yy]]` in pixels squared.
    #[must_use]
    pub fn from_covariance([xx, xy, yy]: [f64; 3]) -> Self {
        let (mean, half) = ((xx + yy) / 2.0, ((xx - yy) / 2.0).hypot(xy));
        let deviation = |eigenvalue: f64| eigenvalue.max(0.0).sqrt() as f32;
        let angle = (0.5 * (2.0 * xy).atan2(xx - yy)).to_degrees();
        Self { major: deviation(mean + half), minor: deviation(mean - half), angle: angle as f32 }
    }

    /// The covariance `xx, xy, yy` that has these axes, pixels squared: for ellipses that are read from files.
    #[must_use]
    pub fn covariance(&self) -> [f64; 3] {
        let (sin, cos) = f64::from(self.angle).to_radians().sin_cos();
        let [major, minor] = [self.major, self.minor].map(|deviation| f64::from(deviation).powi(2));
        [
            major * cos * cos + minor * sin * sin,
            (major - minor) * sin * cos,
            major * sin * sin + minor * cos * cos,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagonal_covariance_has_axis_aligned_ellipses() {
        // variances 9 along y and 4 along x
        let ellipse = Ellipse::from_covariance([4.0, 0.0, 9.0]);
        assert_eq!((ellipse.major, ellipse.minor, ellipse.angle), (3.0, 2.0, 90.0));
    }

    #[test]
    fn a_covariance_survives_the_way_through_an_ellipse() {
        // Major, minor and angle are kept in f32.
        const TOLERANCE: f64 = 1e-5;
        for covariance in [[4.0, 0.0, 9.0], [5.0, -1.5, 2.0], [2.0, 0.7, 2.0], [1.0, 0.0, 1.0]] {
            let back = Ellipse::from_covariance(covariance).covariance();
            assert!(back.iter().zip(covariance).all(|(a, b)| (a - b).abs() < TOLERANCE), "{back:?}");
        }
    }
}
