//! Object keypoint similarity, and the average precision that COCO builds on it.

mod ap;

pub use ap::{ApSummary, average_precision};

use crate::{Error, Result};

/// Standard deviations that COCO's evaluation gives the 17 keypoints of a person, as shares of the object's size.
pub const COCO_PERSON_SIGMAS: [f64; 17] = [
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087,
    0.089, 0.089,
];

/// Machine epsilon, which COCO's evaluation adds to the area.
const AREA_EPS: f64 = f64::EPSILON;

/// An annotated object of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// `(x, y)` of each keypoint, pixels.
    pub points: Vec<[f64; 2]>,
    /// Whether each keypoint is annotated (COCO's `v > 0`).
    pub annotated: Vec<bool>,
    /// Area of the object, pixels squared.
    pub area: f64,
    /// Box `x, y, width, height`, pixels.
    pub bbox: [f64; 4],
    /// A crowd, which no detection has to find.
    pub crowd: bool,
}

/// A predicted object of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// `(x, y)` of each keypoint, pixels.
    pub points: Vec<[f64; 2]>,
    /// How sure the prediction is.
    pub score: f64,
    /// Area, pixels squared: decides in which range of sizes an unmatched detection counts. COCO takes the box of the keypoints.
    pub area: f64,
}

impl Detection {
    /// A detection whose area is that of the box around its points, as COCO's loader sets it.
    pub fn new(points: Vec<[f64; 2]>, score: f64) -> Self {
        let side = |axis: usize| {
            let values = points.iter().map(|p| p[axis]);
            values.clone().fold(f64::NEG_INFINITY, f64::max) - values.fold(f64::INFINITY, f64::min)
        };
        let area = if points.is_empty() { 0.0 } else { side(0) * side(1) };
        Self { points, score, area }
    }
}

/// Object keypoint similarity: the mean over annotated keypoints of `exp(-d^2 / (2 area (2 sigma)^2))`, in `[0, 1]`.
///
/// Without any annotated keypoint, distances count from the box doubled about its centre, as in COCO's evaluation. A predicted
/// coordinate that is not finite is similar to nothing.
///
/// ```
/// use star_eval::oks::{Truth, oks};
/// let truth = Truth {
///     points: vec![[10.0, 10.0], [50.0, 10.0]], annotated: vec![true, false], area: 100.0, bbox: [0.0, 0.0, 60.0, 20.0], crowd: false,
/// };
/// // d^2 = 4 over 2 * 100 * (2 * 0.05)^2 = 2: exp(-2)
/// let value = oks(&[[12.0, 10.0], [0.0, 0.0]], &truth, &[0.05, 0.05])?;
/// assert!((value - (-2.0f64).exp()).abs() < 1e-12);
/// # Ok::<(), star_eval::Error>(())
/// ```
///
/// # Errors
/// [`Error::Length`] for lists of different lengths, [`Error::Range`] for a sigma that is not positive or an area that is negative or
/// not finite, [`Error::Empty`] without keypoints.
pub fn oks(predicted: &[[f64; 2]], truth: &Truth, sigmas: &[f64]) -> Result<f64> {
    check(predicted.len(), truth, sigmas)?;
    let [x, y, w, h] = truth.bbox;
    let annotated = truth.annotated.iter().filter(|a| **a).count();
    let mut sum = 0.0;
    for (k, (p, t)) in predicted.iter().zip(&truth.points).enumerate() {
        let [dx, dy] = if annotated > 0 {
            if !truth.annotated[k] {
                continue;
            }
            [p[0] - t[0], p[1] - t[1]]
        } else {
            let beyond = |p: f64, start: f64, side: f64| {
                (start - side - p).max(0.0) + (p - start - 2.0 * side).max(0.0)
            };
            [beyond(p[0], x, w), beyond(p[1], y, h)]
        };
        let variance = (2.0 * sigmas[k]).powi(2);
        let exponent = (dx * dx + dy * dy) / variance / (truth.area + AREA_EPS) / 2.0;
        sum += if p.iter().all(|v| v.is_finite()) { (-exponent).exp() } else { 0.0 };
    }
    Ok(sum / if annotated > 0 { annotated } else { predicted.len() } as f64)
}

fn check(predicted: usize, truth: &Truth, sigmas: &[f64]) -> Result<()> {
    let expected = sigmas.len();
    if expected == 0 {
        return Err(Error::Empty { what: "list of sigmas", hint: "give one per keypoint" });
    }
    for (what, got) in [
        ("predicted keypoints", predicted),
        ("keypoints of the truth", truth.points.len()),
        ("annotated flags", truth.annotated.len()),
    ] {
        if got != expected {
            return Err(Error::Length { what, expected, got });
        }
    }
    if let Some(&value) = sigmas.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
        return Err(Error::Range { what: "sigma", expected: "a positive share of the object's size", value });
    }
    if !(truth.area.is_finite() && truth.area >= 0.0) {
        return Err(Error::Range {
            what: "area",
            expected: "a finite number of at least 0",
            value: truth.area,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(annotated: Vec<bool>) -> Truth {
        let points = vec![[5.0, 5.0]; annotated.len()];
        Truth { points, annotated, area: 100.0, bbox: [0.0, 0.0, 10.0, 10.0], crowd: false }
    }

    #[test]
    fn a_perfect_prediction_is_one_and_nan_is_nothing() {
        assert_eq!(oks(&[[5.0, 5.0]; 2], &truth(vec![true; 2]), &[0.1; 2]).unwrap(), 1.0);
        let half = oks(&[[5.0, 5.0], [f64::NAN, 5.0]], &truth(vec![true; 2]), &[0.1; 2]).unwrap();
        assert_eq!(half, 0.5);
    }

    #[test]
    fn without_annotation_the_doubled_box_is_close_enough() {
        // The box from 0 to 10 reaches from -10 to 20 when doubled about its centre on each side.
        assert_eq!(oks(&[[20.0, -10.0]], &truth(vec![false]), &[0.1]).unwrap(), 1.0);
        assert!(oks(&[[21.0, -10.0]], &truth(vec![false]), &[0.1]).unwrap() < 1.0);
    }

    #[test]
    fn lists_and_numbers_that_do_not_fit_are_refused() {
        assert!(matches!(oks(&[[0.0; 2]], &truth(vec![true; 2]), &[0.1; 2]), Err(Error::Length { .. })));
        assert!(matches!(oks(&[[0.0; 2]], &truth(vec![true]), &[0.0]), Err(Error::Range { .. })));
        assert!(matches!(oks(&[], &truth(vec![]), &[]), Err(Error::Empty { .. })));
        let negative = Truth { area: -1.0, ..truth(vec![true]) };
        assert!(matches!(oks(&[[0.0; 2]], &negative, &[0.1]), Err(Error::Range { .. })));
    }
}
