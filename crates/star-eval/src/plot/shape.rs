//! A number per keypoint, drawn where the keypoint is on the mean shape.

use super::axis::tick;
use super::colour::of_share;
use super::svg::{Anchor, INK, Look, Svg};
use super::{Keypoints, Size};
use crate::study::Outline;
use crate::{Error, Result};

/// Height of the strip with the colours' meaning, in heights of letters.
const SCALE: f64 = 3.0;

/// The shape with a disc on every keypoint, area and colour growing with its value; beneath it the scale of colours, in `unit`.
pub(crate) fn shape_svg(
    outline: &Outline,
    values: &[Option<f64>],
    unit: &str,
    keypoints: Keypoints<'_>,
    size: Size,
) -> Result<String> {
    let placed: Vec<(usize, [f64; 2], f64)> = outline
        .points
        .iter()
        .zip(values)
        .enumerate()
        .filter_map(|(k, (point, value))| Some((k, (*point)?, value.filter(|v| v.is_finite())?)))
        .collect();
    if placed.is_empty() {
        return Err(Error::Empty { what: "mean shape", hint: "no keypoint has both a place and a value" });
    }
    let mut svg = Svg::new(size);
    let (width, height) = (f64::from(size.pixels.0), f64::from(size.pixels.1));
    let letter = f64::from(size.text);
    let range = |axis: usize| {
        let all = outline.points.iter().flatten();
        all.fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p[axis]), h.max(p[axis])))
    };
    let ((x0, x1), (y0, y1)) = (range(0), range(1));
    let margin = 1.5 * letter;
    let room = [width - 2.0 * margin, height - SCALE * letter - 2.0 * margin];
    let scale = (room[0] / (x1 - x0).max(f64::MIN_POSITIVE)).min(room[1] / (y1 - y0).max(f64::MIN_POSITIVE));
    let middle = [width / 2.0, (height - SCALE * letter) / 2.0];
    let at = |[x, y]: [f64; 2]| {
        [middle[0] + scale * (x - (x0 + x1) / 2.0), middle[1] + scale * (y - (y0 + y1) / 2.0)]
    };
    for curve in &outline.curves {
        let ends = if curve.closed { curve.keypoints.first() } else { None };
        let points =
            curve.keypoints.iter().chain(ends).filter_map(|&k| outline.points.get(k).copied().flatten());
        svg.polyline(points.map(at), Look::line(INK, 1.0).faint(0.3), "");
    }
    let (low, high) = placed.iter().fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p.2), h.max(p.2)));
    let share = |value: f64| if high > low { (value - low) / (high - low) } else { 0.5 };
    for &(k, point, value) in &placed {
        let radius = (0.45 * letter * (0.25 + 0.75 * share(value)).sqrt()).max(2.0);
        let title = format!("{}: {value:.3}", keypoints.title(k));
        svg.circle(at(point), radius, Look::filled(&of_share(share(value))), &title);
        // The darkest colours would be lost on dark paper, the lightest on light.
        svg.circle(at(point), radius, Look::line(INK, 1.0).faint(0.6), &title);
    }
    legend(&mut svg, size, [low, high], unit);
    Ok(svg.finish())
}

/// A strip of colours with the smallest value at its left and the largest at its right.
fn legend(svg: &mut Svg, size: Size, [low, high]: [f64; 2], unit: &str) {
    const STEPS: u32 = 24;
    let (width, height) = (f64::from(size.pixels.0), f64::from(size.pixels.1));
    let (letter, small) = (f64::from(size.text), size.text - 2);
    let long = width / 3.0;
    let (left, top) = ((width - long) / 2.0, height - letter);
    for step in 0..STEPS {
        let x = |step: u32| left + long * f64::from(step) / f64::from(STEPS);
        let colour = of_share(f64::from(step) / f64::from(STEPS - 1));
        // Half a pixel over its neighbour, so that no seam shines through.
        let right = (x(step + 1) + 0.5).min(left + long);
        svg.rect([[x(step), top], [right, top + letter / 2.0]], Look::filled(&colour), "");
    }
    let rounded = |v: f64| tick((100.0 * v).round() / 100.0);
    let base = top + 0.55 * letter;
    let ink = Look::filled(INK);
    svg.write(&rounded(low), [left - letter / 2.0, base], small, Anchor::End, ink);
    svg.write(&rounded(high), [left + long + letter / 2.0, base], small, Anchor::Start, ink);
    svg.write(unit, [width / 2.0, top - 0.5 * letter], small, Anchor::Middle, ink.faint(0.8));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Curve;

    #[test]
    fn a_disc_with_a_rim_stands_on_every_keypoint_that_has_a_value() {
        let curve = Curve { name: "c".into(), keypoints: vec![0, 1, 2], closed: true };
        let outline = Outline {
            points: vec![Some([0.0, 0.0]), Some([1.0, 0.0]), Some([0.5, 1.0]), None],
            curves: vec![curve],
            names: ["left", "right", "low", "nowhere"].map(String::from).to_vec(),
        };
        let keypoints = Keypoints { names: &outline.names, groups: &[] };
        let values = [Some(1.0), None, Some(3.0), Some(9.0)];
        for size in [Size::WIDE, Size::NARROW] {
            let svg = shape_svg(&outline, &values, "error in %", keypoints, size).unwrap();
            let document = roxmltree::Document::parse(&svg).unwrap();
            assert_eq!(document.descendants().filter(|n| n.has_tag_name("circle")).count(), 4);
            assert_eq!(document.descendants().filter(|n| n.has_tag_name("polyline")).count(), 1);
            assert!(svg.contains("<title>2, low: 3.000</title>"), "{svg}");
        }
        assert!(
            shape_svg(&Outline::default(), &[], "x", Keypoints { names: &[], groups: &[] }, Size::WIDE)
                .is_err()
        );
    }
}
