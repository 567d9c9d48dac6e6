//! The jaw line.

use std::f64::consts::PI;

use super::Shape;
use super::surface::{Point3, on_face};

/// Corners of the jaw line from which its evenly spaced points are taken.
const CONTOUR_SAMPLES: usize = 256;

impl Shape {
    /// 0..=32, evenly spaced along the jaw from the image-left temple over the chin.
    pub(super) fn contour(&self) -> Vec<Point3> {
        let top = -0.02;
        let height = 1.25 * self.face_height + 0.13 * self.mouth_open - top;
        let dense: Vec<[f64; 2]> = (0..=CONTOUR_SAMPLES)
            .map(|i| {
                let angle = PI * i as f64 / CONTOUR_SAMPLES as f64;
                // The exact middle, so that the chin lies on the axis of symmetry.
                let (cos, sin) =
                    if 2 * i == CONTOUR_SAMPLES { (0.0, 1.0) } else { (angle.cos(), angle.sin()) };
                let power = 2.0 / self.jaw_power;
                [
                    -self.half_width() * cos.signum() * cos.abs().powf(power),
                    top + height * sin.abs().powf(power),
                ]
            })
            .collect();
        evenly_spaced(&dense, 33).into_iter().map(|[x, y]| on_face(x, y, 0.0)).collect()
    }
}

/// `count` points on a polyline at equal distances along it, both ends included.
pub(crate) fn evenly_spaced(line: &[[f64; 2]], count: usize) -> Vec<[f64; 2]> {
    let mut lengths = vec![0.0];
    for pair in line.windows(2) {
        let step = (pair[1][0] - pair[0][0]).hypot(pair[1][1] - pair[0][1]);
        lengths.push(lengths[lengths.len() - 1] + step);
    }
    let total = lengths[lengths.len() - 1];
    (0..count)
        .map(|i| {
            let wanted = total * i as f64 / (count - 1) as f64;
            let after = lengths.partition_point(|l| *l < wanted).clamp(1, line.len() - 1);
            let (a, b) = (line[after - 1], line[after]);
            let span = lengths[after] - lengths[after - 1];
            let t = if span > 0.0 { (wanted - lengths[after - 1]) / span } else { 0.0 };
            [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_spread_by_length_and_not_by_corner() {
        // An L of length 4 whose corners are unevenly set: five points, one unit apart.
        let line = [[0.0, 0.0], [0.5, 0.0], [2.0, 0.0], [2.0, 2.0]];
        let points = evenly_spaced(&line, 5);
        let expected = [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 1.0], [2.0, 2.0]];
        for (got, want) in points.iter().zip(expected) {
            assert!((got[0] - want[0]).abs() < 1e-12 && (got[1] - want[1]).abs() < 1e-12, "{points:?}");
        }
    }
}
