//! Whether distributions lie along the curves that keypoints mark.

use crate::metric_set::Curve;

/// Direction of the curve at each keypoint that lies on one, as a unit vector: from the neighbour before to the neighbour after, at
/// the end of an open curve from or to its one neighbour. `None` for keypoints on no curve, and where what the direction is taken from
/// lies in one place or is not annotated (weight 0); a keypoint on two curves has the direction of the first that gives it one.
pub fn tangents(points: &[[f32; 2]], weights: Option<&[f32]>, curves: &[Curve]) -> Vec<Option<[f64; 2]>> {
    // The place of a keypoint that is not annotated may hold anything.
    let annotated =
        |k: usize| points.get(k).filter(|_| weights.is_none_or(|w| w.get(k).is_some_and(|w| *w > 0.0)));
    let mut found = vec![None; points.len()];
    for curve in curves {
        let count = curve.keypoints.len();
        for (i, &keypoint) in curve.keypoints.iter().enumerate() {
            let before = if curve.closed { (i + count - 1) % count } else { i.saturating_sub(1) };
            let after = if curve.closed { (i + 1) % count } else { (i + 1).min(count - 1) };
            let ends = [before, after].map(|i| annotated(curve.keypoints[i]));
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
        let open = tangents(&points, None, &[curve(false)]);
        assert_eq!((open[0], open[2], open[3]), (Some([1.0, 0.0]), Some([0.0, 1.0]), None));
        let diagonal = std::f64::consts::FRAC_1_SQRT_2;
        let middle = open[1].unwrap();
        assert!((middle[0] - diagonal).abs() < 1e-12 && (middle[1] - diagonal).abs() < 1e-12);
        // Closed: from point 2 to point 1.
        assert_eq!(tangents(&points, None, &[curve(true)])[0], Some([0.0, -1.0]));
    }

    #[test]
    fn a_neighbour_that_is_not_annotated_gives_no_direction() {
        let points = [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [f32::NAN, 7.0]];
        let line = Curve { name: "line".into(), keypoints: vec![0, 1, 2, 3], closed: false };
        let found = tangents(&points, Some(&[1.0, 1.0, 1.0, 0.0]), &[line]);
        assert_eq!(found, [Some([1.0, 0.0]), Some([1.0, 0.0]), None, None]);
    }

    #[test]
    fn an_axis_has_no_sign() {
        assert!(angle_between(0.0, [-1.0, 0.0]).abs() < 1e-6);
        assert!((angle_between(std::f64::consts::FRAC_PI_2, [1.0, 0.0]) - 90.0).abs() < 1e-6);
        assert!((angle_between(-0.5, [0.5f64.cos(), 0.5f64.sin()]) - 1.0f64.to_degrees()).abs() < 1e-6);
    }
}
