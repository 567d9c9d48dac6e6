//! Errors of one run against another's, image by image.

use plotters::prelude::*;

use super::colour::COLOURS;
use super::{Frame, Size};
use crate::{Error, Result};

/// Points in the square up to their 99th percentile, with the diagonal; points beyond lie on the border. Improvements, below the
/// diagonal, and losses have colours of their own.
pub(crate) fn scatter_svg([x_label, y_label]: [&str; 2], points: &[[f64; 2]], size: Size) -> Result<String> {
    let mut sizes: Vec<f64> = points.iter().filter(|p| is_finite(p)).flatten().copied().collect();
    if sizes.is_empty() {
        return Err(Error::Empty { what: "set of points", hint: "give at least one finite point" });
    }
    sizes.sort_unstable_by(f64::total_cmp);
    let end = 1.05 * sizes[(sizes.len() - 1) * 99 / 100].max(f64::MIN_POSITIVE);
    let frame = Frame {
        size,
        title: "",
        x_label,
        y_label,
        x: (0.0, end),
        y: (0.0, end),
        corner: SeriesLabelPosition::UpperLeft,
    };
    frame.draw(|chart| {
        let ink = BLACK.mix(0.4).stroke_width(1);
        chart.draw_series(LineSeries::new([(0.0, 0.0), (end, end)], ink)).map_err(|e| e.to_string())?;
        let marks = points.iter().filter(|p| is_finite(p)).map(|&[x, y]| {
            let colour = if y > x { COLOURS[1] } else { COLOURS[0] };
            Circle::new((x.min(end), y.min(end)), size.text / 5, colour.mix(0.6).filled())
        });
        chart.draw_series(marks).map_err(|e| e.to_string())?;
        Ok(())
    })
}

fn is_finite(point: &[f64; 2]) -> bool {
    point.iter().all(|v| v.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_point_is_drawn_once() {
        let points = [[1.0, 2.0], [2.0, 1.0], [f64::INFINITY, 1.0]];
        let svg = scatter_svg(["a", "b"], &points, Size::NARROW).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        assert_eq!(document.descendants().filter(|n| n.has_tag_name("circle")).count(), 2);
        assert!(scatter_svg(["a", "b"], &[[f64::NAN, 1.0]], Size::NARROW).is_err());
    }
}
