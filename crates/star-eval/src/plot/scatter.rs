//! Errors of one run against another's, image by image.

use super::Size;
use super::axis::Axis;
use super::colour::{BETTER, WORSE};
use super::frame::{Frame, Key, Shape};
use super::svg::{INK, Look};
use crate::{Error, Result};

/// Farthest points that still are within the square, as a multiple of the 99th percentile.
const FAR: f64 = 1.5;

/// Points in the square, with the diagonal; where few lie far out it ends at the 99th percentile, and those lie on its border. Improvements, below the
/// diagonal, and losses have colours of their own.
pub(crate) fn scatter_svg([x_label, y_label]: [&str; 2], points: &[[f64; 2]], size: Size) -> Result<String> {
    let mut sizes: Vec<f64> = points.iter().filter(|p| is_finite(p)).flatten().copied().collect();
    if sizes.is_empty() {
        return Err(Error::Empty { what: "set of points", hint: "give at least one finite point" });
    }
    sizes.sort_unstable_by(f64::total_cmp);
    let [most, all] = [sizes[(sizes.len() - 1) * 99 / 100], sizes[sizes.len() - 1]];
    let end = 1.05 * if all <= FAR * most { all } else { most }.max(f64::MIN_POSITIVE);
    let frame = Frame {
        size,
        title: "",
        x_label,
        y_label,
        x: Axis::new(0.0, end),
        y: Axis::new(0.0, end),
        keys: vec![
            Key::dot(BETTER, "better"),
            Key::dot(WORSE, "worse"),
            Key { label: "equal", colour: INK, shape: Shape::Dashed },
        ],
        marks: Vec::new(),
    };
    Ok(frame.draw(|chart| {
        let ends = [chart.at(0.0, 0.0), chart.at(end, end)];
        chart.svg.polyline(ends, Look::line(INK, 1.5).faint(0.6).dashed(), "equal");
        for &[x, y] in points.iter().filter(|p| is_finite(p)) {
            let colour = if y > x { WORSE } else { BETTER };
            chart.svg.circle(chart.at(x.min(end), y.min(end)), 3.0, Look::filled(colour).faint(0.6), "");
        }
    }))
}

fn is_finite(point: &[f64; 2]) -> bool {
    point.iter().all(|v| v.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_point_is_drawn_once_in_the_colour_of_its_side() {
        let points = [[1.0, 2.0], [2.0, 1.0], [f64::INFINITY, 1.0]];
        let svg = scatter_svg(["a", "b"], &points, Size::NARROW).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let drawn =
            document.descendants().filter(|n| n.has_tag_name("circle") && n.attribute("opacity").is_some());
        assert_eq!(drawn.filter_map(|n| n.attribute("fill")).collect::<Vec<_>>(), [WORSE, BETTER]);
        assert!(scatter_svg(["a", "b"], &[[f64::NAN, 1.0]], Size::NARROW).is_err());
    }
}
