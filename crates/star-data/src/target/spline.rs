//! The smooth curve through the keypoints of an edge.

/// Samples between one keypoint and the next. Reference value.
pub const SAMPLES_PER_SPAN: usize = 5;

/// Whether a curve comes back to where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// It ends at its last point.
    Open,
    /// It goes on from its last point to its first.
    Closed,
}

/// A cubic spline through `points`, parametrised by chord length, sampled [`SAMPLES_PER_SPAN`] times a span.
///
/// Closed curves are periodic; open ones have no knot at the second and last but one point, as in FITPACK's interpolation. Two
/// points make a line, three a parabola. Points that are not finite and neighbours that coincide are passed over; fewer than two
/// points make no curve.
pub fn through(points: &[[f32; 2]], ends: Ends) -> Vec<[f32; 2]> {
    let mut knots: Vec<[f64; 2]> = Vec::with_capacity(points.len() + 1);
    for point in points.iter().filter(|p| p.iter().all(|v| v.is_finite())) {
        let point = point.map(f64::from);
        if knots.last().is_none_or(|last| distance(*last, point) > 1e-6) {
            knots.push(point);
        }
    }
    // Two points enclose nothing.
    let closed = ends == Ends::Closed && knots.len() > 2;
    if closed && distance(knots[0], knots[knots.len() - 1]) > 1e-6 {
        knots.push(knots[0]);
    }
    if knots.len() < 2 {
        return Vec::new();
    }
    let spans: Vec<f64> = knots.windows(2).map(|pair| distance(pair[0], pair[1])).collect();
    let curvatures = if closed { periodic(&knots, &spans) } else { not_a_knot(&knots, &spans) };
    let sample = |span: usize, b: f64| {
        let (a, h) = (1.0 - b, spans[span]);
        [0, 1].map(|axis| {
            let bend =
                (a * a * a - a) * curvatures[span][axis] + (b * b * b - b) * curvatures[span + 1][axis];
            (a * knots[span][axis] + b * knots[span + 1][axis] + bend * h * h / 6.0) as f32
        })
    };
    let inner = (0..SAMPLES_PER_SPAN * spans.len())
        .map(|i| sample(i / SAMPLES_PER_SPAN, (i % SAMPLES_PER_SPAN) as f64 / SAMPLES_PER_SPAN as f64));
    inner.chain([sample(spans.len() - 1, 1.0)]).collect()
}

fn distance(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Right side of the spline equations, for both axes: by how much the slopes of two spans differ where they meet.
fn bends(before: [f64; 2], here: [f64; 2], after: [f64; 2], [h0, h1]: [f64; 2]) -> [f64; 2] {
    [0, 1].map(|axis| (after[axis] - here[axis]) / h1 - (here[axis] - before[axis]) / h0)
}

/// Second derivatives at the knots of an open curve.
fn not_a_knot(knots: &[[f64; 2]], spans: &[f64]) -> Vec<[f64; 2]> {
    let n = knots.len();
    if n < 3 {
        return vec![[0.0; 2]; n];
    }
    let inner = 1..n - 1;
    let right: Vec<[f64; 2]> = inner
        .clone()
        .map(|i| bends(knots[i - 1], knots[i], knots[i + 1], [spans[i - 1], spans[i]]))
        .collect();
    if n == 3 {
        // One parabola: the same second derivative everywhere.
        return vec![right[0].map(|bend| 2.0 * bend / (spans[0] + spans[1])); 3];
    }
    let mut system: Vec<Row> = inner
        .map(|i| Row {
            before: spans[i - 1] / 6.0,
            here: (spans[i - 1] + spans[i]) / 3.0,
            after: spans[i] / 6.0,
        })
        .collect();
    // The third derivative does not jump at the second and the last but one knot, which gives the ends by their neighbours: the
    // first is `((h0 + h1) m1 - h0 m2) / h1`, put into the equation of its neighbour.
    let (outer, inner) = (spans[0], spans[1]);
    system[0].here += outer * (outer + inner) / (6.0 * inner);
    system[0].after -= outer * outer / (6.0 * inner);
    let (last, outer, inner) = (system.len() - 1, spans[n - 2], spans[n - 3]);
    system[last].here += outer * (outer + inner) / (6.0 * inner);
    system[last].before -= outer * outer / (6.0 * inner);
    let mut curvatures = solve(&system, right);
    let end = |near: [f64; 2], far: [f64; 2], outer: f64, inner: f64| {
        [0, 1].map(|axis| ((outer + inner) * near[axis] - outer * far[axis]) / inner)
    };
    let last_end = end(curvatures[n - 3], curvatures[n - 4], spans[n - 2], spans[n - 3]);
    curvatures.insert(0, end(curvatures[0], curvatures[1], spans[0], spans[1]));
    curvatures.push(last_end);
    curvatures
}

/// Second derivatives at the knots of a closed curve of at least three spans, whose last knot repeats the first.
fn periodic(knots: &[[f64; 2]], spans: &[f64]) -> Vec<[f64; 2]> {
    let n = spans.len();
    let before = |i: usize| (i + n - 1) % n;
    let row = |i: usize| Row {
        before: spans[before(i)] / 6.0,
        here: (spans[before(i)] + spans[i]) / 3.0,
        after: spans[i] / 6.0,
    };
    let mut system: Vec<Row> = (0..n).map(row).collect();
    // Sherman and Morrison: the corners that join last and first are a product of two vectors, taken out and put back.
    let (corner, shift) = (system[0].before, -system[0].here);
    system[0].here -= shift;
    system[n - 1].here -= corner * corner / shift;
    let mut right: Vec<[f64; 3]> = (0..n)
        .map(|i| bends(knots[before(i)], knots[i], knots[i + 1], [spans[before(i)], spans[i]]))
        .map(|[x, y]| [x, y, 0.0])
        .collect();
    (right[0][2], right[n - 1][2]) = (shift, corner);
    let solved = solve(&system, right);
    let along = |k: usize| solved[0][k] + corner / shift * solved[n - 1][k];
    let factor = [0, 1].map(|axis| along(axis) / (1.0 + along(2)));
    let mut curvatures: Vec<[f64; 2]> =
        solved.iter().map(|row| [0, 1].map(|axis| row[axis] - factor[axis] * row[2])).collect();
    curvatures.push(curvatures[0]);
    curvatures
}

/// What the unknowns before, at and after a place are multiplied by.
struct Row {
    before: f64,
    here: f64,
    after: f64,
}

/// Solves a system of three diagonals for several right sides; spline systems are led by their diagonal and need no exchanges.
fn solve<const N: usize>(system: &[Row], mut right: Vec<[f64; N]>) -> Vec<[f64; N]> {
    let mut after = vec![0.0; system.len()];
    for i in 0..system.len() {
        let before = if i > 0 { system[i].before } else { 0.0 };
        let previous = if i > 0 { right[i - 1] } else { [0.0; N] };
        let pivot = system[i].here - before * if i > 0 { after[i - 1] } else { 0.0 };
        after[i] = system[i].after / pivot;
        for (value, above) in right[i].iter_mut().zip(previous) {
            *value = (*value - before * above) / pivot;
        }
    }
    for i in (0..system.len().saturating_sub(1)).rev() {
        let next = right[i + 1];
        right[i].iter_mut().zip(next).for_each(|(value, below)| *value -= after[i] * below);
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
        let curve = through(&knots, Ends::Closed);
        assert_eq!(curve.len(), 8 * SAMPLES_PER_SPAN + 1);
        assert!(knots.iter().all(|&knot| nearest(&curve, knot) < TOLERANCE));
        // eight knots of a circle: the curve stays within half a percent of it
        assert!(curve.iter().all(|p| (p[0].hypot(p[1]) - 10.0).abs() < 0.05));
    }

    #[test]
    fn a_cubic_is_reproduced_exactly_by_an_open_curve() {
        // With x the parameter (a steep chord length would not be), y = 0: a straight line stays one.
        let line: Vec<[f32; 2]> = (0..5).map(|i| [i as f32 * i as f32, 3.0]).collect();
        let curve = through(&line, Ends::Open);
        assert!(curve.iter().all(|p| (p[1] - 3.0).abs() < TOLERANCE));
        assert!(
            (curve[0][0] - 0.0).abs() < TOLERANCE && (curve[curve.len() - 1][0] - 16.0).abs() < TOLERANCE
        );
        assert!(curve.windows(2).all(|pair| pair[1][0] >= pair[0][0] - TOLERANCE));
    }

    #[test]
    fn degenerate_edges_make_no_curve_or_a_plain_one() {
        assert!(through(&[], Ends::Closed).is_empty());
        assert!(through(&[[1.0, 1.0]; 7], Ends::Closed).is_empty());
        assert!(through(&[[f32::NAN, 0.0], [2.0, 2.0]], Ends::Open).is_empty());
        let line = through(&[[0.0, 0.0], [5.0, 0.0]], Ends::Closed);
        assert!(line.iter().all(|p| p[1].abs() < TOLERANCE) && line.len() == SAMPLES_PER_SPAN + 1);
        let parabola = through(&[[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]], Ends::Open);
        assert!(parabola.iter().flatten().all(|v| v.is_finite()));
    }

    /// Jumps of the first and second derivative at the inner knots, by one-sided differences of the curve's own cubic pieces.
    fn jumps(knots: &[[f64; 2]], spans: &[f64], curvatures: &[[f64; 2]], closed: bool) -> f64 {
        let slope = |span: usize, end: bool, axis: usize| {
            let (h, [m0, m1]) = (spans[span], [curvatures[span][axis], curvatures[span + 1][axis]]);
            let chord = (knots[span + 1][axis] - knots[span][axis]) / h;
            chord + h / 6.0 * if end { m0 + 2.0 * m1 } else { -2.0 * m0 - m1 }
        };
        let n = spans.len();
        let joints = if closed { 0..n } else { 1..n };
        joints
            .flat_map(|i| [(i, 0), (i, 1)])
            .map(|(i, axis)| (slope((i + n - 1) % n, true, axis) - slope(i, false, axis)).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn slopes_meet_at_every_knot_and_the_ends_follow_their_neighbours() {
        for n in [4, 5, 9, 17, 33] {
            let mut knots: Vec<[f64; 2]> = (0..n)
                .map(|i| i as f64)
                .map(|i| [i * 3.0 + (i * 1.7).sin(), 5.0 * (i * 0.9).cos()])
                .collect();
            let spans = |knots: &[[f64; 2]]| -> Vec<f64> {
                knots.windows(2).map(|pair| distance(pair[0], pair[1])).collect()
            };
            let open = spans(&knots);
            let bends = not_a_knot(&knots, &open);
            assert!(jumps(&knots, &open, &bends, false) < 1e-9);
            let third = |span: usize, axis: usize| (bends[span + 1][axis] - bends[span][axis]) / open[span];
            for axis in [0, 1] {
                assert!((third(0, axis) - third(1, axis)).abs() < 1e-9);
                assert!((third(n - 2, axis) - third(n - 3, axis)).abs() < 1e-9);
            }
            knots.push(knots[0]);
            let closed = spans(&knots);
            assert!(jumps(&knots, &closed, &periodic(&knots, &closed), true) < 1e-9);
        }
    }
}
