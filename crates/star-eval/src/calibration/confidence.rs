//! Whether predicted probabilities of a small error are the shares that are observed.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Bins of equal count of the reliability curve.
const BINS: usize = 10;

/// Collects predicted confidences with what became of them.
#[derive(Clone, Debug, Default)]
pub struct Confidence {
    pairs: Vec<(f64, bool)>,
}

/// How well confidences match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConfidenceSummary {
    /// The error that counts as small, as a fraction of the normalizer.
    pub threshold_fraction: f64,
    /// Keypoints compared, over all images.
    pub pairs: usize,
    /// Share of small errors.
    pub observed: f64,
    /// Mean confidence.
    pub mean: f64,
    /// Mean squared difference of confidence and outcome: Brier's score, lower is better.
    pub brier: f64,
    /// The same of a prediction that always says the observed share: what confidence must beat.
    pub brier_of_share: f64,
    /// Expected calibration error: mean distance of confidence and observed share over bins of equal count.
    pub calibration_error: f64,
    /// Bins of equal count by confidence: mean confidence and observed share.
    pub curve: Vec<[f64; 2]>,
}

impl Confidence {
    /// Adds a keypoint: its confidence in `[0, 1]` and whether its error was small.
    ///
    /// # Errors
    /// [`Error::Range`] for a confidence outside `[0, 1]`.
    pub fn add(&mut self, confidence: f64, small: bool) -> Result<()> {
        if !(0.0..=1.0).contains(&confidence) {
            return Err(Error::Range {
                what: "confidence",
                expected: "a number from 0 to 1",
                value: confidence,
            });
        }
        self.pairs.push((confidence, small));
        Ok(())
    }

    /// Adds an image: its keypoints' errors as fractions of the normalizer (`None` for one that is not annotated) against `threshold`.
    ///
    /// # Errors
    /// [`Error::Length`] for lists of different lengths, and as [`Confidence::add`].
    pub fn add_errors(&mut self, confidences: &[f32], errors: &[Option<f64>], threshold: f64) -> Result<()> {
        if confidences.len() != errors.len() {
            let (expected, got) = (errors.len(), confidences.len());
            return Err(Error::Length { what: "confidences", expected, got });
        }
        for (confidence, error) in confidences.iter().zip(errors) {
            if let Some(error) = error {
                self.add(f64::from(*confidence), *error <= threshold)?;
            }
        }
        Ok(())
    }

    /// The figures of the keypoints added so far, whose errors were compared with `threshold`.
    ///
    /// # Errors
    /// [`Error::Empty`] where there is none.
    pub fn summary(&self, threshold: f64) -> Result<ConfidenceSummary> {
        if self.pairs.is_empty() {
            return Err(Error::Empty {
                what: "set of confidences",
                hint: "weights have them after `star calibrate`",
            });
        }
        let mut pairs = self.pairs.clone();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let count = pairs.len() as f64;
        let mean = |pairs: &[(f64, bool)], of: fn(&(f64, bool)) -> f64| {
            pairs.iter().map(of).sum::<f64>() / pairs.len() as f64
        };
        let (confidence, outcome) =
            (|pair: &(f64, bool)| pair.0, |pair: &(f64, bool)| f64::from(u8::from(pair.1)));
        let observed = mean(&pairs, outcome);
        let mut curve = Vec::new();
        let mut calibration_error = 0.0;
        for bin in pairs.chunks(pairs.len().div_ceil(BINS)) {
            let point = [mean(bin, confidence), mean(bin, outcome)];
            calibration_error += bin.len() as f64 / count * (point[0] - point[1]).abs();
            curve.push(point);
        }
        Ok(ConfidenceSummary {
            threshold_fraction: threshold,
            pairs: pairs.len(),
            observed,
            mean: mean(&pairs, confidence),
            brier: mean(&pairs, |(p, small)| (p - f64::from(u8::from(*small))).powi(2)),
            brier_of_share: observed * (1.0 - observed),
            calibration_error,
            curve,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidences_that_are_observed_shares_have_no_calibration_error() {
        let mut set = Confidence::default();
        // 100 at 0.9 of which 90 hit, 100 at 0.5 of which 50 do.
        for i in 0..100 {
            set.add(0.9, i < 90).unwrap();
            set.add(0.5, i < 50).unwrap();
        }
        let found = set.summary(0.05).unwrap();
        assert!((found.mean - 0.7).abs() < 1e-12 && (found.observed - 0.7).abs() < 1e-12);
        // 0.9 * 0.1^2 + 0.1 * 0.9^2 = 0.09 and 0.25: half of each
        assert!((found.brier - 0.17).abs() < 1e-12 && (found.brier_of_share - 0.21).abs() < 1e-12);
        assert_eq!((found.pairs, found.curve.len()), (200, 10));
        let too_sure = found.curve.iter().map(|[p, share]| p - share).sum::<f64>();
        assert!(too_sure.abs() < 1e-9);
        assert!(matches!(set.add(1.5, true), Err(Error::Range { .. })));
    }

    #[test]
    fn errors_count_against_the_threshold_and_what_is_not_annotated_does_not() {
        let mut set = Confidence::default();
        set.add_errors(&[0.9, 0.2, 0.4], &[Some(0.05), Some(0.06), None], 0.05).unwrap();
        let found = set.summary(0.05).unwrap();
        assert_eq!((found.pairs, found.observed), (2, 0.5));
        assert!(set.add_errors(&[0.9], &[], 0.05).is_err());
        assert!(matches!(Confidence::default().summary(0.05), Err(Error::Empty { .. })));
    }
}
