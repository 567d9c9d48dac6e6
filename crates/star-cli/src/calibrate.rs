//! `star calibrate`: how sure landmarks are, learnt from annotated images and kept beside the weights.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use star_eval::Case;
use star_eval::calibration::ConfidenceSummary;
use star_model::CompileOptions;
use star_predict::confidence::CONFIDENCE_FILE;
use star_predict::weights::beside_config;
use star_predict::{Predictor, files};
use star_train::evaluate::{self, Labels, Scored, confidence};

use crate::args::CalibrateArgs;
use crate::{data, output, progress, source, weights};

/// Runs `star calibrate`.
///
/// # Errors
/// When weights or data cannot be read, hold too few errors to learn from, or the result cannot be written.
pub(crate) fn run(args: &CalibrateArgs) -> Result<()> {
    let out = folder(args)?;
    output::claim_in(&out, &[CONFIDENCE_FILE], &data::inputs::files(&args.source)?)?;
    let (folder, scheme) = weights::open(&args.weights)?;
    let dataset = source::open(&args.source, &scheme)?;
    let device = args.weights.device.open()?;
    let predictor = Predictor::from_folder(&folder, &device, &CompileOptions::default())?
        .with_batch_size(args.weights.batch_size);
    drop(folder);
    let bar = progress::bar(dataset.len(), "faces");
    let batch = args.weights.batch_size;
    let scored = evaluate::run_over(&predictor, &dataset, batch, Labels::AsAnnotated, |done| {
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    let case = |face: &Scored| Ok(evaluate::case(face, dataset.annotation(face.index)?));
    let cases: Vec<Case> = scored.iter().map(case).collect::<Result<_>>()?;
    let examples = confidence::examples(&scheme, args.threshold, &cases).context("--threshold")?;
    let name = source::name(&args.source);
    let model = confidence::fit(&scheme, &examples, &format!("{} faces of {name}", examples.faces()))?;
    files::make_dir(&out)?;
    model.save(&out)?;
    say!("{}: written", out.join(CONFIDENCE_FILE).display());
    if model.occluded.is_some() {
        say!("hidden landmarks were learnt too: `occluded` in the JSON of `star predict`");
    }
    // Too few faces to hold any out still make a model.
    match confidence::cross_validate(&examples, args.threshold) {
        Ok(held_out) => output::write_text(Path::new("-"), &told(&held_out, &name, &model.normalizer)),
        Err(error) => {
            say!("not cross-validated: {error}");
            Ok(())
        }
    }
}

/// Where the result goes.
fn folder(args: &CalibrateArgs) -> Result<PathBuf> {
    if let Some(out) = &args.out {
        return Ok(out.clone());
    }
    let weights = &args.weights.weights;
    if weights.is_dir() {
        return Ok(weights.clone());
    }
    match beside_config(weights) {
        Some(folder) => Ok(folder.to_path_buf()),
        None => bail!(
            "{}: is no folder of weights: name one for {CONFIDENCE_FILE} by --out, or make one by `star convert`",
            weights.display()
        ),
    }
}

/// Figures on faces that were held out.
fn told(found: &ConfidenceSummary, dataset: &str, normalizer: &str) -> String {
    let threshold = 100.0 * found.threshold_fraction;
    let mut text = format!(
        "data set: {dataset}; subset: full, in {} folds, each held out once; normalizer: {normalizer}; threshold: {threshold} %\n\
         errors below it: {:.2} % of {} landmarks; mean confidence {:.2} %\n\
         Brier score {:.4} (always saying the share: {:.4}); expected calibration error {:.4}\n\
         confidence % -> observed %:",
        confidence::FOLDS,
        100.0 * found.observed,
        found.pairs,
        100.0 * found.mean,
        found.brier,
        found.brier_of_share,
        found.calibration_error
    );
    for [confidence, observed] in &found.curve {
        text += &format!("  {:.0} -> {:.0}", 100.0 * confidence, 100.0 * observed);
    }
    text + "\n"
}
