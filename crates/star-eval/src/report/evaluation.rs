//! Collects images and makes the report.

use crate::nme::weighted_mean;
use crate::report::{AtThreshold, GroupError, ImageError, Report};
use crate::{Ced, Error, Result, Ruler, keypoint_errors};

/// What figures are printed with. All names must be filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Name of the data set, such as `WFLW test`.
    pub dataset: String,
    /// Name of the subset, such as `full`.
    pub subset: String,
    /// The name readers know the ruler by, such as `inter-ocular`.
    pub ruler_name: String,
    /// The ruler.
    pub ruler: Ruler,
    /// Thresholds on NME for failure rate and AUC, as fractions; at least one.
    pub thresholds: Vec<f64>,
    /// Groups of keypoints to report on their own; may be empty.
    pub groups: Vec<Group>,
    /// Deviations from the plain evaluation, printed beside the figures; may be empty.
    pub notes: Vec<String>,
}

/// A named list of keypoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name, such as `contour`.
    pub name: String,
    /// Indices of its keypoints.
    pub keypoints: Vec<usize>,
}

impl Setting {
    fn validate(&self) -> Result<()> {
        let names = [("dataset", &self.dataset), ("subset", &self.subset), ("ruler_name", &self.ruler_name)];
        if let Some((field, _)) = names.into_iter().find(|(_, name)| name.trim().is_empty()) {
            return Err(Error::Unnamed { field });
        }
        if self.thresholds.is_empty() {
            return Err(Error::Empty { what: "list of thresholds", hint: "0.10 is usual for WFLW" });
        }
        if let Some(&value) = self.thresholds.iter().find(|t| !(t.is_finite() && **t > 0.0)) {
            return Err(Error::Range {
                what: "threshold",
                expected: "a positive fraction such as 0.10",
                value,
            });
        }
        for group in &self.groups {
            if group.name.trim().is_empty() {
                return Err(Error::Unnamed { field: "group name" });
            }
            if group.keypoints.is_empty() {
                return Err(Error::Empty {
                    what: "a group of keypoints",
                    hint: "name at least one keypoint",
                });
            }
        }
        Ok(())
    }
}

/// Collects per-image and per-keypoint errors of one data set under one ruler.
#[derive(Clone, Debug)]
pub struct Evaluation {
    setting: Setting,
    images: Vec<ImageError>,
    /// Sum of errors and of weights per keypoint, over images with a prediction.
    keypoints: Vec<[f64; 2]>,
    /// Sum of errors and number of images per group.
    groups: Vec<[f64; 2]>,
}

impl Evaluation {
    /// Starts an evaluation without images.
    ///
    /// # Errors
    /// [`Error::Unnamed`], [`Error::Empty`] or [`Error::Range`] for a setting under which no figure could be printed.
    pub fn new(setting: Setting) -> Result<Self> {
        setting.validate()?;
        let groups = vec![[0.0; 2]; setting.groups.len()];
        Ok(Self { setting, images: Vec::new(), keypoints: Vec::new(), groups })
    }

    /// Number of images added.
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// Adds one image and returns its NME, a fraction. `predicted` is `None` where there is no prediction; that and coordinates
    /// that are not finite make the image missing (NME infinity), which the report counts. Weights as in [`nme`](crate::nme()).
    ///
    /// # Errors
    /// As [`nme`](crate::nme()) and [`Ruler::length`]; [`Error::Length`] where the image has another number of keypoints than those
    /// before it; [`Error::Index`] for a group with a keypoint that does not exist. An image refused changes nothing.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        predicted: Option<&[[f32; 2]]>,
        truth: &[[f32; 2]],
        weights: Option<&[f32]>,
    ) -> Result<f64> {
        if !self.keypoints.is_empty() && self.keypoints.len() != truth.len() {
            let (expected, got) = (self.keypoints.len(), truth.len());
            return Err(Error::Length { what: "keypoints of the truth", expected, got });
        }
        for group in &self.setting.groups {
            if let Some(&index) = group.keypoints.iter().find(|k| **k >= truth.len()) {
                let what = format!("group {:?}", group.name);
                return Err(Error::Index { what, index, keypoints: truth.len() });
            }
        }
        let length = self.setting.ruler.length(truth)?;
        let absent;
        let predicted = match predicted {
            Some(points) => points,
            None => {
                absent = vec![[f32::NAN; 2]; truth.len()];
                &absent
            }
        };
        let errors = keypoint_errors(predicted, truth, weights, length)?;
        let nme = weighted_mean(&errors, weights);
        self.keypoints.resize(truth.len(), [0.0; 2]);
        if nme.is_finite() {
            self.add_parts(&errors, weights);
        }
        self.images.push(ImageError { name: name.into(), nme_fraction: finite(nme) });
        Ok(nme)
    }

    fn add_parts(&mut self, errors: &[f64], weights: Option<&[f32]>) {
        let weight = |k: usize| weights.map_or(1.0, |w| f64::from(w[k]));
        for (k, sums) in self.keypoints.iter_mut().enumerate() {
            sums[0] += weight(k) * errors[k];
            sums[1] += weight(k);
        }
        for (group, sums) in self.setting.groups.iter().zip(&mut self.groups) {
            let total: f64 = group.keypoints.iter().map(|&k| weight(k)).sum();
            if total > 0.0 {
                sums[0] += group.keypoints.iter().map(|&k| weight(k) * errors[k]).sum::<f64>() / total;
                sums[1] += 1.0;
            }
        }
    }

    /// The figures of the images added so far.
    ///
    /// # Errors
    /// [`Error::Empty`] without images.
    pub fn report(&self) -> Result<Report> {
        let errors = self.images.iter().map(|i| i.nme_fraction.unwrap_or(f64::INFINITY)).collect();
        let ced = Ced::new(errors)?;
        let at = |&threshold_fraction: &f64| AtThreshold {
            threshold_fraction,
            failure_rate_fraction: ced.failure_rate(threshold_fraction),
            auc: ced.auc(threshold_fraction),
        };
        let groups = self.setting.groups.iter().zip(&self.groups).map(|(group, sums)| GroupError {
            name: group.name.clone(),
            keypoints: group.keypoints.clone(),
            nme_mean_fraction: ratio(sums),
        });
        Ok(Report {
            dataset: self.setting.dataset.clone(),
            subset: self.setting.subset.clone(),
            ruler: self.setting.ruler_name.clone(),
            ruler_definition: self.setting.ruler.name(),
            notes: self.setting.notes.clone(),
            images: ced.images(),
            missing: ced.missing(),
            nme_mean_fraction: finite(ced.mean()),
            nme_mean_of_found_fraction: ced.mean_of_found(),
            nme_median_fraction: finite(ced.median()),
            nme_p90_fraction: finite(ced.quantile(0.9)?),
            thresholds: self.setting.thresholds.iter().map(at).collect(),
            groups: groups.collect(),
            keypoint_error_fractions: self.keypoints.iter().map(ratio).collect(),
            per_image: self.images.clone(),
        })
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn ratio(&[sum, count]: &[f64; 2]) -> Option<f64> {
    (count > 0.0).then(|| sum / count)
}
