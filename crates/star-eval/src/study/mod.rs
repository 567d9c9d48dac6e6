//! Everything measured on one set of predictions: figures by subset and normalizer, ambiguity, calibration.

mod markdown;

use serde::{Deserialize, Serialize};

use crate::ambiguity::AmbiguitySummary;
use crate::calibration::ConfidenceSummary;
use crate::metric_set::{Curve, MetricSet};
use crate::shape::mean_shape;
use crate::{
    BoxSensitivity, Calibration, CalibrationSummary, Case, Error, Evaluation, JitterSummary, Report, Result,
};

/// The results of one run on one data set, as stored in JSON: the input of reports and of comparisons.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Results {
    /// Figures by subset and normalizer; the first is the whole set under the first normalizer.
    pub reports: Vec<Report>,
    /// The mean shape with its curves, for drawing.
    #[serde(default)]
    pub outline: Outline,
    /// How elongated predicted distributions are; `None` where predictions carry no covariances.
    #[serde(default)]
    pub ambiguity: Option<AmbiguitySummary>,
    /// Whether covariances match errors; `None` where predictions carry none.
    #[serde(default)]
    pub calibration: Option<CalibrationSummary>,
    /// Whether confidences match errors; where predictions carry them and whoever made them said what they mean.
    #[serde(default)]
    pub confidence: Option<ConfidenceSummary>,
    /// Dependence on the crop, where it was measured.
    #[serde(default)]
    pub boxes: Option<BoxSensitivity>,
    /// Jitter of videos: of all, of each category, then of each video; empty where the data are no videos.
    #[serde(default)]
    pub videos: Vec<JitterSummary>,
    /// What was predicted for each sample, in the order of the first report.
    #[serde(default)]
    pub samples: Vec<SamplePrediction>,
}

/// The mean shape of a data set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    /// Keypoints about 0 with a root mean square distance of 1; `None` for one that is never annotated.
    pub points: Vec<Option<[f64; 2]>>,
    /// Curves through them.
    pub curves: Vec<Curve>,
    /// Their names; empty where they have none.
    #[serde(default)]
    pub names: Vec<String>,
}

/// What was predicted for one sample, kept so that runs can be compared keypoint by keypoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplePrediction {
    /// The first normalizer's length, pixels.
    pub length: f64,
    /// Keypoints, pixels; `None` where nothing was found or a coordinate is not finite.
    pub points: Option<Vec<[f32; 2]>>,
}

impl Results {
    /// Measures `cases` under `metrics`.
    ///
    /// # Errors
    /// [`Error::Empty`] without normalizers or cases (a normalizer after the first that does not fit a case is left out and noted); as
    /// [`Evaluation::add_case`], naming the case, and as the parts that covariances go into.
    pub fn new(metrics: &MetricSet, cases: &[Case]) -> Result<Self> {
        let Some(first) = metrics.normalizers.first() else {
            return Err(Error::Empty { what: "list of normalizers", hint: "name at least one" });
        };
        let mut subsets = vec![metrics.whole.clone()];
        for name in cases.iter().flat_map(|case| &case.subsets) {
            if !subsets.contains(name) {
                subsets.push(name.clone());
            }
        }
        let mut reports: Vec<Report> = Vec::new();
        for normalizer in &metrics.normalizers {
            let lengths = |case: &Case| normalizer.1.length_of(case).is_ok();
            // Figures under a normalizer that does not fit every sample would be of another set than the first one's.
            if let (Some(main), Some(odd)) = (reports.first_mut(), cases.iter().find(|c| !lengths(c))) {
                main.notes.push(format!("{} has no length on {}: not scored by it", normalizer.0, odd.name));
                continue;
            }
            for (i, subset) in subsets.iter().enumerate() {
                let mut evaluation = Evaluation::new(metrics.setting(subset, normalizer))?;
                for case in cases.iter().filter(|case| i == 0 || case.subsets.contains(subset)) {
                    evaluation.add_case(case).map_err(|error| error.of_image(&case.name))?;
                }
                reports.push(evaluation.report()?);
            }
        }
        let nmes: Vec<f64> =
            reports[0].per_image.iter().map(|i| i.nme_fraction.unwrap_or(f64::INFINITY)).collect();
        let shapes: Vec<_> = cases.iter().map(|c| (c.truth.as_slice(), c.weights.as_deref())).collect();
        let mut samples = Vec::with_capacity(cases.len());
        for case in cases {
            let finite = |points: &&Vec<[f32; 2]>| points.iter().flatten().all(|v| v.is_finite());
            let points = case.predicted.as_ref().filter(finite).cloned();
            samples.push(SamplePrediction { length: first.1.length_of(case)?, points });
        }
        Ok(Self {
            outline: Outline {
                points: mean_shape(&shapes),
                curves: metrics.curves.clone(),
                names: metrics.names.clone(),
            },
            ambiguity: AmbiguitySummary::new(cases, &nmes, metrics)?,
            calibration: calibration(cases, &samples)?,
            confidence: None,
            boxes: None,
            videos: Vec::new(),
            reports,
            samples,
        })
    }

    /// The whole set under the first normalizer.
    ///
    /// # Errors
    /// [`Error::Empty`] for results without a report, as a file may hold.
    pub fn main(&self) -> Result<&Report> {
        self.reports
            .first()
            .ok_or(Error::Empty { what: "list of reports", hint: "evaluate at least one data set" })
    }

    /// As JSON on one line: indented, the keypoints of a large data set would take three times the room.
    pub fn to_json(&self) -> String {
        // Strings, integers and finite or absent floats only: there is nothing in it that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`Results::to_json`] or [`Report::to_json`] wrote.
    ///
    /// # Errors
    /// [`Error::Json`] with the line and column of what does not fit.
    pub fn from_json(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(default)]
            per_image: Option<serde::de::IgnoredAny>,
        }
        let wrong = |error: serde_json::Error| Error::Json { reason: error.to_string() };
        let kind: Kind = serde_json::from_str(text).map_err(wrong)?;
        if kind.per_image.is_some() {
            return Ok(Self::from(Report::from_json(text)?));
        }
        let results: Self = serde_json::from_str(text).map_err(wrong)?;
        results.reports.iter().try_for_each(Report::check)?;
        Ok(results)
    }
}

impl From<Report> for Results {
    /// The figures of one report and nothing else.
    fn from(report: Report) -> Self {
        Self { reports: vec![report], ..Default::default() }
    }
}

/// `None` where no case carries covariances that can be used.
fn calibration(cases: &[Case], samples: &[SamplePrediction]) -> Result<Option<CalibrationSummary>> {
    let Some((points, _)) = cases.iter().find_map(Case::with_covariances) else { return Ok(None) };
    let mut set = Calibration::new(points.len())?;
    for (case, sample) in cases.iter().zip(samples) {
        if let Some((predicted, covariances)) = case.with_covariances() {
            set.add(predicted, &case.truth, case.weights.as_deref(), covariances, sample.length)?;
        }
    }
    match set.summary() {
        Err(Error::Empty { .. }) => Ok(None),
        other => other.map(Some),
    }
}
