//! The smooth curve through the keypoints of an edge.

/// Samples between one keypoint and the next. Reference value.
pub const SAMPLES_PER_SPAN: usize = 5;

/// A cubic spline through `points`, parametrised by chord length, sampled [`SAMPLES_PER_SPAN`] times a span.
///
/// Closed curves are periodic; open ones have no knot at the second and last but one point, as in FITPACK's interpolation. Two
/// points make a line, three a parabola. Points that are not finite and neighbours that coincide are passed over; fewer than two
/// points make no curve.
pub fn through(points: &[[f32; 2]], closed: bool) -> Vec<[f32; 2]> {
    let mut knots: Vec<[f64; 2]> = Vec::with_capacity(points.len() + 1);
    for point in points.iter().filter(|p| p.iter().all(|v| v.is_finite())) {
        let point = point.map(f64::from);
        if knots.last().is_none_or(|last| distance(*last, point) > 1e-6) {
            knots.push(point);
        }
    }
    // Two points enclose nothing.
    let closed = closed && knots.len() > 2;
    if closed && distance(knots[0], knots[knots.len() - 1]) > 1e-6 {
        knots.push(knots[0]);
    }
    if knots.len() < 2 {
        return Vec::new();
    }
    let spans: Vec<f64> = knots.windows(2).map(|pair| distance(pair[0], pair[1])).collect();
    let axes = [0, 1].map(|axis| {
        let values: Vec<f64> = knots.iter().map(|p| p[axis]).collect();
        let curvatures = if closed { periodic(&values, &spans) } else { not_a_knot(&values, &spans) };
        (values, curvatures)
    });
    let sample = |span: usize, b: f64| {
        let (a, h) = (1.0 - b, spans[span]);
        [0, 1].map(|axis| {
            let (values, curvatures) = &axes[axis];
            let bend = (a * a * a - a) * curvatures[span] + (b * b * b - b) * curvatures[span + 1];
            (a * values[span] + b * values[span + 1] + bend * h * h / 6.0) as f32
        })
    };
    let inner = (0..SAMPLES_PER_SPAN * spans.len())
        .map(|i| sample(i / SAMPLES_PER_SPAN, (i % SAMPLES_PER_SPAN) as f64 / SAMPLES_PER_SPAN as f64));
    inner.chain([sample(spans.len() - 1, 1.0)]).collect()
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Row `i` of the spline equations: the slopes of two spans agree where they meet.
fn smooth(
    matrix: &mut [Vec<f64>],
    right: &mut [f64],
    i: usize,
    [l, m, r]: [usize; 3],
    [h0, h1]: [f64; 2],
    v: [f64; 3],
) {
    matrix[i][l] += h0 / 6.0;
    matrix[i][m] += (h0 + h1) / 3.0;
    matrix[i][r] += h1 / 6.0;
    right[i] = (v[2] - v[1]) / h1 - (v[1] - v[0]) / h0;
}

/// Second derivatives at the knots of an open curve.
fn not_a_knot(values: &[f64], spans: &[f64]) -> Vec<f64> {
    let n = values.len();
    if n < 3 {
        return vec![0.0; n];
    }
    let (mut matrix, mut right) = (vec![vec![0.0; n]; n], vec![0.0; n]);
    for i in 1..n - 1 {
        let around = [values[i - 1], values[i], values[i + 1]];
        smooth(&mut matrix, &mut right, i, [i - 1, i, i + 1], [spans[i - 1], spans[i]], around);
    }
    if n == 3 {
        // One parabola: the same second derivative everywhere.
        (matrix[0][0], matrix[0][1]) = (1.0, -1.0);
        (matrix[2][2], matrix[2][1]) = (1.0, -1.0);
    } else {
        // The third derivative does not jump at the second and the last but one knot.
        for (row, [a, b, c], [h0, h1]) in [
            (0, [0, 1, 2], [spans[0], spans[1]]),
            (n - 1, [n - 3, n - 2, n - 1], [spans[n - 3], spans[n - 2]]),
        ] {
            matrix[row][a] = 1.0 / h0;
            matrix[row][b] = -1.0 / h0 - 1.0 / h1;
            matrix[row][c] = 1.0 / h1;
        }
    }
    solve(matrix, right)
}

/// Second derivatives at the knots of a closed curve, whose last value repeats the first.
fn periodic(values: &[f64], spans: &[f64]) -> Vec<f64> {
    let n = spans.len();
    let (mut matrix, mut right) = (vec![vec![0.0; n]; n], vec![0.0; n]);
    for i in 0..n {
        let before = (i + n - 1) % n;
        let around = [values[before], values[i], values[i + 1]];
        smooth(&mut matrix, &mut right, i, [before, i, (i + 1) % n], [spans[before], spans[i]], around);
    }
    let mut curvatures = solve(matrix, right);
    curvatures.push(curvatures[0]);
    curvatures
}

/// Gaussian elimination with row exchanges: the systems are small and well-conditioned.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let n = right.len();
    for column in 0..n {
        let pivot = (column..n).max_by(|&a, &b| matrix[a][column].abs().total_cmp(&matrix[b][column].abs()));
        let pivot = pivot.unwrap_or(column);
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        for row in column + 1..n {
            let factor = matrix[row][column] / matrix[column][column];
            if factor == 0.0 || !factor.is_finite() {
                continue;
            }
            let (upper, lower) = matrix.split_at_mut(row);
            for (value, above) in lower[0][column..].iter_mut().zip(&upper[column][column..]) {
                *value -= factor * above;
            }
            right[row] -= factor * right[column];
        }
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|column| matrix[row][column] * right[column]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    right
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f32 = 1e-3;

    fn nearest(curve: &[[f32; 2]], [x, y]: [f32; 2]) -> f32 {
        curve.iter().map(|p| (p[0] - x).hypot(p[1] - y)).fold(f32::MAX, f32::min)
    }

    #[test]
    fn knots_lie_on_the_curve() {
        let knots: Vec<[f32; 2]> =
            (0..8).map(|i| [10.0 * (i as f32 * 0.785).cos(), 10.0 * (i as f32 * 0.785).sin()]).collect();
        let curve = through(&knots, true);
        assert_eq!(curve.len(), 8 * SAMPLES_PER_SPAN + 1);
        assert!(knots.iter().all(|&knot| nearest(&curve, knot) < TOLERANCE));
        // eight knots of a circle: the curve stays within half a percent of it
        assert!(curve.iter().all(|p| (p[0].hypot(p[1]) - 10.0).abs() < 0.05));
    }

    #[test]
    fn a_cubic_is_reproduced_exactly_by_an_open_curve() {
        // With x the parameter (a steep chord length would not be), y = 0: a straight line stays one.
        let line: Vec<[f32; 2]> = (0..5).map(|i| [i as f32 * i as f32, 3.0]).collect();
        let curve = through(&line, false);
        assert!(curve.iter().all(|p| (p[1] - 3.0).abs() < TOLERANCE));
        assert!(
            (curve[0][0] - 0.0).abs() < TOLERANCE && (curve[curve.len() - 1][0] - 16.0).abs() < TOLERANCE
        );
        assert!(curve.windows(2).all(|pair| pair[1][0] >= pair[0][0] - TOLERANCE));
    }

    #[test]
    fn degenerate_edges_make_no_curve_or_a_plain_one() {
        assert!(through(&[], true).is_empty());
        assert!(through(&[[1.0, 1.0]; 7], true).is_empty());
        assert!(through(&[[f32::NAN, 0.0], [2.0, 2.0]], false).is_empty());
        let line = through(&[[0.0, 0.0], [5.0, 0.0]], true);
        assert!(line.iter().all(|p| p[1].abs() < TOLERANCE) && line.len() == SAMPLES_PER_SPAN + 1);
        let parabola = through(&[[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]], false);
        assert!(parabola.iter().flatten().all(|v| v.is_finite()));
    }
}
