//! The page of a comparison of runs.

use super::subsets::end;
use super::table::{Table, with_interval};
use super::{Page, escape, figure, figures, half_figure, place, sized_figure};
use crate::comparison::{Comparison, Moved, Pair};
use crate::plot::{Size, bars_sized, ced_sized, scatter_svg, shape_svg};
use crate::report::markdown::{percent, probability, threshold};
use crate::{Ced, Result};

impl Comparison {
    /// The comparison as one HTML page that needs no other file.
    ///
    /// # Errors
    /// [`Error::Plot`](crate::Error::Plot) from drawing, [`Report::ced`](crate::Report::ced)'s for a run without images.
    pub fn to_html(&self) -> Result<String> {
        let names: Vec<&str> = self.runs.iter().map(|run| run.name.as_str()).collect();
        let main = &self.runs[0].report;
        let mut page = Page::new(format!("Comparison: {}", names.join(", ")));
        page.lead = format!(
            "<p class=\"lead\">{}. Errors are in per cent of the normalizer ({}). Runs are compared with the first one, <b>{}</b>, on the images \
             they share. Intervals are 95 % bootstrap intervals over images.</p>",
            escape(&place(main)),
            escape(&main.normalizer_definition),
            escape(names[0])
        );
        page.add("runs", "Runs", self.table());
        page.add("curves", "Cumulative error", self.curves()?);
        for pair in &self.pairs {
            page.add("pair", format!("{} against {}", pair.name, names[0]), self.pair_section(pair)?);
        }
        page.add("stability", "Agreement of the runs", self.stability()?);
        Ok(page.finish())
    }

    fn table(&self) -> String {
        let mut table = Table::new(&[
            "run",
            "samples",
            "missing",
            "NME %",
            "median %",
            "NMPE 95 %",
            "threshold",
            "FR %",
            "AUC",
        ]);
        for run in &self.runs {
            let report = &run.report;
            for (i, at) in report.thresholds.iter().enumerate() {
                let once = |text: String| if i == 0 { text } else { String::new() };
                let ends = |i: Option<[f64; 2]>| i.map(|ends| ends.map(|v| percent(Some(v))));
                table.row(
                    if i == 0 { &run.name } else { "" },
                    &[
                        once(report.images.to_string()),
                        once(report.missing.to_string()),
                        once(with_interval(
                            percent(report.nme_mean_fraction),
                            ends(report.nme_mean_interval_fraction),
                        )),
                        once(percent(report.nme_median_fraction)),
                        once(percent(report.nme_p95_fraction)),
                        threshold(at.threshold_fraction),
                        format!("{:.2}", 100.0 * at.failure_rate_fraction),
                        with_interval(
                            format!("{:.4}", at.auc),
                            at.auc_interval.map(|i| i.map(|v| format!("{v:.4}"))),
                        ),
                    ],
                );
            }
        }
        table.finish()
    }

    fn curves(&self) -> Result<String> {
        let curves: Vec<Ced> = self.runs.iter().map(|run| run.report.ced()).collect::<Result<_>>()?;
        let series: Vec<(&str, &Ced)> = self.runs.iter().map(|run| run.name.as_str()).zip(&curves).collect();
        let max = end(&self.runs.iter().map(|run| &run.report).collect::<Vec<_>>())?;
        let of = place(&self.runs[0].report);
        figure(
            &format!("Share of samples (upwards) whose NME is at most so much (to the right): {of}."),
            |size| ced_sized(&series, max, size),
        )
    }

    fn pair_section(&self, pair: &Pair) -> Result<String> {
        let (p, first) = (&pair.paired, &self.runs[0]);
        let mut text = String::from("<p>");
        if let Some(difference) = p.mean_difference {
            let interval = pair.difference_interval.map_or_else(String::new, |[l, h]| {
                format!(" (95 % interval {:+.3} to {:+.3})", 100.0 * l, 100.0 * h)
            });
            text += &format!("Mean difference of NME: <b>{:+.3}</b> points{interval}. ", 100.0 * difference);
        }
        text += &format!(
            "Of {} images, {} got better, {} worse, {} are equal. ",
            p.images, p.better, p.worse, p.ties
        );
        text += &format!("Sign test p {}. ", escape(&probability(p.sign_p)));
        if let (Some(w), Some(corrected)) = (&p.wilcoxon, pair.wilcoxon_corrected_p) {
            text += &format!("Wilcoxon's signed-rank test p {}", escape(&probability(w.p)));
            if self.pairs.len() > 1 {
                text += &format!(
                    ", p {} corrected for {} comparisons (Holm)",
                    escape(&probability(corrected)),
                    self.pairs.len()
                );
            }
            text += &format!(", rank-biserial correlation {:+.2}. ", w.effect);
        }
        if pair.unmatched != [0, 0] {
            text += &format!(
                "Left out because only one run has them: {} and {} images. ",
                pair.unmatched[0], pair.unmatched[1]
            );
        }
        if p.found_by_one != [0, 0] {
            text += &format!(
                "Found by the first run only: {}, by this run only: {}.",
                p.found_by_one[0], p.found_by_one[1]
            );
        }
        text += "</p>\n";
        let points: Vec<[f64; 2]> =
            pair.errors.iter().filter_map(|[a, b]| Some([100.0 * (*a)?, 100.0 * (*b)?])).collect();
        if !points.is_empty() {
            let labels = [format!("{}, NME %", first.name), format!("{}, NME %", pair.name)];
            let of = place(&first.report);
            text += "<div class=\"pair\">";
            text += &half_figure(
                &format!(
                    "Each sample: error with {} to the right, with {} upwards; samples below the line got better. {of}.",
                    first.name, pair.name
                ),
                |size| scatter_svg([&labels[0], &labels[1]], &points, size),
            )?;
            text += &format!(
                "<div>{}{}</div></div>\n",
                self.moved("Most improved", &pair.improved, pair),
                self.moved("Most worsened", &pair.worsened, pair)
            );
        }
        text += &figures::differences(
            &pair.keypoint_differences,
            &format!(
                "Change of each keypoint's mean error, {} - {}: {}.",
                pair.name,
                first.name,
                place(&first.report)
            ),
        )?;
        Ok(text)
    }

    fn moved(&self, title: &str, moved: &[Moved], pair: &Pair) -> String {
        let mut table = Table::new(&[title, self.runs[0].name.as_str(), pair.name.as_str()]);
        for image in moved.iter().take(6) {
            table.row(&image.image, &[percent(image.first_fraction), percent(image.second_fraction)]);
        }
        table.finish()
    }

    fn stability(&self) -> Result<String> {
        let Some(spreads) = &self.keypoint_spreads else { return Ok(String::new()) };
        let of = place(&self.runs[0].report);
        let per_cent: Vec<f64> = spreads.iter().map(|s| 100.0 * s).collect();
        let mut text = format!(
            "<p>How far the runs' predictions of a keypoint lie from their mean position (root mean square, % of the normalizer), averaged over \
             {} samples that all of the {} runs found.</p>\n",
            self.spread_images,
            self.runs.len()
        );
        text += &figure(&format!("Standard deviation of each keypoint over the runs: {of}."), |size| {
            bars_sized(["", "keypoint", "deviation, % of the normalizer"], &per_cent, size)
        })?;
        if self.outline.points.iter().flatten().next().is_some() {
            let values: Vec<Option<f64>> = per_cent.iter().copied().map(Some).collect();
            text += &sized_figure(
                &format!("The same on the mean shape: {of}."),
                [Size::WIDE.high(560), Size::NARROW.high(380)],
                |size| shape_svg(&self.outline, &values, "deviation, % of the normalizer", size),
            )?;
        }
        Ok(text)
    }
}
