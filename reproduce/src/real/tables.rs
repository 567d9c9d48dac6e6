//! The tables beside the paper's cells: other methods, subsets, ablations.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use star_eval::Interval;

use super::RealOutcome;
use super::scores::{Scores, SetOutcome};
use super::sets::RealSet;
use crate::targets::{Leader, Targets};
use crate::variant::Variant;
use crate::variant::tables::Ablation;

/// Our figure, mean over seeds.
fn ours(outcome: &RealOutcome<'_>, key: &str, figure: impl Fn(&Scores) -> Option<f64>) -> Option<f64> {
    let set = outcome.sets.iter().find(|set| set.key == key)?;
    let values: Vec<f64> = set.runs.get(&Variant::star().slug)?.iter().filter_map(figure).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn nme(scores: &Scores, subset: &str, normalizer: &str) -> Option<f64> {
    scores.figure(subset, normalizer)?.nme.map(|nme| 100.0 * nme)
}

/// A method with what it reached; `None` is not known or not measured.
#[derive(Serialize)]
pub(super) struct Method {
    method: String,
    later: bool,
    backbone: Option<String>,
    /// Millions; several where the sets' networks differ.
    parameters: Option<String>,
    /// NME, FR@0.10, AUC@0.10.
    wflw: [Option<f64>; 3],
    cofw: Option<f64>,
    /// Full, common, challenging.
    face300w: [Option<f64>; 3],
}

impl From<&Leader> for Method {
    fn from(leader: &Leader) -> Self {
        let at = |list: &[f64]| [0, 1, 2].map(|i| list.get(i).copied());
        Self {
            method: leader.method.clone(),
            later: leader.later,
            backbone: leader.backbone.clone(),
            parameters: leader.parameters.map(|parameters| format!("{parameters:.2}")),
            wflw: at(&leader.wflw),
            cofw: leader.cofw,
            face300w: at(&leader.face300w),
        }
    }
}

/// Ours, then the others.
pub(super) fn methods(outcome: &RealOutcome<'_>, targets: &Targets) -> Vec<Method> {
    let star = || outcome.sets.iter().filter_map(|set| set.runs.get(&Variant::star().slug)?.first());
    let distinct = |values: BTreeSet<String>| (!values.is_empty()).then(|| Vec::from_iter(values).join(", "));
    // The kind alone: numbers of stacks and sizes are in the settings.
    let kind = |scores: &Scores| scores.network.split(',').next().unwrap_or_default().to_string();
    let at = |i: usize| {
        ours(outcome, "wflw", |s| s.figure("full", "inter-ocular")?.thresholds.first().map(|at| at[i]))
    };
    let own = Method {
        method: "ours".to_string(),
        later: false,
        backbone: distinct(star().map(kind).collect()),
        parameters: distinct(star().map(|scores| format!("{:.2}", scores.parameters)).collect()),
        wflw: [ours(outcome, "wflw", |s| nme(s, "full", "inter-ocular")), at(1).map(|fr| 100.0 * fr), at(3)],
        cofw: ours(outcome, "cofw", |s| nme(s, "full", "inter-pupil")),
        face300w: ["full", "common", "challenging"]
            .map(|subset| ours(outcome, "300w", |s| nme(s, subset, "inter-ocular"))),
    };
    std::iter::once(own).chain(targets.leader.iter().map(Method::from)).collect()
}

/// A set's subsets, by method.
#[derive(Serialize)]
pub(super) struct Subsets {
    name: String,
    /// Why there are no figures of ours, where there are none.
    reason: Option<String>,
    subsets: Vec<&'static str>,
    rows: Vec<SubsetRow>,
}

#[derive(Serialize)]
struct SubsetRow {
    method: String,
    /// Of the whole set, then of each subset.
    nme: Vec<Option<f64>>,
    /// What stands where there is none.
    absent: &'static str,
}

/// Of every set that has some.
pub(super) fn subsets(outcome: &RealOutcome<'_>, targets: &Targets) -> Vec<Subsets> {
    let with_some = outcome.sets.iter().filter_map(|set| Some((set, RealSet::named(&set.key)?)));
    with_some
        .filter(|(_, real)| !real.subsets.is_empty())
        .map(|(set, real)| {
            let names = || std::iter::once(&"full").chain(real.subsets);
            let normalizer = real.normalizer;
            let mine =
                names().map(|subset| ours(outcome, &set.key, |s| nme(s, subset, normalizer))).collect();
            let paper = |subset: &str| {
                let is = |place: [&str; 4], digits| {
                    place == [set.name.as_str(), subset, normalizer, "NME %"] && digits == 2
                };
                let mut cells = outcome.cells.iter();
                cells.find(|c| is([&c.set, &c.subset, &c.normalizer, &c.what], c.digits))?.paper
            };
            let mut rows = vec![
                SubsetRow { method: format!("ours, NME % {normalizer}"), nme: mine, absent: "-" },
                SubsetRow {
                    method: "STAR (paper)".to_string(),
                    nme: names().map(|subset| paper(subset)).collect(),
                    absent: "not available",
                },
            ];
            if set.key == "wflw" {
                let known = targets.leader.iter().filter(|leader| !leader.subsets.is_empty());
                rows.extend(known.map(|leader| SubsetRow {
                    method: leader.method.clone(),
                    nme: leader.wflw.iter().take(1).chain(&leader.subsets).copied().map(Some).collect(),
                    absent: "-",
                }));
            }
            Subsets {
                name: set.name.clone(),
                reason: set.reason.clone(),
                subsets: real.subsets.to_vec(),
                rows,
            }
        })
        .collect()
}

/// A table of trainings on every set.
#[derive(Serialize)]
pub(super) struct AblationTable {
    title: String,
    rows: Vec<AblationRow>,
}

#[derive(Serialize)]
struct AblationRow {
    variant: String,
    /// One a set.
    cells: Vec<AblationCell>,
}

/// A training on a set, beside the plain one; NME in per cent.
#[derive(Default, Serialize)]
struct AblationCell {
    nme: Option<f64>,
    /// Mean difference to plain regression with the same change, paired by seed.
    minus_plain: Option<f64>,
    /// Its interval, from three seeds on.
    interval: Option<Interval>,
    /// Why there is no figure.
    remark: String,
}

/// The ablations of the plan.
pub(super) fn ablations(outcome: &RealOutcome<'_>) -> Vec<AblationTable> {
    let table = |table: Ablation| {
        let row = |variant: &Variant| {
            let partner = table.variants.iter().find(|other| variant.is_plain_of(other));
            let cells = outcome.sets.iter().map(|set| cell(set, variant, partner)).collect();
            AblationRow { variant: variant.name.clone(), cells }
        };
        AblationTable { title: table.title.clone(), rows: table.variants.iter().map(row).collect() }
    };
    outcome.plan.ablations().into_iter().map(table).collect()
}

fn cell(set: &SetOutcome, variant: &Variant, plain: Option<&Variant>) -> AblationCell {
    // By seed; the first figure is that of the whole set under its own normalizer.
    let of = |variant: &Variant| -> BTreeMap<u64, f64> {
        let runs = set.runs.get(&variant.slug).map(Vec::as_slice).unwrap_or_default();
        runs.iter().filter_map(|run| Some((run.seed, 100.0 * run.figures.first()?.nme?))).collect()
    };
    let mean =
        |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let ours = of(variant);
    let plain = plain.map(of).unwrap_or_default();
    let apart: Vec<f64> = ours.iter().filter_map(|(seed, nme)| Some(nme - plain.get(seed)?)).collect();
    AblationCell {
        nme: mean(&ours.values().copied().collect::<Vec<_>>()),
        minus_plain: mean(&apart),
        interval: star_eval::runs::mean(&apart, 0.95).ok().filter(|_| apart.len() > 2),
        remark: set.reason.clone().unwrap_or_else(|| "not trained".to_string()),
    }
}
