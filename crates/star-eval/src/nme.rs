//! Normalised mean error of one image.

use crate::{Error, Result};

/// Normalised mean error: the (weighted) mean over keypoints of the Euclidean error, divided by `length`. A fraction, not per cent.
///
/// `predicted` and `truth` hold `(x, y)` per keypoint in one unit, `length` is in the same unit
/// (see [`Normalizer::length`](crate::Normalizer::length)). With weights the mean is `sum w_k e_k / sum w_k`; a keypoint of weight 0 is not
/// read at all, so that absent keypoints may hold anything. Arithmetic is f64 throughout.
///
/// A prediction that is not finite gives **infinity**: the image counts as missing and as a failure at every threshold, in
/// [`Ced`](crate::Ced) and in reports; it is never dropped.
///
/// ```
/// // Errors 3 and 5 pixels, normalizer 80 pixels: (3 + 5) / 2 / 80 = 0.05.
/// let nme = star_eval::nme(&[[3.0, 0.0], [13.0, 4.0]], &[[0.0, 0.0], [10.0, 0.0]], None, 80.0)?;
/// assert!((nme - 0.05).abs() < 1e-12);
/// # Ok::<(), star_eval::Error>(())
/// ```
///
/// # Errors
/// Lists of different lengths or without keypoints, weights that are negative or not finite or all 0, truth that is not finite,
/// a length that is not a positive finite number.
pub fn nme(predicted: &[[f32; 2]], truth: &[[f32; 2]], weights: Option<&[f32]>, length: f64) -> Result<f64> {
    let errors = keypoint_errors(predicted, truth, weights, length)?;
    Ok(weighted_mean(&errors, weights))
}

/// Error of each keypoint as a fraction of `length`, in f64: `K` numbers, 0 where the weight is 0, infinity where the prediction is
/// not finite. [`nme`] is their weighted mean.
///
/// # Errors
/// As [`nme`].
pub fn keypoint_errors(
    predicted: &[[f32; 2]],
    truth: &[[f32; 2]],
    weights: Option<&[f32]>,
    length: f64,
) -> Result<Vec<f64>> {
    let keypoints = truth.len();
    if keypoints == 0 {
        return Err(Error::Empty { what: "truth", hint: "an image needs at least one keypoint" });
    }
    if predicted.len() != keypoints {
        return Err(Error::Length { what: "predicted keypoints", expected: keypoints, got: predicted.len() });
    }
    if !(length > 0.0 && length.is_finite()) {
        return Err(Error::Degenerate { normalizer: "given".into(), length });
    }
    check_weights(weights, keypoints)?;
    let mut errors = Vec::with_capacity(keypoints);
    for (keypoint, (&p, &t)) in predicted.iter().zip(truth).enumerate() {
        errors.push(if weights.is_some_and(|w| w[keypoint] == 0.0) {
            0.0
        } else if !t.iter().all(|v| v.is_finite()) {
            return Err(Error::Truth { keypoint, value: t });
        } else if p.iter().all(|v| v.is_finite()) {
            // Squares of f32 differences fit f64, so that the careful and slow `hypot` gains nothing.
            let [dx, dy] = [0, 1].map(|axis| f64::from(p[axis]) - f64::from(t[axis]));
            (dx * dx + dy * dy).sqrt() / length
        } else {
            f64::INFINITY
        });
    }
    Ok(errors)
}

fn check_weights(weights: Option<&[f32]>, keypoints: usize) -> Result<()> {
    let Some(weights) = weights else { return Ok(()) };
    if weights.len() != keypoints {
        return Err(Error::Length { what: "weights", expected: keypoints, got: weights.len() });
    }
    if let Some(keypoint) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
        return Err(Error::Weight { keypoint, value: weights[keypoint] });
    }
    if weights.iter().all(|w| *w == 0.0) {
        return Err(Error::Empty { what: "set of keypoints with weight", hint: "give one a weight above 0" });
    }
    Ok(())
}

pub(crate) fn weighted_mean(errors: &[f64], weights: Option<&[f32]>) -> f64 {
    let Some(weights) = weights else {
        return errors.iter().sum::<f64>() / errors.len() as f64;
    };
    let (mut sum, mut total) = (0.0, 0.0);
    for (error, &weight) in errors.iter().zip(weights).filter(|(_, w)| **w > 0.0) {
        sum += f64::from(weight) * error;
        total += f64::from(weight);
    }
    sum / total
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f64 = 1e-12;
    const TRUTH: [[f32; 2]; 2] = [[0.0, 0.0], [10.0, 0.0]];

    #[test]
    fn weights_make_a_weighted_mean() {
        // Errors 3 and 5, weights 3 and 1, length 10: (9 + 5) / 4 / 10 = 0.35.
        let value = nme(&[[3.0, 0.0], [13.0, 4.0]], &TRUTH, Some(&[3.0, 1.0]), 10.0).unwrap();
        assert!((value - 0.35).abs() < TOLERANCE);
    }

    #[test]
    fn a_keypoint_of_weight_zero_is_not_read() {
        let truth = [[0.0, 0.0], [f32::NAN, 0.0]];
        let value = nme(&[[3.0, 4.0], [f32::NAN, 1.0]], &truth, Some(&[1.0, 0.0]), 10.0).unwrap();
        assert!((value - 0.5).abs() < TOLERANCE);
    }

    #[test]
    fn a_prediction_that_is_not_finite_is_infinitely_wrong() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let value = nme(&[[0.0, 0.0], [bad, 0.0]], &TRUTH, None, 10.0).unwrap();
            assert_eq!(value, f64::INFINITY);
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_offending_value() {
        let other = nme(&TRUTH[..1], &TRUTH, None, 1.0).unwrap_err();
        assert_eq!(other.to_string(), "predicted keypoints: expected 2 entries, got 1");
        let zero = nme(&TRUTH, &TRUTH, None, 0.0).unwrap_err();
        assert!(zero.to_string().contains("has length 0"), "{zero}");
        for length in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(nme(&TRUTH, &TRUTH, None, length), Err(Error::Degenerate { .. })));
        }
        assert!(matches!(nme(&[], &[], None, 1.0), Err(Error::Empty { .. })));
        let nan_truth = [[0.0, 0.0], [0.0, f32::NAN]];
        assert!(matches!(nme(&TRUTH, &nan_truth, None, 1.0), Err(Error::Truth { keypoint: 1, .. })));
        assert!(matches!(nme(&TRUTH, &TRUTH, Some(&[1.0]), 1.0), Err(Error::Length { got: 1, .. })));
        assert!(matches!(
            nme(&TRUTH, &TRUTH, Some(&[1.0, -1.0]), 1.0),
            Err(Error::Weight { keypoint: 1, .. })
        ));
        assert!(matches!(nme(&TRUTH, &TRUTH, Some(&[0.0, 0.0]), 1.0), Err(Error::Empty { .. })));
    }
}
