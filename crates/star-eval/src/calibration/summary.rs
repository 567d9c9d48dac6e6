//! The figures of a calibration.

use serde::{Deserialize, Serialize};

/// How well predicted covariances match errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CalibrationSummary {
    /// Keypoints compared, over all images.
    pub pairs: usize,
    /// Keypoints left out because prediction or covariance was absent, not finite or without extent.
    pub unusable: usize,
    /// Mean squared Mahalanobis distance; 2 where calibrated.
    pub mean_squared_distance: f64,
    /// Median squared Mahalanobis distance; 1.386 where calibrated.
    pub median_squared_distance: f64,
    /// What predicted standard deviations must be multiplied by so that the mean squared distance is 2 (maximum likelihood).
    pub scale: f64,
    /// The same from the medians, which a few gross errors do not move.
    pub robust_scale: f64,
    /// Mean squared residual along the short and the long axis in standard deviations; 1 and 1 where calibrated.
    pub axis_variances: [f64; 2],
    /// Mean negative log-likelihood of the errors as fractions of the normalizer; lower is better.
    pub nll: f64,
    /// The same after multiplying the standard deviations by [`scale`](Self::scale).
    pub nll_scaled: f64,
    /// Area between the reliability curve and the diagonal, in `[0, 0.5]`; 0 where calibrated.
    pub miscalibration_area: f64,
    /// Largest distance between the two (Kolmogorov and Smirnov's statistic), in `[0, 1]`.
    pub largest_gap: f64,
    /// Reliability curve: the share that should lie within an ellipse, and the share that does.
    pub curve: Vec<[f64; 2]>,
    /// Bins of equal count by predicted spread: root mean square of the predicted standard deviations and of the errors per axis,
    /// both as fractions of the normalizer.
    pub spread_bins: Vec<[f64; 2]>,
    /// [`scale`](Self::scale) of each keypoint on its own; `None` for a keypoint never compared.
    pub keypoint_scales: Vec<Option<f64>>,
}
