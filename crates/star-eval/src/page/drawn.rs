//! Paragraphs and figures for pages that other programs put together.

use super::{Page, escape, figure};
use crate::plot::{Scale, bars_sized, ced_sized, curves_sized, of_line, whiskers_sized};
use crate::{Ced, Interval, Result};

impl Page {
    /// Plain text as a paragraph.
    pub fn paragraph(text: &str) -> String {
        format!("<p>{}</p>\n", escape(text))
    }

    /// A heading inside a section.
    pub fn heading(text: &str) -> String {
        format!("<h3>{}</h3>\n", escape(text))
    }

    /// Plain text as it may stand in a cell of a table.
    pub fn cell(text: &str) -> String {
        escape(text)
    }

    /// Curves, one a label, as a figure with its caption.
    ///
    /// # Errors
    /// As [`curves_svg`](crate::curves_svg).
    pub fn curves(
        caption: &str,
        [x_label, y_label]: [&str; 2],
        series: &[(&str, &[(f64, f64)])],
    ) -> Result<String> {
        figure(caption, |size| curves_sized(["", x_label, y_label], Scale::Linear, series, size))
    }

    /// One bar per value, at 0, 1, 2 ...; values that are not finite leave a gap.
    ///
    /// # Errors
    /// As [`bars_svg`](crate::bars_svg).
    pub fn bars(caption: &str, [x_label, y_label]: [&str; 2], values: &[f64]) -> Result<String> {
        figure(caption, |size| bars_sized(["", x_label, y_label], values, size))
    }

    /// Cumulative error curves on `[0, max]`.
    ///
    /// # Errors
    /// As [`ced_svg`](crate::ced_svg).
    pub fn cumulative(caption: &str, curves: &[(&str, &Ced)], max: f64) -> Result<String> {
        figure(caption, |size| ced_sized(curves, max, None, of_line, size))
    }

    /// Estimates with their intervals over a dose, one line a label.
    ///
    /// # Errors
    /// [`Error::Empty`](crate::Error::Empty) where none is finite.
    pub fn intervals(
        caption: &str,
        [x_label, y_label]: [&str; 2],
        series: &[(&str, &[(f64, Interval)])],
    ) -> Result<String> {
        figure(caption, |size| whiskers_sized(["", x_label, y_label], series, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;

    #[test]
    fn a_page_of_ones_own_has_its_sections_tables_and_figures_and_escapes_text() {
        let mut page = Page::new("Own <page>".to_owned());
        page.lead("a & b");
        page.warn("mind <this>");
        let mut table = Table::new(&["name", "value"]);
        table.row("x < y", &[Page::cell("1 < 2")]);
        page.add("first", "First", Page::paragraph("1 < 2") + &table.finish());
        let at = |estimate: f64| Interval { estimate, low: 0.5, high: 2.5, level: 0.95 };
        let ced = Ced::new(vec![0.01, 0.2]).unwrap();
        let figures = [
            Page::curves("curves", ["x", "y"], &[("a", &[(0.0, 1.0), (1.0, 2.0)])]).unwrap(),
            Page::bars("bars", ["x", "y"], &[1.0, f64::NAN]).unwrap(),
            Page::cumulative("ced", &[("a", &ced)], 0.1).unwrap(),
            Page::intervals("gain", ["x", "y"], &[("a", &[(0.0, at(1.0)), (1.0, at(2.0))])]).unwrap(),
        ];
        page.add("second", "Second", figures.concat());
        let html = page.finish();
        for part in
            ["Own &lt;page&gt;", "a &amp; b", "mind &lt;this&gt;", "x &lt; y", "1 &lt; 2", "#second-2"]
        {
            assert!(html.contains(part), "{part} is missing");
        }
        assert_eq!(html.matches("<figure>").count(), 4);
    }
}
