//! The report of a run on photographs: every table and kind of figure of the paper has its place, filled or explained.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use star_data::formats::Compat;
use star_model::StackedHourglassConfig;
use star_model::checkpoint::Architecture;

use super::RealOutcome;
use super::outcome::{Cell, Scores, SetOutcome, Verdict};
use super::sets::RealSet;
use crate::args::Origin;
use crate::document::{Document, Figure, Section};
use crate::targets::{Leader, Targets};
use crate::variant::Variant;

/// What stands where there is no figure.
const NONE: &str = "not available";

/// The report.
///
/// # Errors
/// Never in practice: the schemes are built in.
pub(crate) fn document(outcome: &RealOutcome<'_>, targets: &Targets) -> Result<Document> {
    let plan = outcome.plan;
    let mut lead = vec![match plan.from {
        Origin::Weights => format!(
            "{}, scored on {}.",
            if plan.weights.is_empty() {
                "Published weights"
            } else {
                "Weights as given by --weights, or published"
            },
            match plan.compat {
                Compat::Reference =>
                    "the test splits as the reference reads them, as far as the files below tell how",
                Compat::None => "every row of the test splits",
            }
        ),
        Origin::Scratch => format!(
            "Trained from scratch by the published recipe, {} seed{}; the best epoch was chosen on {}.",
            plan.seeds,
            if plan.seeds == 1 { "" } else { "s" },
            match plan.compat {
                Compat::Reference => "the test set, as the reference does",
                Compat::None => "training faces that were held out",
            }
        ),
    }];
    lead.push(
        "NME is in % of the normalizer, FR and AUC are at the threshold named. Areas are integrated as the reference does.".to_string(),
    );
    let mut warnings = Vec::new();
    if plan.compat == Compat::Reference {
        warnings.push(
            "compat reference: the first row of a TSV file is dropped, COFW's points stay 1-based, labels are clamped to the crop, and \
             the best epoch of a training is chosen on the test set."
                .to_string(),
        );
    }
    if let Some(overrides) = &plan.overrides {
        warnings.push(format!(
            "These are not the published recipe's trainings: settings were overridden ({}).",
            overrides.to_string().trim().replace('\n', "; ")
        ));
    }
    let mut sections = vec![
        verdicts(outcome, targets),
        network(targets)?,
        leaders(outcome, targets),
        subsets(outcome, targets),
    ];
    for set in &outcome.sets {
        sections.push(kinds(set)?);
    }
    sections.push(ablations(outcome));
    Ok(Document { title: format!("STAR on photographs: {}", plan.profile.name()), lead, warnings, sections })
}

fn verdicts(outcome: &RealOutcome<'_>, targets: &Targets) -> Section {
    let mut section = Section::new("verdicts", "Paper and ours");
    let (open, known): (Vec<&Cell>, Vec<&Cell>) =
        outcome.cells.iter().partition(|cell| cell.verdict == Verdict::NoTarget);
    let missed = known.iter().filter(|cell| cell.verdict == Verdict::Missed).count();
    let measured = known.iter().filter(|cell| cell.verdict != Verdict::NotMeasured).count();
    section.text(format!(
        "{measured} of {} cells with a known target are measured; {missed} miss it.",
        known.len()
    ));
    section.table(
        &[
            "data set",
            "subset",
            "normalizer",
            "figure",
            "paper",
            "re-run",
            "ours",
            "difference",
            "tolerance",
            "verdict",
            "source",
        ],
        known.into_iter().map(row).collect(),
    );
    if !open.is_empty() {
        section.heading("Cells whose figure in the paper is not known");
        section.table(
            &["data set", "subset", "normalizer", "figure", "paper", "ours", "remark"],
            open.into_iter().map(open_row).collect(),
        );
    }
    for set in &outcome.sets {
        let mut about = match &set.reason {
            Some(reason) => vec![reason.clone()],
            None => vec![match (set.faces, set.published) {
                (None, _) => "not looked at in this run".to_string(),
                (Some(faces), Some(published)) if published != faces => {
                    format!("{faces} test faces, {published} were published")
                }
                (Some(faces), _) => format!("{faces} test faces"),
            }],
        };
        about.extend(set.notes.clone());
        section.text(format!("{}: {}.", set.name, about.join("; ")));
    }
    let keys: Vec<&str> = outcome.sets.iter().map(|set| set.key.as_str()).collect();
    let unknown = targets.unknown.iter().filter(|unknown| keys.contains(&unknown.set.as_str()));
    for unknown in unknown {
        section.text(format!("Not available: {}.", unknown.what));
    }
    section
}

/// Ours, with its interval over seeds.
fn measured(cell: &Cell) -> String {
    let number = |value: f64| format!("{value:.0$}", cell.digits);
    match (cell.ours, cell.interval) {
        (Some(ours), Some(i)) => format!("{} ({} to {})", number(ours), number(i.low), number(i.high)),
        (Some(ours), None) => number(ours),
        (None, _) => String::new(),
    }
}

fn row(cell: &Cell) -> Vec<String> {
    let digits = cell.digits;
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.digits$}"));
    let verdict = match cell.verdict {
        Verdict::Reached => "reached",
        Verdict::Missed => "missed",
        Verdict::NotMeasured => "not measured",
        Verdict::NoTarget => NONE,
    };
    let difference = cell.ours.zip(cell.paper).map(|(ours, paper)| format!("{:+.digits$}", ours - paper));
    vec![
        cell.set.clone(),
        cell.subset.clone(),
        cell.normalizer.clone(),
        cell.what.clone(),
        number(cell.paper),
        number(cell.rerun),
        measured(cell),
        difference.unwrap_or_default(),
        number(cell.tolerance),
        if cell.remark.is_empty() { verdict.to_string() } else { format!("{verdict}: {}", cell.remark) },
        cell.source.clone(),
    ]
}

fn open_row(cell: &Cell) -> Vec<String> {
    let place = [&cell.set, &cell.subset, &cell.normalizer, &cell.what].map(String::clone);
    place.into_iter().chain([NONE.to_string(), measured(cell), cell.remark.clone()]).collect()
}

fn network(targets: &Targets) -> Result<Section> {
    let mut section = Section::new("network", "Size of the network");
    section.text(
        "Parameters and multiply-accumulates of convolutions at 256 px, counted from the shapes of the network that is executed; no \
         data is needed. The paper prints 13.37 million.",
    );
    section.table(&SIZES, sizes(targets)?);
    Ok(section)
}

/// Columns of [`sizes`].
pub(crate) const SIZES: [&str; 7] =
    ["data set", "keypoints", "parameters, million", "known", "GMAC", "known", "verdict"];

/// Ours beside what is known of the network's size.
pub(crate) fn sizes(targets: &Targets) -> Result<Vec<Vec<String>>> {
    let mut rows = Vec::new();
    for known in &targets.network {
        let Some(set) = RealSet::of(crate::args::Profile::All).into_iter().find(|set| set.key == known.set)
        else {
            continue;
        };
        let scheme = set.scheme()?;
        let config = StackedHourglassConfig::reference(scheme.keypoints, scheme.edge_points());
        let stages = Architecture::StackedHourglass(config).costs()?;
        let parameters = stages.iter().map(|stage| stage.parameters).sum::<usize>() as f64 / 1e6;
        let gmac = stages.iter().map(|stage| stage.macs).sum::<u64>() as f64 / 1e9;
        // What is known has two digits.
        let same = (parameters - known.parameters).abs() < 0.006 && (gmac - known.gmac).abs() < 0.006;
        rows.push(vec![
            set.name.to_string(),
            known.keypoints.to_string(),
            format!("{parameters:.3}"),
            format!("{:.2}", known.parameters),
            format!("{gmac:.3}"),
            format!("{:.2}", known.gmac),
            if same { "same to 0.006".to_string() } else { "differs".to_string() },
        ]);
    }
    Ok(rows)
}

/// Our figure, mean over seeds.
fn ours(outcome: &RealOutcome<'_>, key: &str, figure: impl Fn(&Scores) -> Option<f64>) -> Option<f64> {
    let set = outcome.sets.iter().find(|set| set.key == key)?;
    let values: Vec<f64> = set.runs.get(&Variant::star().slug)?.iter().filter_map(figure).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn nme(scores: &Scores, subset: &str, normalizer: &str) -> Option<f64> {
    scores.figure(subset, normalizer)?.nme.map(|nme| 100.0 * nme)
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_string(), |value| format!("{value:.digits$}"))
}

fn leaders(outcome: &RealOutcome<'_>, targets: &Targets) -> Section {
    let mut section = Section::new("leaders", "Among others");
    section.text(
        "What others printed, for orientation; - is not known or not measured. 300W and WFLW inter-ocular, COFW inter-pupil. The paper's \
         margin over the best before it is 0.06 points of NME and 0.28 of FR@0.10 on WFLW, and about 0.2 of NME on the challenging subset \
         of 300W (its abstract page says 300VW).",
    );
    let head = [
        "method",
        "backbone",
        "parameters M",
        "WFLW NME",
        "FR@0.10",
        "AUC@0.10",
        "COFW NME",
        "300W full",
        "common",
        "challenging",
    ];
    let line = |leader: &Leader| {
        let at = |list: &[f64], i: usize| list.get(i).copied();
        vec![
            if leader.later {
                format!("{} (later than the paper)", leader.method)
            } else {
                leader.method.clone()
            },
            leader.backbone.clone().unwrap_or_else(|| "-".into()),
            cell(leader.parameters, 2),
            cell(at(&leader.wflw, 0), 2),
            cell(at(&leader.wflw, 1), 2),
            cell(at(&leader.wflw, 2), 3),
            cell(leader.cofw, 2),
            cell(at(&leader.face300w, 0), 2),
            cell(at(&leader.face300w, 1), 2),
            cell(at(&leader.face300w, 2), 2),
        ]
    };
    let threshold = |i: usize| {
        ours(outcome, "wflw", |s| s.figure("full", "inter-ocular")?.thresholds.first().map(|at| at[i]))
    };
    let of_300w = |subset: &'static str| ours(outcome, "300w", |s| nme(s, subset, "inter-ocular"));
    let star = || {
        let runs = outcome.sets.iter().filter_map(|set| set.runs.get(&Variant::star().slug)?.first());
        runs.collect::<Vec<&Scores>>()
    };
    let distinct = |values: BTreeSet<String>| {
        if values.is_empty() { "-".to_string() } else { Vec::from_iter(values).join(", ") }
    };
    // The kind alone: numbers of stacks and sizes are in the settings.
    let kind = |scores: &Scores| scores.network.split(',').next().unwrap_or_default().to_string();
    let mut rows = vec![vec![
        "ours".to_string(),
        distinct(star().into_iter().map(kind).collect()),
        distinct(star().into_iter().map(|scores| format!("{:.2}", scores.parameters)).collect()),
        cell(ours(outcome, "wflw", |s| nme(s, "full", "inter-ocular")), 2),
        cell(threshold(1).map(|fr| 100.0 * fr), 2),
        cell(threshold(3), 3),
        cell(ours(outcome, "cofw", |s| nme(s, "full", "inter-pupil")), 2),
        cell(of_300w("full"), 2),
        cell(of_300w("common"), 2),
        cell(of_300w("challenging"), 2),
    ]];
    rows.extend(targets.leader.iter().map(line));
    section.table(&head, rows);
    section
}

fn subsets(outcome: &RealOutcome<'_>, targets: &Targets) -> Section {
    let mut section = Section::new("subsets", "Subsets");
    for set in &outcome.sets {
        let Some(real) = RealSet::named(&set.key) else { continue };
        if real.subsets.is_empty() {
            continue;
        }
        section.heading(set.name.clone());
        let mut head = vec!["method", "full"];
        head.extend(real.subsets);
        let normalizer = real.normalizer;
        let mut mine = vec![format!("ours, NME % {normalizer}")];
        for subset in std::iter::once(&"full").chain(real.subsets) {
            mine.push(cell(ours(outcome, &set.key, |s| nme(s, subset, normalizer)), 2));
        }
        let mut rows = vec![mine];
        let paper = |subset: &str| {
            let known = outcome.cells.iter().find(|cell| {
                let place = cell.set == set.name && cell.subset == subset && cell.normalizer == normalizer;
                place && cell.what == "NME %" && cell.digits == 2
            });
            known.and_then(|cell| cell.paper).map_or(NONE.to_string(), |paper| format!("{paper:.2}"))
        };
        let all = std::iter::once(&"full").chain(real.subsets);
        rows.push(
            std::iter::once("STAR (paper)".to_string()).chain(all.map(|subset| paper(subset))).collect(),
        );
        if set.key == "wflw" {
            for leader in targets.leader.iter().filter(|leader| !leader.subsets.is_empty()) {
                let figures =
                    leader.wflw.iter().take(1).chain(&leader.subsets).map(|value| format!("{value:.2}"));
                rows.push(std::iter::once(leader.method.clone()).chain(figures).collect());
            }
        }
        section.table(&head, rows);
        if let Some(reason) = &set.reason {
            section.text(format!("{}: no figures of ours: {reason}.", set.name));
        }
    }
    section
}

/// The kinds of figures of one set.
fn kinds(set: &SetOutcome) -> Result<Section> {
    let mut section = Section::new("kinds", format!("{}: the paper's kinds of figures", set.name));
    let runs = set.runs.get(&Variant::star().slug).map(Vec::as_slice).unwrap_or_default();
    let Some(first) = runs.first() else {
        let reason = set.reason.clone().unwrap_or_else(|| "not scored".to_string());
        section.text(format!("Kinds 1 to 5 and error curves: {reason}."));
        return Ok(section);
    };
    let place = format!("{} test, full", set.name);
    section.text(format!(
        "Of the first network ({}). The paper's values are {NONE}. Mean angle of the long axis to the curve through its keypoint: {}.",
        first.weights,
        first.angle.map_or("no elongated distribution".to_string(), |angle| format!("{angle:.1} degrees (45 by chance)"))
    ));
    if first.keypoint_ratios.is_empty() {
        section.text("Kinds 1 to 3: no distribution could be measured.");
    } else {
        section.figure(
            format!("Eigenvalue ratio of each keypoint (kind 1): {place}."),
            Figure::Bars { axes: ["keypoint", "eigenvalue ratio"], values: first.keypoint_ratios.clone() },
        );
        let rows = first.contrasts.iter().map(|(name, ratio, count)| {
            vec![name.clone(), count.to_string(), ratio.map_or("none".to_string(), |r| format!("{r:.2}"))]
        });
        section.heading("Eye corners against the contour (kind 2), easy against hard faces (kind 3)");
        if set.key == "cofw" {
            section.text("COFW's scheme has no contour: there is no kind 2.");
        }
        section.table(&["mean over", "number", "eigenvalue ratio"], rows.collect());
    }
    section.heading("Stability over trainings (kind 4)");
    match &set.stability {
        Some(spread) => section.figure(
            format!("Standard deviation of each keypoint over {} trainings: {place}.", runs.len()),
            Figure::Bars {
                axes: ["keypoint", "deviation, % of the normalizer"],
                values: spread.iter().map(|v| 100.0 * v).collect(),
            },
        ),
        None => section.text("Needs several trainings of one recipe: --from scratch --seeds 3."),
    }
    section.heading("Contour against the rest (kind 5)");
    let rows = first.groups.iter().map(|(name, nme)| vec![name.clone(), cell(nme.map(|nme| 100.0 * nme), 3)]);
    section.table(&["keypoints", "NME %"], rows.collect());
    let curves: Vec<(String, Vec<f64>)> = runs
        .iter()
        .map(|run| {
            let errors = run.per_face.iter().map(|nme| nme.unwrap_or(f64::INFINITY)).collect();
            (format!("{place}, seed {}", run.seed), errors)
        })
        .collect();
    section.figure(format!("Cumulative error: {place}."), Figure::Cumulative { curves, max: 0.15 });
    if !first.videos.is_empty() {
        section.heading("Stability over time");
        let rows = first
            .videos
            .iter()
            .map(|(name, frames, nmj)| vec![name.clone(), frames.to_string(), cell(*nmj, 2)]);
        section.table(&["videos", "frames", "NMJ"], rows.collect());
    }
    Ok(section)
}

fn ablations(outcome: &RealOutcome<'_>) -> Section {
    let mut section = Section::new("ablations", "Ablations");
    section.text("The paper's tables could not be recovered; only its figure without the attention branch is known (WFLW NME 4.29).");
    let tables = outcome.plan.ablations();
    if tables.is_empty() {
        section.text(
            "Distances, restrictions, attention, backbones and numbers of stacks are trained with --from scratch --ablations; on drawn \
             faces --thorough trains them.",
        );
    }
    if !tables.is_empty() {
        section.text(
            "NME in % of each set's own normalizer, mean over seeds; in brackets the difference to plain regression by the same distance with \
             the same change, paired by seed, with its interval where there are three seeds and more.",
        );
    }
    for table in &tables {
        section.heading(table.title.clone());
        let mut head = vec!["training".to_string()];
        head.extend(outcome.sets.iter().map(|set| format!("{} NME %", set.name)));
        let rows = table.variants.iter().map(|variant| {
            let partner = table.variants.iter().find(|other| variant.is_plain_of(other));
            let cells = outcome.sets.iter().map(|set| ablation(set, variant, partner));
            std::iter::once(variant.name.clone()).chain(cells).collect()
        });
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        section.table(&head, rows.collect());
    }
    section
}

/// A training on a set, beside the plain one.
fn ablation(set: &SetOutcome, variant: &Variant, plain: Option<&Variant>) -> String {
    // By seed; the first figure is that of the whole set under its own normalizer.
    let of = |variant: &Variant| -> BTreeMap<u64, f64> {
        let runs = set.runs.get(&variant.slug).map(Vec::as_slice).unwrap_or_default();
        runs.iter().filter_map(|run| Some((run.seed, 100.0 * run.figures.first()?.nme?))).collect()
    };
    let ours = of(variant);
    if ours.is_empty() {
        return set.reason.clone().unwrap_or_else(|| "not trained".to_string());
    }
    let mut text = format!("{:.2}", ours.values().sum::<f64>() / ours.len() as f64);
    let plain = plain.map(of).unwrap_or_default();
    let apart: Vec<f64> = ours.iter().filter_map(|(seed, nme)| Some(nme - plain.get(seed)?)).collect();
    if !apart.is_empty() {
        let mean = apart.iter().sum::<f64>() / apart.len() as f64;
        text += &match star_eval::runs::mean(&apart, 0.95).ok().filter(|_| apart.len() > 2) {
            Some(i) => format!(" [{mean:+.2}, {:+.2} to {:+.2}]", i.low, i.high),
            None => format!(" [{mean:+.2}]"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executed_network_has_the_known_size() {
        let rows = sizes(&Targets::read().unwrap()).unwrap();
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|row| row[6] == "same to 0.006"), "{rows:?}");
    }
}
