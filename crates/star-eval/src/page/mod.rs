//! Results as one HTML page that needs no other file, no network and no script: wide or narrow, light or dark.

mod comparison;
mod drawn;
mod figures;
mod gallery;
mod subsets;
mod table;

pub use gallery::GalleryImage;
pub use table::Table;

use crate::identity::thousands;
use crate::plot::{Size, themed};
use crate::report::Report;
use crate::report::markdown::{caveats, percent, threshold};
use crate::{Identity, Result, Results};

const STYLE: &str = include_str!("style.css");
const DEFINITIONS: &str = include_str!("definitions.html");
const ALONG_ACROSS: &str = "\n<dt>along, across</dt><dd>parts of a keypoint's error along the tangent of its edge and at right angles to it, \
                            over the normalizer; RMS: root mean square over keypoints, mean: of the parts without sign</dd>";

impl Results {
    /// The page: figures by subset and normalizer, error curves, keypoints on the mean shape, ambiguity, calibration, dependence on the
    /// crop, stability over time, and the images handed in. Parts that were not measured are not on it.
    ///
    /// # Errors
    /// As [`Results::main`] and [`Report::ced`].
    pub fn to_html(&self, images: &[GalleryImage]) -> Result<String> {
        let main = self.main()?;
        let mut page = Page::new(main.heading());
        page.lead = lead(main);
        page.tiles = tiles(main);
        page.add("figures", "By subset", subsets::table(&self.reports)?);
        page.add("curves", "Cumulative error", subsets::curves(&self.reports)?);
        page.add("keypoints", "Keypoints", figures::keypoints(self, main)?);
        if let Some(ambiguity) = &self.ambiguity {
            page.add("ambiguity", "Ambiguity", figures::ambiguity(ambiguity, &self.outline, main)?);
        }
        if let Some(calibration) = &self.calibration {
            page.add("calibration", "Calibration", figures::calibration(calibration, &self.outline, main)?);
        }
        if let Some(confidence) = &self.confidence {
            page.add("confidence", "Confidence", figures::confidence(confidence)?);
        }
        if let Some(boxes) = &self.boxes {
            page.add("crops", "Where the crop comes from", figures::boxes(boxes)?);
        }
        if !self.videos.is_empty() {
            page.add("video", "Stability over time", figures::videos(&self.videos, &main.dataset));
        }
        page.add("images", "Best and worst images", gallery::section(images));
        Ok(page.finish())
    }
}

impl Report {
    /// As [`Results::to_html`], for this report alone.
    ///
    /// # Errors
    /// As [`Results::to_html`].
    pub fn to_html(&self) -> Result<String> {
        Results::from(self.clone()).to_html(&[])
    }
}

/// What the figures of a page are of, and what must be known beside them.
fn lead(report: &Report) -> String {
    let predictor = report.identity.as_ref().and_then(Identity::predictor);
    let subject = predictor
        .map_or_else(|| "The predictions have".to_owned(), |name| format!("<b>{}</b> has", escape(name)));
    let (count, less) = match (report.nme_mean_fraction, report.missing) {
        (None, missing) if missing < report.images => (report.images - missing, " that have a prediction"),
        _ => (report.images, ""),
    };
    let nme = match report.nme_mean_fraction.or(report.nme_mean_of_found_fraction) {
        Some(nme) => format!("a mean NME of <b>{} %</b>", percent(Some(nme))),
        None => "<b>no landmarks</b>".to_owned(),
    };
    let mut text = format!(
        "<p class=\"verdict\">{subject} {nme} ({}) on {} images{less}.</p>\n<p class=\"lead\">NME: mean distance of predicted and \
         true keypoints, in per cent of the normalizer, {}. Intervals are 95 % bootstrap intervals over images.</p>",
        escape(&report.normalizer),
        thousands(count),
        escape(&report.measured_by())
    );
    if let Some(identity) = &report.identity {
        let fact = |(what, fact): (&str, String)| format!("<dt>{what}</dt><dd>{}</dd>", escape(&fact));
        let facts: String = identity.facts(true).into_iter().map(fact).collect();
        text += &format!("<dl class=\"facts\">{facts}</dl>\n");
    }
    for note in caveats(report) {
        text += &format!("<p class=\"warn\">{}</p>", escape(&note));
    }
    text
}

fn tiles(report: &Report) -> String {
    let mut tiles = vec![(
        percent(report.nme_mean_fraction) + " %",
        "mean NME".to_owned(),
        report.nme_mean_interval_fraction.and_then(|i| ends(i.map(|v| percent(Some(v))), " %")),
    )];
    if report.nme_mean_fraction.is_none() {
        tiles[0] =
            (percent(report.nme_mean_of_found_fraction) + " %", "mean NME of those found".to_owned(), None);
    }
    if let Some(at) = report.thresholds.first() {
        let t = threshold(at.threshold_fraction);
        let failed = at
            .failure_rate_interval_fraction
            .and_then(|i| ends(i.map(|v| format!("{:.2}", 100.0 * v)), " %"));
        tiles.push((
            format!("{:.2} %", 100.0 * at.failure_rate_fraction),
            format!("of images fail: NME above {t}"),
            failed,
        ));
        let area = at.auc_interval.and_then(|i| ends(i.map(|v| format!("{v:.3}")), ""));
        tiles.push((format!("{:.3}", at.auc), format!("AUC up to {t}"), area));
    }
    tiles.push((
        thousands(report.images),
        "images".to_owned(),
        Some(if report.missing == 0 {
            "none missing".to_owned()
        } else {
            format!("{} missing", report.missing)
        }),
    ));
    let tile = |(value, what, more): &(String, String, Option<String>)| {
        let more = more.as_ref().map(|m| format!("<span>{m}</span>")).unwrap_or_default();
        format!("<div class=\"tile\"><b>{value}</b><span>{what}</span>{more}</div>")
    };
    tiles.iter().map(tile).collect()
}

/// An interval in words; nothing where it has no width.
fn ends([low, high]: [String; 2], unit: &str) -> Option<String> {
    (low != high).then(|| format!("{low} to {high}{unit}"))
}

/// A page under construction: a heading, what must be known beforehand, and sections that the page lists at its top.
///
/// ```
/// use star_eval::{Page, Table};
///
/// let mut page = Page::new("Two runs".to_owned());
/// page.lead("Made up, to show the form.");
/// let mut table = Table::new(&["run", "NME %"]);
/// table.row("first", &["4.02".to_owned()]);
/// page.add("figures", "Figures", table.finish());
/// assert!(page.finish().contains("4.02"));
/// ```
pub struct Page {
    title: String,
    lead: String,
    tiles: String,
    sections: Vec<(&'static str, String, String)>,
}

impl Page {
    /// An empty page.
    pub fn new(title: String) -> Self {
        Self { title, lead: String::new(), tiles: String::new(), sections: Vec::new() }
    }

    /// Adds a paragraph under the heading: plain text.
    pub fn lead(&mut self, text: &str) {
        self.lead += &format!("<p class=\"lead\">{}</p>", escape(text));
    }

    /// Adds what was found, under the heading: a word or two in bold, and the rest of the sentence; plain text.
    pub fn verdict(&mut self, verdict: &str, rest: &str) {
        self.lead += &format!("<p class=\"verdict\"><b>{}</b>{}</p>", escape(verdict), escape(rest));
    }

    /// Adds a paragraph under the heading that must not be missed: plain text.
    pub fn warn(&mut self, text: &str) {
        self.lead += &format!("<p class=\"warn\">{}</p>", escape(text));
    }

    /// A section, unless there is nothing in it; `body` is markup, as [`Table::finish`], [`Page::paragraph`] and the figures of
    /// [`Page`] make it.
    pub fn add(&mut self, id: &'static str, heading: impl Into<String>, body: String) {
        if !body.is_empty() {
            self.sections.push((id, heading.into(), body));
        }
    }

    /// The page as HTML.
    pub fn finish(self) -> String {
        let title = escape(&self.title);
        let mut links = String::new();
        let mut sections = String::new();
        for (i, (id, heading, body)) in self.sections.iter().enumerate() {
            // Sections of one kind, such as several comparisons, have their number in the address.
            let id = format!("{id}-{}", i + 1);
            let heading = escape(heading);
            links += &format!("<a href=\"#{id}\">{heading}</a>");
            sections += &format!("<section id=\"{id}\"><h2>{heading}</h2>\n{body}</section>\n");
        }
        let tangent =
            if self.sections.iter().any(|(_, _, body)| body.contains("across")) { ALONG_ACROSS } else { "" };
        let tiles = if self.tiles.is_empty() {
            String::new()
        } else {
            format!("<div class=\"tiles\">{}</div>\n", self.tiles)
        };
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
             <meta name=\"color-scheme\" content=\"light dark\"/><link rel=\"icon\" href=\"data:,\"/>\
             <title>{title}</title><style>\n{STYLE}</style></head>\n<body><header><h1>{title}</h1>\n{}\n{tiles}<nav>{links}</nav></header>\n\
             <main>\n{sections}</main>\n<footer><dl>{DEFINITIONS}{tangent}</dl></footer></body></html>\n",
            self.lead
        )
    }
}

/// A plot in a wide and a narrow drawing, of which the page shows one.
fn figure(caption: &str, draw: impl Fn(Size) -> Result<String>) -> Result<String> {
    sized_figure(caption, [Size::WIDE, Size::NARROW], draw)
}

/// As [`figure`], on half the page's width.
fn half_figure(caption: &str, draw: impl Fn(Size) -> Result<String>) -> Result<String> {
    sized_figure(caption, [Size::WIDE.half(), Size::NARROW], draw)
}

fn sized_figure(
    caption: &str,
    [wide, narrow]: [Size; 2],
    draw: impl Fn(Size) -> Result<String>,
) -> Result<String> {
    let (wide, narrow) = (dress(&draw(wide)?, "wide", caption), dress(&draw(narrow)?, "narrow", caption));
    Ok(format!("<figure>{wide}{narrow}<figcaption>{}</figcaption></figure>\n", escape(caption)))
}

/// A plot's SVG as part of the page: its size is the page's, colours are the theme's.
fn dress(svg: &str, class: &str, label: &str) -> String {
    let opening = svg.find("viewBox").unwrap_or(0);
    let mut text =
        format!("<svg class=\"{class}\" role=\"img\" aria-label=\"{}\" {}", escape(label), &svg[opening..]);
    for colour in themed() {
        text = text.replace(&format!("\"{}\"", colour.light), &format!("\"{}\"", colour.name));
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
