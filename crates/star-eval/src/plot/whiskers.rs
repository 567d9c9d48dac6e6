//! Figures with their intervals over a dose.

use super::Size;
use super::axis::{Axis, Scale};
use super::colour::of_line;
use super::frame::{Frame, Key};
use super::svg::{INK, Look};
use crate::{Error, Interval, Result};

/// A series of whiskers: its label, and intervals at places on the x axis.
pub(crate) type Whiskers<'a> = (&'a str, &'a [(f64, Interval)]);

/// Each series as a line through its estimates with a bar from end to end of each interval; the line at 0 is drawn.
pub(crate) fn whiskers_sized(
    [title, x_label, y_label]: [&str; 3],
    series: &[Whiskers<'_>],
    size: Size,
) -> Result<String> {
    let finite = |(x, i): &&(f64, Interval)| [*x, i.low, i.estimate, i.high].iter().all(|v| v.is_finite());
    let all = || series.iter().flat_map(|(_, points)| points.iter()).filter(finite);
    if all().next().is_none() {
        return Err(Error::Empty { what: "set of intervals", hint: "give at least one that is finite" });
    }
    let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), (x, _)| (l.min(*x), h.max(*x)));
    let wide = (high - low).max(1e-9);
    let heights = || all().flat_map(|(_, i)| [i.low, i.high]).chain([0.0]);
    let ends = (low - 0.12 * wide, high + 0.12 * wide);
    let frame = Frame {
        size,
        title,
        x_label,
        y_label,
        x: Axis::new(ends.0, ends.1),
        y: Axis::around(heights(), Scale::Linear),
        keys: series.iter().enumerate().map(|(i, (label, _))| Key::line(i, label)).collect(),
        marks: Vec::new(),
    };
    Ok(frame.draw(|chart| {
        let zero = [chart.at(ends.0, 0.0), chart.at(ends.1, 0.0)];
        chart.svg.polyline(zero, Look::line(INK, 1.5).faint(0.6), "");
        for (i, (label, points)) in series.iter().enumerate() {
            let look = Look::line(of_line(i), 2.0);
            // Series stand a little beside each other, so that bars do not hide bars.
            let aside = 0.015 * wide * (i as f64 - (series.len() as f64 - 1.0) / 2.0);
            let points: Vec<(f64, Interval)> =
                points.iter().filter(finite).map(|(x, at)| (x + aside, *at)).collect();
            let middle: Vec<[f64; 2]> = points.iter().map(|(x, i)| chart.at(*x, i.estimate)).collect();
            chart.svg.polyline(middle.iter().copied(), look, label);
            for (&at, (x, found)) in middle.iter().zip(&points) {
                let bar = [chart.at(*x, found.low), chart.at(*x, found.high)];
                chart.svg.polyline(bar, look, "");
                let title = format!("{label}: {:.3} ({:.3} to {:.3})", found.estimate, found.low, found.high);
                chart.svg.circle(at, 4.0, Look::filled(of_line(i)), &title);
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interval_is_drawn_and_nothing_is_refused() {
        let at =
            |estimate: f64| Interval { estimate, low: estimate - 1.0, high: estimate + 1.0, level: 0.95 };
        let points = [(0.0, at(-1.0)), (1.0, at(2.0)), (2.0, at(f64::NAN))];
        let svg = whiskers_sized(["", "strength", "gain"], &[("gain", &points)], Size::WIDE).unwrap();
        assert_eq!(svg.matches("<circle").count(), 2, "one that is not finite is left out");
        assert!(svg.contains("gain: 2.000 (1.000 to 3.000)"), "{svg}");
        assert!(matches!(whiskers_sized(["", "", ""], &[], Size::WIDE), Err(Error::Empty { .. })));
    }
}
