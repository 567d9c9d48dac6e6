//! What was measured on photographs, cell by cell, against what the paper reports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use star_data::formats::Compat;
use star_eval::{Interval, Report, Results};

use super::plan::RealPlan;
use super::sets::RealSet;
use crate::args::Origin;
use crate::targets::{Metric, Target, Targets};

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

/// What a cell came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Within the tolerance, or better.
    Reached,
    /// Worse by more than the tolerance; for published weights, off by more than it.
    Missed,
    /// Not measured, and why.
    NotMeasured,
    /// The paper's figure is not known: nothing to be held to.
    NoTarget,
}

/// A cell of the paper's tables with what was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) set: String,
    pub(crate) subset: String,
    pub(crate) normalizer: String,
    pub(crate) what: String,
    /// Digits that the target is given with.
    pub(crate) digits: usize,
    /// `None` where it is not known.
    pub(crate) paper: Option<f64>,
    pub(crate) tolerance: Option<f64>,
    pub(crate) source: String,
    pub(crate) rerun: Option<f64>,
    /// Mean over seeds, in the paper's unit.
    pub(crate) ours: Option<f64>,
    /// Over seeds; `None` for fewer than two.
    pub(crate) interval: Option<Interval>,
    pub(crate) verdict: Verdict,
    /// Why nothing was measured, or what must be known of what was.
    pub(crate) remark: String,
}

/// The slug of the training that a target is about.
fn variant_of(target: &Target) -> &str {
    target.variant.as_deref().unwrap_or("star")
}

/// What a run must be told apart by to be held to a target.
#[derive(Clone, Copy, Debug)]
struct Reading {
    compat: bool,
    /// The published weights themselves: they must give the published figures, not better ones.
    published: bool,
}

/// Every target of the sets, measured or explained, then every other cell of the same tables.
pub(crate) fn cells(targets: &Targets, plan: &RealPlan, sets: &[SetOutcome]) -> Vec<Cell> {
    let of_sets = targets.target.iter().filter_map(|target| {
        let set = sets.iter().find(|set| set.key == target.set)?;
        // Figures of published weights hold for no training.
        let concerns = !target.published_weights || plan.from == Origin::Weights;
        let reading = Reading {
            compat: plan.compat == Compat::Reference,
            published: plan.from == Origin::Weights && plan.weights.iter().all(|(key, _)| *key != set.key),
        };
        concerns.then(|| cell(targets, target, set, reading))
    });
    of_sets.chain(sets.iter().flat_map(|set| without_target(targets, set))).collect()
}

/// Subset, normalizer, figure and threshold of a cell.
type Place<'a> = (&'a str, &'a str, Metric, Option<f64>);

/// The cells of a set whose figures in the paper are not known: those of its subsets under its own normalizer, and whatever else was measured.
fn without_target(targets: &Targets, set: &SetOutcome) -> Vec<Cell> {
    let Some(real) = RealSet::named(&set.key) else { return Vec::new() };
    let runs = set.runs.get("star").map(Vec::as_slice).unwrap_or_default();
    let measured = runs.first().map(|scores| scores.figures.as_slice()).unwrap_or_default();
    let wanted = std::iter::once(&"full").chain(real.subsets).map(|subset| (*subset, real.normalizer));
    let mut tables: Vec<(&str, &str)> = wanted.collect();
    for figure in measured {
        let place = (figure.subset.as_str(), figure.normalizer.as_str());
        if !tables.contains(&place) {
            tables.push(place);
        }
    }
    let figures = |(subset, normalizer)| {
        let at = |metric| real.thresholds.iter().map(move |t| (subset, normalizer, metric, Some(*t)));
        std::iter::once((subset, normalizer, Metric::Nme, None)).chain(at(Metric::Fr)).chain(at(Metric::Auc))
    };
    let known = |(subset, normalizer, metric, threshold): &Place<'_>| {
        let mut of_set =
            targets.target.iter().filter(|t| t.set == set.key && t.variant.is_none() && !t.published_weights);
        of_set.any(|t| {
            t.subset == *subset
                && t.normalizer == *normalizer
                && t.metric == *metric
                && t.threshold == *threshold
        })
    };
    let open = tables.into_iter().flat_map(figures).filter(|place| !known(place));
    open.map(|place| untargeted(set, runs, place)).collect()
}

fn untargeted(set: &SetOutcome, runs: &[Scores], (subset, normalizer, metric, threshold): Place<'_>) -> Cell {
    let values: Vec<f64> =
        runs.iter().filter_map(|scores| measure(scores, (subset, normalizer, metric, threshold))).collect();
    let (ours, interval) = over_seeds(&values);
    Cell {
        set: set.name.clone(),
        subset: subset.to_string(),
        normalizer: normalizer.to_string(),
        what: metric.what(threshold),
        digits: metric.digits(),
        paper: None,
        tolerance: None,
        source: String::new(),
        rerun: None,
        interval,
        ours,
        verdict: Verdict::NoTarget,
        remark: match (ours, &set.reason) {
            (Some(_), _) => String::new(),
            (None, Some(reason)) => reason.clone(),
            (None, None) => NOT_AMONG_SCORES.to_string(),
        },
    }
}

/// Why a network that was scored has no figure.
const NOT_AMONG_SCORES: &str = "the figure is not among the scores: the files do not tell the subset, or a face has no such normalizer or no prediction";

fn cell(targets: &Targets, target: &Target, set: &SetOutcome, reading: Reading) -> Cell {
    let values: Vec<f64> =
        set.runs.get(variant_of(target)).into_iter().flatten().filter_map(|s| value(target, s)).collect();
    let (ours, interval) = over_seeds(&values);
    let worse = |ours: f64| match target.metric {
        Metric::Auc => target.value - ours,
        _ => ours - target.value,
    };
    // The same weights on the same faces must give the same figure; other weights may be better.
    let better = |ours: f64| reading.published && -worse(ours) > target.tolerance;
    let missed = |ours: f64| worse(ours) > target.tolerance || better(ours);
    let expected = target.faces.or_else(|| set.published.filter(|_| target.subset == "full"));
    let scored = set.runs.get(variant_of(target)).and_then(|scores| scores.first());
    let scored = scored.and_then(|scores| scores.figure(&target.subset, &target.normalizer)).map(|f| f.faces);
    let others = scored.zip(expected).filter(|(scored, expected)| scored != expected);
    let comparable = !target.published_weights || (reading.compat && others.is_none());
    let verdict = match ours {
        None => Verdict::NotMeasured,
        Some(_) if !comparable => Verdict::NotMeasured,
        Some(ours) if missed(ours) => Verdict::Missed,
        Some(_) => Verdict::Reached,
    };
    let remark = match (ours, &set.reason, others) {
        (None, Some(reason), _) => reason.clone(),
        (None, None, _) if target.variant.is_some() && !set.runs.contains_key(variant_of(target)) => {
            "only trained with --from scratch --ablations".to_string()
        }
        (None, None, _) => NOT_AMONG_SCORES.to_string(),
        (Some(_), ..) if target.published_weights && !reading.compat => {
            "holds under --compat reference alone".to_string()
        }
        (Some(_), _, Some((scored, expected))) => {
            format!("{scored} faces scored, the figure is of {expected}")
        }
        (Some(ours), ..) if better(ours) => {
            "better than the same weights can be: other faces, another normalizer, or labels that were seen"
                .to_string()
        }
        _ => String::new(),
    };
    Cell {
        set: set.name.clone(),
        subset: target.subset.clone(),
        normalizer: target.normalizer.clone(),
        what: match &target.variant {
            Some(variant) => format!("{} ({variant})", target.what()),
            None => target.what(),
        },
        digits: target.digits(),
        paper: Some(target.value),
        tolerance: Some(target.tolerance),
        source: targets.source(&target.source),
        rerun: target.rerun,
        interval,
        ours,
        verdict,
        remark,
    }
}

/// Mean over seeds, and its interval where there are several.
fn over_seeds(values: &[f64]) -> (Option<f64>, Option<Interval>) {
    let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    (mean, star_eval::runs::mean(values, 0.95).ok())
}

/// A score in the paper's unit.
fn value(target: &Target, scores: &Scores) -> Option<f64> {
    measure(scores, (&target.subset, &target.normalizer, target.metric, target.threshold))
}

/// Likewise, by its place.
fn measure(scores: &Scores, (subset, normalizer, metric, threshold): Place<'_>) -> Option<f64> {
    let figure = scores.figure(subset, normalizer)?;
    let at = |wanted: f64| figure.thresholds.iter().find(|at| (at[0] - wanted).abs() < 1e-9);
    match (metric, threshold) {
        (Metric::Nme, _) => figure.nme.map(|nme| 100.0 * nme),
        (Metric::Fr, Some(threshold)) => at(threshold).map(|at| 100.0 * at[1]),
        // The reference integrates on a grid, and published areas are its.
        (Metric::Auc, Some(threshold)) => at(threshold).map(|at| at[3]),
        (_, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(nme: f64, fr: f64, auc: f64) -> Scores {
        Scores {
            seed: 0,
            weights: "w".into(),
            weights_hash: String::new(),
            data_hash: String::new(),
            network: "hourglass".into(),
            parameters: 13.5,
            figures: vec![Figure {
                subset: "full".into(),
                normalizer: "inter-ocular".into(),
                faces: 2500,
                nme: Some(nme),
                thresholds: vec![[0.10, fr, auc, auc]],
            }],
            keypoint_ratios: vec![],
            contrasts: vec![],
            angle: None,
            groups: vec![],
            per_face: vec![],
            videos: vec![],
            predicted: vec![],
        }
    }

    const DEFAULT: Reading = Reading { compat: false, published: false };

    #[test]
    fn third_party_figures_are_held_to_the_same_weights_on_the_same_faces_alone() {
        let targets = Targets::read().unwrap();
        let target = targets.target.iter().find(|t| t.published_weights && t.metric == Metric::Nme).unwrap();
        assert_eq!((target.set.as_str(), target.faces), ("300w", Some(688)));
        let verdict = |nme: f64, faces: usize, reading: Reading| {
            let mut scores = scores(nme / 100.0, 0.0, 0.0);
            scores.figures[0].faces = faces;
            let set = SetOutcome { key: "300w".into(), ..wflw(vec![scores], None) };
            let cell = cell(&targets, target, &set, reading);
            (cell.verdict, cell.remark)
        };
        let compat = Reading { compat: true, published: true };
        let (verdict_of, value) = (|v: (Verdict, String)| v.0, target.value);
        assert_eq!(verdict_of(verdict(value, 688, compat)), Verdict::Reached);
        assert_eq!(verdict_of(verdict(value - 0.01, 688, compat)), Verdict::Missed);
        // Better weights of one's own are no miss.
        assert_eq!(
            verdict_of(verdict(value - 0.01, 688, Reading { published: false, ..compat })),
            Verdict::Reached
        );
        let (other, why) = verdict(value, 689, compat);
        assert!(other == Verdict::NotMeasured && why.contains("689 faces"), "{why}");
        let (other, why) = verdict(value, 688, DEFAULT);
        assert!(other == Verdict::NotMeasured && why.contains("--compat reference"), "{why}");
    }

    fn wflw(runs: Vec<Scores>, reason: Option<&str>) -> SetOutcome {
        SetOutcome {
            key: "wflw".into(),
            name: "WFLW".into(),
            reason: reason.map(str::to_string),
            faces: Some(2500),
            published: Some(2500),
            notes: vec![],
            stability: None,
            runs: BTreeMap::from([("star".to_string(), runs)]),
        }
    }

    fn verdicts(set: SetOutcome) -> Vec<(Verdict, String)> {
        let targets = Targets::read().unwrap();
        let of = targets.target.iter().filter(|target| target.set == "wflw");
        of.map(|target| cell(&targets, target, &set, DEFAULT))
            .map(|cell| (cell.verdict, cell.remark))
            .collect()
    }

    #[test]
    fn better_than_the_paper_is_no_miss_and_worse_by_more_than_the_tolerance_is() {
        let at = |nme, fr, auc| {
            let found = verdicts(wflw(vec![scores(nme, fr, auc)], None));
            found.into_iter().map(|(verdict, _)| verdict).collect::<Vec<_>>()
        };
        use Verdict::{Missed, NotMeasured, Reached};
        // NME, failure rate, area; the training without attention was not done.
        assert_eq!(at(0.0406, 0.0232, 0.611), [Reached, Reached, Reached, NotMeasured]);
        assert_eq!(at(0.0390, 0.0100, 0.650), [Reached, Reached, Reached, NotMeasured]);
        assert_eq!(at(0.0408, 0.0300, 0.590), [Missed, Missed, Missed, NotMeasured]);
    }

    #[test]
    fn published_weights_that_are_better_than_published_are_a_miss() {
        let targets = Targets::read().unwrap();
        let target = targets.target.iter().find(|t| t.set == "wflw" && t.metric == Metric::Nme).unwrap();
        let of = |nme: f64, published: bool| {
            let reading = Reading { compat: false, published };
            let found = cell(&targets, target, &wflw(vec![scores(nme, 0.02, 0.6)], None), reading);
            (found.verdict, found.remark.contains("better than the same weights"))
        };
        assert_eq!(of(0.0300, true), (Verdict::Missed, true));
        assert_eq!(of(0.0300, false), (Verdict::Reached, false));
        assert_eq!(of(0.0400, true), (Verdict::Reached, false));
    }

    #[test]
    fn cells_without_a_known_figure_are_there_with_ours_or_with_why_not() {
        let targets = Targets::read().unwrap();
        let cells = without_target(&targets, &wflw(vec![scores(0.04, 0.02, 0.6)], None));
        // NME, failure rate and area of six subsets; those of all faces have targets.
        assert_eq!(cells.len(), 6 * 3, "{cells:?}");
        assert!(
            cells.iter().all(|cell| cell.paper.is_none() && cell.remark.contains("not among the scores"))
        );
        let mut video = wflw(vec![scores(0.05, 0.25, 0.4)], None);
        (video.key, video.name) = ("300vw".into(), "300VW".into());
        let cells = without_target(&targets, &video);
        let all = cells.iter().find(|cell| cell.subset == "full" && cell.what == "NME %").unwrap();
        assert_eq!((all.ours, all.verdict), (Some(5.0), Verdict::NoTarget));
        let none = without_target(&targets, &wflw(vec![], Some("WFLW is not there")));
        assert!(none.iter().all(|cell| cell.ours.is_none() && cell.remark.contains("not there")));
    }

    #[test]
    fn what_was_not_measured_says_why_and_seeds_give_an_interval() {
        let none = verdicts(wflw(vec![], Some("WFLW is not there")));
        assert!(none.iter().all(|(v, why)| *v == Verdict::NotMeasured && why.contains("not there")));
        let targets = Targets::read().unwrap();
        let target = targets.target.iter().find(|target| target.set == "wflw").unwrap();
        let two = wflw(vec![scores(0.0400, 0.0, 0.6), scores(0.0404, 0.0, 0.6)], None);
        let found = cell(&targets, target, &two, DEFAULT);
        assert!((found.ours.unwrap() - 4.02).abs() < 1e-9 && found.interval.is_some());
    }
}
