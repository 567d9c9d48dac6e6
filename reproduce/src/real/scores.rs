//! What was measured on a data set.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use star_eval::{Report, Results};

/// What became of a set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SetOutcome {
    pub(crate) key: String,
    pub(crate) name: String,
    /// Why there are no figures, where there are none.
    pub(crate) reason: Option<String>,
    /// Faces of the test split: found, `None` where nobody looked, and published.
    pub(crate) faces: Option<usize>,
    pub(crate) published: Option<usize>,
    pub(crate) notes: Vec<String>,
    /// Scores by training: slug of the variant, then one a seed; without the predictions.
    pub(crate) runs: BTreeMap<String, Vec<Scores>>,
    /// Kind 4: standard deviation of each keypoint over the paper's trainings, fractions of the normalizer; `None` for one training.
    pub(crate) stability: Option<Vec<f64>>,
}

/// The figures of one network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Scores {
    pub(crate) seed: u64,
    /// Where the weights come from, and their SHA-256.
    pub(crate) weights: String,
    pub(crate) weights_hash: String,
    /// Hash of the faces, as the check saw them; empty where nobody looked.
    pub(crate) data_hash: String,
    /// The network, and its parameters in millions.
    pub(crate) network: String,
    pub(crate) parameters: f64,
    /// Figures by subset, normalizer and threshold.
    pub(crate) figures: Vec<Figure>,
    /// Kinds 1 to 3: eigenvalue ratios.
    pub(crate) keypoint_ratios: Vec<f64>,
    pub(crate) contrasts: Vec<(String, Option<f64>, usize)>,
    pub(crate) angle: Option<f64>,
    /// Kind 5: NME of groups of keypoints, fractions.
    pub(crate) groups: Vec<(String, Option<f64>)>,
    /// NME of each face under the main normalizer; `None` where nothing was found.
    pub(crate) per_face: Vec<Option<f64>>,
    /// Jitter of videos: name, frames, NMJ.
    pub(crate) videos: Vec<(String, usize, Option<f64>)>,
    /// Kind 4 needs what was predicted, in units of the normalizer. Left out of the report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) predicted: Vec<Option<Vec<[f32; 2]>>>,
}

/// One figure of one subset under one normalizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) subset: String,
    pub(crate) normalizer: String,
    pub(crate) faces: usize,
    pub(crate) nme: Option<f64>,
    /// Threshold, failure rate, area, area as the reference integrates it.
    pub(crate) thresholds: Vec<[f64; 4]>,
}

impl Scores {
    /// The figures of `results`.
    pub(crate) fn new(seed: u64, weights: String, results: &Results) -> Self {
        let figure = |report: &Report| Figure {
            subset: report.subset.clone(),
            normalizer: report.normalizer.clone(),
            faces: report.images,
            nme: report.nme_mean_fraction,
            thresholds: report
                .thresholds
                .iter()
                .map(|at| [at.threshold_fraction, at.failure_rate_fraction, at.auc, at.auc_simpson])
                .collect(),
        };
        let main = results.reports.first();
        let ambiguity = results.ambiguity.as_ref();
        let contrasts = ambiguity.map(|a| a.contrast.iter().chain(&a.easy_and_hard).collect::<Vec<_>>());
        let relative = |face: &star_eval::study::SamplePrediction| {
            let length = face.length;
            let scaled = |p: &[f32; 2]| p.map(|v| (f64::from(v) / length) as f32);
            face.points.as_ref().map(|points| points.iter().map(scaled).collect())
        };
        Self {
            seed,
            weights,
            weights_hash: String::new(),
            data_hash: String::new(),
            network: String::new(),
            parameters: f64::NAN,
            figures: results.reports.iter().map(figure).collect(),
            keypoint_ratios: ambiguity.map(|a| a.keypoint_ratios.clone()).unwrap_or_default(),
            contrasts: contrasts
                .unwrap_or_default()
                .into_iter()
                .map(|c| (c.name.clone(), c.ratio, c.count))
                .collect(),
            angle: ambiguity.and_then(|a| a.mean_angle),
            groups: main
                .map(|report| report.groups.iter().map(|g| (g.name.clone(), g.nme_mean_fraction)).collect())
                .unwrap_or_default(),
            per_face: main
                .map(|report| report.per_image.iter().map(|image| image.nme_fraction).collect())
                .unwrap_or_default(),
            videos: results.videos.iter().map(|v| (v.name.clone(), v.frames, v.nmj)).collect(),
            predicted: results.samples.iter().map(relative).collect(),
        }
    }

    pub(crate) fn figure(&self, subset: &str, normalizer: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.subset == subset && figure.normalizer == normalizer)
    }
}
