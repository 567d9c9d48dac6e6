//! The course of a run as figures: `losses.svg` and `validation.svg`.

use std::path::Path;

use anyhow::Result;
use star_data::atomic;
use star_eval::{curves_svg, log_curves_svg};

use crate::objective::TERMS;
use crate::records::{self, EpochRecord, Record};

/// A named curve over epochs.
type Curve<'a> = (&'a str, Vec<(f64, f64)>);

/// Draws what `metrics.jsonl` in `out` has recorded so far; nothing before the first epoch is over.
///
/// # Errors
/// When the log cannot be read or a figure not written.
pub(crate) fn write(out: &Path) -> Result<()> {
    let epochs: Vec<EpochRecord> = records::read(&out.join("metrics.jsonl"))?
        .into_iter()
        .filter_map(|record| match record {
            Record::Epoch(epoch) => Some(epoch),
            Record::Step(_) => None,
        })
        .collect();
    let Some(last) = epochs.last() else { return Ok(()) };
    let over = |value: &dyn Fn(&EpochRecord) -> Option<f64>| -> Vec<(f64, f64)> {
        epochs.iter().filter_map(|e| Some((e.epoch as f64, value(e)?))).collect()
    };
    let losses: Vec<Curve> = TERMS
        .iter()
        .map(|name| (*name, over(&|e| e.terms.get(*name).filter(|v| **v > 0.0).copied())))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    // Logarithms keep a first epoch of 100 from flattening the rest.
    draw(
        &out.join("losses.svg"),
        ["Loss terms of the last stage", "mean over an epoch"],
        &losses,
        log_curves_svg,
    )?;
    let percent = |value: Option<f64>| value.map(|v| 100.0 * v);
    let scores: [Curve; 2] = [
        ("weights", over(&|e| percent(e.validation_nme))),
        ("moving average", over(&|e| percent(e.validation_nme_ema))),
    ];
    let title = format!("Validation, {} samples", last.validation_samples);
    let label = format!("NME, % of the {} distance", last.normalizer);
    draw(&out.join("validation.svg"), [&title, &label], &scores, curves_svg)
}

/// Draws curves under their title and the label of what goes upwards.
fn draw(
    path: &Path,
    [title, label]: [&str; 2],
    curves: &[Curve],
    svg: impl Fn(&str, &str, &str, &[(&str, &[(f64, f64)])]) -> star_eval::Result<String>,
) -> Result<()> {
    let series: Vec<(&str, &[(f64, f64)])> =
        curves.iter().map(|(name, points)| (*name, points.as_slice())).collect();
    if series.iter().all(|(_, points)| points.iter().all(|(_, y)| !y.is_finite())) {
        return Ok(());
    }
    Ok(atomic::write(path, svg(title, "epoch", label, &series)?.as_bytes())?)
}
