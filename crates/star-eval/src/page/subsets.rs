//! Figures by subset, normalizer and threshold, and the error curves.

use super::table::{Table, samples, with_interval};
use super::{escape, figure};
use crate::plot::{ced_sized, of_line};
use crate::report::Report;
use crate::report::markdown::{percent, threshold};
use crate::{Ced, Result};

/// Subsets drawn beside each other at most; more lines than that are indistinguishable.
const MOST_CURVES: usize = 7;

/// One table a normalizer.
pub(super) fn table(reports: &[Report]) -> Result<String> {
    let mut text = String::new();
    for of_one_normalizer in reports
        .chunk_by(|a, b| a.normalizer == b.normalizer && a.normalizer_definition == b.normalizer_definition)
    {
        let first = &of_one_normalizer[0];
        let mut errors =
            Table::new(&["subset", "samples", "NME %", "median %", "NMPE 90 %", "NMPE 95 %", "NMPE 99 %"]);
        let mut rates = Table::new(&["subset", "threshold", "FR %", "AUC", "AUC by Simpson's rule", "PCK %"]);
        for report in of_one_normalizer {
            let interval = report.nme_mean_interval_fraction.map(|i| i.map(|v| percent(Some(v))));
            errors.row(
                &report.subset,
                &[
                    samples(report),
                    match (report.nme_mean_fraction, report.nme_mean_of_found_fraction) {
                        (None, Some(found)) => {
                            format!("{}<small>of those found</small>", percent(Some(found)))
                        }
                        (mean, _) => with_interval(percent(mean), interval),
                    },
                    percent(report.nme_median_fraction),
                    percent(report.nme_p90_fraction),
                    percent(report.nme_p95_fraction),
                    percent(report.nme_p99_fraction),
                ],
            );
            for at in &report.thresholds {
                let failed =
                    at.failure_rate_interval_fraction.map(|i| i.map(|v| format!("{:.2}", 100.0 * v)));
                let area = at.auc_interval.map(|i| i.map(|v| format!("{v:.4}")));
                rates.row(
                    &report.subset,
                    &[
                        threshold(at.threshold_fraction),
                        with_interval(format!("{:.2}", 100.0 * at.failure_rate_fraction), failed),
                        with_interval(format!("{:.4}", at.auc), area),
                        format!("{:.4}", at.auc_simpson),
                        format!("{:.2}", 100.0 * at.pck_fraction),
                    ],
                );
            }
        }
        let (heading, body) = (heading(first), errors.finish() + &rates.finish());
        // The first normalizer's figures are what most readers came for; the others are a click away.
        text += &if text.is_empty() {
            format!("<h3>{heading}</h3>\n{body}")
        } else {
            format!("<details><summary>{heading}</summary>\n{body}</details>\n")
        };
    }
    Ok(text)
}

fn heading(report: &Report) -> String {
    format!("{} <small>({})</small>", escape(&report.normalizer), escape(&report.normalizer_definition))
}

/// Share of the samples of every run that a plot of errors shows; the rest would leave it to a few.
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
        format!("Share of {what} whose NME is at most so much, up to the 99th percentile of the errors.");
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
    let mut caption = curve_caption("samples", drawn, max);
    if chosen.len() > drawn.len() {
        caption += &format!(" The first {MOST_CURVES} of {} subsets.", chosen.len());
    }
    figure(&caption, |size| ced_sized(&series, max, first_threshold(drawn), of_line, size))
}
