//! What is around the data of a plot: axes with their ticks, a legend above them, marked places.

use super::Size;
use super::axis::{Axis, tick};
use super::colour::of_line;
use super::svg::{Anchor, INK, Look, Svg, text_width};

/// A place on the x axis that means something, such as a threshold.
pub(super) struct Mark<'a> {
    pub(super) at: f64,
    pub(super) label: &'a str,
}

/// What a colour of the plot stands for.
pub(super) struct Key<'a> {
    pub(super) label: &'a str,
    pub(super) colour: &'a str,
    pub(super) shape: Shape,
}

/// How data of a colour are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Line,
    Dashed,
    Dot,
}

impl<'a> Key<'a> {
    /// Of the `i`-th line.
    pub(super) fn line(i: usize, label: &'a str) -> Self {
        Self { label, colour: of_line(i), shape: Shape::Line }
    }

    /// Of areas or points.
    pub(super) fn dot(colour: &'a str, label: &'a str) -> Self {
        Self { label, colour, shape: Shape::Dot }
    }
}

/// Everything around the data.
pub(super) struct Frame<'a> {
    pub(super) size: Size,
    pub(super) title: &'a str,
    pub(super) x_label: &'a str,
    pub(super) y_label: &'a str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) keys: Vec<Key<'a>>,
    pub(super) marks: Vec<Mark<'a>>,
}

/// A plot whose frame is drawn.
pub(super) struct Chart {
    pub(super) svg: Svg,
    x: Axis,
    y: Axis,
    /// Left, top, right and bottom of the data's place, pixels.
    area: [f64; 4],
}

impl Chart {
    /// The pixel of a point.
    pub(super) fn at(&self, x: f64, y: f64) -> [f64; 2] {
        let [left, top, right, bottom] = self.area;
        [left + (right - left) * self.x.share(x), bottom - (bottom - top) * self.y.share(y)]
    }
}

impl Frame<'_> {
    /// Draws the frame, then what `fill` draws into it.
    pub(super) fn draw(&self, fill: impl FnOnce(&mut Chart)) -> String {
        let Size { pixels: (width, height), text, ticks, .. } = self.size;
        let (width, height, letter) = (f64::from(width), f64::from(height), f64::from(text));
        let small = text - 2;
        let mut svg = Svg::new(self.size);
        let mut top = 0.3 * letter;
        if !self.title.is_empty() {
            top += 1.5 * letter;
            svg.write(
                self.title,
                [width / 2.0, top - 0.2 * letter],
                text + 2,
                Anchor::Middle,
                Look::filled(INK),
            );
        }
        top = self.legend(&mut svg, top);
        if !self.y_label.is_empty() {
            top += 1.3 * letter;
            let label = fitted(self.y_label, small, width - 0.3 * letter);
            svg.write(&label, [0.3 * letter, top - 0.3 * letter], small, Anchor::Start, muted());
        }
        if self.marks.iter().any(|mark| self.x.holds(mark.at)) {
            top += 1.2 * letter;
        }
        let (x_ticks, y_ticks) = (self.x.ticks(ticks), self.y.ticks(ticks));
        let widest = y_ticks.iter().map(|v| text_width(&tick(*v), small)).fold(0.0, f64::max);
        // The last tick of the x axis is as wide as its number on both sides.
        let half = x_ticks.last().map_or(0.0, |v| text_width(&tick(*v), small) / 2.0);
        let area = [
            widest + 0.9 * letter,
            top + 0.4 * letter,
            width - half.max(0.6 * letter),
            height - 2.9 * letter,
        ];
        let mut chart = Chart { svg, x: self.x, y: self.y, area };
        let [left, top, right, bottom] = area;
        for &value in &y_ticks {
            let y = bottom - (bottom - top) * self.y.share(value);
            chart.svg.polyline([[left, y], [right, y]], Look::line(INK, 1.0).faint(0.13), "");
            let at = [left - 0.4 * letter, y + 0.35 * f64::from(small)];
            chart.svg.write(&tick(value), at, small, Anchor::End, Look::filled(INK));
        }
        for &value in &x_ticks {
            let x = left + (right - left) * self.x.share(value);
            chart.svg.polyline([[x, top], [x, bottom]], Look::line(INK, 1.0).faint(0.13), "");
            chart.svg.write(
                &tick(value),
                [x, bottom + 1.2 * letter],
                small,
                Anchor::Middle,
                Look::filled(INK),
            );
        }
        chart.svg.polyline(
            [[left, top], [left, bottom], [right, bottom]],
            Look::line(INK, 1.0).faint(0.6),
            "",
        );
        let label = fitted(self.x_label, small, width);
        let x = beside_ends((left + right) / 2.0, text_width(&label, small), [0.0, width]);
        chart.svg.write(&label, [x, bottom + 2.4 * letter], small, Anchor::Middle, muted());
        fill(&mut chart);
        for mark in self.marks.iter().filter(|mark| self.x.holds(mark.at)) {
            let share = self.x.share(mark.at);
            let x = left + (right - left) * share;
            chart.svg.polyline(
                [[x, top], [x, bottom]],
                Look::line(INK, 1.5).faint(0.75).dashed(),
                mark.label,
            );
            let x = beside_ends(x, text_width(mark.label, small), [left, right]);
            chart.svg.write(mark.label, [x, top - 0.4 * letter], small, Anchor::Middle, Look::filled(INK));
        }
        chart.svg.finish()
    }

    /// The keys in rows; returns where the next thing begins.
    fn legend(&self, svg: &mut Svg, top: f64) -> f64 {
        let Size { pixels: (width, _), text, .. } = self.size;
        let (letter, small) = (f64::from(text), text - 2);
        let swatch = 1.3 * letter;
        let (mut x, mut y) = (0.3 * letter, top);
        for (i, key) in self.keys.iter().enumerate() {
            let label = fitted(key.label, small, f64::from(width) - 0.7 * letter - swatch);
            let wide = swatch + 0.4 * letter + text_width(&label, small);
            if i == 0 || x + wide > f64::from(width) {
                (x, y) = (0.3 * letter, y + 1.35 * letter);
            }
            let middle = y - 0.65 * letter;
            match key.shape {
                Shape::Dot => svg.circle(
                    [x + swatch - 0.4 * letter, middle],
                    0.33 * letter,
                    Look::filled(key.colour),
                    "",
                ),
                Shape::Line | Shape::Dashed => {
                    let look = Look::line(key.colour, 3.0);
                    let look = if key.shape == Shape::Dashed { look.dashed() } else { look };
                    svg.polyline([[x, middle], [x + swatch, middle]], look, "");
                }
            }
            let at = [x + swatch + 0.35 * letter, y - 0.33 * letter];
            svg.write(&label, at, small, Anchor::Start, Look::filled(INK));
            x += wide + letter;
        }
        y
    }
}

/// The middle of a text `wide` pixels wide about `x`, moved where it would go beyond an end.
fn beside_ends(x: f64, wide: f64, [left, right]: [f64; 2]) -> f64 {
    let (low, high) = (left + wide / 2.0, right - wide / 2.0);
    if low < high { x.clamp(low, high) } else { (left + right) / 2.0 }
}

/// A text no wider than `width`; one that is longer loses its middle, since names differ at their ends.
fn fitted(text: &str, height: u32, width: f64) -> String {
    let most = (width / text_width("x", height)).max(3.0) as usize;
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= most {
        return text.to_owned();
    }
    let (head, tail) = ((most - 1) / 2, most / 2);
    letters[..head].iter().chain(&['\u{2026}']).chain(&letters[letters.len() - tail..]).collect()
}

fn muted() -> Look<'static> {
    Look::filled(INK).faint(0.8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_too_long_lose_their_middle() {
        // Ten letters of ten pixels are 60 wide.
        assert_eq!(fitted("runs/a/long/name", 10, 60.0), "runs\u{2026}/name");
        assert_eq!(fitted("short", 10, 60.0), "short");
        let ends = [beside_ends(5.0, 40.0, [0.0, 100.0]), beside_ends(50.0, 400.0, [0.0, 100.0])];
        assert_eq!(ends, [20.0, 50.0]);
    }

    #[test]
    fn a_mark_is_a_dashed_line_and_the_legend_stands_above_the_data() {
        let keys = [Key::line(0, "one"), Key::line(1, "two")];
        let mark = |at| Mark { at, label: "threshold" };
        let frame = |at| Frame {
            size: Size::NARROW,
            title: "",
            x_label: "x",
            y_label: "y",
            x: Axis::new(0.0, 10.0),
            y: Axis::new(0.0, 1.0),
            keys: keys
                .iter()
                .map(|key| Key { label: key.label, colour: key.colour, shape: key.shape })
                .collect(),
            marks: vec![mark(at)],
        };
        let mut highest = 0.0;
        let inside = frame(5.0).draw(|chart| highest = chart.at(0.0, 1.0)[1]);
        let document = roxmltree::Document::parse(&inside).unwrap();
        let dashed = || document.descendants().filter(|n| n.attribute("stroke-dasharray").is_some());
        assert_eq!(dashed().count(), 1);
        let legend = document.descendants().filter(|n| n.text().is_some_and(|t| ["one", "two"].contains(&t)));
        for label in legend.filter(|n| n.has_tag_name("text")) {
            let y: f64 = label.attribute("y").unwrap().parse().unwrap();
            assert!(y < highest, "{y} is below {highest}");
        }
        assert!(!frame(50.0).draw(|_| ()).contains("stroke-dasharray"));
    }
}
