//! The page of a comparison of runs.

use super::subsets::{curve_caption, end, first_threshold, side_by_side};
use super::table::Table;
use super::{Page, escape, figure, figures, half_figure, sized_figure};
use crate::comparison::{Comparison, Moved, Pair, Run};
use crate::identity::thousands;
use crate::plot::{Size, ced_sized, keypoint_bars, of_run, scatter_svg, shape_svg};
use crate::report::markdown::{percent, probability};
use crate::{Ced, Report, Result};

impl Comparison {
    /// The comparison as one HTML page that needs no other file.
    ///
    /// # Errors
    /// [`Report::ced`](crate::Report::ced)'s for a run without images.
    pub fn to_html(&self) -> Result<String> {
        let names: Vec<&str> = self.runs.iter().map(|run| run.name.as_str()).collect();
        let main = &self.runs[0].report;
        let mut page = Page::new(format!("Comparison: {}", names.join(", ")));
        let verdicts: String = self
            .pairs
            .iter()
            .map(|pair| format!("<p class=\"verdict\">{}</p>", escape(&pair.verdict(names[0]))))
            .collect();
        page.lead = format!(
            "{verdicts}<p class=\"lead\">Measured on {} images of <b>{}</b>. Runs are compared with the first one, <b>{}</b>, on the images \
             they share. NME: mean distance of predicted and true keypoints, in per cent of the normalizer, {}. Intervals are 95 % bootstrap \
             intervals over images.</p>{}",
            thousands(main.images),
            escape(&main.heading()),
            escape(names[0]),
            escape(&main.measured_by()),
            self.facts()
        );
        page.add("runs", "Runs", self.table());
        page.add("curves", "Cumulative error", self.curves()?);
        for pair in &self.pairs {
            page.add("pair", format!("{} against {}", pair.name, names[0]), self.pair_section(pair)?);
        }
        page.add("stability", "How far apart the runs are", self.stability()?);
        Ok(page.finish())
    }

    /// By what each run was made, where that is known.
    fn facts(&self) -> String {
        let named = |run: &Run| {
            let facts = run.report.identity.as_ref()?.facts(true);
            let facts: Vec<String> = facts.iter().map(|(what, fact)| format!("{what} {fact}")).collect();
            Some(format!("<dt>{}</dt><dd>{}</dd>", escape(&run.name), escape(&facts.join("; "))))
        };
        let rows: String = self.runs.iter().filter_map(named).collect();
        if rows.is_empty() {
            return rows;
        }
        format!("<details><summary>What the runs are</summary><dl class=\"facts\">{rows}</dl></details>\n")
    }

    fn table(&self) -> String {
        let runs: Vec<(&str, &Report)> =
            self.runs.iter().map(|run| (run.name.as_str(), &run.report)).collect();
        side_by_side(&runs)
    }

    fn curves(&self) -> Result<String> {
        let curves: Vec<Ced> = self.runs.iter().map(|run| run.report.ced()).collect::<Result<_>>()?;
        let series: Vec<(&str, &Ced)> = self.runs.iter().map(|run| run.name.as_str()).zip(&curves).collect();
        let reports: Vec<&Report> = self.runs.iter().map(|run| &run.report).collect();
        let max = end(&reports)?;
        let caption = curve_caption("images of each run", &reports, max);
        figure(&caption, |size| ced_sized(&series, max, first_threshold(&reports), of_run, size))
    }

    fn pair_section(&self, pair: &Pair) -> Result<String> {
        let (p, first) = (&pair.paired, &self.runs[0]);
        let mut text = String::from("<p>");
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
            text += "<div class=\"pair\">";
            text += &half_figure("A point is an image; those below the line got better.", |size| {
                scatter_svg([&labels[0], &labels[1]], &points, size)
            })?;
            text += &format!(
                "<div>{}{}</div></div>\n",
                self.moved("Most improved", &pair.improved, pair),
                self.moved("Most worsened", &pair.worsened, pair)
            );
        }
        text += &figures::differences(
            &pair.keypoint_differences,
            figures::named(&self.outline, &first.report),
            &format!("Change of each keypoint's mean error, {} - {}.", pair.name, first.name),
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
        let named = figures::named(&self.outline, &self.runs[0].report);
        let per_cent: Vec<f64> = spreads.iter().map(|s| 100.0 * s).collect();
        let mut text = format!(
            "<p>How far the runs' predictions of a keypoint lie from their mean position (root mean square, % of the normalizer), averaged over \
             {} images that all of the {} runs found.</p>\n",
            self.spread_images,
            self.runs.len()
        );
        text += &figure("By keypoint.", |size| {
            keypoint_bars(["keypoint", "distance, % of the normalizer"], &per_cent, named, size)
        })?;
        if self.outline.points.iter().flatten().next().is_some() {
            let values: Vec<Option<f64>> = per_cent.iter().copied().map(Some).collect();
            text += &sized_figure(
                "The same on the mean shape.",
                [Size::WIDE.high(560), Size::NARROW.high(380)],
                |size| shape_svg(&self.outline, &values, "distance, % of the normalizer", named, size),
            )?;
        }
        Ok(text)
    }
}
