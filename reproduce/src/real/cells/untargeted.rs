//! The cells whose figures in the paper are not known.

use super::measure::{Place, measure, over_seeds};
use super::{Cell, NOT_AMONG_SCORES, Verdict};
use crate::real::scores::{Scores, SetOutcome};
use crate::real::sets::RealSet;
use crate::targets::{Metric, Targets};

/// The cells of a set whose figures in the paper are not known: those of its subsets under its own normalizer, and whatever else was measured.
pub(super) fn without_target(targets: &Targets, set: &SetOutcome) -> Vec<Cell> {
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
