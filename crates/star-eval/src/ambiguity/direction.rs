//! Whether distributions lie along the curves that keypoints mark.

use crate::metric_set::Curve;

/// Direction of the curve at each keypoint that lies on one, as a unit vector: from the neighbour before to the neighbour after, at
/// the end of an open curve from or to its one neighbour. `None` for keypoints on no curve or with neighbours in one place; a
/// keypoint on two curves has the direction of the first.
pub fn tangents(points: &[[f32; 2]], curves: &[Curve]) -> Vec<Option<[f64; 2]>> {
    let mut found = vec![None; points.len()];
    for curve in curves {
        let count = curve.keypoints.len();
        for (i, &keypoint) in curve.keypoints.iter().enumerate() {
            let before = if curve.closed { (i + count - 1) % count } else { i.saturating_sub(1) };
            let after = if curve.closed { (i + 1) % count } else { (i + 1).min(count - 1) };
            let ends = [before, after].map(|i| points.get(curve.keypoints[i]));
            let ([Some(a), Some(b)], Some(None)) = (ends, found.get(keypoint)) else { continue };
            let [dx, dy] = [0, 1].map(|axis| f64::from(b[axis]) - f64::from(a[axis]));
            let length = dx.hypot(dy);
            if length > 0.0 && length.is_finite() {
                found[keypoint] = Some([dx / length, dy / length]);
            }
        }
    }
    found
}

/// Angle in degrees, 0 to 90, between an axis in the direction `radians` and a line along the unit vector `tangent`.
pub fn angle_between(radians: f64, tangent: [f64; 2]) -> f64 {
    let cosine = (radians.cos() * tangent[0] + radians.sin() * tangent[1]).abs();
    cosine.min(1.0).acos().to_degrees()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_curves_look_to_their_one_neighbour_and_closed_ones_go_round() {
        let points = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [9.0, 9.0]];
        let curve = |closed| Curve { name: "c".into(), keypoints: vec![0, 1, 2], closed };
        let open = tangents(&points, &[curve(false)]);
        assert_eq!((open[0], open[2], open[3]), (Some([1.0, 0.0]), Some([0.0, 1.0]), None));
        let diagonal = std::f64::consts::FRAC_1_SQRT_2;
        let middle = open[1].unwrap();
        assert!((middle[0] - diagonal).abs() < 1e-12 && (middle[1] - diagonal).abs() < 1e-12);
        // Closed: from point 2 to point 1.
        assert_eq!(tangents(&points, &[curve(true)])[0], Some([0.0, -1.0]));
    }

    #[test]
    fn an_axis_has_no_sign() {
        assert!(angle_between(0.0, [-1.0, 0.0]).abs() < 1e-6);
        assert!((angle_between(std::f64::consts::FRAC_PI_2, [1.0, 0.0]) - 90.0).abs() < 1e-6);
        assert!((angle_between(-0.5, [0.5f64.cos(), 0.5f64.sin()]) - 1.0f64.to_degrees()).abs() < 1e-6);
    }
}
