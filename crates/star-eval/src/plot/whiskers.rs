//! Figures with their intervals over a dose.

use plotters::prelude::*;

use super::colour::COLOURS;
use super::{Frame, Size};
use crate::{Error, Interval, Result};

/// A series of whiskers: its label, and intervals at places on the x axis.
pub(crate) type Whiskers<'a> = (&'a str, &'a [(f64, Interval)]);

/// Each series as a line through its estimates with a bar from end to end of each interval; the line at 0 is drawn where it is in
/// reach.
pub(crate) fn whiskers_sized(
    [title, x_label, y_label]: [&str; 3],
    series: &[Whiskers<'_>],
    size: Size,
) -> Result<String> {
    let all = || series.iter().flat_map(|(_, points)| points.iter());
    let finite = |(x, i): &&(f64, Interval)| [*x, i.low, i.estimate, i.high].iter().all(|v| v.is_finite());
    let (mut x, mut y) = ((f64::INFINITY, f64::NEG_INFINITY), (0.0f64, 0.0f64));
    for (at, interval) in all().filter(finite) {
        x = (x.0.min(*at), x.1.max(*at));
        y = (y.0.min(interval.low), y.1.max(interval.high));
    }
    if x.0 > x.1 {
        return Err(Error::Empty { what: "set of intervals", hint: "give at least one that is finite" });
    }
    let (wide, high) = ((x.1 - x.0).max(1e-9), (y.1 - y.0).max(1e-9));
    let frame = Frame {
        size,
        title,
        x_label,
        y_label,
        x: (x.0 - 0.12 * wide, x.1 + 0.12 * wide),
        y: (y.0 - 0.06 * high, y.1 + 0.06 * high),
        corner: SeriesLabelPosition::UpperLeft,
    };
    frame.draw(|chart| {
        let ends = [(x.0 - 0.12 * wide, 0.0), (x.1 + 0.12 * wide, 0.0)];
        chart.draw_series(LineSeries::new(ends, BLACK.mix(0.4))).map_err(|e| e.to_string())?;
        for (i, (label, points)) in series.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let style = colour.stroke_width(2);
            // Series stand a little beside each other, so that bars do not hide bars.
            let aside = 0.015 * wide * (i as f64 - (series.len() as f64 - 1.0) / 2.0);
            let middle = points.iter().filter(finite).map(|(x, at)| (x + aside, at.estimate));
            let drawn =
                chart.draw_series(LineSeries::new(middle.clone(), style)).map_err(|e| e.to_string())?;
            drawn.label(*label).legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
            let bars = points
                .iter()
                .filter(finite)
                .map(|(x, at)| PathElement::new([(x + aside, at.low), (x + aside, at.high)], style));
            chart.draw_series(bars).map_err(|e| e.to_string())?;
            chart
                .draw_series(middle.map(|point| Circle::new(point, 4, colour.filled())))
                .map_err(|e| e.to_string())?;
        }
        let background = WHITE.mix(0.8);
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::UpperLeft).background_style(background);
        legend.border_style(BLACK.mix(0.3)).label_font(("sans-serif", size.text - 1));
        legend.draw().map_err(|e| e.to_string())
    })
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
        assert!(matches!(whiskers_sized(["", "", ""], &[], Size::WIDE), Err(Error::Empty { .. })));
    }
}
