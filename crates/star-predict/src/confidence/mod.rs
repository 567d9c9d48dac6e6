//! How sure a landmark is: the probability that its error is small, from the covariances of a face by a fitted logistic model.
//!
//! What a covariance says is the loss's doing, so the model is fitted on annotated images that were not trained on (`star calibrate`) and
//! lies beside the weights, in `confidence.json`.

mod fit;
mod logistic;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use star_data::atomic;

pub use fit::Examples;
pub use logistic::Logistic;

/// Name of the file in a folder of weights.
pub const CONFIDENCE_FILE: &str = "confidence.json";

/// Features of a landmark, in this order.
pub const FEATURES: [&str; 4] = ["major", "minor", "face", "turn"];

/// The error that counts as small, as a share of the normalizer's length, unless another is asked for.
pub const THRESHOLD: f64 = 0.05;

/// Least length that errors are compared with, as a share of the face's longer side: from the side the eyes lie on one another.
const LEAST_LENGTH: f64 = 0.25;

/// What turns the covariances of a face into a probability for each landmark.
///
/// With `t` the length that an error is compared with ([`threshold`](Self::threshold) times the normalizer), the features of a landmark
/// are the logarithms of its two standard deviations over `t`, of the face's mean standard deviation over `t`, and of the normalizer over
/// the face's longer side. Peak and mass of its heatmap lowered the Brier score by at most 1.4 % where
/// they were tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfidenceModel {
    /// The error that counts as small, as a share of the normalizer.
    pub threshold: f64,
    /// What the normalizer is called.
    pub normalizer: String,
    /// The two groups of keypoints between whose means the normalizer lies; the diagonal of the box around the landmarks where `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<[Vec<usize>; 2]>,
    /// What it was fitted on.
    pub fitted_on: String,
    /// Share of small errors there: what confidences of a face are like.
    pub share: f64,
    /// The probability of a small error.
    pub accurate: Logistic,
    /// The probability of being hidden, where the data said which landmarks are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occluded: Option<Logistic>,
}

impl ConfidenceModel {
    /// Number of keypoints it is of.
    #[must_use]
    pub fn keypoints(&self) -> usize {
        self.accurate.offsets.len()
    }

    /// The probability that each landmark's error is small; `points` in pixels and `covariances` as `xx, xy, yy` in pixels squared.
    #[must_use]
    pub fn confidence(&self, points: &[[f32; 2]], covariances: &[[f64; 3]]) -> Vec<f32> {
        self.probabilities(&self.accurate, points, covariances)
    }

    /// The probability that each landmark is hidden; `None` where the data did not teach it.
    #[must_use]
    pub fn occlusion(&self, points: &[[f32; 2]], covariances: &[[f64; 3]]) -> Option<Vec<f32>> {
        self.occluded.as_ref().map(|model| self.probabilities(model, points, covariances))
    }

    fn probabilities(&self, model: &Logistic, points: &[[f32; 2]], covariances: &[[f64; 3]]) -> Vec<f32> {
        let features = features(points, covariances, self.ends.as_ref(), self.threshold);
        features.iter().enumerate().map(|(k, x)| model.probability(k, x) as f32).collect()
    }

    /// Mean confidence over the share of small errors that is usual: about 1 for a face like those that it was fitted on, near 0 for
    /// what is none. Of the default model, faces that the detector finds have at least 0.85, 19 of 20 places without a face below 0.11.
    #[must_use]
    pub fn evidence(&self, confidence: &[f32]) -> f64 {
        confidence.iter().map(|p| f64::from(*p)).sum::<f64>() / confidence.len().max(1) as f64 / self.share
    }

    /// The model of a folder of weights with `keypoints` keypoints; `None` where it has none.
    ///
    /// # Errors
    /// Names the file, and what is wrong in it.
    pub fn load(folder: &Path, keypoints: usize) -> Result<Option<Self>> {
        let path = folder.join(CONFIDENCE_FILE);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
            Ok(bytes) => {
                Self::from_bytes(&bytes, keypoints).with_context(|| path.display().to_string()).map(Some)
            }
        }
    }

    pub(crate) fn from_bytes(bytes: &[u8], keypoints: usize) -> Result<Self> {
        let model: Self = serde_json::from_slice(bytes)?;
        ensure!(
            model.threshold > 0.0 && model.threshold.is_finite(),
            "threshold: expected a positive number, got {}",
            model.threshold
        );
        ensure!(
            model.share > 0.0 && model.share <= 1.0,
            "share: expected a number above 0 and up to 1, got {}",
            model.share
        );
        model.accurate.validate("accurate", keypoints)?;
        model.occluded.as_ref().map_or(Ok(()), |occluded| occluded.validate("occluded", keypoints))?;
        let outside = model.ends.iter().flatten().flatten().find(|k| **k >= keypoints);
        ensure!(outside.is_none(), "ends: expected keypoints below {keypoints}, got {outside:?}");
        Ok(model)
    }

    /// Writes the model into a folder of weights.
    ///
    /// # Errors
    /// Names the file.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        Ok(atomic::write(&folder.join(CONFIDENCE_FILE), text.as_bytes())?)
    }
}

/// The features of every landmark of a face.
pub(crate) fn features(
    points: &[[f32; 2]],
    covariances: &[[f64; 3]],
    ends: Option<&[Vec<usize>; 2]>,
    threshold: f64,
) -> Vec<[f64; FEATURES.len()]> {
    let [width, height] = [0, 1].map(|axis| {
        let values = points.iter().map(|p| f64::from(p[axis]));
        let low = values.clone().fold(f64::INFINITY, f64::min);
        (values.fold(f64::NEG_INFINITY, f64::max) - low).max(0.0)
    });
    let side = width.max(height).max(f64::MIN_POSITIVE);
    let length = match ends {
        Some([a, b]) => {
            let ([x0, y0], [x1, y1]) = (middle(points, a), middle(points, b));
            (x1 - x0).hypot(y1 - y0)
        }
        None => width.hypot(height),
    }
    .max(LEAST_LENGTH * side);
    let near = threshold * length;
    let deviations: Vec<[f64; 2]> = covariances.iter().map(deviations).collect();
    let mean =
        deviations.iter().map(|[major, minor]| major * minor).sum::<f64>() / points.len().max(1) as f64;
    let (face, turn) = (log(mean.sqrt() / near), log(length / side));
    deviations.iter().map(|[major, minor]| [log(major / near), log(minor / near), face, turn]).collect()
}

/// Standard deviations along the long and the short axis.
fn deviations(&[xx, xy, yy]: &[f64; 3]) -> [f64; 2] {
    let (mean, half) = ((xx + yy) / 2.0, ((xx - yy) / 2.0).hypot(xy));
    [mean + half, mean - half].map(|variance| variance.max(0.0).sqrt())
}

/// The logarithm within bounds: a map of one pixel has no spread, and features stay finite.
fn log(ratio: f64) -> f64 {
    let bounded = ratio.ln().clamp(-7.0, 7.0);
    if bounded.is_nan() { 7.0 } else { bounded }
}

fn middle(points: &[[f32; 2]], group: &[usize]) -> [f64; 2] {
    let at = |k: &usize| points.get(*k).copied().unwrap_or([f32::NAN; 2]).map(f64::from);
    let sum = group.iter().map(at).fold([0.0; 2], |[x, y], [u, v]| [x + u, y + v]);
    sum.map(|v| v / group.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_those_of_the_face_whatever_its_size() {
        // Eyes 60 apart in a box of 100: t = 0.05 * 60 = 3; deviations 6 and 3 are twice and once that.
        let points = [[20.0, 0.0], [80.0, 0.0], [0.0, 50.0], [100.0, 100.0]];
        let covariances = [[36.0, 0.0, 9.0]; 4];
        let ends = [vec![0], vec![1]];
        let [major, minor, face, turn] = features(&points, &covariances, Some(&ends), 0.05)[0];
        assert!((major - 2f64.ln()).abs() < 1e-9 && minor.abs() < 1e-9);
        assert!((face - 2f64.ln() / 2.0).abs() < 1e-9 && (turn - 0.6f64.ln()).abs() < 1e-9);
        let larger = features(
            &points.map(|p| p.map(|v| 7.0 * v)),
            &covariances.map(|c| c.map(|v| 49.0 * v)),
            Some(&ends),
            0.05,
        )[0];
        assert!(larger.iter().zip([major, minor, face, turn]).all(|(a, b)| (a - b).abs() < 1e-6));
        // From the side the eyes coincide, and nothing becomes infinite.
        let beside = [[20.0, 0.0], [20.0, 0.0], [0.0, 50.0], [100.0, 100.0]];
        assert!(features(&beside, &[[0.0; 3]; 4], Some(&ends), 0.05).iter().flatten().all(|v| v.is_finite()));
    }

    #[test]
    fn a_file_of_another_network_or_without_sense_is_refused_by_name() {
        let zero = Logistic { bias: 0.0, weights: [0.0; 4], offsets: vec![0.0; 3] };
        let model = ConfidenceModel {
            threshold: THRESHOLD,
            normalizer: "inter-ocular".into(),
            ends: Some([vec![0], vec![2]]),
            fitted_on: "nothing".into(),
            share: 0.8,
            accurate: zero,
            occluded: None,
        };
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ConfidenceModel::load(dir.path(), 3).unwrap(), None);
        model.save(dir.path()).unwrap();
        assert_eq!(ConfidenceModel::load(dir.path(), 3).unwrap(), Some(model.clone()));
        for (bad, keypoints, field) in [
            (model.clone(), 4, "accurate: offsets: expected 4"),
            (ConfidenceModel { threshold: -1.0, ..model.clone() }, 3, "threshold"),
            (ConfidenceModel { ends: Some([vec![0], vec![3]]), ..model }, 3, "ends"),
        ] {
            bad.save(dir.path()).unwrap();
            let message = format!("{:#}", ConfidenceModel::load(dir.path(), keypoints).unwrap_err());
            assert!(message.contains(CONFIDENCE_FILE) && message.contains(field), "{message}");
        }
    }
}
