//! The mean shape of a data set, for drawing errors where they happen.

/// Rounds of aligning every shape to the mean of the round before; similar shapes stand still after two.
const ROUNDS: usize = 4;

/// Keypoints `(x, y)` with what each counts; all alike where `None`.
pub type Weighted<'a> = (&'a [[f32; 2]], Option<&'a [f32]>);

/// Mean of `shapes` after each was moved, scaled and rotated onto the mean (Procrustes); centre 0, root mean square distance from it
/// 1, rotated as the shapes are on average. Weighted keypoints only: `None` where a keypoint has no weight in any image, and an empty
/// list without a usable shape.
pub fn mean_shape(shapes: &[Weighted<'_>]) -> Vec<Option<[f64; 2]>> {
    let keypoints = shapes.first().map_or(0, |(points, _)| points.len());
    let weighted_points = |points: &[[f32; 2]], weights: Option<&[f32]>| -> Vec<Option<[f64; 2]>> {
        let weighted = |k: usize| weights.is_none_or(|w| w.get(k).is_some_and(|w| *w > 0.0));
        let usable = |k: usize, p: &[f32; 2]| weighted(k) && p.iter().all(|v| v.is_finite());
        points.iter().enumerate().map(|(k, p)| usable(k, p).then(|| p.map(f64::from))).collect()
    };
    let shapes: Vec<Vec<Option<[f64; 2]>>> = shapes
        .iter()
        .filter(|(points, _)| points.len() == keypoints)
        .filter_map(|(points, weights)| normalised(&weighted_points(points, *weights)))
        .collect();
    let mut mean: Option<Vec<Option<[f64; 2]>>> = None;
    for _ in 0..ROUNDS {
        let mut sums = vec![([0.0; 2], 0usize); keypoints];
        for shape in &shapes {
            let [cos, sin] = mean.as_ref().map_or([1.0, 0.0], |mean| rotation(shape, mean));
            for (point, (sum, count)) in shape.iter().zip(&mut sums) {
                let Some([x, y]) = point else { continue };
                sum[0] += cos * x - sin * y;
                sum[1] += sin * x + cos * y;
                *count += 1;
            }
        }
        let averaged: Vec<Option<[f64; 2]>> =
            sums.iter().map(|(sum, count)| (*count > 0).then(|| sum.map(|s| s / *count as f64))).collect();
        mean = normalised(&averaged);
    }
    mean.unwrap_or_default()
}

/// Centre at 0, root mean square distance 1; `None` for a shape without extent.
fn normalised(shape: &[Option<[f64; 2]>]) -> Option<Vec<Option<[f64; 2]>>> {
    let count = shape.iter().flatten().count() as f64;
    let centre = [0, 1].map(|axis| shape.iter().flatten().map(|p| p[axis]).sum::<f64>() / count);
    let centred = |p: &[f64; 2]| [p[0] - centre[0], p[1] - centre[1]];
    let square: f64 = shape.iter().flatten().map(centred).map(|[x, y]| x * x + y * y).sum();
    let size = (square / count).sqrt();
    (size > 0.0 && size.is_finite())
        .then(|| shape.iter().map(|p| p.as_ref().map(|p| centred(p).map(|v| v / size))).collect())
}

/// Cosine and sine of the rotation that brings `shape` closest to `mean`.
fn rotation(shape: &[Option<[f64; 2]>], mean: &[Option<[f64; 2]>]) -> [f64; 2] {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (a, b) in shape.iter().zip(mean) {
        if let (Some(a), Some(b)) = (a, b) {
            real += a[0] * b[0] + a[1] * b[1];
            imaginary += a[0] * b[1] - a[1] * b[0];
        }
    }
    let size = f64::hypot(real, imaginary);
    if size > 0.0 { [real / size, imaginary / size] } else { [1.0, 0.0] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [[f32; 2]; 4] = [[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [1.0, 3.0]];

    fn moved(angle: f32, scale: f32, shift: f32) -> Vec<[f32; 2]> {
        let (sin, cos) = angle.sin_cos();
        SHAPE
            .iter()
            .map(|[x, y]| [scale * (cos * x - sin * y) + shift, scale * (sin * x + cos * y) - shift])
            .collect()
    }

    #[test]
    fn shapes_that_differ_by_place_size_and_turn_have_their_own_shape_as_mean() {
        let shapes = [moved(0.3, 2.0, 50.0), moved(-0.3, 0.5, -9.0), moved(0.0, 1.0, 0.0)];
        let mean = mean_shape(&shapes.iter().map(|s| (s.as_slice(), None)).collect::<Vec<_>>());
        let own = mean_shape(&[(SHAPE.as_slice(), None)]);
        for (a, b) in mean.iter().zip(&own) {
            let (a, b) = (a.unwrap(), b.unwrap());
            assert!((a[0] - b[0]).abs() < 1e-3 && (a[1] - b[1]).abs() < 1e-3, "{mean:?} {own:?}");
        }
    }

    #[test]
    fn keypoints_without_weight_and_shapes_without_extent_are_left_out() {
        let weights = [1.0, 0.0, 1.0, 1.0];
        let mean = mean_shape(&[(&SHAPE, Some(&weights)), (&[[3.0, 3.0]; 4], None)]);
        assert_eq!(mean.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true, true]);
        assert!(mean_shape(&[]).is_empty());
    }
}
