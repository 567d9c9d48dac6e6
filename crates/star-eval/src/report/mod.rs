//! Figures of one evaluation, never without data set, subset, normalizer and threshold.

mod evaluation;
pub(crate) mod markdown;

use serde::{Deserialize, Serialize};

pub use evaluation::{Evaluation, Group, Setting};
pub use markdown::markdown_table;

use crate::edges::EdgeErrors;
use crate::{Ced, Error, Identity, Result};

/// The figures of one evaluation, ready to be stored as JSON or printed.
///
/// Errors are **fractions** of the normalizer here and in JSON (the field names end in `fraction`) and per cent in Markdown and HTML.
/// Only an [`Evaluation`] makes reports, so each has its data set, subset, normalizer and thresholds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// By what the figures were made and when; only the first report of a run has it, and none that predictions were handed to without a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Name of the data set, such as `WFLW test`.
    pub dataset: String,
    /// Name of the subset, such as `full` or `pose`.
    pub subset: String,
    /// The name readers know the normalizer by, such as `inter-ocular`.
    pub normalizer: String,
    /// What the normalizer measures, as index lists.
    pub normalizer_definition: String,
    /// Deviations from the plain evaluation, to be printed beside the figures.
    pub notes: Vec<String>,
    /// Number of images, with and without prediction.
    pub images: usize,
    /// Number of images without a prediction; each is a failure at every threshold.
    pub missing: usize,
    /// Mean NME over **all** images; `None` where a prediction is missing, because the mean is then infinite.
    pub nme_mean_fraction: Option<f64>,
    /// Mean NME over the images that have a prediction; `None` where none has.
    pub nme_mean_of_found_fraction: Option<f64>,
    /// Median NME over all images; `None` where it is infinite.
    pub nme_median_fraction: Option<f64>,
    /// 90 % of all images are at most this wrong; `None` where it is infinite.
    pub nme_p90_fraction: Option<f64>,
    /// 95 % of all images are at most this wrong; `None` where it is infinite.
    #[serde(default)]
    pub nme_p95_fraction: Option<f64>,
    /// 99 % of all images are at most this wrong; `None` where it is infinite.
    #[serde(default)]
    pub nme_p99_fraction: Option<f64>,
    /// 95 % confidence interval of the mean NME (bootstrap over images, see [`Bootstrap`](crate::Bootstrap)); `None` where a
    /// prediction is missing or there is one image only.
    #[serde(default)]
    pub nme_mean_interval_fraction: Option<[f64; 2]>,
    /// Failure rate and area per threshold.
    pub thresholds: Vec<AtThreshold>,
    /// Mean error of named groups of keypoints over the images that have a prediction.
    pub groups: Vec<GroupError>,
    /// Mean error of each keypoint over the images that have a prediction; `None` for a keypoint that never had weight.
    pub keypoint_error_fractions: Vec<Option<f64>>,
    /// Visible and occluded keypoints apart; `None` where the data hold no visibility.
    #[serde(default)]
    pub visibility: Option<VisibilityErrors>,
    /// Errors along and across the curves that keypoints mark; `None` without curves.
    #[serde(default)]
    pub edges: Option<EdgeErrors>,
    /// Every image in the order of evaluation.
    pub per_image: Vec<ImageError>,
}

/// Failure rate and area at one threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtThreshold {
    /// The threshold on NME.
    pub threshold_fraction: f64,
    /// Share of images above it, in `[0, 1]`.
    pub failure_rate_fraction: f64,
    /// Its 95 % confidence interval; `None` for one image only.
    #[serde(default)]
    pub failure_rate_interval_fraction: Option<[f64; 2]>,
    /// Area under the cumulative curve up to it, over the threshold, exact; in `[0, 1]`.
    pub auc: f64,
    /// Its 95 % confidence interval; `None` for one image only.
    #[serde(default)]
    pub auc_interval: Option<[f64; 2]>,
    /// The area as the reference integrates it, see [`Ced::auc_simpson`].
    #[serde(default)]
    pub auc_simpson: f64,
    /// PCK: share of all keypoints with an error of at most the threshold, those without prediction counted as wrong.
    #[serde(default)]
    pub pck_fraction: f64,
}

/// Mean errors of visible and of occluded keypoints, over the keypoints that have a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VisibilityErrors {
    /// Number of visible keypoints.
    pub visible_keypoints: usize,
    /// Their mean error; `None` where there is none.
    pub visible_error_fraction: Option<f64>,
    /// Number of occluded keypoints.
    pub occluded_keypoints: usize,
    /// Their mean error; `None` where there is none.
    pub occluded_error_fraction: Option<f64>,
}

/// Mean error of one named group of keypoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupError {
    /// The group's name.
    pub name: String,
    /// Its keypoints.
    pub keypoints: Vec<usize>,
    /// Mean over images of the group's weighted mean error; `None` where no image had any of it.
    pub nme_mean_fraction: Option<f64>,
}

/// NME of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageError {
    /// The image's name, as handed to the evaluation.
    pub name: String,
    /// Its NME; `None` where it has no prediction.
    pub nme_fraction: Option<f64>,
}

impl Report {
    /// The cumulative error distribution of the images.
    ///
    /// # Errors
    /// [`Error::Empty`] and [`Error::ImageError`] for a report read from a file that holds no images or impossible errors.
    pub fn ced(&self) -> Result<Ced> {
        Ced::new(self.per_image.iter().map(|i| i.nme_fraction.unwrap_or(f64::INFINITY)).collect())
    }

    /// How many of the keypoints have an error, and how many there are: annotations may leave some out everywhere.
    pub fn scored_keypoints(&self) -> [usize; 2] {
        let errors = &self.keypoint_error_fractions;
        [errors.iter().flatten().count(), errors.len()]
    }

    /// How many keypoints of a group have an error, of how many, in words: `17`, or `1 of 17`.
    pub(crate) fn scored_of(&self, group: &GroupError) -> String {
        let scored = |k: &&usize| self.keypoint_error_fractions.get(**k).is_some_and(Option::is_some);
        match (group.keypoints.iter().filter(scored).count(), group.keypoints.len()) {
            // Without a prediction no keypoint has an error.
            (scored, all) if scored == all || scored == 0 => all.to_string(),
            (scored, all) => format!("{scored} of {all}"),
        }
    }

    /// Data set and subset as a heading: `full` is the whole data set.
    pub(crate) fn heading(&self) -> String {
        if self.subset == "full" {
            self.dataset.clone()
        } else {
            format!("{}, {}", self.dataset, self.subset)
        }
    }

    /// The normalizer, and what it measures unless that is the same.
    pub(crate) fn measured_by(&self) -> String {
        let (name, definition) = (&self.normalizer, &self.normalizer_definition);
        if name == definition { name.clone() } else { format!("{name} ({definition})") }
    }

    /// Data set, subset and normalizer in one line, for titles and legends.
    pub fn title(&self) -> String {
        format!("{}, {}, {}", self.dataset, self.subset, self.normalizer)
    }

    /// The report as indented JSON.
    pub fn to_json(&self) -> String {
        // Strings, integers and finite or absent floats only: there is nothing in it that JSON cannot hold.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Reads what [`Report::to_json`] wrote.
    ///
    /// # Errors
    /// [`Error::Json`] with the line and column of what does not fit.
    pub fn from_json(text: &str) -> Result<Self> {
        let report: Self =
            serde_json::from_str(text).map_err(|error| Error::Json { reason: error.to_string() })?;
        report.check()?;
        Ok(report)
    }

    /// Refuses numbers that a file may hold and no evaluation.
    pub(crate) fn check(&self) -> Result<()> {
        if self.missing > self.images {
            let (images, missing) = (self.images, self.missing);
            let reason = format!("missing: expected at most {images}, the number of images, got {missing}");
            return Err(Error::Json { reason });
        }
        Ok(())
    }
}
