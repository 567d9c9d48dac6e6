//! Reports as Markdown: per cent, and every figure in a row with data set, subset, normalizer and threshold.

use crate::edges::{AlongAcross, EdgeErrors};
use crate::report::Report;

/// Printed where there is no finite figure.
const NONE: &str = "-";

/// One table over several reports (subsets, data sets), a row per threshold; notes follow below.
pub fn markdown_table(reports: &[Report]) -> String {
    let mut text = String::from(
        "| data set, subset, normalizer | images | missing | NME % | threshold | FR % | AUC |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
    );
    for report in reports {
        for at in &report.thresholds {
            text += &format!(
                "| {} | {} | {} | {} | {} | {:.2} | {:.4} |\n",
                cell(&report.title()),
                report.images,
                report.missing,
                percent(report.nme_mean_fraction),
                threshold(at.threshold_fraction),
                100.0 * at.failure_rate_fraction,
                at.auc,
            );
        }
    }
    for report in reports {
        for note in caveats(report) {
            text += &format!("\n- {}: {note}", cell(&report.title()));
        }
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

impl Report {
    /// The report as Markdown, errors in per cent of the normalizer. Images one by one are left to the JSON form.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("## {}\n\n", self.title());
        text += &format!("Normalizer: {}.\n\n", self.measured_by());
        for (what, fact) in self.identity.iter().flat_map(|identity| identity.facts(false)) {
            text += &format!("- {what}: {fact}\n");
        }
        if self.identity.is_some() {
            text.push('\n');
        }
        text += &markdown_table(std::slice::from_ref(self));
        text += "\n| data set, subset, normalizer | figure | NME % |\n|---|---|---:|\n";
        let start = format!("| {} |", cell(&self.title()));
        let mut row =
            |figure: &str, value| text += &format!("{start} {} | {} |\n", cell(figure), percent(value));
        row("mean", self.nme_mean_fraction);
        row("median", self.nme_median_fraction);
        row("NMPE 90 (90 % of images within)", self.nme_p90_fraction);
        row("NMPE 95", self.nme_p95_fraction);
        row("NMPE 99", self.nme_p99_fraction);
        for group in &self.groups {
            let (name, scored) = (&group.name, self.scored_of(group));
            row(&format!("keypoints of {name} ({scored})"), group.nme_mean_fraction);
        }
        if let Some(seen) = self.visibility.as_ref().filter(|seen| seen.occluded_keypoints > 0) {
            row(&format!("{} visible keypoints", seen.visible_keypoints), seen.visible_error_fraction);
            row(&format!("{} occluded keypoints", seen.occluded_keypoints), seen.occluded_error_fraction);
        }
        if let Some(edges) = &self.edges {
            text += &edge_table(edges, &start);
        }
        text
    }
}

/// Errors along and across edges; each row begins with `start`: data set, subset, normalizer.
fn edge_table(edges: &EdgeErrors, start: &str) -> String {
    let mut text = String::from(
        "\n### Errors along and across edges\n\n| data set, subset, normalizer | edge | keypoints | along RMS % | across RMS % | along mean % | \
         across mean % |\n|---|---|---:|---:|---:|---:|---:|\n",
    );
    let mut row = |name: &str, keypoints: usize, e: &AlongAcross| {
        let [a, b, c, d] =
            [e.along_rms_fraction, e.across_rms_fraction, e.along_mean_fraction, e.across_mean_fraction]
                .map(|value| percent(Some(value)));
        text += &format!("{start} {} | {keypoints} | {a} | {b} | {c} | {d} |\n", cell(name));
    };
    row("all", edges.keypoints, &edges.all);
    for curve in &edges.curves {
        row(&curve.name, curve.keypoints, &curve.errors);
    }
    text + &format!(
        "\nPer cent of the normalizer, by the tangent of the true edge at each keypoint. {}\n",
        left_out(edges)
    )
}

/// How many keypoints have no figure along and across.
pub(crate) fn left_out(edges: &EdgeErrors) -> String {
    match edges.left_out {
        0 => "All annotated keypoints are on an edge.".to_owned(),
        n => format!(
            "{n} annotated keypoints are on no edge, or have no annotated neighbour on it, and are left out."
        ),
    }
}

/// What a reader must know beside the figures.
pub(crate) fn caveats(report: &Report) -> Vec<String> {
    let mut caveats = report.notes.clone();
    let [scored, all] = report.scored_keypoints();
    if scored != all && scored != 0 {
        caveats.push(format!(
            "{scored} of {all} keypoints are annotated: figures are not comparable with those of all {all}"
        ));
    }
    if report.missing > 0 {
        caveats.push(format!(
            "{} of {} images have no prediction: they count as failures at every threshold, and the mean NME over all images is \
             infinite; over the {} others it is {} %",
            report.missing,
            report.images,
            report.images - report.missing,
            percent(report.nme_mean_of_found_fraction),
        ));
    }
    caveats
}

/// A fraction as per cent with three decimals; one more than papers print.
pub(crate) fn percent(fraction: Option<f64>) -> String {
    fraction.map_or_else(|| NONE.to_owned(), |value| format!("{:.3}", 100.0 * value))
}

/// What a probability is, to stand behind "p": `= 0.030`, `= 1`, `= 0.0004`; never a power of ten.
pub(crate) fn probability(p: f64) -> String {
    if p < 0.0001 {
        "< 0.0001".to_owned()
    } else if p < 0.001 {
        format!("= {p:.4}")
    } else if p >= 0.9995 {
        "= 1".to_owned()
    } else {
        format!("= {p:.3}")
    }
}

/// A threshold in per cent, with no more digits than it has.
pub(crate) fn threshold(fraction: f64) -> String {
    // 100 times a fraction such as 0.07 has a remainder of rounding.
    format!("{} %", (1e8 * fraction).round() / 1e6)
}

/// Text that cannot break out of a table cell.
pub(crate) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_no_powers_of_ten() {
        let told = [1.0, 0.9996, 0.03, 3.7e-4, 1e-9, 0.0].map(probability);
        assert_eq!(told, ["= 1", "= 1", "= 0.030", "= 0.0004", "< 0.0001", "< 0.0001"]);
    }
}
