//! What a study of a data set measures: normalizers, thresholds, groups and curves of keypoints.

use serde::{Deserialize, Serialize};

use crate::{Group, Normalizer, Setting};

/// Keypoints along a curve, in drawing order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Curve {
    /// Name, such as `contour`.
    pub name: String,
    /// Indices of its keypoints.
    pub keypoints: Vec<usize>,
    /// Whether the last joins the first.
    pub closed: bool,
}

/// What is measured on a data set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricSet {
    /// Name of the data set, such as `WFLW test`.
    pub dataset: String,
    /// Name of the whole set among the subsets, such as `full`.
    pub whole: String,
    /// Normalizers with the names readers know them by; the first is the one of headlines and plots.
    pub normalizers: Vec<(String, Normalizer)>,
    /// Thresholds on NME, fractions; the first is the one of headlines.
    pub thresholds: Vec<f64>,
    /// Groups of keypoints to report on their own.
    pub groups: Vec<Group>,
    /// Curves through keypoints: drawn, and compared with the direction of distributions and of errors.
    pub curves: Vec<Curve>,
    /// Name of each keypoint, shown where one is pointed at; may be empty.
    pub names: Vec<String>,
    /// Two groups whose ambiguity is compared, such as eye corners and contour.
    pub contrast: Option<[Group; 2]>,
    /// Deviations from the plain evaluation, printed beside every figure.
    pub notes: Vec<String>,
}

impl MetricSet {
    /// The setting of one subset under one normalizer.
    pub(crate) fn setting(&self, subset: &str, normalizer: &(String, Normalizer)) -> Setting {
        Setting {
            dataset: self.dataset.clone(),
            subset: subset.to_owned(),
            normalizer_name: normalizer.0.clone(),
            normalizer: normalizer.1.clone(),
            thresholds: self.thresholds.clone(),
            groups: self.groups.clone(),
            curves: self.curves.clone(),
            notes: self.notes.clone(),
        }
    }
}
