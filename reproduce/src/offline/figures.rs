//! The plots of a report.

use star_eval::Interval;

use super::outcome::Outcome;
use crate::report::Drawn;
use crate::report::svg::{AXIS, Drawing, LEFT, SERIES, Scale, THIN, WIDTH, plain};

/// Room for names above.
const TOP: f64 = 46.0;

/// The colour of a loss, the same in every drawing.
pub(super) fn colour(loss: &str) -> &'static str {
    let [star, restricted, isotropic, plain] = SERIES;
    match loss {
        "smooth-L1" => plain,
        _ if loss.starts_with("smooth-L1") => restricted,
        _ if loss.starts_with("isotropic") => isotropic,
        _ => star,
    }
}

/// Every plot whose figures there are.
pub(super) fn plots(outcome: &Outcome) -> Vec<Drawn> {
    let drawn = |name: &str, svg: Option<String>| {
        svg.map(|svg| Drawn { name: name.into(), svg, beside_markdown: true })
    };
    [drawn("gain", gain(outcome)), drawn("quintiles", quintiles(outcome)), drawn("steps", steps(outcome))]
        .into_iter()
        .flatten()
        .collect()
}

/// STAR minus what it is compared with: the interval and what lies in it.
fn bar(interval: Interval) -> [f64; 3] {
    [interval.low, interval.estimate, interval.high]
}

fn tooltip(name: &str, [low, middle, high]: [f64; 3]) -> String {
    format!("{name}: {} ({} to {}) points", plain(middle), plain(low), plain(high))
}

/// Room around all of some values and 0.
fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let [low, high] = values.fold([0.0f64; 2], |[low, high], v| [low.min(v), high.max(v)]);
    let room = 0.08 * (high - low).max(0.1);
    [low - room, high + room]
}

/// Differences across and along in each cell, on one axis.
fn gain(outcome: &Outcome) -> Option<String> {
    let gains = &outcome.gains;
    let mut cells: Vec<&str> = Vec::new();
    let mut others: Vec<&str> = Vec::new();
    for gain in gains {
        if !cells.contains(&gain.cell.as_str()) {
            cells.push(&gain.cell);
        }
        if !others.contains(&gain.than.as_str()) {
            others.push(&gain.than);
        }
    }
    if cells.is_empty() {
        return None;
    }
    let all = gains.iter().flat_map(|gain| [gain.across, gain.along]).flatten().flat_map(bar);
    let [low, high] = range(all);
    let scale = Scale { low, high, top: TOP, bottom: 300.0 };
    let mut drawing = Drawing::new(375.0);
    let colours: Vec<(&str, &str)> = others.iter().map(|other| (*other, colour(other))).collect();
    drawing.words([LEFT, 16.0], "start", "STAR minus");
    drawing.legend([LEFT + 90.0, 16.0], &colours);
    let wide = (WIDTH - LEFT - 30.0) / 2.0;
    for (panel, name) in ["across the contour", "along the contour"].into_iter().enumerate() {
        let left = LEFT + panel as f64 * (wide + 24.0);
        scale.grid(&mut drawing, [left, left + wide], panel == 0);
        drawing.words([left + wide / 2.0, 38.0], "middle", name);
        let step = wide / cells.len() as f64;
        for (c, cell) in cells.iter().enumerate() {
            let middle = left + (c as f64 + 0.5) * step;
            // Words of two or three lines below.
            for (line, words) in cell.split(", ").enumerate() {
                drawing.words([middle, 320.0 + 17.0 * line as f64], "middle", &shortened(words, step));
            }
            for gain in gains.iter().filter(|gain| gain.cell == *cell) {
                let series = others.iter().position(|other| *other == gain.than).unwrap_or(0);
                let Some(interval) = [gain.across, gain.along][panel] else { continue };
                let values = bar(interval);
                let apart = (step / 4.0).min(18.0);
                let x = middle + apart * (series as f64 - (others.len() - 1) as f64 / 2.0);
                let title = tooltip(&format!("{cell}, STAR minus {}", gain.than), values);
                drawing.interval(x, values.map(|v| scale.at(v)), colour(&gain.than), &title);
            }
        }
    }
    drawing.upwards(173.0, "percentage points; below 0 STAR errs less");
    Some(drawing.finish(
        "Errors of STAR minus those of other losses, across and along the contour, by images and labels",
    ))
}

/// `label noise of strength 1` has no room below a narrow column.
fn shortened(words: &str, room: f64) -> String {
    let short = words.replace("label noise of strength", "strength");
    if room < 90.0 { short.replace(" images", "").replace(" labels", "") } else { short }
}

/// Differences across by quintile of smooth-L1's eigenvalue ratio.
fn quintiles(outcome: &Outcome) -> Option<String> {
    let groups = &outcome.quintiles;
    let all = groups.iter().flat_map(|group| [group.restricted, group.isotropic]).flatten();
    let values: Vec<f64> = all.flat_map(bar).collect();
    if values.is_empty() {
        return None;
    }
    let [low, high] = range(values.into_iter());
    let scale = Scale { low, high, top: TOP, bottom: 290.0 };
    let mut drawing = Drawing::new(350.0);
    let names = ["smooth-L1 + restriction", "isotropic (detached)"].map(|name| (name, colour(name)));
    drawing.words([LEFT, 16.0], "start", "across: STAR minus");
    drawing.legend([LEFT + 140.0, 16.0], &names);
    scale.grid(&mut drawing, [LEFT, WIDTH - 6.0], true);
    let step = (WIDTH - LEFT - 6.0) / groups.len() as f64;
    for (i, group) in groups.iter().enumerate() {
        let middle = LEFT + (i as f64 + 0.5) * step;
        drawing.words([middle, 310.0], "middle", &format!("{:.1}", group.ratio));
        for (series, interval) in [group.restricted, group.isotropic].into_iter().enumerate() {
            let Some(interval) = interval else { continue };
            let values = bar(interval);
            let (name, colour) = names[series];
            let title = tooltip(&format!("{} keypoints, STAR minus {name}", group.keypoints), values);
            let x = middle + 20.0 * (series as f64 - 0.5);
            drawing.interval(x, values.map(|v| scale.at(v)), colour, &title);
        }
    }
    drawing.words(
        [(LEFT + WIDTH) / 2.0, 335.0],
        "middle",
        "mean eigenvalue ratio of smooth-L1, a fifth of the keypoints each",
    );
    drawing.upwards(168.0, "percentage points; below 0 STAR errs less");
    Some(drawing.finish("Error across of STAR minus those of other losses, by eigenvalue ratio of smooth-L1"))
}

/// Validation error over training steps.
fn steps(outcome: &Outcome) -> Option<String> {
    let curves: Vec<_> = outcome.curves.iter().filter(|curve| curve.points.len() > 1).collect();
    let best = curves.iter().flat_map(|curve| &curve.points).map(|p| p.1).fold(f64::INFINITY, f64::min);
    let first = curves.iter().filter_map(|c| c.points.first()).map(|p| p.0).fold(f64::INFINITY, f64::min);
    let last = curves.iter().filter_map(|c| c.points.last()).map(|p| p.0).fold(0.0, f64::max);
    if !(best.is_finite() && last > first) {
        return None;
    }
    // What is worse than this is of networks that have hardly begun.
    let high = 2.5 * best;
    let scale = Scale { low: 0.9 * best, high, top: TOP, bottom: 290.0 };
    let x = |step: f64| LEFT + (step / first).ln() / (last / first).ln() * (WIDTH - LEFT - 20.0);
    let mut drawing = Drawing::new(350.0);
    let names: Vec<(&str, &str)> =
        curves.iter().map(|curve| (curve.loss.as_str(), colour(&curve.loss))).collect();
    drawing.legend([LEFT + 4.0, 16.0], &names);
    scale.grid(&mut drawing, [LEFT, WIDTH - 20.0], true);
    for step in log_ticks(first, last) {
        drawing.line([x(step), TOP], [x(step), 290.0], THIN);
        drawing.words([x(step), 310.0], "middle", &format!("{step}"));
    }
    drawing.line([LEFT, 290.0], [WIDTH - 20.0, 290.0], AXIS);
    for (curve, (name, colour)) in curves.iter().zip(names) {
        let seen = curve.points.iter().filter(|p| p.1 <= high).map(|p| [x(p.0), scale.at(p.1)]);
        let end = curve.points.last().map_or(f64::NAN, |p| p.1);
        drawing.curve(&seen.collect::<Vec<_>>(), colour, &format!("{name}: {} % at the end", plain(end)));
    }
    drawing.words([(LEFT + WIDTH) / 2.0, 335.0], "middle", "training step");
    drawing.upwards(168.0, "NME of validation images, %");
    Some(drawing.finish("Validation error by training step"))
}

/// 1, 2 and 5 times powers of ten.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let powers = (0..7).map(|power| 10f64.powi(power));
    powers.flat_map(|power| [1.0, 2.0, 5.0].map(|m| m * power)).filter(|v| (low..=high).contains(v)).collect()
}
