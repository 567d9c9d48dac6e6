//! Whether predicted covariances match the errors that are made.
//!
//! If a keypoint's error is drawn from the predicted Gaussian, its squared Mahalanobis distance `e^T S^-1 e` follows the chi-squared
//! distribution with two degrees of freedom: mean 2, median `2 ln 2`, and `1 - exp(-d2 / 2)` is uniform. Everything here compares
//! with that. A spread that is too small makes distances too large, and those who fuse landmarks trust them too much.

mod confidence;
mod reliability;
mod summary;

pub use confidence::{Confidence, ConfidenceSummary};
pub use summary::CalibrationSummary;

use crate::{Covariance, Error, Result};

/// Median of the squared distance of a calibrated prediction, `2 ln 2`.
const MEDIAN: f64 = 2.0 * std::f64::consts::LN_2;
/// Bins of equal count of the comparison of predicted and observed spread.
const BINS: usize = 10;

/// Collects predicted covariances with the errors that were made.
#[derive(Clone, Debug)]
pub struct Calibration {
    keypoints: usize,
    pairs: Vec<Pair>,
    unusable: usize,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    keypoint: usize,
    /// Residual along the short and the long axis, in standard deviations.
    z: [f64; 2],
    /// Root mean of the two variances, as a fraction of the normalizer.
    spread: f64,
    /// Squared error, as a fraction of the normalizer squared.
    error2: f64,
    /// Half the logarithm of the determinant, lengths as fractions of the normalizer.
    log_volume: f64,
}

impl Pair {
    fn d2(&self) -> f64 {
        self.z[0] * self.z[0] + self.z[1] * self.z[1]
    }
}

impl Calibration {
    /// Starts with no image.
    ///
    /// # Errors
    /// [`Error::Empty`] for 0 keypoints.
    pub fn new(keypoints: usize) -> Result<Self> {
        if keypoints == 0 {
            return Err(Error::Empty { what: "set of keypoints", hint: "a scheme has at least one" });
        }
        Ok(Self { keypoints, pairs: Vec::new(), unusable: 0 })
    }

    /// Adds an image: prediction, truth and covariances in one unit, and the normalizer's `length` in it. Keypoints of weight 0 are not
    /// read; those whose prediction or covariance cannot be used are counted.
    ///
    /// # Errors
    /// [`Error::Length`] for lists of another number of keypoints, [`Error::Degenerate`] for a length that is not positive and
    /// finite.
    pub fn add(
        &mut self,
        predicted: &[[f32; 2]],
        truth: &[[f32; 2]],
        weights: Option<&[f32]>,
        covariances: &[Covariance],
        length: f64,
    ) -> Result<()> {
        for (what, got) in [
            ("predicted keypoints", predicted.len()),
            ("keypoints of the truth", truth.len()),
            ("covariances", covariances.len()),
            ("weights", weights.map_or(self.keypoints, <[f32]>::len)),
        ] {
            if got != self.keypoints {
                return Err(Error::Length { what, expected: self.keypoints, got });
            }
        }
        if !(length > 0.0 && length.is_finite()) {
            return Err(Error::Degenerate { normalizer: "given".into(), length });
        }
        for keypoint in 0..self.keypoints {
            if weights.is_some_and(|w| w[keypoint] == 0.0) {
                continue;
            }
            let residual =
                [0, 1].map(|axis| f64::from(predicted[keypoint][axis]) - f64::from(truth[keypoint][axis]));
            let covariance = covariances[keypoint];
            let z = covariance.standardise(residual);
            if !covariance.is_proper() || !z.iter().all(|v| v.is_finite()) {
                self.unusable += 1;
                continue;
            }
            let [small, large] = covariance.eigenvalues().map(|v| v / (length * length));
            self.pairs.push(Pair {
                keypoint,
                z,
                spread: ((small + large) / 2.0).sqrt(),
                error2: residual.iter().map(|r| r * r).sum::<f64>() / (length * length),
                log_volume: 0.5 * (small.ln() + large.ln()),
            });
        }
        Ok(())
    }

    /// The figures of the images added so far.
    ///
    /// # Errors
    /// [`Error::Empty`] where no keypoint could be compared.
    pub fn summary(&self) -> Result<CalibrationSummary> {
        if self.pairs.is_empty() {
            return Err(Error::Empty {
                what: "set of comparable keypoints",
                hint: "predictions need ellipses with an extent",
            });
        }
        let count = self.pairs.len() as f64;
        let mut d2: Vec<f64> = self.pairs.iter().map(Pair::d2).collect();
        d2.sort_unstable_by(f64::total_cmp);
        let mean = d2.iter().sum::<f64>() / count;
        let median = (d2[(d2.len() - 1) / 2] + d2[d2.len() / 2]) / 2.0;
        let shares: Vec<f64> = d2.iter().map(|d| -(-d / 2.0).exp_m1()).collect();
        let log_volume = self.pairs.iter().map(|p| p.log_volume).sum::<f64>() / count;
        let constant = std::f64::consts::TAU.ln() + log_volume;
        let scale = (mean / 2.0).sqrt();
        Ok(CalibrationSummary {
            pairs: self.pairs.len(),
            unusable: self.unusable,
            mean_squared_distance: mean,
            median_squared_distance: median,
            scale,
            robust_scale: (median / MEDIAN).sqrt(),
            axis_variances: [0, 1].map(|a| self.pairs.iter().map(|p| p.z[a] * p.z[a]).sum::<f64>() / count),
            nll: constant + mean / 2.0,
            // Scaling by s divides the distance by s^2, which leaves 2 of it, and adds ln s^2 to the volume.
            nll_scaled: constant + 2.0 * scale.max(f64::MIN_POSITIVE).ln() + 1.0,
            miscalibration_area: reliability::area(&shares),
            largest_gap: reliability::gap(&shares),
            curve: reliability::curve(&shares),
            spread_bins: self.spread_bins(),
            keypoint_scales: self.keypoint_scales(),
        })
    }

    fn spread_bins(&self) -> Vec<[f64; 2]> {
        let mut pairs: Vec<&Pair> = self.pairs.iter().collect();
        pairs.sort_by(|a, b| a.spread.total_cmp(&b.spread));
        let size = pairs.len().div_ceil(BINS);
        let root_mean = |bin: &[&Pair], of: fn(&Pair) -> f64| {
            (bin.iter().map(|p| of(p)).sum::<f64>() / bin.len() as f64).sqrt()
        };
        pairs
            .chunks(size)
            .map(|bin| [root_mean(bin, |p| p.spread * p.spread), root_mean(bin, |p| p.error2 / 2.0)])
            .collect()
    }

    fn keypoint_scales(&self) -> Vec<Option<f64>> {
        let mut sums = vec![[0.0; 2]; self.keypoints];
        for pair in &self.pairs {
            sums[pair.keypoint][0] += pair.d2();
            sums[pair.keypoint][1] += 1.0;
        }
        sums.into_iter().map(|[sum, count]| (count > 0.0).then(|| (sum / count / 2.0).sqrt())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f64 = 1e-9;

    /// Residuals on rings whose squared distances are the quantiles of the chi-squared distribution.
    fn rings(count: usize, predicted: f64) -> CalibrationSummary {
        let mut set = Calibration::new(1).unwrap();
        for i in 0..count {
            let share = (i as f64 + 0.5) / count as f64;
            let radius = 3.0 * (-2.0 * (1.0 - share).ln()).sqrt();
            let angle = i as f64 * 2.399_963_229_728_653;
            let point = [(100.0 + radius * angle.cos()) as f32, (100.0 + radius * angle.sin()) as f32];
            let covariance = Covariance::from_axes(predicted, predicted, 0.0);
            set.add(&[point], &[[100.0, 100.0]], None, &[covariance], 60.0).unwrap();
        }
        set.summary().unwrap()
    }

    #[test]
    fn errors_drawn_from_the_prediction_are_on_the_diagonal() {
        let fit = rings(4000, 3.0);
        assert!((fit.mean_squared_distance - 2.0).abs() < 0.01, "{fit:?}");
        assert!((fit.scale - 1.0).abs() < 0.01 && (fit.robust_scale - 1.0).abs() < 0.01);
        assert!(fit.miscalibration_area < 0.001 && fit.largest_gap < 0.001);
        assert!(fit.curve.iter().all(|[expected, observed]| (expected - observed).abs() < 0.002));
        assert!(fit.axis_variances.iter().all(|v| (v - 1.0).abs() < 0.05));
    }

    #[test]
    fn a_prediction_twice_too_sure_must_be_doubled() {
        let sure = rings(4000, 1.5);
        assert!((sure.scale - 2.0).abs() < 0.02 && (sure.robust_scale - 2.0).abs() < 0.02, "{sure:?}");
        assert!((sure.mean_squared_distance - 8.0).abs() < 0.05);
        // Observed shares lie below the expected ones.
        assert!(sure.curve.iter().all(|[expected, observed]| observed < expected));
        let fit = rings(4000, 3.0);
        assert!(sure.nll > fit.nll && (sure.nll_scaled - fit.nll_scaled).abs() < 0.01);
        // 1.5 px predicted, 3 px made, over 60 px.
        let [predicted, observed] = sure.spread_bins[0];
        assert!((predicted - 0.025).abs() < TOLERANCE && observed > 0.0);
    }

    #[test]
    fn what_cannot_be_compared_is_counted_and_weight_zero_is_not_read() {
        let mut set = Calibration::new(3).unwrap();
        let isotropic = Covariance::from_axes(1.0, 1.0, 0.0);
        let flat = Covariance::from_axes(1.0, 0.0, 0.0);
        let points = [[1.0, 0.0], [f32::NAN, 0.0], [0.0, 0.0]];
        set.add(&points, &[[0.0; 2]; 3], None, &[isotropic, isotropic, flat], 1.0).unwrap();
        set.add(&points, &[[0.0; 2]; 3], Some(&[1.0, 0.0, 0.0]), &[isotropic, isotropic, flat], 1.0).unwrap();
        let summary = set.summary().unwrap();
        assert_eq!((summary.pairs, summary.unusable), (2, 2));
        assert_eq!(summary.keypoint_scales[1], None);
        assert!(matches!(Calibration::new(1).unwrap().summary(), Err(Error::Empty { .. })));
        assert!(matches!(
            set.add(&points, &[[0.0; 2]; 3], None, &[isotropic], 1.0),
            Err(Error::Length { .. })
        ));
        assert!(matches!(
            set.add(&points, &[[0.0; 2]; 3], None, &[isotropic; 3], 0.0),
            Err(Error::Degenerate { .. })
        ));
    }
}
