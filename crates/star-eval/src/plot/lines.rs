//! Curves: cumulative errors, losses, reliability.

use super::Size;
use super::axis::{Axis, Scale, tick};
use super::colour::of_line;
use super::frame::{Frame, Key, Mark, Shape};
use super::svg::{INK, Look};
use crate::{Ced, Error, Result};

/// A curve with its label; points that are not finite break it.
type Series<'a> = (&'a str, &'a [(f64, f64)]);

/// Cumulative error curves on `[0, max]`, one per label, as an SVG document. The x axis is in per cent of the normalizer, so the label
/// should name data set, subset and normalizer ([`Report::title`](crate::Report::title) does).
///
/// # Errors
/// [`Error::Empty`] without curves, [`Error::Range`] where `max` is not a positive finite fraction.
pub fn ced_svg(curves: &[(&str, &Ced)], max: f64) -> Result<String> {
    ced_sized(curves, max, None, of_line, Size::PRINT)
}

/// As [`ced_svg`], with a threshold as a dashed line where it is in reach, and with the colour of each curve by its number.
pub(crate) fn ced_sized(
    curves: &[(&str, &Ced)],
    max: f64,
    threshold: Option<f64>,
    colour: fn(usize) -> &'static str,
    size: Size,
) -> Result<String> {
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
    let series: Vec<Series<'_>> = series.iter().map(|(l, points)| (*l, points.as_slice())).collect();
    let label = threshold.map(|t| format!("threshold {} %", tick(100.0 * t)));
    let frame = Frame {
        size,
        title: if size.titled { "Cumulative error distribution" } else { "" },
        x_label: "NME in % of the normalizer",
        y_label: "images within, %",
        x: Axis::new(0.0, 100.0 * max),
        y: Axis::new(0.0, 100.0),
        keys: keys(&series, colour, size),
        marks: threshold.iter().zip(&label).map(|(t, label)| Mark { at: 100.0 * t, label }).collect(),
    };
    lines(frame, &series, colour)
}

/// Curves such as scores over epochs, one per label, as an SVG document. Points that are not finite break the line and do not stretch
/// the axes; an axis of whole numbers has whole ticks.
///
/// # Errors
/// [`Error::Empty`] where no series holds a finite point.
pub fn curves_svg(
    title: &str,
    x_label: &str,
    y_label: &str,
    series: &[(&str, &[(f64, f64)])],
) -> Result<String> {
    curves_sized([title, x_label, y_label], Scale::Linear, series, Size::PRINT)
}

/// As [`curves_svg`] with a logarithmic scale upwards, as losses need that fall from hundreds to hundredths; numbers that are not above 0
/// break the line too.
///
/// # Errors
/// As [`curves_svg`].
pub fn log_curves_svg(
    title: &str,
    x_label: &str,
    y_label: &str,
    series: &[(&str, &[(f64, f64)])],
) -> Result<String> {
    curves_sized([title, x_label, y_label], Scale::Log, series, Size::PRINT)
}

pub(crate) fn curves_sized(
    [title, x_label, y_label]: [&str; 3],
    scale: Scale,
    series: &[(&str, &[(f64, f64)])],
    size: Size,
) -> Result<String> {
    let finite = || series.iter().flat_map(|(_, points)| points.iter()).filter(|p| is_finite(p));
    let (x, y) =
        (Axis::around(finite().map(|p| p.0), Scale::Linear), Axis::around(finite().map(|p| p.1), scale));
    lines(
        Frame { size, title, x_label, y_label, x, y, keys: keys(series, of_line, size), marks: Vec::new() },
        series,
        of_line,
    )
}

/// Predicted spread to the right, observed error upwards, with the line where both are equal.
pub(crate) fn spread_svg(points: &[(f64, f64)], size: Size) -> Result<String> {
    let end = points.iter().fold(0.0f64, |end, (predicted, observed)| end.max(*predicted).max(*observed));
    let labels = ["predicted, % of the normalizer", "observed, % of the normalizer"];
    beside_diagonal(points, labels, if end > 0.0 { 1.05 * end } else { 1.0 }, size)
}

/// Curves on the unit square in per cent, the diagonal among them.
pub(crate) fn reliability_svg(points: &[[f64; 2]], size: Size) -> Result<String> {
    let observed: Vec<(f64, f64)> =
        [[0.0, 0.0]].iter().chain(points).chain(&[[1.0, 1.0]]).map(|[x, y]| (100.0 * x, 100.0 * y)).collect();
    beside_diagonal(&observed, ["errors expected within, %", "errors observed within, %"], 100.0, size)
}

/// Observed share by confidence in per cent, with the diagonal.
pub(crate) fn confidence_svg(points: &[[f64; 2]], size: Size) -> Result<String> {
    let observed: Vec<(f64, f64)> = points.iter().map(|[x, y]| (100.0 * x, 100.0 * y)).collect();
    beside_diagonal(&observed, ["confidence, %", "errors below the threshold, %"], 100.0, size)
}

/// A curve, and the diagonal on which it lies where both its axes agree.
fn beside_diagonal(
    observed: &[(f64, f64)],
    [x_label, y_label]: [&str; 2],
    end: f64,
    size: Size,
) -> Result<String> {
    let frame = Frame {
        size,
        title: "",
        x_label,
        y_label,
        x: Axis::new(0.0, end),
        y: Axis::new(0.0, end),
        keys: vec![
            Key::line(0, "observed"),
            Key { label: "where calibrated", colour: INK, shape: Shape::Dashed },
        ],
        marks: Vec::new(),
    };
    if !observed.iter().any(is_finite) {
        return Err(nothing());
    }
    Ok(frame.draw(|chart| {
        let ends = [chart.at(0.0, 0.0), chart.at(end, end)];
        chart.svg.polyline(ends, Look::line(INK, 1.5).faint(0.6).dashed(), "where calibrated");
        let points: Vec<[f64; 2]> =
            observed.iter().filter(|p| is_finite(p)).map(|&(x, y)| chart.at(x, y)).collect();
        chart.svg.polyline(points.iter().copied(), Look::line(of_line(0), 2.0), "observed");
        for (&at, (x, y)) in points.iter().zip(observed.iter().filter(|p| is_finite(p))) {
            chart.svg.circle(at, 3.5, Look::filled(of_line(0)), &format!("{x:.1} to {y:.1}"));
        }
    }))
}

/// What the lines are, unless there is one on a page, whose caption says it.
fn keys<'a>(series: &[Series<'a>], colour: fn(usize) -> &'static str, size: Size) -> Vec<Key<'a>> {
    if series.len() < 2 && !size.titled {
        return Vec::new();
    }
    series
        .iter()
        .enumerate()
        .map(|(i, (label, _))| Key { label, colour: colour(i), shape: Shape::Line })
        .collect()
}

fn lines(frame: Frame<'_>, series: &[Series<'_>], colour: fn(usize) -> &'static str) -> Result<String> {
    let placed = |(x, y): &(f64, f64)| frame.x.share(*x).is_finite() && frame.y.share(*y).is_finite();
    if !series.iter().any(|(_, points)| points.iter().any(placed)) {
        return Err(nothing());
    }
    Ok(frame.draw(|chart| {
        for (i, (label, points)) in series.iter().enumerate() {
            let places: Vec<Option<[f64; 2]>> = points
                .iter()
                .map(|&(x, y)| Some(chart.at(x, y)).filter(|at| at.iter().all(|v| v.is_finite())))
                .collect();
            for run in places.split(Option::is_none).filter(|run| !run.is_empty()) {
                if let [Some(alone)] = run {
                    chart.svg.circle(*alone, 3.0, Look::filled(colour(i)), label);
                }
                chart.svg.polyline(run.iter().flatten().copied(), Look::line(colour(i), 2.0), label);
            }
        }
    }))
}

fn nothing() -> Error {
    Error::Empty { what: "set of curves", hint: "give at least one finite point" }
}

fn is_finite(point: &(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}
