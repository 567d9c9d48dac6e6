//! Figures by subset or run, normalizer and threshold, and the error curves.

use super::table::{Table, images, with_interval};
use super::{escape, figure};
use crate::plot::{ced_sized, of_line};
use crate::report::markdown::{percent, threshold};
use crate::report::{AtThreshold, Report};
use crate::{Ced, Result};

/// Subsets drawn beside each other at most; more lines than that are indistinguishable.
const MOST_CURVES: usize = 7;

/// One table a normalizer.
pub(super) fn table(reports: &[Report]) -> Result<String> {
    let mut text = String::new();
    for of_one_normalizer in reports
        .chunk_by(|a, b| a.normalizer == b.normalizer && a.normalizer_definition == b.normalizer_definition)
    {
        let (heading, body) = (heading(&of_one_normalizer[0]), figures(of_one_normalizer));
        // The first normalizer's figures are what most readers came for; the others are a click away.
        text += &if text.is_empty() {
            format!("<h3>{heading}</h3>\n{body}")
        } else {
            format!("<details><summary>{heading}</summary>\n{body}</details>\n")
        };
    }
    Ok(text)
}

/// A row a subset; a row a figure where there are few subsets, which a phone shows whole.
fn figures(reports: &[Report]) -> String {
    if reports.len() <= MOST_COLUMNS {
        let subsets: Vec<(&str, &Report)> = reports.iter().map(|r| (r.subset.as_str(), r)).collect();
        return side_by_side(&subsets);
    }
    let mut errors = Table::new(&[&["subset"][..], &ERRORS].concat());
    let mut rates = Table::new(&[&["subset", "threshold"][..], &RATES.map(|(short, _)| short)].concat());
    for report in reports {
        errors.row(&report.subset, &errors_of(report));
        for at in &report.thresholds {
            let mut cells = vec![threshold(at.threshold_fraction)];
            cells.extend(rates_of(at));
            rates.row(&report.subset, &cells);
        }
    }
    errors.finish() + &rates.finish()
}

/// Subsets or runs that stand beside each other at most.
const MOST_COLUMNS: usize = 3;

const ERRORS: [&str; 6] = ["images", "NME %", "median %", "NMPE 90 %", "NMPE 95 %", "NMPE 99 %"];

/// Names of figures at a threshold: short ones for columns, and those for rows that also say of what they are.
const RATES: [(&str, &str); 4] = [
    ("FR %", "FR %, images above"),
    ("AUC", "AUC, up to"),
    ("AUC by Simpson's rule", "AUC by Simpson's rule, up to"),
    ("PCK %", "PCK %, keypoints within"),
];

/// A row a figure, a column a report under its name; so many tables that none is too wide.
pub(super) fn side_by_side(reports: &[(&str, &Report)]) -> String {
    let mut text = String::new();
    for beside in reports.chunks(MOST_COLUMNS) {
        let mut table = Table::new(
            &std::iter::once("figure").chain(beside.iter().map(|(name, _)| *name)).collect::<Vec<_>>(),
        );
        let errors: Vec<[String; 6]> = beside.iter().map(|(_, report)| errors_of(report)).collect();
        for (i, name) in ERRORS.iter().enumerate() {
            table.row(name, &errors.iter().map(|cells| cells[i].clone()).collect::<Vec<_>>());
        }
        let mut thresholds: Vec<f64> =
            beside.iter().flat_map(|(_, r)| &r.thresholds).map(|at| at.threshold_fraction).collect();
        thresholds.sort_by(f64::total_cmp);
        thresholds.dedup();
        for wanted in thresholds {
            let of = |report: &Report| {
                report.thresholds.iter().find(|at| at.threshold_fraction == wanted).map(rates_of)
            };
            let rates: Vec<Option<[String; 4]>> = beside.iter().map(|(_, report)| of(report)).collect();
            for (i, (_, name)) in RATES.iter().enumerate() {
                let cell =
                    |cells: &Option<[String; 4]>| cells.as_ref().map_or("-".into(), |cells| cells[i].clone());
                table.row(
                    &format!("{name} {}", threshold(wanted)),
                    &rates.iter().map(cell).collect::<Vec<_>>(),
                );
            }
        }
        text += &table.finish();
    }
    text
}

/// Cells of [`ERRORS`].
fn errors_of(report: &Report) -> [String; 6] {
    let interval = report.nme_mean_interval_fraction.map(|i| i.map(|v| percent(Some(v))));
    let mean = match (report.nme_mean_fraction, report.nme_mean_of_found_fraction) {
        (None, Some(found)) => format!("{}<small>of those found</small>", percent(Some(found))),
        (mean, _) => with_interval(percent(mean), interval),
    };
    let [median, p90, p95, p99] = [
        report.nme_median_fraction,
        report.nme_p90_fraction,
        report.nme_p95_fraction,
        report.nme_p99_fraction,
    ]
    .map(percent);
    [images(report), mean, median, p90, p95, p99]
}

/// Cells of [`RATES`].
fn rates_of(at: &AtThreshold) -> [String; 4] {
    let failed = at.failure_rate_interval_fraction.map(|i| i.map(|v| format!("{:.2}", 100.0 * v)));
    let area = at.auc_interval.map(|i| i.map(|v| format!("{v:.4}")));
    [
        with_interval(format!("{:.2}", 100.0 * at.failure_rate_fraction), failed),
        with_interval(format!("{:.4}", at.auc), area),
        format!("{:.4}", at.auc_simpson),
        format!("{:.2}", 100.0 * at.pck_fraction),
    ]
}

fn heading(report: &Report) -> String {
    let (name, definition) = (escape(&report.normalizer), escape(&report.normalizer_definition));
    if name == definition { name } else { format!("{name} <small>({definition})</small>") }
}

/// Share of the images of every run that a plot of errors shows; the rest would leave it to a few.
const SHOWN: f64 = 0.99;

/// Where the curves end: at the 99th percentile of the errors found, of the run or subset with the largest; farther out where the first
/// threshold is near, so that it is seen.
pub(super) fn end(reports: &[&Report]) -> Result<f64> {
    let mut end: f64 = 0.0;
    for report in reports {
        let ced = report.ced()?;
        let found = ced.errors()[..ced.images() - ced.missing()].to_vec();
        if !found.is_empty() {
            end = end.max(Ced::new(found)?.quantile(SHOWN)?);
        }
    }
    let seen = first_threshold(reports).map_or(0.0, |threshold| 1.05 * threshold);
    // Where nothing was found there is nothing but the threshold to show.
    Ok(if seen <= 2.0 * end || end == 0.0 { end.max(seen).max(f64::MIN_POSITIVE) } else { end })
}

/// The threshold that is drawn.
pub(super) fn first_threshold(reports: &[&Report]) -> Option<f64> {
    reports.first()?.thresholds.first().map(|at| at.threshold_fraction)
}

/// What an error curve shows, up to where, and where the threshold is if not there.
pub(super) fn curve_caption(what: &str, reports: &[&Report], end: f64) -> String {
    let mut caption =
        format!("Share of {what} whose NME is at most the value below, drawn up to {:.1} %.", 100.0 * end);
    if let Some(threshold) = first_threshold(reports).filter(|threshold| *threshold > end) {
        caption += &format!(" The threshold, {:.1} %, lies farther right.", 100.0 * threshold);
    }
    caption
}

/// The error curves of the first normalizer's subsets.
pub(super) fn curves(reports: &[Report]) -> Result<String> {
    let Some(main) = reports.first() else { return Ok(String::new()) };
    let normalizer = (&main.normalizer, &main.normalizer_definition);
    let chosen: Vec<&Report> =
        reports.iter().filter(|r| (&r.normalizer, &r.normalizer_definition) == normalizer).collect();
    let drawn = &chosen[..chosen.len().min(MOST_CURVES)];
    let curves: Vec<Ced> = drawn.iter().map(|r| r.ced()).collect::<Result<_>>()?;
    let series: Vec<(&str, &Ced)> = drawn.iter().map(|r| r.subset.as_str()).zip(&curves).collect();
    let max = end(drawn)?;
    let mut caption = curve_caption("images", drawn, max);
    if chosen.len() > drawn.len() {
        caption += &format!(" The first {MOST_CURVES} of {} subsets.", chosen.len());
    }
    figure(&caption, |size| ced_sized(&series, max, first_threshold(drawn), of_line, size))
}
