//! Drawings on test images, for the page: labels and predictions, and how far both scatter.

use std::io::Cursor;

use anyhow::{Context, Result};
use base64::Engine;
use star_data::synthetic::{self, Labels, SyntheticConfig, SyntheticDataset};

use super::design::{Cell, Design, Kind};
use super::measure::{Example, Record};
use super::runs::Runs;
use crate::report::Drawn;
use crate::report::svg::{Drawing, SERIES, WIDTH};

/// Labels are drawn in this colour, the truth in white.
const LABEL: &str = "#ffd23f";
/// Gap between images.
const GAP: f64 = 8.0;
/// Labels that are drawn of one image.
const LABELLED: usize = 20;

/// What can be drawn of the records of a run: what the first seed's networks predict for test images.
///
/// # Errors
/// When an image cannot be made.
pub(super) fn drawings(design: &Design, records: &[Record]) -> Result<Vec<Drawn>> {
    if design.kind == Kind::Pilot {
        return Ok(Vec::new());
    }
    let cell = design.main_cell();
    let losses = design.losses(cell.subject);
    let [_, restricted, _, star] = losses.as_slice() else { return Ok(Vec::new()) };
    let runs = Runs(records);
    let examples = |variant| runs.one(&cell, variant, 0).map(|record| record.examples.as_slice());
    let Some((restricted, star)) = examples(restricted).zip(examples(star)) else { return Ok(Vec::new()) };
    let only_page = |name: &str, svg| Drawn { name: name.into(), svg, beside_markdown: false };
    Ok(vec![
        only_page("strip", strip(design, &cell, [restricted, star])?),
        only_page("example", example(design, &cell, [restricted, star])?),
    ])
}

/// The test images of a run, labelled by the annotators of `cell` under a seed of no other set.
fn labelled(design: &Design, cell: &Cell, count: usize) -> (SyntheticConfig, SyntheticConfig) {
    let regime = &design.regime;
    let scored = cell.scored(count, regime.sets.test, regime.image_side);
    let labelled = SyntheticConfig {
        labels: Labels::Annotated,
        noise: cell.noise,
        strength: if cell.strength > 0.0 { cell.strength } else { 1.0 },
        ..scored.clone()
    };
    (scored, labelled)
}

/// The markup of an image at a place, and the factor from its pixels.
fn picture(
    drawing: &mut Drawing,
    set: &dyn SyntheticDataset,
    index: usize,
    x: f64,
    side: f64,
) -> Result<f64> {
    let image = set.get(index)?.image;
    let factor = side / f64::from(image.width());
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).context("an image as PNG")?;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes.into_inner());
    drawing.add(&format!(
        "<image x=\"{x:.1}\" y=\"0\" width=\"{side:.1}\" height=\"{side:.1}\" href=\"data:image/png;base64,{text}\"/>"
    ));
    Ok(factor)
}

/// Several test images with truth, label and both predictions.
fn strip(design: &Design, cell: &Cell, predicted: [&[Example]; 2]) -> Result<String> {
    let count = predicted[0].len().min(predicted[1].len());
    let side = (WIDTH - GAP * (count as f64 - 1.0)) / count as f64;
    let mut drawing = Drawing::new(side);
    let (scored, labels) = labelled(design, cell, count);
    let (scored, labels) = (synthetic::open(scored)?, synthetic::open(labels)?);
    for i in 0..count {
        let x = i as f64 * (side + GAP);
        let factor = picture(&mut drawing, scored.as_ref(), i, x, side)?;
        let at = |[px, py]: [f64; 2]| [x + (px + 0.5) * factor, (py + 0.5) * factor];
        let dots = |drawing: &mut Drawing, points: &[[f64; 2]], colour: &str, radius: f64| {
            for point in points.iter().map(|p| at(*p)) {
                let [cx, cy] = point;
                drawing.add(&format!(
                    "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{radius}\" fill=\"{colour}\"/>"
                ));
            }
        };
        let f64s = |points: Vec<[f32; 2]>| points.iter().map(|p| p.map(f64::from)).collect::<Vec<_>>();
        dots(&mut drawing, &f64s(scored.truth(i)), "#ffffff", 1.4);
        dots(&mut drawing, &f64s(labels.annotated(i)), LABEL, 1.4);
        for (examples, colour) in predicted.iter().zip([SERIES[1], SERIES[0]]) {
            dots(&mut drawing, &points(&examples[i]), colour, 1.4);
        }
    }
    Ok(drawing.finish("Test images with the truth, a label, and two predictions"))
}

fn points(example: &Example) -> Vec<[f64; 2]> {
    example.points.chunks_exact(2).map(|p| [f64::from(p[0]) / 100.0, f64::from(p[1]) / 100.0]).collect()
}

/// One test image with the labels of many people and the ellipses of both networks.
fn example(design: &Design, cell: &Cell, predicted: [&[Example]; 2]) -> Result<String> {
    let (scored, labels) = labelled(design, cell, 1);
    let side = (WIDTH - GAP) / 2.0;
    let (set, labels) = (synthetic::open(scored)?, synthetic::open(labels)?);
    let mut drawing = Drawing::new(side);
    for (panel, (examples, colour)) in predicted.iter().rev().zip([SERIES[0], SERIES[1]]).enumerate() {
        let x = panel as f64 * (side + GAP);
        let factor = picture(&mut drawing, set.as_ref(), 0, x, side)?;
        let at = |[px, py]: [f64; 2]| [x + (px + 0.5) * factor, (py + 0.5) * factor];
        for person in 0..LABELLED {
            for label in labels.annotated_as(0, person).iter().step_by(2) {
                let [cx, cy] = at(label.map(f64::from));
                drawing.add(&format!(
                    "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"1.3\" fill=\"{LABEL}\" fill-opacity=\".6\"/>"
                ));
            }
        }
        let ellipses = examples[0].ellipses.chunks_exact(3);
        for (point, ellipse) in points(&examples[0]).into_iter().zip(ellipses).step_by(2) {
            let [cx, cy] = at(point);
            let [major, minor, angle] = [0, 1, 2].map(|i| f64::from(ellipse[i]) / 100.0);
            let (major, minor) = (major * factor, minor * factor);
            drawing.add(&format!(
                "<ellipse rx=\"{major:.1}\" ry=\"{minor:.1}\" transform=\"translate({cx:.1} {cy:.1}) rotate({angle:.1})\" fill=\"none\" \
                 stroke=\"{colour}\" stroke-width=\"1.4\"/>"
            ));
        }
    }
    Ok(drawing.finish("Predicted ellipses over the scatter of annotators"))
}
