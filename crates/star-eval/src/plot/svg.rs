//! An SVG document under construction. Ink is `currentColor` and paper is nothing, so that a page lends a plot its own; a file of its own
//! carries both for light and dark.

use std::fmt::Write;

use super::Size;
use super::colour::dark_rules;

/// Width of a letter in heights of letters, on the wide side: room is kept by it before anybody knows the font.
const LETTER: f64 = 0.6;

/// Ink of axes, letters and all that is no data.
pub(super) const INK: &str = "currentColor";

/// Which side of its place a text stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// It begins there.
    Start,
    /// It lies about it.
    Middle,
    /// It ends there.
    End,
}

/// What an element looks like; what is `None` is not said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look<'a> {
    pub(super) fill: Option<&'a str>,
    pub(super) stroke: Option<&'a str>,
    pub(super) width: f64,
    /// Of all of it; 0 stands for opaque, which needs no word.
    pub(super) opacity: f64,
    pub(super) dashed: bool,
}

impl<'a> Look<'a> {
    /// An area.
    pub(super) fn filled(colour: &'a str) -> Self {
        Self { fill: Some(colour), ..Self::default() }
    }

    /// A line.
    pub(super) fn line(colour: &'a str, width: f64) -> Self {
        Self { stroke: Some(colour), width, ..Self::default() }
    }

    /// The same, translucent.
    pub(super) fn faint(self, opacity: f64) -> Self {
        Self { opacity, ..self }
    }

    /// The same, dashed.
    pub(super) fn dashed(self) -> Self {
        Self { dashed: true, ..self }
    }

    fn attributes(&self) -> String {
        let mut text = format!(" fill=\"{}\"", self.fill.unwrap_or("none"));
        if let Some(stroke) = self.stroke {
            text += &format!(" stroke=\"{stroke}\" stroke-width=\"{}\"", number(self.width));
        }
        if self.opacity > 0.0 {
            text += &format!(" opacity=\"{}\"", self.opacity);
        }
        if self.dashed {
            text += " stroke-dasharray=\"5 4\"";
        }
        text
    }
}

/// The document.
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// An empty one. Where the plot is a file of its own it begins with its colours.
    pub(super) fn new(size: Size) -> Self {
        let (width, height) = size.pixels;
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"system-ui, sans-serif\">\n"
        );
        if size.titled {
            let _ = writeln!(
                text,
                "<style>svg{{color:#1c1f23;background:#ffffff}}\
                 @media (prefers-color-scheme:dark){{svg{{color:#e8eaed;background:#1a1d23}}{}}}</style>",
                dark_rules()
            );
        }
        Self { text }
    }

    fn element(&mut self, name: &str, attributes: &str, look: &Look<'_>, title: &str) {
        let _ = write!(self.text, "<{name}{attributes}{}", look.attributes());
        if title.is_empty() {
            self.text += "/>\n";
        } else {
            let _ = writeln!(self.text, "><title>{}</title></{name}>", escape(title));
        }
    }

    /// A line from point to point; points that would be drawn in one place are one.
    pub(super) fn polyline(
        &mut self,
        points: impl IntoIterator<Item = [f64; 2]>,
        look: Look<'_>,
        title: &str,
    ) {
        let mut places: Vec<String> = Vec::new();
        for [x, y] in points {
            let place = format!("{},{}", number(x), number(y));
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
        self.element("polyline", &format!(" points=\"{}\"", places.join(" ")), &look, title);
    }

    /// A rectangle between two corners, in whatever order.
    pub(super) fn rect(&mut self, [a, b]: [[f64; 2]; 2], look: Look<'_>, title: &str) {
        let (x, y) = (a[0].min(b[0]), a[1].min(b[1]));
        let (width, height) = ((a[0] - b[0]).abs(), (a[1] - b[1]).abs());
        let attributes = format!(
            " x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
            number(x),
            number(y),
            number(width),
            number(height)
        );
        self.element("rect", &attributes, &look, title);
    }

    /// A disc.
    pub(super) fn circle(&mut self, [x, y]: [f64; 2], radius: f64, look: Look<'_>, title: &str) {
        let attributes = format!(" cx=\"{}\" cy=\"{}\" r=\"{}\"", number(x), number(y), number(radius));
        self.element("circle", &attributes, &look, title);
    }

    /// A line of text whose letters stand on `at`.
    pub(super) fn write(
        &mut self,
        text: &str,
        [x, y]: [f64; 2],
        height: u32,
        anchor: Anchor,
        look: Look<'_>,
    ) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let _ = writeln!(
            self.text,
            "<text x=\"{}\" y=\"{}\" font-size=\"{height}\"{anchor}{}>{}</text>",
            number(x),
            number(y),
            look.attributes(),
            escape(text)
        );
    }

    /// The document as text.
    pub(super) fn finish(mut self) -> String {
        self.text += "</svg>\n";
        self.text
    }
}

/// Width that a text may take in letters of this height.
pub(super) fn text_width(text: &str, height: u32) -> f64 {
    LETTER * f64::from(height) * text.chars().count() as f64
}

/// Tenths of a pixel, without a zero behind the point.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_points_of_one_place_are_one() {
        let mut svg = Svg::new(Size::WIDE);
        svg.polyline([[0.0, 1.0], [0.01, 1.02], [5.26, 2.0]], Look::line(INK, 2.0), "a < b");
        svg.write("x & y", [1.0, 2.0], 12, Anchor::End, Look::filled(INK));
        let text = svg.finish();
        let document = roxmltree::Document::parse(&text).unwrap();
        let line = document.descendants().find(|n| n.has_tag_name("polyline")).unwrap();
        assert_eq!(line.attribute("points"), Some("0,1 5.3,2"));
        assert_eq!(line.first_element_child().and_then(|title| title.text()), Some("a < b"));
        assert!(text.contains("x &amp; y") && !text.contains("<style>"), "{text}");
    }

    #[test]
    fn a_file_of_its_own_is_seen_on_light_and_on_dark_ground() {
        let text = Svg::new(Size::PRINT).finish();
        assert!(text.contains("prefers-color-scheme:dark") && text.contains("background:#ffffff"), "{text}");
        roxmltree::Document::parse(&text).unwrap();
    }
}
