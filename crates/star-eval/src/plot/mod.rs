//! Curves, bars, scatters, heat maps and shapes as SVG text.

mod colour;
mod heat;
mod scatter;
mod shape;
mod size;
mod whiskers;

pub(crate) use heat::heat_svg;
pub(crate) use scatter::scatter_svg;
pub(crate) use shape::shape_svg;
pub(crate) use size::Size;
pub(crate) use whiskers::whiskers_sized;

use plotters::prelude::*;

use crate::{Ced, Error, Result};

use colour::COLOURS;

/// Cumulative error curves on `[0, max]`, one per label, as an SVG document. The x axis is in per cent of the normalizer, so the label
/// should name data set, subset and normalizer ([`Report::title`](crate::Report::title) does).
///
/// # Errors
/// [`Error::Empty`] without curves, [`Error::Range`] where `max` is not a positive finite fraction, [`Error::Plot`].
pub fn ced_svg(curves: &[(&str, &Ced)], max: f64) -> Result<String> {
    ced_sized(curves, max, Size::PRINT)
}

pub(crate) fn ced_sized(curves: &[(&str, &Ced)], max: f64, size: Size) -> Result<String> {
    if !(max.is_finite() && max > 0.0) {
        return Err(Error::Range {
            what: "right end of the curve",
            expected: "a positive fraction",
            value: max,
        });
    }
    let series: Vec<(&str, Vec<(f64, f64)>)> = curves
        .iter()
        .map(|(label, ced)| {
            let corners = ced.curve(max).into_iter().map(|(error, share)| (100.0 * error, 100.0 * share));
            (*label, corners.collect())
        })
        .collect();
    let series: Vec<(&str, &[(f64, f64)])> =
        series.iter().map(|(l, points)| (*l, points.as_slice())).collect();
    let frame = Frame {
        size,
        title: if size.titled { "Cumulative error distribution" } else { "" },
        x_label: "NME in % of the normalizer",
        y_label: "images within, %",
        x: (0.0, 100.0 * max),
        y: (0.0, 100.0),
        // The corner that the curves leave free: they rise early, or late where most errors are large.
        corner: if curves.iter().any(|(_, ced)| ced.share_within(0.6 * max) < 0.3) {
            SeriesLabelPosition::UpperLeft
        } else {
            SeriesLabelPosition::LowerRight
        },
    };
    frame.lines(&series)
}

/// Curves such as losses over steps, one per label, as an SVG document. Points that are not finite break the line and do not
/// stretch the axes.
///
/// # Errors
/// [`Error::Empty`] where no series holds a finite point, [`Error::Plot`].
pub fn curves_svg(
    title: &str,
    x_label: &str,
    y_label: &str,
    series: &[(&str, &[(f64, f64)])],
) -> Result<String> {
    curves_sized([title, x_label, y_label], series, Size::PRINT, SeriesLabelPosition::UpperRight)
}

/// Predicted spread to the right, observed error upwards, with the line where both are equal; the legend stands where no curve is.
pub(crate) fn spread_svg(points: &[(f64, f64)], size: Size) -> Result<String> {
    let end = points.iter().fold(0.0f64, |end, (predicted, observed)| end.max(*predicted).max(*observed));
    let above = points.iter().filter(|(predicted, observed)| observed > predicted).count();
    let corner = if 2 * above > points.len() {
        SeriesLabelPosition::LowerRight
    } else {
        SeriesLabelPosition::UpperLeft
    };
    let series: [(&str, &[(f64, f64)]); 2] =
        [("observed", points), ("where calibrated", &[(0.0, 0.0), (end, end)])];
    curves_sized(
        ["", "predicted, % of the normalizer", "observed, % of the normalizer"],
        &series,
        size,
        corner,
    )
}

pub(crate) fn curves_sized(
    [title, x_label, y_label]: [&str; 3],
    series: &[(&str, &[(f64, f64)])],
    size: Size,
    corner: SeriesLabelPosition,
) -> Result<String> {
    let finite = || series.iter().flat_map(|(_, points)| points.iter()).filter(|p| is_finite(p));
    let (x, y) = (span(finite().map(|p| p.0)), span(finite().map(|p| p.1)));
    Frame { size, title, x_label, y_label, x, y, corner }.lines(series)
}

/// Curves on the unit square in per cent, the diagonal among them.
pub(crate) fn reliability_svg(points: &[[f64; 2]], size: Size) -> Result<String> {
    let observed: Vec<(f64, f64)> =
        [[0.0, 0.0]].iter().chain(points).chain(&[[1.0, 1.0]]).map(|[x, y]| (100.0 * x, 100.0 * y)).collect();
    beside_diagonal(&observed, ["errors expected within the ellipse, %", "errors observed within, %"], size)
}

/// Observed share by confidence in per cent, with the diagonal.
pub(crate) fn confidence_svg(points: &[[f64; 2]], size: Size) -> Result<String> {
    let observed: Vec<(f64, f64)> = points.iter().map(|[x, y]| (100.0 * x, 100.0 * y)).collect();
    beside_diagonal(&observed, ["confidence, %", "errors below the threshold, %"], size)
}

/// A curve of percentages against percentages, and the diagonal on which it lies where they agree.
fn beside_diagonal(observed: &[(f64, f64)], [x_label, y_label]: [&str; 2], size: Size) -> Result<String> {
    let frame = Frame {
        size,
        title: "",
        x_label,
        y_label,
        x: (0.0, 100.0),
        y: (0.0, 100.0),
        corner: SeriesLabelPosition::LowerRight,
    };
    frame.lines(&[("observed", observed), ("where calibrated", &[(0.0, 0.0), (100.0, 100.0)])])
}

/// One bar per value, at 0, 1, 2 ..., as an SVG document; values that are not finite leave a gap.
///
/// # Errors
/// [`Error::Empty`] where no value is finite, [`Error::Plot`].
pub fn bars_svg(title: &str, x_label: &str, y_label: &str, values: &[f64]) -> Result<String> {
    bars_sized([title, x_label, y_label], values, Size::PRINT)
}

pub(crate) fn bars_sized([title, x_label, y_label]: [&str; 3], values: &[f64], size: Size) -> Result<String> {
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    if finite().next().is_none() {
        return Err(Error::Empty { what: "list of bars", hint: "give at least one finite value" });
    }
    let (low, high) = finite().fold((0.0f64, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
    let room = 0.05 * (high - low);
    let y = if high > low { (if low < 0.0 { low - room } else { 0.0 }, high + room) } else { (0.0, 1.0) };
    let x = (-0.5, values.len() as f64 - 0.5);
    let frame = Frame { size, title, x_label, y_label, x, y, corner: SeriesLabelPosition::UpperRight };
    frame.draw(|chart| {
        let bars = values.iter().enumerate().filter(|(_, v)| v.is_finite()).map(|(i, &value)| {
            let centre = i as f64;
            Rectangle::new([(centre - 0.4, 0.0), (centre + 0.4, value)], COLOURS[0].filled())
        });
        chart.draw_series(bars).map_err(|e| e.to_string())?;
        Ok(())
    })
}

type Chart<'a> = ChartContext<
    'a,
    SVGBackend<'a>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

/// Everything around the data.
struct Frame<'a> {
    size: Size,
    title: &'a str,
    x_label: &'a str,
    y_label: &'a str,
    x: (f64, f64),
    y: (f64, f64),
    corner: SeriesLabelPosition,
}

impl Frame<'_> {
    fn lines(&self, series: &[(&str, &[(f64, f64)])]) -> Result<String> {
        if !series.iter().any(|(_, points)| points.iter().any(is_finite)) {
            return Err(Error::Empty { what: "set of curves", hint: "give at least one finite point" });
        }
        self.draw(|chart| {
            for (i, (label, points)) in series.iter().enumerate() {
                let style = COLOURS[i % COLOURS.len()].stroke_width(2);
                let mut label = Some(*label);
                for run in points.split(|p| !is_finite(p)).filter(|run| !run.is_empty()) {
                    let drawn = chart
                        .draw_series(LineSeries::new(run.iter().copied(), style))
                        .map_err(|e| e.to_string())?;
                    if let Some(label) = label.take() {
                        drawn
                            .label(label)
                            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
                    }
                }
            }
            let background = WHITE.mix(0.8);
            let mut legend = chart.configure_series_labels();
            legend.position(self.corner.clone()).background_style(background).border_style(BLACK.mix(0.3));
            legend.label_font(("sans-serif", self.size.text - 1)).draw().map_err(|e| e.to_string())
        })
    }

    /// Axes and title, then whatever `fill` draws.
    fn draw(&self, fill: impl FnOnce(&mut Chart<'_>) -> std::result::Result<(), String>) -> Result<String> {
        let mut text = String::new();
        self.draw_into(&mut text, fill)
            .map_err(|reason| Error::Plot { title: self.title.to_owned(), reason })?;
        Ok(text)
    }

    fn draw_into(
        &self,
        text: &mut String,
        fill: impl FnOnce(&mut Chart<'_>) -> std::result::Result<(), String>,
    ) -> std::result::Result<(), String> {
        let Size { pixels, text: font, ticks, .. } = self.size;
        let root = SVGBackend::with_string(text, pixels).into_drawing_area();
        root.fill(&WHITE).map_err(|e| e.to_string())?;
        let mut builder = ChartBuilder::on(&root);
        if !self.title.is_empty() {
            builder.caption(self.title, ("sans-serif", font + 4));
        }
        let mut chart = builder
            .margin(font / 2)
            .margin_right(font)
            .x_label_area_size(3 * font)
            .y_label_area_size(4 * font)
            .build_cartesian_2d(self.x.0..self.x.1, self.y.0..self.y.1)
            .map_err(|e| e.to_string())?;
        chart
            .configure_mesh()
            .x_desc(self.x_label)
            .y_desc(self.y_label)
            .axis_desc_style(("sans-serif", font))
            .label_style(("sans-serif", font - 2))
            .x_labels(ticks)
            .y_labels(ticks)
            .x_label_formatter(&tick)
            .y_label_formatter(&tick)
            .light_line_style(WHITE.mix(0.0))
            .draw()
            .map_err(|e| e.to_string())?;
        fill(&mut chart)?;
        root.present().map_err(|e| e.to_string())
    }
}

/// A tick's number without trailing zeros; what arithmetic leaves of zero is printed as zero.
pub(crate) fn tick(value: &f64) -> String {
    let size = value.abs();
    if size < 1e-12 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{value:.1e}");
    }
    format!("{value:.5}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn is_finite(point: &(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// Lowest and highest value with a little room; never empty.
fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let room = if high > low { 0.03 * (high - low) } else { low.abs().max(1.0) * 0.5 };
    (low - room, high + room)
}
