//! Plots as SVG that lie beside a Markdown file as well as in a page, on light and on dark: ink is the current colour.

use std::fmt::Write;

/// Colours of series, which are read on white and on black: STAR, what it is compared with, others.
pub(crate) const SERIES: [&str; 4] = ["#3b8fc4", "#d9731a", "#2a9d74", "#a8699a"];

/// Width of a plot in its own units; a page stretches it.
pub(crate) const WIDTH: f64 = 760.0;

/// Room at the left for an axis' label and numbers of five characters.
pub(crate) const LEFT: f64 = 64.0;

/// Ticks on an axis: about `count` round numbers between two.
pub(crate) fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let rough = (high - low).max(1e-9) / count as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|v| *v <= high + 1e-9).collect()
}

/// A number without digits that say nothing.
pub(crate) fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.replace('-', "\u{2212}") }
}

/// A drawing under way.
pub(crate) struct Drawing {
    text: String,
    height: f64,
}

impl Drawing {
    pub(crate) fn new(height: f64) -> Self {
        Self { text: String::new(), height }
    }

    pub(crate) fn add(&mut self, element: &str) {
        self.text.push_str(element);
        self.text.push('\n');
    }

    pub(crate) fn line(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], stroke: &str) {
        let _ = writeln!(self.text, "<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" {stroke}/>");
    }

    /// Words whose `anchor` (`start`, `middle` or `end`) is at a point.
    pub(crate) fn words(&mut self, [x, y]: [f64; 2], anchor: &str, words: &str) {
        let words = escape(words);
        let _ = writeln!(
            self.text,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"currentColor\">{words}</text>"
        );
    }

    /// Words upwards along the left edge, about height `y`.
    pub(crate) fn upwards(&mut self, y: f64, words: &str) {
        let words = escape(words);
        let _ = writeln!(
            self.text,
            "<text transform=\"translate(14 {y:.1}) rotate(-90)\" text-anchor=\"middle\" fill=\"currentColor\">{words}</text>"
        );
    }

    /// A point with its interval, and what is read when a pointer rests on it.
    pub(crate) fn interval(&mut self, x: f64, [low, middle, high]: [f64; 3], colour: &str, title: &str) {
        let title = escape(title);
        let _ = writeln!(
            self.text,
            "<g><title>{title}</title><path d=\"M{x:.1} {low:.1}V{high:.1}M{:.1} {low:.1}h8M{:.1} {high:.1}h8\" stroke=\"{colour}\" \
             stroke-width=\"2\" fill=\"none\"/><circle cx=\"{x:.1}\" cy=\"{middle:.1}\" r=\"4.5\" fill=\"{colour}\"/></g>",
            x - 4.0,
            x - 4.0
        );
    }

    /// A line through points.
    pub(crate) fn curve(&mut self, points: &[[f64; 2]], colour: &str, title: &str) {
        let mut path = String::new();
        for (i, [x, y]) in points.iter().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
        }
        let title = escape(title);
        let _ = writeln!(
            self.text,
            "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"2.2\" fill=\"none\"><title>{title}</title></path>"
        );
    }

    /// Names of series in a row.
    pub(crate) fn legend(&mut self, [mut x, y]: [f64; 2], names: &[(&str, &str)]) {
        for (name, colour) in names {
            self.add(&format!("<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4.5\" fill=\"{colour}\"/>", y - 4.0));
            self.words([x + 9.0, y], "start", name);
            x += 30.0 + 7.2 * name.chars().count() as f64;
        }
    }

    /// The whole, with what it shows for those who do not see it.
    pub(crate) fn finish(self, label: &str) -> String {
        let label = escape(label);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" class=\"plot\" role=\"img\" aria-label=\"{label}\" \
             font-family=\"system-ui,sans-serif\" font-size=\"13\">\n<style>svg.plot{{color:#1c1f23}}\
             @media(prefers-color-scheme:dark){{svg.plot{{color:#e8eaed}}}}</style>\n{}</svg>\n",
            self.height, self.text
        )
    }
}

/// Thin ink, and the ink of axes.
pub(crate) const THIN: &str = "stroke=\"currentColor\" stroke-opacity=\".15\"";
pub(crate) const AXIS: &str = "stroke=\"currentColor\" stroke-opacity=\".7\"";

/// From values to heights of a panel, larger ones higher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
}

impl Scale {
    pub(crate) fn at(&self, value: f64) -> f64 {
        self.bottom - (value - self.low) / (self.high - self.low) * (self.bottom - self.top)
    }

    /// Lines and numbers between two abscissas.
    pub(crate) fn grid(&self, drawing: &mut Drawing, [left, right]: [f64; 2], numbers: bool) {
        for value in ticks(self.low, self.high, 5) {
            let y = self.at(value);
            drawing.line([left, y], [right, y], if value == 0.0 { AXIS } else { THIN });
            if numbers {
                drawing.words([left - 8.0, y + 4.5], "end", &plain(value));
            }
        }
    }
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_and_numbers_have_no_idle_digits() {
        assert_eq!(ticks(-0.31, 0.62, 5), [-0.2, 0.0, 0.2, 0.4, 0.6000000000000001]);
        assert_eq!([plain(0.6000000000000001), plain(-0.2), plain(4.0)], ["0.6", "\u{2212}0.2", "4"]);
    }

    #[test]
    fn a_scale_puts_larger_values_higher() {
        let scale = Scale { low: -1.0, high: 1.0, top: 10.0, bottom: 110.0 };
        assert_eq!([scale.at(1.0), scale.at(0.0), scale.at(-1.0)], [10.0, 60.0, 110.0]);
    }
}
