//! The paper's headline and what is measured of it here.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use star_data::formats::Compat;

use crate::args::Origin;
use crate::real::plan::RealPlan;
use crate::report;
use crate::targets::{Metric, Target, Targets};

/// The outcome of a run on published data sets, where somebody has made one and put its `report.json` there.
pub(super) const PUBLISHED: &str = "docs/results/photographs/report.json";

/// What a run on published data sets measured: as much of its report as the page needs.
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
            "{PUBLISHED}: is of trainings with other settings (--override), which are not the paper's; it is not for the front page"
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

/// A row of the table: NME in per cent, and what else is known.
#[derive(Serialize)]
struct Row {
    name: String,
    wflw: Wflw,
    cofw: Option<f64>,
    /// Full, common, challenging.
    face300w: [Option<f64>; 3],
}

#[derive(Serialize)]
struct Wflw {
    nme: Option<f64>,
    fr: Option<f64>,
    auc: Option<f64>,
}

impl Row {
    /// A figure for each of the paper's.
    fn new(targets: &Targets, name: &str, figure: impl Fn(&Target) -> Option<f64>) -> Self {
        let find = |set: &str, subset: &str, normalizer: &str, metric: Metric| {
            let mut of_paper = targets.target.iter().filter(|t| !t.published_weights && t.variant.is_none());
            let found = of_paper.find(|t| {
                [&t.set, &t.subset, &t.normalizer] == [set, subset, normalizer] && t.metric == metric
            });
            found.and_then(&figure)
        };
        let wflw = |metric| find("wflw", "full", "inter-ocular", metric);
        Self {
            name: name.to_string(),
            wflw: Wflw { nme: wflw(Metric::Nme), fr: wflw(Metric::Fr), auc: wflw(Metric::Auc) },
            cofw: find("cofw", "full", "inter-pupil", Metric::Nme),
            face300w: ["full", "common", "challenging"]
                .map(|subset| find("300w", subset, "inter-ocular", Metric::Nme)),
        }
    }
}

/// The table, with the report of a run on published data sets where there is one.
///
/// # Errors
/// When the report cannot be read, or is of settings that are not the paper's.
pub(super) fn table(published: Option<&str>) -> Result<String> {
    let targets = Targets::read()?;
    let measured: Option<Measured> =
        published.map(|text| serde_json::from_str(text).context(PUBLISHED)).transpose()?;
    rows(&targets, measured.as_ref())
}

fn rows(targets: &Targets, measured: Option<&Measured>) -> Result<String> {
    let ours = measured.map_or(Ok("ours".to_string()), Measured::name)?;
    let rows = [
        Row::new(targets, "paper", |target| Some(target.value)),
        Row::new(targets, &ours, |target| measured?.of(target)),
    ];
    report::text("front_page/paper.md", &serde_json::json!({"rows": rows}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_the_papers_ours_or_not_yet_measured() {
        let targets = Targets::read().unwrap();
        let none = rows(&targets, None).unwrap();
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
        let some = rows(&targets, Some(&report("null"))).unwrap();
        assert!(some.contains("| 2.88 / not yet measured / not yet measured |"), "{some}");
        assert!(some.contains("| ours (published weights, --compat reference) |"), "{some}");
        let other = rows(&targets, Some(&report(r#"{"epochs": 1}"#))).unwrap_err().to_string();
        assert!(other.contains("--override"), "{other}");
    }
}
