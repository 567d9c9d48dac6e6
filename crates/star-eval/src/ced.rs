//! The cumulative error distribution of a data set, and the figures read off it.

use crate::{Error, Result};

/// Step of the grid on which the public reference implementation integrates the curve.
const REFERENCE_STEP: f64 = 1e-4;

/// Errors of the images of one set, one fraction per image, as a cumulative distribution.
///
/// Infinity stands for an image without a prediction: it counts as a failure at every threshold, adds nothing to the area, and is
/// counted by [`Ced::missing`]. Images are never dropped. The order of images does not matter.
///
/// ```
/// let ced = star_eval::Ced::new(vec![0.02, 0.06, 0.20, f64::INFINITY])?;
/// assert_eq!(ced.failure_rate(0.10), 0.5);
/// // (1 - 0.2) / 4 + (1 - 0.6) / 4 = 0.3
/// assert!((ced.auc(0.10) - 0.3).abs() < 1e-12);
/// # Ok::<(), star_eval::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Ced {
    /// Ascending; infinities last.
    errors: Vec<f64>,
}

impl Ced {
    /// Takes one error per image, each a fraction of a normalizer; infinity for an image without a prediction.
    ///
    /// # Errors
    /// [`Error::Empty`] without images; [`Error::ImageError`] for NaN, which would hide what went wrong, and for negative values.
    pub fn new(mut errors: Vec<f64>) -> Result<Self> {
        if errors.is_empty() {
            return Err(Error::Empty { what: "list of image errors", hint: "evaluate at least one image" });
        }
        // `!(e >= 0)` is also true of NaN.
        #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must be found too")]
        if let Some(index) = errors.iter().position(|e| !(*e >= 0.0)) {
            return Err(Error::ImageError { index, value: errors[index] });
        }
        // Numbers of at least 0 lie in the order of their bits, which sorts twice as fast; adding 0 makes -0 a 0.
        errors.iter_mut().for_each(|e| *e += 0.0);
        errors.sort_unstable_by_key(|e| e.to_bits());
        Ok(Self { errors })
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.errors.len()
    }

    /// Number of images without a prediction (error infinity).
    pub fn missing(&self) -> usize {
        self.errors.len() - self.errors.partition_point(|e| e.is_finite())
    }

    /// Errors in ascending order, infinities last.
    pub fn errors(&self) -> &[f64] {
        &self.errors
    }

    /// Share of images whose error is at most `t`.
    pub fn share_within(&self, t: f64) -> f64 {
        if t == f64::INFINITY {
            // A missing prediction is not within any distance.
            return 1.0 - self.missing() as f64 / self.images() as f64;
        }
        self.errors.partition_point(|e| *e <= t) as f64 / self.images() as f64
    }

    /// Share of images whose error is above `t`, in `[0, 1]`: FR@t.
    pub fn failure_rate(&self, t: f64) -> f64 {
        let within = if t == f64::INFINITY {
            self.images() - self.missing()
        } else {
            self.errors.partition_point(|e| *e <= t)
        };
        (self.images() - within) as f64 / self.images() as f64
    }

    /// Area under the curve on `[0, t]`, divided by `t`, in `[0, 1]`: AUC@t.
    ///
    /// Exact: the curve is a step function, and its area is `mean(max(0, 1 - error / t))`. 0 where `t` is not above 0.
    pub fn auc(&self, t: f64) -> f64 {
        if t.is_nan() || t <= 0.0 {
            return 0.0;
        }
        if t == f64::INFINITY {
            return self.share_within(t);
        }
        self.errors.iter().map(|e| (1.0 - e / t).max(0.0)).sum::<f64>() / self.images() as f64
    }

    /// AUC@t as the public reference implementation integrates it: Simpson's rule on the grid `0, 1e-4, ...` that ends at or just
    /// beyond `t` (for `t = 0.05` it ends at 0.0501), divided by `t`. For comparing with published figures; may exceed 1 by the
    /// overshoot. 0 where `t` is not above 0 or not finite.
    pub fn auc_simpson(&self, t: f64) -> f64 {
        if !t.is_finite() || t <= 0.0 {
            return 0.0;
        }
        // numpy.arange(0, t + step, step) holds this many points.
        let points = ((t + REFERENCE_STEP) / REFERENCE_STEP).ceil() as usize;
        let shares: Vec<f64> = (0..points).map(|i| self.share_within(i as f64 * REFERENCE_STEP)).collect();
        simpson(&shares, REFERENCE_STEP) / t
    }

    /// Mean error; infinity where a prediction is missing. See [`Ced::mean_of_found`].
    pub fn mean(&self) -> f64 {
        self.errors.iter().sum::<f64>() / self.images() as f64
    }

    /// Mean error over the images that have a prediction; `None` where none has. Print it only beside [`Ced::missing`].
    pub fn mean_of_found(&self) -> Option<f64> {
        let found = self.images() - self.missing();
        (found > 0).then(|| self.errors[..found].iter().sum::<f64>() / found as f64)
    }

    /// Median error, the mean of the middle two for an even number of images.
    pub fn median(&self) -> f64 {
        self.interpolate(0.5)
    }

    /// The error that the share `q` of images does not exceed, with linear interpolation between images (NumPy's default rule):
    /// `q = 0` is the smallest error, `q = 1` the largest.
    ///
    /// # Errors
    /// [`Error::Range`] where `q` is outside `[0, 1]`.
    pub fn quantile(&self, q: f64) -> Result<f64> {
        if (0.0..=1.0).contains(&q) {
            Ok(self.interpolate(q))
        } else {
            Err(Error::Range { what: "quantile", expected: "0 to 1", value: q })
        }
    }

    /// Normalised mean percentile error: the error that `percent` of the images do not exceed, as papers print it at 90, 95 and 99.
    /// [`Ced::quantile`] by another name.
    ///
    /// # Errors
    /// [`Error::Range`] where `percent` is outside `[0, 100]`.
    pub fn nmpe(&self, percent: f64) -> Result<f64> {
        self.quantile(percent / 100.0)
    }

    /// Corners of the curve on `[0, max]` for plotting, `(error, share of images within it)`: from `(0, share at 0)` to
    /// `(max, share at max)`, two corners per step.
    pub fn curve(&self, max: f64) -> Vec<(f64, f64)> {
        let count = self.images() as f64;
        let mut corners = vec![(0.0, self.share_within(0.0))];
        let mut done = self.errors.partition_point(|e| *e <= 0.0);
        for run in self.errors[done..].chunk_by(|a, b| a == b) {
            let error = run[0];
            if error > max {
                break;
            }
            corners.push((error, done as f64 / count));
            done += run.len();
            corners.push((error, done as f64 / count));
        }
        corners.push((max, done as f64 / count));
        corners
    }

    fn interpolate(&self, q: f64) -> f64 {
        let position = q * (self.images() - 1) as f64;
        let (low, high) = (self.errors[position.floor() as usize], self.errors[position.ceil() as usize]);
        let fraction = position.fract();
        // Infinity times a fraction of 0 would be NaN.
        if fraction == 0.0 || low == high { low } else { low + fraction * (high - low) }
    }
}

/// Simpson's rule on evenly spaced values; for an even number of them the last interval gets the three-point correction
/// (Cartwright) that SciPy uses.
fn simpson(values: &[f64], step: f64) -> f64 {
    let n = values.len();
    if n < 3 {
        return values.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0 * step).sum();
    }
    let odd = if n % 2 == 1 { n } else { n - 1 };
    let whole: f64 =
        values[..odd].windows(3).step_by(2).map(|w| (w[0] + 4.0 * w[1] + w[2]) * step / 3.0).sum();
    if odd == n {
        return whole;
    }
    whole + step * (5.0 * values[n - 1] + 8.0 * values[n - 2] - values[n - 3]) / 12.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f64 = 1e-12;

    fn ced(errors: &[f64]) -> Ced {
        Ced::new(errors.to_vec()).unwrap()
    }

    #[test]
    fn an_error_equal_to_the_threshold_is_no_failure() {
        assert_eq!(ced(&[0.1, 0.1000001]).failure_rate(0.1), 0.5);
    }

    #[test]
    fn auc_is_the_exact_area_of_the_steps() {
        // Steps of 1/2 at 0.02 and 0.06; area on [0, 0.1] is (0.08 + 0.04) / 2 = 0.06, over 0.1.
        assert!((ced(&[0.06, 0.02]).auc(0.1) - 0.6).abs() < TOLERANCE);
        assert_eq!(ced(&[0.0]).auc(0.1), 1.0);
        assert_eq!(ced(&[0.1]).auc(0.1), 0.0);
        assert_eq!(ced(&[0.1]).auc(0.0), 0.0);
        assert_eq!(ced(&[0.1]).auc(f64::NAN), 0.0);
    }

    #[test]
    fn simpson_is_exact_for_parabolas_with_odd_and_even_counts() {
        for n in [2usize, 3, 4, 7, 8] {
            // With two points only lines are exact, so the curvature is left out there.
            let a = if n == 2 { 0.0 } else { 3.0 };
            let end = (n - 1) as f64;
            let values: Vec<f64> = (0..n).map(|i| a * (i * i) as f64 + 2.0 * i as f64 + 1.0).collect();
            let exact = a * end.powi(3) / 3.0 + end * end + end;
            assert!((simpson(&values, 1.0) - exact).abs() < 1e-9, "{n} points");
        }
    }

    #[test]
    fn the_reference_grid_overshoots_at_five_per_cent() {
        // All images perfect: the curve is 1 on [0, 0.0501], so the area over 0.05 is 1.002.
        assert!((ced(&[0.0]).auc_simpson(0.05) - 1.002).abs() < 1e-9);
    }

    #[test]
    fn a_missing_prediction_is_a_failure_at_every_threshold() {
        let set = ced(&[f64::INFINITY, 0.01]);
        assert_eq!(set.missing(), 1);
        assert_eq!(set.images(), 2);
        for t in [0.0, 0.1, 1e9, f64::INFINITY] {
            assert!(set.failure_rate(t) >= 0.5, "t = {t}");
        }
        assert_eq!(set.auc(f64::INFINITY), 0.5);
        assert_eq!(set.mean(), f64::INFINITY);
        assert_eq!(set.mean_of_found(), Some(0.01));
        assert_eq!(ced(&[f64::INFINITY]).mean_of_found(), None);
    }

    #[test]
    fn nan_negative_and_nothing_are_refused() {
        assert!(matches!(Ced::new(vec![]), Err(Error::Empty { .. })));
        assert!(matches!(Ced::new(vec![0.1, f64::NAN]), Err(Error::ImageError { index: 1, .. })));
        assert_eq!(
            Ced::new(vec![-0.5]).unwrap_err().to_string(),
            "error of image 0 is -0.5: expected at least 0 (infinity stands for \"no prediction\")"
        );
    }

    #[test]
    fn quantiles_interpolate_between_images() {
        // Positions 0..3; q = 0.5 lies half-way between 2 and 3.
        let set = ced(&[4.0, 1.0, 3.0, 2.0]);
        assert!((set.median() - 2.5).abs() < TOLERANCE);
        assert!((set.quantile(0.9).unwrap() - 3.7).abs() < TOLERANCE);
        assert_eq!(set.nmpe(90.0).unwrap(), set.quantile(0.9).unwrap());
        assert_eq!(set.quantile(0.0).unwrap(), 1.0);
        assert_eq!(set.quantile(1.0).unwrap(), 4.0);
        assert!(matches!(set.quantile(1.1), Err(Error::Range { .. })));
        assert!(matches!(set.quantile(f64::NAN), Err(Error::Range { .. })));
        assert_eq!(ced(&[1.0, f64::INFINITY, f64::INFINITY]).median(), f64::INFINITY);
        assert_eq!(ced(&[1.0, f64::INFINITY]).quantile(0.0).unwrap(), 1.0);
    }

    #[test]
    fn negative_zero_is_zero() {
        let set = ced(&[0.5, -0.0, 0.1]);
        assert_eq!(set.errors(), [0.0, 0.1, 0.5]);
        assert_eq!(set.share_within(0.0), 1.0 / 3.0);
    }

    #[test]
    fn curve_has_two_corners_a_step_and_both_ends() {
        let corners = ced(&[0.02, 0.02, 0.05, 0.3]).curve(0.1);
        assert_eq!(corners, [(0.0, 0.0), (0.02, 0.0), (0.02, 0.5), (0.05, 0.5), (0.05, 0.75), (0.1, 0.75)]);
        assert_eq!(ced(&[0.0]).curve(0.1), [(0.0, 1.0), (0.1, 1.0)]);
    }
}
