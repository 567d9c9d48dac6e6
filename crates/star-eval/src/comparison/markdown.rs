//! A comparison as Markdown.

use super::{Comparison, Moved, Pair};
use crate::report::markdown::{cell, percent, probability, threshold};

impl Comparison {
    /// The comparison as Markdown, verdicts first; errors in per cent of the normalizer.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        for pair in &self.pairs {
            text += &format!("{}\n\n", pair.verdict(&self.runs[0].name));
        }
        text.push_str(
            "## Runs\n\n| run | data set, subset, normalizer | images | NME % | threshold | FR % | AUC |\n|---|---|---:|---:|---:|---:|---:|\n",
        );
        for run in &self.runs {
            for at in &run.report.thresholds {
                text += &format!(
                    "| {} | {} | {} | {} | {} | {:.2} | {:.4} |\n",
                    cell(&run.name),
                    cell(&run.report.title()),
                    match run.report.missing {
                        0 => run.report.images.to_string(),
                        missing => format!("{}, {missing} missing", run.report.images),
                    },
                    percent(run.report.nme_mean_fraction),
                    threshold(at.threshold_fraction),
                    100.0 * at.failure_rate_fraction,
                    at.auc
                );
            }
        }
        for (run, identity) in self.runs.iter().filter_map(|run| Some((run, run.report.identity.as_ref()?))) {
            let facts: Vec<String> =
                identity.facts(false).into_iter().map(|(what, fact)| format!("{what} {fact}")).collect();
            text += &format!("\n- {}: {}", run.name, facts.join("; "));
        }
        if self.runs.iter().any(|run| run.report.identity.is_some()) {
            text.push('\n');
        }
        for pair in &self.pairs {
            text += &self.pair(pair);
        }
        if let Some(spreads) = &self.keypoint_spreads {
            let mean = spreads.iter().sum::<f64>() / spreads.len().max(1) as f64;
            text += &format!(
                "\nThe runs' predictions of a keypoint lie {} % of the normalizer from their mean position on average (root mean square, {} images).\n",
                percent(Some(mean)),
                self.spread_images
            );
        }
        text
    }

    fn pair(&self, pair: &Pair) -> String {
        let p = &pair.paired;
        let mut text = format!(
            "\n## {} against {}\n\n{} images in common: {} better, {} worse, {} equal.\n",
            pair.name, self.runs[0].name, p.images, p.better, p.worse, p.ties
        );
        text += &format!("Sign test p {}", probability(p.sign_p));
        if let (Some(w), Some(corrected)) = (&p.wilcoxon, pair.wilcoxon_corrected_p) {
            text += &format!("; signed-rank test p {}", probability(w.p));
            if self.pairs.len() > 1 {
                text += &format!(
                    ", p {} corrected for {} comparisons (Holm)",
                    probability(corrected),
                    self.pairs.len()
                );
            }
            text += &format!(", rank-biserial {:+.3}", w.effect);
        }
        text += ".\n";
        if pair.unmatched != [0, 0] {
            text += &format!(
                "Left out: {} images of the first run only, {} of the second only.\n",
                pair.unmatched[0], pair.unmatched[1]
            );
        }
        for (title, moved) in [("Most improved", &pair.improved), ("Most worsened", &pair.worsened)] {
            if !moved.is_empty() {
                text += &format!(
                    "\n| {title} | {} NME % | {} NME % |\n|---|---:|---:|\n",
                    cell(&self.runs[0].name),
                    cell(&pair.name)
                );
                text.extend(moved.iter().map(row));
            }
        }
        text
    }
}

fn row(moved: &Moved) -> String {
    format!(
        "| {} | {} | {} |\n",
        cell(&moved.image),
        percent(moved.first_fraction),
        percent(moved.second_fraction)
    )
}
