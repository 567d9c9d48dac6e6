//! The tables of the front page, made of committed results: `cargo xtask front-page` writes them, a test fails when they drift apart.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use star_data::formats::Compat;
use star_data::synthetic::Subject;

use super::args::Origin;
use super::document::markdown_table;
use super::offline;
use super::offline::outcome::Outcome;
use super::offline::phrase::{difference, probability};
use super::offline::words::dose_sentence;
use super::offline::{ablation, control};
use super::overhead::Overhead;
use super::place;
use super::real::plan::RealPlan;
use super::targets::{Metric, Target, Targets};

/// The page.
const PAGE: &str = "README.md";
/// The committed outcome of the thorough offline run.
pub(crate) const RESULTS: &str = "docs/results/offline/report.json";
/// The same in words, made of it.
const WORDS: &str = "docs/results/offline/report.md";
/// The outcome of a run on photographs, where somebody has made one and put its `report.json` there.
const PHOTOGRAPHS: &str = "docs/results/photographs/report.json";
/// What a step costs, where it was measured.
const OVERHEAD: &str = "docs/results/offline/overhead.json";
/// The marks between which a table stands.
const PAPER: [&str; 2] = ["<!-- paper: cargo xtask front-page -->", "<!-- end of paper -->"];
/// Likewise.
const OFFLINE: [&str; 2] = ["<!-- offline: cargo xtask front-page -->", "<!-- end of offline -->"];

/// Rewrites the tables of the front page, and the committed report in words.
///
/// # Errors
/// When the page has no marks, or the results cannot be read.
pub(crate) fn run() -> Result<()> {
    let page = current()?;
    star_predict::files::write_atomic(&place::root().join(PAGE), page.as_bytes())?;
    star_predict::files::write_atomic(&place::root().join(WORDS), words()?.as_bytes())
}

/// The page as it should be.
fn current() -> Result<String> {
    let photographs = place::root().join(PHOTOGRAPHS).is_file();
    let photographs = photographs.then(|| place::read(PHOTOGRAPHS)).transpose()?;
    filled(&place::read(PAGE)?, &place::read(RESULTS)?, photographs.as_deref())
}

/// The committed report in words, as it should be.
fn words() -> Result<String> {
    let outcome: Outcome = serde_json::from_str(&place::read(RESULTS)?).context(RESULTS)?;
    let overhead: Option<Overhead> = match place::root().join(OVERHEAD).is_file() {
        true => Some(serde_json::from_str(&place::read(OVERHEAD)?).context(OVERHEAD)?),
        false => None,
    };
    Ok(offline::report(&outcome, overhead.as_ref())?.to_markdown())
}

/// The page with its tables as they should be.
fn filled(page: &str, results: &str, photographs: Option<&str>) -> Result<String> {
    let outcome: Outcome = serde_json::from_str(results).context(RESULTS)?;
    let measured: Option<Measured> =
        photographs.map(|text| serde_json::from_str(text).context(PHOTOGRAPHS)).transpose()?;
    let page = replaced(page, PAPER, &paper(&Targets::read()?, measured.as_ref())?)?;
    replaced(&page, OFFLINE, &drawn(&outcome))
}

fn replaced(page: &str, [begin, end]: [&str; 2], text: &str) -> Result<String> {
    let start =
        page.find(begin).with_context(|| format!("{PAGE}: the mark `{begin}` is missing"))? + begin.len();
    let stop = page.find(end).with_context(|| format!("{PAGE}: the mark `{end}` is missing"))?;
    ensure!(start <= stop, "{PAGE}: `{end}` stands before `{begin}`");
    Ok(format!("{}\n{text}{}", &page[..start], &page[stop..]))
}

/// What a run on photographs measured: as much of its report as the page needs.
#[derive(Deserialize)]
struct Measured {
    plan: RealPlan,
    cells: Vec<Cell>,
}

impl Measured {
    /// What must be known of the figures, in short.
    ///
    /// # Errors
    /// When they are of no recipe of the paper's.
    fn name(&self) -> Result<String> {
        let RealPlan { from, seeds, compat, overrides, weights, .. } = &self.plan;
        ensure!(
            overrides.is_none(),
            "{PHOTOGRAPHS}: is of trainings with other settings (--override), which are not the paper's; it is not for the front page"
        );
        let origin = match from {
            Origin::Weights if weights.is_empty() => "published weights".to_string(),
            Origin::Weights => {
                let own: Vec<&str> = weights.iter().map(|(set, _)| set.as_str()).collect();
                format!("published weights, own for {}", own.join(" and "))
            }
            Origin::Scratch => format!("from scratch, {seeds} seed{}", if *seeds == 1 { "" } else { "s" }),
        };
        Ok(match compat {
            Compat::None => format!("ours ({origin})"),
            Compat::Reference => format!("ours ({origin}, --compat reference)"),
        })
    }

    /// The measured figure of a target.
    fn of(&self, target: &Target) -> Option<f64> {
        let found = self.cells.iter().find(|cell| {
            let place = cell.set.to_lowercase() == target.set && cell.subset == target.subset;
            // Third-party figures of the same name have more digits.
            place
                && cell.normalizer == target.normalizer
                && cell.what == target.what()
                && cell.digits == target.digits()
        });
        found?.ours
    }
}

/// A cell of it.
#[derive(Deserialize)]
struct Cell {
    set: String,
    subset: String,
    normalizer: String,
    what: String,
    digits: usize,
    ours: Option<f64>,
}

/// The paper's headline and what is measured of it here.
fn paper(targets: &Targets, measured: Option<&Measured>) -> Result<String> {
    let ours = measured.map_or(Ok("ours".to_string()), Measured::name)?;
    let rows = [
        line(targets, "paper", |target| Some(target.value)),
        line(targets, &ours, |target| measured?.of(target)),
    ];
    let head = [
        "NME %",
        "WFLW full (inter-ocular)",
        "COFW (inter-pupil)",
        "300W full / common / challenging (inter-ocular)",
    ];
    Ok(markdown_table(&head.map(str::to_string), &rows))
}

/// A figure for each of the paper's.
fn line(targets: &Targets, name: &str, figure: impl Fn(&Target) -> Option<f64>) -> Vec<String> {
    let find = |set: &str, subset: &str, normalizer: &str, metric: Metric| {
        let found = targets.target.iter().find(|t| {
            let plain = !t.published_weights && t.variant.is_none();
            plain && t.set == set && t.subset == subset && t.normalizer == normalizer && t.metric == metric
        });
        let value = found.and_then(|t| Some(format!("{:.1$}", figure(t)?, t.digits())));
        value.unwrap_or_else(|| "not yet measured".to_string())
    };
    let wflw = |metric| find("wflw", "full", "inter-ocular", metric);
    let of_300w =
        ["full", "common", "challenging"].map(|subset| find("300w", subset, "inter-ocular", Metric::Nme));
    let wflw = match wflw(Metric::Nme) {
        none if none.starts_with("not") => none,
        nme => format!("{nme}, FR@0.10 {} %, AUC@0.10 {}", wflw(Metric::Fr), wflw(Metric::Auc)),
    };
    let of_300w = if of_300w.iter().all(|cell| *cell == of_300w[0] && cell.starts_with("not")) {
        of_300w[0].clone()
    } else {
        of_300w.join(" / ")
    };
    vec![name.to_string(), wflw, find("cofw", "full", "inter-pupil", Metric::Nme), of_300w]
}

/// The comparison on drawn pictures.
fn drawn(outcome: &Outcome) -> String {
    let head = [
        "drawn pictures, exact truth",
        "strength of label noise",
        "paired seeds",
        "smooth-L1 NME %",
        "STAR NME %",
        "difference, 95 %",
        "p by Holm",
        "FR@0.10, difference",
        "says",
    ]
    .map(str::to_string);
    let rows: Vec<Vec<String>> = outcome
        .gains
        .iter()
        .map(|gain| {
            let (subject, normalizer) = match gain.subject {
                Subject::Face => ("faces", "inter-ocular"),
                Subject::Hand => ("hands", "palm length"),
            };
            vec![
                format!("{subject} ({normalizer})"),
                gain.strength.to_string(),
                gain.seeds.to_string(),
                format!("{:.2}", 100.0 * gain.plain.nme),
                format!("{:.2}", 100.0 * gain.star.nme),
                difference(gain.nme, 100.0, 2),
                gain.nme_p_holm.map_or("-".into(), probability),
                difference(gain.failure_rate, 100.0, 1),
                gain.verdict().to_string(),
            ]
        })
        .collect();
    let mut text = markdown_table(&head, &rows);
    text += &format!(
        "\nVerdicts are of t-tests over seeds, corrected by Holm for these {} comparisons; intervals, and what stands below, are not \
         corrected.\n",
        rows.len()
    );
    if let [done, planned] = outcome.trainings
        && done < planned
    {
        text += &format!("\nNot finished: {done} of {planned} trainings are done.\n");
    }
    for said in outcome
        .doses
        .iter()
        .map(|dose| dose_sentence(outcome, dose))
        .chain(control::sentences(&outcome.controls))
        .chain(ablation::sentences(&outcome.ablations))
    {
        text += &format!("\n- {said}");
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_page_shows_the_committed_results() {
        let page = place::read(PAGE).unwrap();
        let wanted = current().unwrap();
        assert!(page == wanted, "README.md and {RESULTS} drift apart: run cargo xtask front-page");
        let results = place::read(RESULTS).unwrap();
        let outcome: Outcome = serde_json::from_str(&results).unwrap();
        assert!(
            serde_json::to_string(&outcome).unwrap() == results.trim_end(),
            "{RESULTS} is not what this version of the program writes"
        );
        assert_eq!(outcome.trainings[0], outcome.trainings[1], "{RESULTS} is of an unfinished run");
        let told = words().unwrap();
        assert!(
            place::read(WORDS).unwrap() == told,
            "{WORDS} and {RESULTS} drift apart: run cargo xtask front-page"
        );
    }

    #[test]
    fn a_page_without_marks_is_refused_and_the_rest_is_kept() {
        assert!(replaced("nothing", PAPER, "t").unwrap_err().to_string().contains("mark"));
        let page = format!("before\n{}\nold\n{}\nafter", PAPER[0], PAPER[1]);
        let new = replaced(&page, PAPER, "new\n").unwrap();
        assert_eq!(new, format!("before\n{}\nnew\n{}\nafter", PAPER[0], PAPER[1]));
        let targets = Targets::read().unwrap();
        let none = paper(&targets, None).unwrap();
        assert!(none.contains("4.02, FR@0.10 2.32 %, AUC@0.10 0.605"), "{none}");
        assert!(none.contains("| ours | not yet measured | not yet measured | not yet measured |"), "{none}");
        // The cell of a report as the program writes it; a third party's of the same name is another.
        let report = |plan: &str| {
            let text = format!(
                r#"{{"plan": {{"profile": "300w", "from": "weights", "data": "d", "weights": [], "seeds": 1, "compat": "reference",
                "device": "cpu", "ablations": false, "overrides": {plan}}}, "cells": [
                {{"set": "300W", "subset": "full", "normalizer": "inter-ocular", "what": "NME %", "digits": 4, "ours": 2.8}},
                {{"set": "300W", "subset": "full", "normalizer": "inter-ocular", "what": "NME %", "digits": 2, "ours": 2.883}}
                ]}}"#
            );
            serde_json::from_str::<Measured>(&text).unwrap()
        };
        let some = paper(&targets, Some(&report("null"))).unwrap();
        assert!(some.contains("| 2.88 / not yet measured / not yet measured |"), "{some}");
        assert!(some.contains("| ours (published weights, --compat reference) |"), "{some}");
        let other = paper(&targets, Some(&report(r#"{"epochs": 1}"#))).unwrap_err().to_string();
        assert!(other.contains("--override"), "{other}");
    }
}
