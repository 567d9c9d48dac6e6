//! Figures by subset, normalizer and threshold, and the error curves.

use super::table::{Table, with_interval};
use super::{escape, figure, place};
use crate::plot::ced_sized;
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
        let mut errors = Table::new(&[
            "subset",
            "samples",
            "missing",
            "NME %",
            "median %",
            "NMPE 90 %",
            "NMPE 95 %",
            "NMPE 99 %",
        ]);
        let mut rates = Table::new(&["subset", "threshold", "FR %", "AUC", "AUC by Simpson's rule", "PCK %"]);
        for report in of_one_normalizer {
            let interval = report.nme_mean_interval_fraction.map(|i| i.map(|v| percent(Some(v))));
            errors.row(
                &report.subset,
                &[
                    report.images.to_string(),
                    report.missing.to_string(),
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
    format!(
        "{}: {} <small>({})</small>",
        escape(&report.dataset),
        escape(&report.normalizer),
        escape(&report.normalizer_definition)
    )
}

/// Where the curves end: the largest threshold, or farther out where less than half of the samples lie within it.
pub(super) fn end(reports: &[&Report]) -> Result<f64> {
    let thresholds = reports.iter().flat_map(|report| &report.thresholds);
    let mut end = thresholds.map(|at| at.threshold_fraction).fold(0.0, f64::max);
    for report in reports {
        let ced = report.ced()?;
        let found = &ced.errors()[..ced.images() - ced.missing()];
        if ced.share_within(end) < 0.5
            && let Some(most) = found.get((found.len() * 95 / 100).min(found.len().saturating_sub(1)))
        {
            end = end.max(*most);
        }
    }
    Ok(end)
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
    let mut caption = format!(
        "Share of samples (upwards) whose NME is at most so much (to the right): {}, {}.",
        main.dataset, main.normalizer
    );
    if chosen.len() > drawn.len() {
        caption += &format!(" The first {MOST_CURVES} of {} subsets.", chosen.len());
    }
    if drawn.len() == 1 {
        caption = caption.replace(&format!("{}, {}", main.dataset, main.normalizer), &place(main));
    }
    figure(&caption, |size| ced_sized(&series, max, size))
}
