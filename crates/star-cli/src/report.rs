//! What `star eval` and `star score` do with faces that are scored: the table, JSON, the report.

use std::path::Path;

use anyhow::{Context, Result};
use image::RgbImage;
use star_data::Scheme;
use star_eval::{BoxSensitivity, Case, Evaluation, Identity, Report, Results, Setting};
use star_predict::confidence::ConfidenceModel;
use star_train::evaluate::{self, metric_set, videos, write_report};

use crate::args::{MetricArgs, ReportArgs};
use crate::output;
use crate::terminal::plain;

/// What was asked for, and under which setting.
pub(crate) struct Wanted<'a> {
    /// The report.
    pub args: &'a ReportArgs,
    /// The table.
    pub metrics: &'a MetricArgs,
    /// Scheme of the keypoints.
    pub scheme: &'a Scheme,
    /// Data set, subset, normalizer, thresholds.
    pub setting: &'a Setting,
    /// By what it is made.
    pub identity: Identity,
}

/// Checks that the results may be written, before the work.
///
/// # Errors
/// Names the file that is there already or is one of `inputs`.
pub(crate) fn claim(args: &ReportArgs, metrics: &MetricArgs, inputs: &[&Path]) -> Result<()> {
    metrics.json.iter().try_for_each(|path| output::claim(path, inputs))?;
    let written = ["report.json", "report.md", "index.html"];
    args.report.iter().try_for_each(|dir| output::claim_in(dir, &written, inputs))
}

impl Wanted<'_> {
    /// Measures `cases` and prints and writes what was asked for. `open` decodes the image of a case.
    ///
    /// # Errors
    /// When a case does not fit, or a file cannot be written.
    pub(crate) fn deliver(
        &self,
        cases: &[Case],
        boxes: Option<BoxSensitivity>,
        confidence: Option<&ConfidenceModel>,
        open: impl Fn(usize) -> Result<RgbImage>,
    ) -> Result<()> {
        let (kept, note) = self.measurable(cases);
        let left: Vec<Case>;
        let cases = if kept.len() == cases.len() {
            cases
        } else {
            left = kept.iter().map(|&row| cases[row].clone()).collect();
            &left
        };
        let open = |i: usize| open(kept[i]);
        let mut setting = self.setting.clone();
        setting.notes.extend(note);
        let mut evaluation = Evaluation::new(setting.clone())?;
        for (row, case) in cases.iter().enumerate() {
            evaluation.add_case(case).with_context(|| format!("{} (row {})", case.name, kept[row]))?;
        }
        let mut report = evaluation.report()?;
        report.identity = Some(self.identity.clone());
        if self.args.report.is_none() && !self.args.video && boxes.is_none() {
            return self.print(&report, &report.to_markdown());
        }
        let mut results = Results::new(&metric_set::metric_set(self.scheme, &setting), cases)?;
        if let Some(main) = results.reports.first_mut() {
            main.identity = Some(self.identity.clone());
        }
        results.boxes = boxes;
        if let Some(model) = confidence {
            results.confidence = evaluate::confidence::summary(model, cases)?;
        }
        if self.args.video {
            results.videos = videos::measure(cases)?;
        }
        if let Some(dir) = &self.args.report {
            let unreadable = write_report(dir, &results, cases, open)?;
            if unreadable > 0 {
                say!(
                    "{unreadable} images of the best and worst faces cannot be opened and are not in the report"
                );
            }
            say!("report: {}", dir.join("index.html").display());
        }
        self.print(&report, &results.to_markdown()?)
    }

    /// The rows whose normalizer has a length, and a note of the others, such as profiles whose eye corners coincide. Where none has a
    /// length all are kept, so that the error names the first.
    fn measurable(&self, cases: &[Case]) -> (Vec<usize>, Option<String>) {
        let measurable = |row: &usize| self.setting.normalizer.length_of(&cases[*row]).is_ok();
        let (kept, without): (Vec<usize>, Vec<usize>) = (0..cases.len()).partition(measurable);
        match without.first() {
            None => (kept, None),
            Some(_) if kept.is_empty() => (without, None),
            Some(&first) => {
                let note = format!(
                    "{} of {} faces have no {} length and are left out, the first {} (row {first})",
                    without.len(),
                    cases.len(),
                    self.setting.normalizer_name,
                    cases[first].name
                );
                (kept, Some(note))
            }
        }
    }

    fn print(&self, report: &Report, markdown: &str) -> Result<()> {
        let text = format!("{}\n\n{}", headline(report), plain(without_title(markdown)));
        match &self.metrics.json {
            Some(path) if path == Path::new("-") => output::write_text(path, &report.to_json()),
            Some(path) => {
                output::write_text(path, &report.to_json())?;
                output::write_text(Path::new("-"), &text)
            }
            None => output::write_text(Path::new("-"), &text),
        }
    }
}

/// What most want to know, on what, in one line.
fn headline(report: &Report) -> String {
    let percent = |value: f64| format!("{:.3} %", 100.0 * value);
    let nme = match (report.nme_mean_fraction, report.nme_mean_of_found_fraction) {
        (Some(nme), _) => percent(nme),
        (None, Some(found)) => format!("{} without the {} missing", percent(found), report.missing),
        (None, None) => "of nothing found".to_string(),
    };
    let at = report.thresholds.first().map_or_else(String::new, |at| {
        // 100 times a fraction such as 0.07 has a remainder of rounding.
        let (failed, threshold) =
            (100.0 * at.failure_rate_fraction, (1e8 * at.threshold_fraction).round() / 1e6);
        format!(", FR {failed:.2} %, AUC {:.4} at {threshold} %", at.auc)
    });
    let images = if report.images == 1 { "image" } else { "images" };
    let keypoints = match report.scored_keypoints() {
        [scored, all] if scored != all && scored != 0 => format!(", {scored} of {all} keypoints annotated"),
        _ => String::new(),
    };
    format!(
        "NME {nme}{at} ({})\n{}, {}: {} {images}{keypoints}",
        report.normalizer, report.dataset, report.subset, report.images
    )
}

/// Without the heading that says what the first line said.
fn without_title(markdown: &str) -> &str {
    match markdown.strip_prefix("## ").and_then(|rest| rest.split_once('\n')) {
        Some((_, rest)) => rest,
        None => markdown,
    }
}
