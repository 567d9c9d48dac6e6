//! Sections about keypoints, ambiguity, calibration, crops and videos.

use super::table::{Table, barred};
use super::{escape, figure, half_figure, sized_figure};
use crate::calibration::ConfidenceSummary;
use crate::edges::EdgeErrors;
use crate::plot::{
    Keypoints, Size, change_bars, confidence_svg, group_name, heat_svg, keypoint_bars, reliability_svg,
    shape_svg, spread_svg,
};
use crate::report::Report;
use crate::report::markdown::{left_out, percent, threshold};
use crate::study::Outline;
use crate::{AmbiguitySummary, BoxSensitivity, CalibrationSummary, JitterSummary, Result, Results};

/// The mean shape is drawn taller than curves are.
const SHAPE_SIZES: [Size; 2] = [Size::WIDE.high(560), Size::NARROW.high(380)];

pub(super) fn keypoints(results: &Results, main: &Report) -> Result<String> {
    let named = named(&results.outline, main);
    let errors: Vec<Option<f64>> =
        main.keypoint_error_fractions.iter().map(|e| e.map(|e| 100.0 * e)).collect();
    let mut text = String::new();
    if errors.iter().flatten().next().is_some() {
        if results.outline.points.iter().flatten().next().is_some() {
            text += &sized_figure(
                "Mean error of each keypoint on the mean shape; point at one for its name.",
                SHAPE_SIZES,
                |size| shape_svg(&results.outline, &errors, "error, % of the normalizer", named, size),
            )?;
        }
        let bars: Vec<f64> = errors.iter().map(|e| e.unwrap_or(f64::NAN)).collect();
        text += &figure("Mean error of each keypoint by its number.", |size| {
            keypoint_bars(["keypoint", "error, % of the normalizer"], &bars, named, size)
        })?;
    }
    let largest = main.groups.iter().filter_map(|g| g.nme_mean_fraction).fold(0.0, f64::max);
    let mut table = Table::new(&["group", "keypoints", "NME %"]);
    for (i, group) in main.groups.iter().enumerate() {
        let value = group.nme_mean_fraction;
        let bar = barred(&percent(value), value, largest, group_name(i));
        table.row(&group.name, &[main.scored_of(group), bar]);
    }
    let groups = table.finish();
    if !groups.is_empty() {
        text += &format!("<h3>Groups</h3>\n{groups}");
    }
    if let Some(edges) = &main.edges {
        text += &edge_table(edges);
    }
    if let Some(seen) = main.visibility.as_ref().filter(|seen| seen.occluded_keypoints > 0) {
        let mut table = Table::new(&["keypoints", "number", "error %"]);
        for (name, count, error) in [
            ("visible", seen.visible_keypoints, seen.visible_error_fraction),
            ("occluded", seen.occluded_keypoints, seen.occluded_error_fraction),
        ] {
            table.row(name, &[count.to_string(), percent(error)]);
        }
        text += &format!("<h3>Visible and occluded</h3>\n{}", table.finish());
    }
    Ok(text)
}

/// Errors along and across edges.
fn edge_table(edges: &EdgeErrors) -> String {
    let mut table =
        Table::new(&["edge", "keypoints", "along RMS %", "across RMS %", "along mean %", "across mean %"]);
    let curves = edges.curves.iter().map(|curve| (curve.name.as_str(), curve.keypoints, &curve.errors));
    for (name, keypoints, e) in std::iter::once(("all", edges.keypoints, &edges.all)).chain(curves) {
        let figures =
            [e.along_rms_fraction, e.across_rms_fraction, e.along_mean_fraction, e.across_mean_fraction];
        let mut cells = vec![keypoints.to_string()];
        cells.extend(figures.map(|value| percent(Some(value))));
        table.row(name, &cells);
    }
    format!(
        "<h3>Along and across edges</h3><p>By the tangent of the true edge at each keypoint. {}</p>\n{}",
        left_out(edges),
        table.finish()
    )
}

pub(super) fn ambiguity(found: &AmbiguitySummary, outline: &Outline, main: &Report) -> Result<String> {
    let named = named(outline, main);
    let mut text = format!(
        "<p>How elongated predicted distributions are: the larger eigenvalue over the smaller, 1 for an isotropic one. {} images with ellipses.</p>\n",
        found.images
    );
    text += &figure("Mean eigenvalue ratio of each keypoint.", |size| {
        keypoint_bars(["keypoint", "eigenvalue ratio"], &found.keypoint_ratios, named, size)
    })?;
    let shown: Vec<Option<f64>> = found.keypoint_ratios.iter().copied().map(Some).collect();
    let placed = outline.points.iter().flatten().next().is_some();
    if placed {
        text += &sized_figure("The same on the mean shape.", SHAPE_SIZES, |size| {
            shape_svg(outline, &shown, "eigenvalue ratio", named, size)
        })?;
    }
    let rows = || found.groups.iter().chain(found.contrasted()).chain(&found.easy_and_hard);
    let largest = rows().filter_map(|r| r.ratio).fold(0.0, f64::max);
    let mut table = Table::new(&["mean over", "number", "ratio"]);
    // Easy and hard images of which there is none say nothing.
    for row in rows().filter(|row| row.count > 0) {
        let group = main.groups.iter().position(|group| group.name == row.name);
        let colour = group.map_or("var(--mute)", group_name);
        let ratio = row.ratio.map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"));
        table.row(&row.name, &[row.count.to_string(), barred(&ratio, row.ratio, largest, colour)]);
    }
    let rows = table.finish();
    if !rows.is_empty() {
        text += &format!("<h3>Groups, easy and hard images</h3>\n{rows}");
    }
    if let Some(angle) = found.mean_angle {
        text += &format!(
            "<h3>Direction</h3><p>Long axes lie <b>{angle:.1}°</b> off the direction of the curve through their keypoint on average: \
             0° is along it, 45° anywhere, 90° across. Distributions with a ratio of at least 1.5 only.</p>\n"
        );
        let angles: Vec<f64> = found.keypoint_angles.iter().map(|a| a.unwrap_or(f64::NAN)).collect();
        text += &figure("Mean angle between long axis and curve, by keypoint.", |size| {
            keypoint_bars(["keypoint", "degrees"], &angles, named, size)
        })?;
    }
    Ok(text)
}

pub(super) fn calibration(c: &CalibrationSummary, outline: &Outline, main: &Report) -> Result<String> {
    let verdict = match c.scale {
        s if s > 1.1 => "too sure of itself: its ellipses are too small",
        s if s < 0.9 => "too cautious: its ellipses are too large",
        _ => "right about the size of its errors on average",
    };
    let mut text = format!(
        "<p>Whether errors are as large as the predicted ellipses. The network is <b>{verdict}</b>; standard deviations must be \
         multiplied by <b>{:.2}</b> to fit ({:.2} where a few gross errors are not to count). {} keypoints compared, {} not usable.</p>\n",
        c.scale, c.robust_scale, c.pairs, c.unusable
    );
    let reliability = half_figure(
        "Reliability: the share of errors within ellipses of a size that should hold so many.",
        |size| reliability_svg(&c.curve, size),
    )?;
    let points: Vec<(f64, f64)> = c.spread_bins.iter().map(|[p, o]| (100.0 * p, 100.0 * o)).collect();
    let spread = half_figure(
        "Spread: root mean square error per axis of keypoints by predicted standard deviation, in tenths of them.",
        |size| spread_svg(&points, size),
    )?;
    text += &format!("<div class=\"pair\">{reliability}{spread}</div>\n");
    let mut table = Table::new(&["figure", "value", "ideal"]);
    for (name, value, ideal) in [
        ("mean squared Mahalanobis distance", format!("{:.3}", c.mean_squared_distance), "2"),
        ("median squared Mahalanobis distance", format!("{:.3}", c.median_squared_distance), "1.386"),
        ("variance along the short axis", format!("{:.3}", c.axis_variances[0]), "1"),
        ("variance along the long axis", format!("{:.3}", c.axis_variances[1]), "1"),
        ("area between curve and diagonal", format!("{:.4}", c.miscalibration_area), "0"),
        ("largest gap", format!("{:.4}", c.largest_gap), "0"),
        ("negative log-likelihood, as predicted", format!("{:.3}", c.nll), ""),
        ("negative log-likelihood, multiplied", format!("{:.3}", c.nll_scaled), ""),
    ] {
        table.row(name, &[value, ideal.to_owned()]);
    }
    text += &table.finish();
    if outline.points.iter().flatten().next().is_some() && c.keypoint_scales.iter().flatten().next().is_some()
    {
        text += &sized_figure(
            "What each keypoint's standard deviations must be multiplied by.",
            SHAPE_SIZES,
            |size| shape_svg(outline, &c.keypoint_scales, "factor", named(outline, main), size),
        )?;
    }
    Ok(text)
}

pub(super) fn confidence(c: &ConfidenceSummary) -> Result<String> {
    let threshold = 100.0 * c.threshold_fraction;
    let mut text = format!(
        "<p>Whether as many errors are below {threshold:.1} % of the normalizer that the weights were calibrated by as the confidences say: <b>{:.1} %</b> are, <b>{:.1} %</b> \
         were expected. {} keypoints compared.</p>\n",
        100.0 * c.observed,
        100.0 * c.mean,
        c.pairs
    );
    let reliability = half_figure(
        &format!(
            "Reliability: the share of errors below {threshold:.1} % by confidence, in tenths of the keypoints."
        ),
        |size| confidence_svg(&c.curve, size),
    )?;
    let mut table = Table::new(&["figure", "value", "ideal"]);
    for (name, value, ideal) in [
        ("Brier score", format!("{:.4}", c.brier), "0"),
        ("Brier score of always saying the share", format!("{:.4}", c.brier_of_share), ""),
        ("expected calibration error", format!("{:.4}", c.calibration_error), "0"),
    ] {
        table.row(name, &[value, ideal.to_owned()]);
    }
    text += &format!("<div class=\"pair\">{reliability}<div>{}</div></div>\n", table.finish());
    Ok(text)
}

pub(super) fn boxes(boxes: &BoxSensitivity) -> Result<String> {
    boxes.validate()?;
    let of = format!("{}, {}, {}", boxes.dataset, boxes.subset, boxes.normalizer);
    let mut text = format!(
        "<p>The same images scored with crops from the true landmarks, from the detector, and with true crops moved and scaled. <small>{}, \
         threshold {}</small></p>\n",
        escape(&of),
        threshold(boxes.threshold_fraction)
    );
    let mut table = Table::new(&["crops", "images", "missing", "NME % of found", "median %", "FR %"]);
    for row in &boxes.rows {
        table.row(
            &row.crops,
            &[
                row.samples.to_string(),
                row.missing.to_string(),
                percent(row.nme_of_found_fraction),
                percent(row.nme_median_fraction),
                format!("{:.2}", 100.0 * row.failure_rate_fraction),
            ],
        );
    }
    text += &table.finish();
    let names = |values: &[f64], unit: &str| {
        values.iter().map(|v| format!("{:.0}{unit}", 100.0 * v)).collect::<Vec<_>>()
    };
    let cells: Vec<Vec<Option<f64>>> =
        boxes.grid.iter().map(|row| row.iter().map(|v| v.map(|v| 100.0 * v)).collect()).collect();
    if cells.iter().flatten().flatten().next().is_some() {
        text += &sized_figure(
            "Mean NME in % where the true crop is moved (columns, in a direction of its own for each image) and scaled (rows).",
            [Size::WIDE.high(300), Size::NARROW.high(260)],
            |size| {
                let labels = ["moved by, % of the side", "side, %"];
                heat_svg(labels, &names(&boxes.shifts, ""), &names(&boxes.scales, ""), &cells, size)
            },
        )?;
    }
    Ok(text)
}

pub(super) fn videos(videos: &[JitterSummary], dataset: &str) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"));
    let mut table = Table::new(&["videos of", "videos", "frames", "missing", "steps", "NMJ", "NMF (RMS)"]);
    for row in videos {
        table.row(
            &row.name,
            &[
                row.videos.to_string(),
                row.frames.to_string(),
                row.missing.to_string(),
                row.pairs.to_string(),
                number(row.nmj),
                number(row.nmf),
            ],
        );
    }
    format!(
        "<p>How much errors change from frame to frame: mean (NMJ) and root mean square (NMF) of 100 |change of the error vector| / \
         √(box area / 256²) over keypoints and steps. A jump of one pixel in a box of 256 × 256 pixels is 100. <small>{}</small></p>\n{}",
        escape(dataset),
        table.finish()
    )
}

/// Bars upwards and downwards by keypoint, fractions drawn as points of NME; nothing where no value is finite.
pub(super) fn differences(values: &[Option<f64>], named: Keypoints<'_>, caption: &str) -> Result<String> {
    let bars: Vec<f64> = values.iter().map(|v| v.map_or(f64::NAN, |v| 100.0 * v)).collect();
    if !bars.iter().any(|v| v.is_finite()) {
        return Ok(String::new());
    }
    figure(caption, |size| change_bars(["keypoint", "change, points of NME"], &bars, named, size))
}

/// What the keypoints of a report are called.
pub(super) fn named<'a>(outline: &'a Outline, report: &'a Report) -> Keypoints<'a> {
    Keypoints { names: &outline.names, groups: &report.groups }
}
