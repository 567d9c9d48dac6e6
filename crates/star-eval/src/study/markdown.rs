//! Results as Markdown.

use super::Results;
use crate::ambiguity::{AmbiguitySummary, Contrast};
use crate::calibration::ConfidenceSummary;
use crate::report::markdown::{cell, percent, threshold};
use crate::{BoxSensitivity, CalibrationSummary, JitterSummary, Result, markdown_table};

impl Results {
    /// The results as Markdown, errors in per cent of the normalizer. Images one by one are left to the JSON form.
    ///
    /// # Errors
    /// As [`Results::main`].
    pub fn to_markdown(&self) -> Result<String> {
        let main = self.main()?;
        let mut text = main.to_markdown();
        if self.reports.len() > 1 {
            text += "\n### Subsets and normalizers\n\n";
            text += &markdown_table(&self.reports);
        }
        if let Some(ambiguity) = &self.ambiguity {
            text += &ambiguity_table(ambiguity, &main.title());
        }
        if let Some(calibration) = &self.calibration {
            text += &calibration_table(calibration, &main.title());
        }
        if let Some(confidence) = &self.confidence {
            text += &confidence_table(confidence, &main.dataset, &main.subset);
        }
        if let Some(boxes) = &self.boxes {
            text += &boxes_table(boxes);
        }
        if !self.videos.is_empty() {
            text += &video_table(&self.videos, &main.dataset);
        }
        Ok(text)
    }
}

fn ambiguity_table(ambiguity: &AmbiguitySummary, title: &str) -> String {
    let mut text = format!(
        "\n### Ambiguity: {}, {} images with ellipses\n\n| mean eigenvalue ratio of | ratio | keypoints or images |\n|---|---:|---:|\n",
        cell(title),
        ambiguity.images
    );
    let rows: Vec<&Contrast> =
        ambiguity.groups.iter().chain(ambiguity.contrasted()).chain(&ambiguity.easy_and_hard).collect();
    for row in rows {
        let ratio = row.ratio.map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"));
        text += &format!("| {} | {ratio} | {} |\n", cell(&row.name), row.count);
    }
    if let Some(angle) = ambiguity.mean_angle {
        text += &format!(
            "\nLong axes lie {angle:.1} degrees off the curve on average (45 where they point anywhere).\n"
        );
    }
    text
}

fn calibration_table(c: &CalibrationSummary, title: &str) -> String {
    format!(
        "\n### Calibration: {}, {} keypoints compared, {} not usable\n\n| figure | value | where calibrated |\n|---|---:|---:|\n\
         | mean squared Mahalanobis distance | {:.3} | 2 |\n| median squared Mahalanobis distance | {:.3} | 1.386 |\n\
         | standard deviations must be multiplied by | {:.3} | 1 |\n| the same from the medians | {:.3} | 1 |\n\
         | variance along the short axis | {:.3} | 1 |\n| variance along the long axis | {:.3} | 1 |\n\
         | area between reliability curve and diagonal | {:.4} | 0 |\n| largest gap | {:.4} | 0 |\n",
        cell(title),
        c.pairs,
        c.unusable,
        c.mean_squared_distance,
        c.median_squared_distance,
        c.scale,
        c.robust_scale,
        c.axis_variances[0],
        c.axis_variances[1],
        c.miscalibration_area,
        c.largest_gap
    )
}

fn confidence_table(c: &ConfidenceSummary, dataset: &str, subset: &str) -> String {
    let tenths: String = c
        .curve
        .iter()
        .zip(1..)
        .map(|([sure, small], i)| format!("| {i} | {:.1} | {:.1} |\n", 100.0 * sure, 100.0 * small))
        .collect();
    format!(
        "\n### Confidence: {}, {}, errors below {} of the weights' own normalizer, {} keypoints compared\n\n\
         | figure | value |\n|---|---:|\n| mean confidence | {:.2} % |\n| errors below the threshold | {:.2} % |\n\
         | Brier score | {:.4} |\n| Brier score of always saying the share | {:.4} |\n| expected calibration error | {:.4} |\n\n\
         | tenth by confidence | confidence % | observed % |\n|---:|---:|---:|\n{tenths}",
        cell(dataset),
        cell(subset),
        threshold(c.threshold_fraction),
        c.pairs,
        100.0 * c.mean,
        100.0 * c.observed,
        c.brier,
        c.brier_of_share,
        c.calibration_error
    )
}

fn boxes_table(boxes: &BoxSensitivity) -> String {
    let at = threshold(boxes.threshold_fraction);
    let mut text = format!(
        "\n### Crops: {}, {}, {}, threshold {at}\n\n| crops | samples | missing | NME % of found | median % | FR % |\n\
         |---|---:|---:|---:|---:|---:|\n",
        cell(&boxes.dataset),
        cell(&boxes.subset),
        cell(&boxes.normalizer)
    );
    for row in &boxes.rows {
        text += &format!(
            "| {} | {} | {} | {} | {} | {:.2} |\n",
            cell(&row.crops),
            row.samples,
            row.missing,
            percent(row.nme_of_found_fraction),
            percent(row.nme_median_fraction),
            100.0 * row.failure_rate_fraction
        );
    }
    let heads: Vec<String> = boxes.shifts.iter().map(|s| format!("{s:.2}")).collect();
    text += &format!(
        "\nMean NME %, side multiplied by (rows), moved by a share of the side (columns):\n\n| | {} |\n|---{}|\n",
        heads.join(" | "),
        "|---:".repeat(heads.len())
    );
    for (scale, row) in boxes.scales.iter().zip(&boxes.grid) {
        let cells: Vec<String> = row.iter().map(|v| percent(*v)).collect();
        text += &format!("| {scale:.2} | {} |\n", cells.join(" | "));
    }
    text
}

fn video_table(videos: &[JitterSummary], dataset: &str) -> String {
    let mut text = format!(
        "\n### Stability over time: {}\n\n| videos of | videos | frames | missing | NMJ | NMF (RMS) |\n|---|---:|---:|---:|---:|---:|\n",
        cell(dataset)
    );
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"));
    for row in videos {
        text += &format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            cell(&row.name),
            row.videos,
            row.frames,
            row.missing,
            number(row.nmj),
            number(row.nmf)
        );
    }
    text + "\nNMJ and NMF: mean and root mean square of 100 |change of the error vector| / sqrt(box area / 256^2) per keypoint and step.\n"
}
