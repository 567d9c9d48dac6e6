//! Reports as one self-contained HTML page: table, cumulative curve, error per keypoint.

use crate::report::Report;
use crate::report::markdown::{caveats, percent, threshold};
use crate::{Result, bars_svg, ced_svg};

const STYLE: &str = "body{font:15px sans-serif;max-width:960px;margin:2em auto}table{border-collapse:collapse}\
                     td,th{padding:.2em .7em;border-bottom:1px solid #ccc;text-align:left}svg{max-width:100%}";

impl Report {
    /// A page that needs no other file: the figures, the cumulative curve up to the largest threshold, the error per keypoint.
    ///
    /// # Errors
    /// [`Error::Plot`](crate::Error::Plot) from drawing, [`Report::ced`]'s for a report that holds no images.
    pub fn to_html(&self) -> Result<String> {
        let title = escape(&self.title());
        let mut rows = String::new();
        for at in &self.thresholds {
            let cells = [
                escape(&self.dataset),
                escape(&self.subset),
                escape(&format!("{} ({})", self.ruler, self.ruler_definition)),
                self.images.to_string(),
                self.missing.to_string(),
                percent(self.nme_mean_fraction),
                threshold(at.threshold_fraction),
                format!("{:.2}", 100.0 * at.failure_rate_fraction),
                format!("{:.4}", at.auc),
            ];
            rows += &format!("<tr><td>{}</td></tr>\n", cells.join("</td><td>"));
        }
        let notes: String = caveats(self).iter().map(|note| format!("<p>{}</p>\n", escape(note))).collect();
        let max = self.thresholds.iter().map(|at| at.threshold_fraction).fold(0.0, f64::max);
        let ced = ced_svg(&[(&self.title(), &self.ced()?)], max)?;
        let bars: Vec<f64> = self.keypoint_error_fractions.iter().map(|e| 100.0 * e.unwrap_or(0.0)).collect();
        let bars = bars_svg(
            &format!("Error per keypoint: {}", self.title()),
            "keypoint",
            "error in % of the ruler",
            &bars,
        )?;
        Ok(format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/><title>{title}</title><style>{STYLE}</style></head>\n\
             <body><h1>{title}</h1>\n<table><tr><th>data set</th><th>subset</th><th>ruler</th><th>images</th><th>missing</th>\
             <th>NME %</th><th>threshold</th><th>FR %</th><th>AUC</th></tr>\n{rows}</table>\n{notes}{ced}\n{bars}\n</body></html>\n"
        ))
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
