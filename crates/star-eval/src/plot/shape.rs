//! A number per keypoint, drawn where the keypoint is on the mean shape.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::colour::of_share;
use super::{Size, tick};
use crate::study::Outline;
use crate::{Error, Result};

/// Height of the strip with the colours' meaning, in heights of letters.
const SCALE: u32 = 3;

/// The shape with a disc on every keypoint, area and colour growing with its value; beneath it the scale of colours, in `unit`.
pub(crate) fn shape_svg(outline: &Outline, values: &[Option<f64>], unit: &str, size: Size) -> Result<String> {
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
    let mut text = String::new();
    draw(&mut text, outline, &placed, unit, size)
        .map_err(|reason| Error::Plot { title: "mean shape".to_owned(), reason })?;
    Ok(text)
}

fn draw(
    svg: &mut String,
    outline: &Outline,
    placed: &[(usize, [f64; 2], f64)],
    unit: &str,
    size: Size,
) -> std::result::Result<(), String> {
    let (width, height) = size.pixels;
    let root = SVGBackend::with_string(svg, size.pixels).into_drawing_area();
    root.fill(&WHITE).map_err(|e| e.to_string())?;
    let outline_points = || outline.points.iter().flatten();
    let range = |axis: usize| {
        outline_points().fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p[axis]), h.max(p[axis])))
    };
    let ((x0, x1), (y0, y1)) = (range(0), range(1));
    let margin = 2.5 * f64::from(size.text);
    let room = [f64::from(width) - 2.0 * margin, f64::from(height - SCALE * size.text) - 2.0 * margin];
    let scale = (room[0] / (x1 - x0).max(f64::MIN_POSITIVE)).min(room[1] / (y1 - y0).max(f64::MIN_POSITIVE));
    let middle = [f64::from(width) / 2.0, f64::from(height - SCALE * size.text) / 2.0];
    let at = |[x, y]: [f64; 2]| {
        let pixel = |v: f64, low: f64, high: f64, middle: f64| {
            (middle + scale * (v - (low + high) / 2.0)).round() as i32
        };
        (pixel(x, x0, x1, middle[0]), pixel(y, y0, y1, middle[1]))
    };
    for curve in &outline.curves {
        let ends = if curve.closed { curve.keypoints.first() } else { None };
        let path: Vec<(i32, i32)> = curve
            .keypoints
            .iter()
            .chain(ends)
            .filter_map(|&k| outline.points.get(k).copied().flatten())
            .map(at)
            .collect();
        root.draw(&PathElement::new(path, BLACK.mix(0.25))).map_err(|e| e.to_string())?;
    }
    let (low, high) = placed.iter().fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p.2), h.max(p.2)));
    let share = |value: f64| if high > low { (value - low) / (high - low) } else { 0.5 };
    let unit_radius = f64::from(size.text) * 0.45;
    for &(_, point, value) in placed {
        let radius = (unit_radius * (0.25 + 0.75 * share(value)).sqrt()).round().max(2.0) as i32;
        root.draw(&Circle::new(at(point), radius, of_share(share(value)).filled()))
            .map_err(|e| e.to_string())?;
        // The darkest colours would be lost on dark paper.
        root.draw(&Circle::new(at(point), radius, BLACK.mix(0.45))).map_err(|e| e.to_string())?;
    }
    legend(&root, size, [low, high], unit).map_err(|e| e.to_string())?;
    root.present().map_err(|e| e.to_string())
}

/// A strip of colours with the smallest value at its left and the largest at its right.
fn legend(
    root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    size: Size,
    [low, high]: [f64; 2],
    unit: &str,
) -> std::result::Result<(), String> {
    const STEPS: i32 = 24;
    let (width, height) = size.pixels;
    let letter = size.text as i32;
    let long = (width as i32 / 3 / STEPS) * STEPS;
    let (left, top) = ((width as i32 - long) / 2, height as i32 - 2 * letter);
    for step in 0..STEPS {
        let corners =
            [(left + step * long / STEPS, top), (left + (step + 1) * long / STEPS, top + letter / 2)];
        let colour = of_share(f64::from(step) / f64::from(STEPS - 1));
        root.draw(&Rectangle::new(corners, colour.filled())).map_err(|e| e.to_string())?;
    }
    let style = |pos| TextStyle::from(("sans-serif", size.text - 2).into_font()).color(&BLACK).pos(pos);
    let rounded = |v: f64| tick(&((100.0 * v).round() / 100.0));
    let write =
        |text: String, at: (i32, i32), pos| root.draw_text(&text, &style(pos), at).map_err(|e| e.to_string());
    let middle = top + letter / 4;
    write(rounded(low), (left - letter / 2, middle), Pos::new(HPos::Right, VPos::Center))?;
    write(rounded(high), (left + long + letter / 2, middle), Pos::new(HPos::Left, VPos::Center))?;
    write(unit.to_owned(), (width as i32 / 2, top - letter / 4), Pos::new(HPos::Center, VPos::Bottom))
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
        };
        let values = [Some(1.0), None, Some(3.0), Some(9.0)];
        for size in [Size::WIDE, Size::NARROW] {
            let svg = shape_svg(&outline, &values, "error in %", size).unwrap();
            let document = roxmltree::Document::parse(&svg).unwrap();
            assert_eq!(document.descendants().filter(|n| n.has_tag_name("circle")).count(), 4);
            assert_eq!(document.descendants().filter(|n| n.has_tag_name("polyline")).count(), 1);
        }
        assert!(shape_svg(&Outline::default(), &[], "x", Size::WIDE).is_err());
    }
}
