//! Figures by their place in the tables.

use star_eval::Interval;

use crate::real::scores::Scores;
use crate::targets::{Metric, Target};

/// Subset, normalizer, figure and threshold of a cell.
pub(super) type Place<'a> = (&'a str, &'a str, Metric, Option<f64>);

/// Mean over seeds, and its interval where there are several.
pub(super) fn over_seeds(values: &[f64]) -> (Option<f64>, Option<Interval>) {
    let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    (mean, star_eval::runs::mean(values, 0.95).ok())
}

/// A score in the paper's unit.
pub(super) fn value(target: &Target, scores: &Scores) -> Option<f64> {
    measure(scores, (&target.subset, &target.normalizer, target.metric, target.threshold))
}

/// Likewise, by its place.
pub(super) fn measure(scores: &Scores, (subset, normalizer, metric, threshold): Place<'_>) -> Option<f64> {
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
