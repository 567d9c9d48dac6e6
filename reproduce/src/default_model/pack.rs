//! What ships: weights in half precision, calibrated, with a notice that names their hashes.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use candle_core::{DType, Device};
use serde::Serialize;
use star_data::{Scheme, atomic};
use star_eval::Calibration;
use star_model::CompileOptions;
use star_model::checkpoint::{Folder, SpreadCalibration, WEIGHTS_FILE};
use star_predict::{Predictor, weights};
use star_train::evaluate;

use super::sets;
use crate::machine::sha256;
use crate::{place, report};

/// The training of the default model.
const RECIPE: &str = "recipes/default-68.toml";

/// What to pack.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder of weights: `best` or `last` of a training by the recipe
    #[arg(value_name = "DIR")]
    weights: PathBuf,
    /// The training file that they were trained by
    #[arg(long, value_name = "FILE", default_value = RECIPE)]
    recipe: PathBuf,
    /// Folder of the portraits, whose `valid.tsv` the spreads are calibrated on
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder to write
    #[arg(long, value_name = "DIR", default_value = "crates/star-predict/models/default-68")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Notice {
    weights: String,
    recipe: String,
    recipe_hash: String,
}

/// Packs weights.
///
/// # Errors
/// Names the file that cannot be read or written.
pub(super) fn run(args: &Args) -> Result<()> {
    let mut folder = Folder::load(&args.weights)?.stored_as(DType::F16)?;
    folder.config.calibration = None;
    folder.config.calibration = Some(calibration(&folder, &args.data)?);
    weights::keep_scheme(&mut folder, &Scheme::named(sets::SCHEME)?)?;
    let out = place::root().join(&args.out);
    folder.save(&out)?;
    let notice = Notice {
        weights: sha256(&out.join(WEIGHTS_FILE))?,
        recipe: args.recipe.display().to_string(),
        recipe_hash: sha256(&place::root().join(&args.recipe))?,
    };
    atomic::write(&out.join("NOTICE.md"), report::text("default_model/notice.md", &notice)?.as_bytes())?;
    println!("{}: written", out.display());
    Ok(())
}

/// Factors on the spreads of each keypoint with which half of the errors on validation portraits lie within the ellipse that should hold
/// half; the keypoints against each other by their mean squared distances.
fn calibration(folder: &Folder, data: &Path) -> Result<SpreadCalibration> {
    let set = sets::validation(data)?;
    let predictor = Predictor::from_folder(folder, &Device::Cpu, &CompileOptions::default())?;
    let cases = set.cases(&predictor)?;
    let (normalizer, _) = evaluate::metric_set::normalizer(set.dataset.scheme(), None)?;
    let mut calibration = Calibration::new(set.dataset.scheme().keypoints)?;
    for case in &cases {
        let (Some(predicted), Some(covariances)) = (&case.predicted, &case.covariances) else { continue };
        let weights = case.weights.as_deref();
        let length = normalizer.length_weighted(&case.truth, weights)?;
        calibration.add(predicted, &case.truth, weights, covariances, length)?;
    }
    let summary = calibration.summary()?;
    let robust = summary.robust_scale / summary.scale;
    let mut keypoint_scales = Vec::new();
    for (keypoint, scale) in summary.keypoint_scales.iter().enumerate() {
        let Some(scale) = scale else { bail!("keypoint {keypoint}: is in no validation portrait") };
        keypoint_scales.push((scale * robust) as f32);
    }
    Ok(SpreadCalibration { keypoint_scales, fitted_on: format!("{} validation portraits", cases.len()) })
}
