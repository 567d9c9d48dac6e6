//! A cell whose figure in the paper is known, held to it.

use super::measure::{over_seeds, value};
use super::{Cell, NOT_AMONG_SCORES, Reading, Verdict, variant_of};
use crate::real::scores::SetOutcome;
use crate::targets::{Metric, Target, Targets};

/// The target beside what was measured in `set`.
pub(super) fn cell(targets: &Targets, target: &Target, set: &SetOutcome, reading: Reading) -> Cell {
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
