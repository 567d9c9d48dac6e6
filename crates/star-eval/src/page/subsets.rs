//! Figures by subset, ruler and threshold, and the error curves.

use super::table::{Table, with_interval};
use super::{escape, figure, place};
use crate::plot::ced_sized;
use crate::report::Report;
use crate::report::markdown::{percent, threshold};
use crate::{Ced, Result};

/// Subsets drawn beside each other at most; more lines than that cannot be told apart.
const MOST_CURVES: usize = 7;

/// One table a ruler.
pub(super) fn table(reports: &[Report]) -> Result<String> {
    let mut text = String::new();
    for of_one_ruler in
        reports.chunk_by(|a, b| a.ruler == b.ruler && a.ruler_definition == b.ruler_definition)
    {
        let first = &of_one_ruler[0];
        text += &format!(
            "<h3>{}: {} <small>({})</small></h3>\n",
            escape(&first.dataset),
            escape(&first.ruler),
            escape(&first.ruler_definition)
        );
        let mut table = Table::new(&[
            "subset",
            "faces",
            "missing",
            "NME %",
            "median %",
            "NMPE 90",
            "95",
            "99 %",
            "threshold",
            "FR %",
            "AUC",
            "AUC Simpson",
            "PCK %",
        ]);
        for report in of_one_ruler {
            for (i, at) in report.thresholds.iter().enumerate() {
                let once = |text: String| if i == 0 { text } else { String::new() };
                let both = |format: fn(f64) -> String, i: Option<[f64; 2]>| i.map(|ends| ends.map(format));
                let name = if i == 0 { report.subset.as_str() } else { "" };
                table.row(
                    name,
                    &[
                        once(report.images.to_string()),
                        once(report.missing.to_string()),
                        once(with_interval(
                            percent(report.nme_mean_fraction),
                            both(|v| percent(Some(v)), report.nme_mean_interval_fraction),
                        )),
                        once(percent(report.nme_median_fraction)),
                        once(percent(report.nme_p90_fraction)),
                        once(percent(report.nme_p95_fraction)),
                        once(percent(report.nme_p99_fraction)),
                        threshold(at.threshold_fraction),
                        with_interval(
                            format!("{:.2}", 100.0 * at.failure_rate_fraction),
                            both(|v| format!("{:.2}", 100.0 * v), at.failure_rate_interval_fraction),
                        ),
                        with_interval(format!("{:.4}", at.auc), both(|v| format!("{v:.4}"), at.auc_interval)),
                        format!("{:.4}", at.auc_simpson),
                        format!("{:.2}", 100.0 * at.pck_fraction),
                    ],
                );
            }
        }
        text += &table.finish();
    }
    Ok(text)
}

/// The error curves of the first ruler's subsets.
pub(super) fn curves(reports: &[Report]) -> Result<String> {
    let Some(main) = reports.first() else { return Ok(String::new()) };
    let ruler = (&main.ruler, &main.ruler_definition);
    let chosen: Vec<&Report> = reports.iter().filter(|r| (&r.ruler, &r.ruler_definition) == ruler).collect();
    let drawn = &chosen[..chosen.len().min(MOST_CURVES)];
    let curves: Vec<Ced> = drawn.iter().map(|r| r.ced()).collect::<Result<_>>()?;
    let series: Vec<(&str, &Ced)> = drawn.iter().map(|r| r.subset.as_str()).zip(&curves).collect();
    let max = main.thresholds.iter().map(|at| at.threshold_fraction).fold(0.0, f64::max);
    let mut caption = format!(
        "Share of faces (upwards) whose NME is at most so much (to the right), up to the threshold {}: {}, {}.",
        threshold(max),
        main.dataset,
        main.ruler
    );
    if chosen.len() > drawn.len() {
        caption += &format!(" The first {MOST_CURVES} of {} subsets.", chosen.len());
    }
    if drawn.len() == 1 {
        caption = caption.replace(&format!("{}, {}", main.dataset, main.ruler), &place(main));
    }
    figure(&caption, |size| ced_sized(&series, max, size))
}
