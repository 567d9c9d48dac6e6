//! What `star eval` and `star score` do with faces that are scored: the table, JSON, the report.

use std::path::Path;

use anyhow::{Context, Result};
use image::RgbImage;
use star_data::Scheme;
use star_eval::{BoxSensitivity, Case, Evaluation, Report, Results, Setting};
use star_train::evaluate::{metric_set, videos, write_report};

use crate::args::{MetricArgs, ReportArgs};
use crate::output;

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
        open: impl Fn(usize) -> Result<RgbImage>,
    ) -> Result<()> {
        let mut evaluation = Evaluation::new(self.setting.clone())?;
        for (row, case) in cases.iter().enumerate() {
            evaluation.add_case(case).with_context(|| format!("{} (row {row})", case.name))?;
        }
        let report = evaluation.report()?;
        if self.args.report.is_none() && !self.args.video && boxes.is_none() {
            return self.print(&report, &report.to_markdown());
        }
        let mut results = Results::new(&metric_set::metric_set(self.scheme, self.setting), cases)?;
        results.boxes = boxes;
        if self.args.video {
            results.videos = videos::measure(cases)?;
        }
        if let Some(dir) = &self.args.report {
            let unreadable = write_report(dir, &results, cases, open)?;
            if unreadable > 0 {
                eprintln!(
                    "{unreadable} images of the best and worst faces cannot be opened and are not in the report"
                );
            }
            eprintln!("report: {}", dir.join("index.html").display());
        }
        self.print(&report, &results.to_markdown()?)
    }

    fn print(&self, report: &Report, markdown: &str) -> Result<()> {
        match &self.metrics.json {
            Some(path) if path == Path::new("-") => output::write_text(path, &report.to_json()),
            Some(path) => {
                output::write_text(path, &report.to_json())?;
                output::write_text(Path::new("-"), markdown)
            }
            None => output::write_text(Path::new("-"), markdown),
        }
    }
}
