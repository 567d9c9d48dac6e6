//! Collects images and makes the report.

use crate::edges::Collector;
use crate::metric_set::Curve;
use crate::nme::weighted_mean;
use crate::report::{AtThreshold, GroupError, ImageError, Report, VisibilityErrors};
use crate::{Bootstrap, Case, Ced, Error, Normalizer, Result, keypoint_errors};

/// What figures are printed with. All names must be filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Name of the data set, such as `WFLW test`.
    pub dataset: String,
    /// Name of the subset, such as `full`.
    pub subset: String,
    /// The name readers know the normalizer by, such as `inter-ocular`.
    pub normalizer_name: String,
    /// The normalizer.
    pub normalizer: Normalizer,
    /// Thresholds on NME for failure rate and AUC, as fractions; at least one.
    pub thresholds: Vec<f64>,
    /// Groups of keypoints to report on their own; may be empty.
    pub groups: Vec<Group>,
    /// Curves through keypoints, along and across which errors are reported; may be empty.
    pub curves: Vec<Curve>,
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
        let names = [
            ("dataset", &self.dataset),
            ("subset", &self.subset),
            ("normalizer_name", &self.normalizer_name),
        ];
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

/// Collects per-image and per-keypoint errors of one data set under one normalizer.
#[derive(Clone, Debug)]
pub struct Evaluation {
    setting: Setting,
    images: Vec<ImageError>,
    /// Sum of errors and of weights per keypoint, over images with a prediction.
    keypoints: Vec<[f64; 2]>,
    /// Sum of errors and number of images per group.
    groups: Vec<[f64; 2]>,
    /// Keypoints with weight, missing ones included, and how many of them lie within each threshold.
    counted: usize,
    within: Vec<usize>,
    /// Sum of errors and number of visible and of occluded keypoints, where the data hold both.
    seen: [[f64; 2]; 2],
    /// Errors along and across the curves, over images with a prediction.
    edges: Collector,
}

impl Evaluation {
    /// Starts an evaluation without images.
    ///
    /// # Errors
    /// [`Error::Unnamed`], [`Error::Empty`] or [`Error::Range`] for a setting under which no figure could be printed.
    pub fn new(setting: Setting) -> Result<Self> {
        setting.validate()?;
        let groups = vec![[0.0; 2]; setting.groups.len()];
        let within = vec![0; setting.thresholds.len()];
        let (images, keypoints) = (Vec::new(), Vec::new());
        let edges = Collector::new(setting.curves.clone());
        Ok(Self { setting, images, keypoints, groups, counted: 0, within, seen: [[0.0; 2]; 2], edges })
    }

    /// Number of images added.
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// Adds one image and returns its NME, a fraction. `predicted` is `None` where there is no prediction; that and coordinates
    /// that are not finite make the image missing (NME infinity), which the report counts. Weights as in [`nme`](crate::nme()).
    ///
    /// # Errors
    /// As [`nme`](crate::nme()) and [`Normalizer::length`]; [`Error::Length`] where the image has another number of keypoints than those
    /// before it; [`Error::Index`] for a group or a curve with a keypoint that does not exist. An image refused changes nothing.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        predicted: Option<&[[f32; 2]]>,
        truth: &[[f32; 2]],
        weights: Option<&[f32]>,
    ) -> Result<f64> {
        let length = self.setting.normalizer.length_weighted(truth, weights);
        self.add_image(name.into(), predicted, truth, weights, None, length)
    }

    /// Adds a case: as [`Evaluation::add`], with visible and occluded keypoints apart where the case holds visibilities.
    ///
    /// # Errors
    /// As [`Evaluation::add`], and [`Error::Length`] for another number of visibilities.
    pub fn add_case(&mut self, case: &Case) -> Result<f64> {
        let (weights, visible) = (case.weights.as_deref(), case.visible.as_deref());
        let length = self.setting.normalizer.length_of(case);
        self.add_image(case.name.clone(), case.predicted.as_deref(), &case.truth, weights, visible, length)
    }

    fn add_image(
        &mut self,
        name: String,
        predicted: Option<&[[f32; 2]]>,
        truth: &[[f32; 2]],
        weights: Option<&[f32]>,
        visible: Option<&[bool]>,
        length: Result<f64>,
    ) -> Result<f64> {
        if let Some(visible) = visible.filter(|v| v.len() != truth.len()) {
            return Err(Error::Length { what: "visibilities", expected: truth.len(), got: visible.len() });
        }
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
        let length = length?;
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
        if nme.is_finite() {
            self.edges.add(predicted, truth, weights, length)?;
        }
        self.keypoints.resize(truth.len(), [0.0; 2]);
        if nme.is_finite() {
            self.add_parts(&errors, weights);
        }
        self.add_keypoints(&errors, weights, visible);
        self.images.push(ImageError { name, nme_fraction: finite(nme) });
        Ok(nme)
    }

    /// Counts keypoints one by one, those without prediction among them.
    fn add_keypoints(&mut self, errors: &[f64], weights: Option<&[f32]>, visible: Option<&[bool]>) {
        for (k, &error) in errors.iter().enumerate() {
            if weights.is_some_and(|w| w[k] == 0.0) {
                continue;
            }
            self.counted += 1;
            for (count, threshold) in self.within.iter_mut().zip(&self.setting.thresholds) {
                *count += usize::from(error <= *threshold);
            }
            if let Some(visible) = visible
                && error.is_finite()
            {
                let sums = &mut self.seen[usize::from(!visible[k])];
                sums[0] += error;
                sums[1] += 1.0;
            }
        }
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
        let errors: Vec<f64> = self.images.iter().map(|i| i.nme_fraction.unwrap_or(f64::INFINITY)).collect();
        let interval = |values: Vec<f64>| {
            // Too few images, or one that is missing: there is no interval of their mean.
            Bootstrap::default().mean(&values).ok().map(|i| [i.low, i.high])
        };
        let nme_mean_interval_fraction = interval(errors.clone());
        let mut thresholds = Vec::with_capacity(self.within.len());
        let ced = Ced::new(errors.clone())?;
        for (&threshold_fraction, &within) in self.setting.thresholds.iter().zip(&self.within) {
            let failed = |e: &f64| f64::from(u8::from(*e > threshold_fraction));
            let area = |e: &f64| (1.0 - e / threshold_fraction).max(0.0);
            thresholds.push(AtThreshold {
                threshold_fraction,
                failure_rate_fraction: ced.failure_rate(threshold_fraction),
                failure_rate_interval_fraction: interval(errors.iter().map(failed).collect()),
                auc: ced.auc(threshold_fraction),
                auc_interval: interval(errors.iter().map(area).collect()),
                auc_simpson: ced.auc_simpson(threshold_fraction),
                pck_fraction: within as f64 / self.counted.max(1) as f64,
            });
        }
        let groups = self.setting.groups.iter().zip(&self.groups).map(|(group, sums)| GroupError {
            name: group.name.clone(),
            keypoints: group.keypoints.clone(),
            nme_mean_fraction: ratio(sums),
        });
        Ok(Report {
            identity: None,
            dataset: self.setting.dataset.clone(),
            subset: self.setting.subset.clone(),
            normalizer: self.setting.normalizer_name.clone(),
            normalizer_definition: self.setting.normalizer.name(),
            notes: self.setting.notes.clone(),
            images: ced.images(),
            missing: ced.missing(),
            nme_mean_fraction: finite(ced.mean()),
            nme_mean_of_found_fraction: ced.mean_of_found(),
            nme_median_fraction: finite(ced.median()),
            nme_p90_fraction: finite(ced.quantile(0.9)?),
            nme_p95_fraction: finite(ced.nmpe(95.0)?),
            nme_p99_fraction: finite(ced.nmpe(99.0)?),
            nme_mean_interval_fraction,
            thresholds,
            groups: groups.collect(),
            keypoint_error_fractions: self.keypoints.iter().map(ratio).collect(),
            visibility: self.seen.iter().any(|sums| sums[1] > 0.0).then(|| VisibilityErrors {
                visible_keypoints: self.seen[0][1] as usize,
                visible_error_fraction: ratio(&self.seen[0]),
                occluded_keypoints: self.seen[1][1] as usize,
                occluded_error_fraction: ratio(&self.seen[1]),
            }),
            edges: self.edges.summary(),
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
