//! How sure the default model's landmarks are: fitted on faces that it was not trained on, measured on others.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use star_data::{Scheme, atomic};
use star_eval::calibration::ConfidenceSummary;
use star_eval::{Case, curves_svg};
use star_model::CompileOptions;
use star_predict::confidence::{ConfidenceModel, THRESHOLD};
use star_predict::{Predictor, files, weights};
use star_train::evaluate::confidence;

use super::sets::{self, Folders, TestSet};
use crate::{place, report};

/// Where the model lies in the repository.
const MODEL: &str = "crates/star-predict/models/default-68";

/// Where to look for faces.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    folders: Folders,
    /// Folder of heads to fit on, which `default-model heads` drew by another seed than those that were trained on
    #[arg(long, value_name = "DIR")]
    heads: PathBuf,
    /// Folder of heads to measure on, drawn by a third seed
    #[arg(long, value_name = "DIR")]
    other_heads: PathBuf,
}

/// What was measured.
#[derive(Serialize, Deserialize)]
struct Measured {
    /// SHA-256 of the weights.
    weights: String,
    fitted_on: String,
    threshold: f64,
    held_out: ConfidenceSummary,
    sets: Vec<SetConfidence>,
}

#[derive(Serialize, Deserialize)]
struct SetConfidence {
    name: String,
    truth: String,
    confidence: ConfidenceSummary,
}

/// Fits the model, measures it and writes both.
///
/// # Errors
/// Names the file that cannot be read or written.
pub(super) fn run(args: &Args) -> Result<()> {
    let data = &args.folders.data;
    let (folder, scheme) = weights::open(weights::BUILTIN.as_ref(), &Default::default(), &mut ())?;
    let predictor = Predictor::from_folder(&folder, &Device::Cpu, &CompileOptions::default())?;
    let parts = [sets::validation(data)?, sets::human(data, false)?, sets::heads(&args.heads)?];
    let mut cases = Vec::new();
    for set in &parts {
        println!("{}: {} faces to fit on", set.name, set.dataset.len());
        cases.extend(set.cases(&predictor)?);
    }
    let (model, held_out) = fit(&scheme, &cases, &parts)?;
    model.save(&place::root().join(MODEL))?;
    let mut measured = Vec::new();
    let fitted: Vec<&str> = parts[..2].iter().map(|part| part.name.as_str()).collect();
    let others = args.folders.all()?.into_iter();
    for set in
        others.filter(|set| !fitted.contains(&set.name.as_str())).chain([sets::heads(&args.other_heads)?])
    {
        let found = confidence::summary(&model, &set.cases(&predictor)?)?;
        let confidence = found.with_context(|| format!("{}: no landmark with a confidence", set.name))?;
        measured.push(SetConfidence { name: set.name, truth: set.truth.into(), confidence });
    }
    let weights = sets::builtin_hash();
    let outcome =
        Measured { weights, fitted_on: model.fitted_on, threshold: THRESHOLD, held_out, sets: measured };
    let out = super::results();
    files::make_dir(&out)?;
    atomic::write(&out.join(RECORD), serde_json::to_string(&outcome)?.as_bytes())?;
    println!("\n{}", page(&out)?);
    Ok(())
}

const RECORD: &str = "confidence.json";

/// As [`measured::page`](super::measured::page), for the confidence.
///
/// # Errors
/// When the record cannot be read, or a file not be written.
pub(super) fn page(out: &Path) -> Result<String> {
    let outcome: Measured = super::read(&out.join(RECORD))?;
    let write = |name: &str, text: &str| atomic::write(&out.join(name), text.as_bytes());
    write("confidence.svg", &curves(&outcome)?)?;
    let text = report::text("default_model/confidence.md", &outcome)?;
    write("confidence.md", &text)?;
    Ok(text)
}

/// The model of all cases, and how one does on cases that it was fitted without.
fn fit(scheme: &Scheme, cases: &[Case], parts: &[TestSet]) -> Result<(ConfidenceModel, ConfidenceSummary)> {
    let names: Vec<String> =
        parts.iter().map(|set| format!("{} of {}", set.dataset.len(), set.name)).collect();
    let examples = confidence::examples(scheme, THRESHOLD, cases)?;
    let model = confidence::fit(scheme, &examples, &names.join("; "))?;
    Ok((model, confidence::cross_validate(&examples, THRESHOLD)?))
}

/// Observed shares by confidence.
fn curves(outcome: &Measured) -> Result<String> {
    let points = |found: &ConfidenceSummary| found.curve.iter().map(|[p, share]| (*p, *share)).collect();
    let mut curves: Vec<(&str, Vec<(f64, f64)>)> = vec![("calibrated", vec![(0.0, 0.0), (1.0, 1.0)])];
    curves.push(("fitted on, held out in turn", points(&outcome.held_out)));
    curves.extend(outcome.sets.iter().map(|set| (set.name.as_str(), points(&set.confidence))));
    let borrowed: Vec<(&str, &[(f64, f64)])> =
        curves.iter().map(|(name, points)| (*name, points.as_slice())).collect();
    Ok(curves_svg("Reliability of the confidence", "confidence", "share of errors below 5 %", &borrowed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_what_the_template_makes_of_its_figures_and_is_of_the_model_in_the_program() {
        let text = place::read("docs/results/default-model/confidence.json").unwrap();
        let measured: Measured = serde_json::from_str(&text).unwrap();
        assert_eq!(
            report::text("default_model/confidence.md", &measured).unwrap(),
            place::read("docs/results/default-model/confidence.md").unwrap()
        );
        let model = weights::confidence(weights::BUILTIN.as_ref(), 68).unwrap().unwrap();
        assert_eq!(model.fitted_on, measured.fitted_on);
        assert_eq!(
            sets::builtin_hash(),
            measured.weights,
            "fit it again: the weights in the program are others"
        );
    }
}
