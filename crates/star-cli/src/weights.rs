//! `star convert` and `star export`, and opening the weights that arguments name.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::DType;
use star_data::Scheme;
use star_data::atomic;
use star_data::scheme_map::{Detail, SchemeMap};
use star_model::checkpoint::{CONFIG_FILE, Folder, WEIGHTS_FILE, Which};
use star_model::onnx::{ExportOptions, MadeLandmarks, OPSETS};
use star_predict::confidence::ConfidenceModel;
use star_predict::weights::{self, Hints};

use crate::args::{ConvertArgs, ExportArgs, HintArgs, MapName, StorageType, TargetName, WeightsArgs};
use crate::output;
use crate::progress::FetchBar;

impl HintArgs {
    fn hints(&self) -> Hints {
        Hints { scheme: self.scheme.clone(), image_size: self.image_size, which: which(self.ema) }
    }
}

fn which(ema: bool) -> Which {
    if ema { Which::Ema } else { Which::Net }
}

/// Opens what `--weights` names.
///
/// # Errors
/// When it cannot be read, or is of another scheme than the one asked for.
pub(crate) fn open(args: &WeightsArgs) -> Result<(Folder, Scheme)> {
    if args.batch_size == 0 {
        bail!("--batch-size: expected at least 1, got 0")
    }
    open_named(&args.weights, &args.hints)
}

/// Opens weights by path, name or address, with a bar while they are fetched.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_named(name: &Path, hints: &HintArgs) -> Result<(Folder, Scheme)> {
    weights::open(name, &hints.hints(), &mut FetchBar::default())
}

/// How sure the landmarks of what `--weights` names are, where that was calibrated.
///
/// # Errors
/// Names the file, and what is wrong in it.
pub(crate) fn confidence(args: &WeightsArgs, scheme: &Scheme) -> Result<Option<ConfidenceModel>> {
    weights::confidence(&args.weights, scheme.keypoints)
}

/// How other keypoints are made of those of `scheme`, where `--map-98-to-68` or `--as` asks for others.
///
/// # Errors
/// When the scheme has not what they are made of.
pub(crate) fn map(
    map: Option<MapName>,
    target: Option<TargetName>,
    scheme: &Scheme,
) -> Result<Option<SchemeMap>> {
    let (flag, detail) = match (map, target) {
        (Some(map), _) => ("--map-98-to-68", map.detail()),
        (None, Some(TargetName::Ibug68)) => ("--as", Detail::Blend),
        (None, None) => return Ok(None),
    };
    let made = SchemeMap::wflw_to_300w(detail)?;
    if target.is_some() && map.is_none() && scheme.name == made.to().name {
        return Ok(None);
    }
    ensure!(
        scheme.name == made.from().name,
        "{flag}: expected weights of scheme `{}`, got `{}` with {} keypoints",
        made.from().name,
        scheme.name,
        scheme.keypoints
    );
    Ok(Some(made))
}

/// `star export`.
///
/// # Errors
/// When the weights cannot be opened or the file not written.
pub(crate) fn export(args: &ExportArgs) -> Result<()> {
    output::claim(&args.onnx, &[&args.weights])?;
    let (folder, scheme) = open_named(&args.weights, &args.hints)?;
    ensure!(args.images != Some(0), "--images: expected at least 1, got 0");
    ensure!(
        OPSETS.contains(&args.opset),
        "--opset: expected {} to {}, got {}",
        OPSETS.start(),
        OPSETS.end(),
        args.opset
    );
    let map = map(args.map, args.target, &scheme)?;
    let made = map.as_ref().map(made).transpose()?;
    let options = ExportOptions { images: args.images, opset: args.opset, made };
    let bytes = star_model::onnx::export_with(&folder, &options)?;
    atomic::write(&args.onnx, &bytes)?;
    let architecture = &folder.config.architecture;
    let given = map.as_ref().map_or(&scheme, SchemeMap::to);
    say!(
        "{}: {architecture}, {} keypoints ({}), opset {}, {:.1} MB",
        args.onnx.display(),
        given.keypoints,
        given.name,
        args.opset,
        bytes.len() as f64 / 1e6
    );
    Ok(())
}

/// How an exported network makes landmarks by `map`.
fn made(map: &SchemeMap) -> Result<MadeLandmarks> {
    Ok(MadeLandmarks {
        scheme: map.to().name.clone(),
        keypoint_scheme: Some(serde_json::to_value(map.to())?),
        parts: map.parts().to_vec(),
    })
}

/// `star convert`.
///
/// # Errors
/// When the input is no such checkpoint, or the folder cannot be written.
pub(crate) fn convert(args: &ConvertArgs) -> Result<()> {
    let input = weights::source_file(&args.input, &mut FetchBar::default())?;
    output::claim_in(&args.out_dir, &[WEIGHTS_FILE, CONFIG_FILE], &[&input])?;
    let hints =
        Hints { scheme: args.scheme.clone(), image_size: Some(args.image_size), which: which(args.ema) };
    let (folder, scheme) = match weights::beside_config(&input) {
        // Its description says more than options could.
        Some(beside) => {
            weights::open(beside, &Hints { scheme: args.scheme.clone(), ..Hints::default() }, &mut ())?
        }
        None => weights::import(&input, &hints)?,
    };
    let folder = folder.stored_as(match args.dtype {
        StorageType::F32 => DType::F32,
        StorageType::F16 => DType::F16,
        StorageType::Bf16 => DType::BF16,
    })?;
    folder.save(&args.out_dir).with_context(|| format!("writing {}", args.out_dir.display()))?;
    let architecture = &folder.config.architecture;
    say!("{}: {architecture}, {} keypoints ({})", args.out_dir.display(), scheme.keypoints, scheme.name);
    Ok(())
}
