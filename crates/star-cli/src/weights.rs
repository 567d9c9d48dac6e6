//! Opening weights: a folder or a bare file, and the scheme that goes with them.

use std::path::Path;

use anyhow::{Context, Result, bail};
use star_data::Scheme;
use star_model::checkpoint::{Architecture, Folder, Which};

use crate::args::{ConvertArgs, WeightsArgs};

/// Image side assumed for weights files, which do not say.
const DEFAULT_IMAGE_SIZE: usize = 256;

/// Who writes a folder, for its provenance.
pub const WRITTEN_BY: &str = concat!("star ", env!("CARGO_PKG_VERSION"));

/// A scheme by built-in name, or from a TOML file.
///
/// # Errors
/// When there is no such name or file, listing the names there are.
pub fn scheme(name: &str) -> Result<Scheme> {
    let path = Path::new(name);
    if path.extension().is_some_and(|ending| ending == "toml") {
        return Ok(Scheme::from_toml_file(path)?);
    }
    Ok(Scheme::named(name)?)
}

/// The built-in scheme with `keypoints` points.
fn scheme_by_count(keypoints: usize) -> Result<Scheme> {
    let fits = |scheme: &Scheme| scheme.keypoints == keypoints;
    match Scheme::built_in().into_iter().find(fits) {
        Some(scheme) => Ok(scheme),
        None => bail!("no built-in scheme has {keypoints} keypoints: name one with --scheme"),
    }
}

/// Checks that `folder` was made for `scheme`: number of keypoints and edges.
fn check_scheme(folder: &Folder, scheme: &Scheme) -> Result<()> {
    let keypoints = folder.config.architecture.keypoints();
    if keypoints != scheme.keypoints {
        bail!(
            "the weights have {keypoints} keypoints, scheme `{}` has {}: these weights are of another scheme",
            scheme.name,
            scheme.keypoints
        )
    }
    let Architecture::StackedHourglass(config) = &folder.config.architecture;
    let sets = |edges: &[Vec<usize>]| -> Vec<std::collections::BTreeSet<usize>> {
        edges.iter().map(|edge| edge.iter().copied().collect()).collect()
    };
    if config.attention && sets(&config.edges) != sets(&scheme.edge_points()) {
        bail!(
            "the weights' edges are not those of scheme `{}`: these weights are of another scheme",
            scheme.name
        )
    }
    Ok(())
}

fn import(path: &Path, which: Which, name: Option<&str>, image_size: usize) -> Result<(Folder, Scheme)> {
    let mut folder = Folder::import(path, which, "", image_size, WRITTEN_BY)?;
    let scheme = match name {
        Some(name) => scheme(name)?,
        None => scheme_by_count(folder.config.architecture.keypoints())?,
    };
    check_scheme(&folder, &scheme).with_context(|| path.display().to_string())?;
    folder.config.scheme = scheme.name.clone();
    Ok((folder, scheme))
}

fn which(ema: bool) -> Which {
    if ema { Which::Ema } else { Which::Net }
}

/// Opens what `--weights` names.
///
/// # Errors
/// When it cannot be read, or is of another scheme than the one asked for.
pub fn open(args: &WeightsArgs) -> Result<(Folder, Scheme)> {
    if args.batch_size == 0 {
        bail!("--batch-size: expected at least 1, got 0")
    }
    if !args.weights.is_dir() {
        let size = args.image_size.unwrap_or(DEFAULT_IMAGE_SIZE);
        return import(&args.weights, which(args.ema), args.scheme.as_deref(), size);
    }
    if args.ema || args.image_size.is_some() {
        bail!(
            "--ema and --image-size are for weights files; {} is a folder, which knows its own",
            args.weights.display()
        )
    }
    let folder = Folder::load(&args.weights)?;
    let scheme = scheme(args.scheme.as_deref().unwrap_or(&folder.config.scheme))?;
    check_scheme(&folder, &scheme).with_context(|| args.weights.display().to_string())?;
    Ok((folder, scheme))
}

/// `star convert`.
///
/// # Errors
/// When the input is no such checkpoint, or the folder cannot be written.
pub fn convert(args: &ConvertArgs) -> Result<()> {
    let (folder, scheme) = import(&args.input, which(args.ema), args.scheme.as_deref(), args.image_size)?;
    folder.save(&args.out_dir).with_context(|| format!("writing {}", args.out_dir.display()))?;
    let Architecture::StackedHourglass(c) = &folder.config.architecture;
    eprintln!(
        "{}: stacked hourglass, {} stacks of {} levels, {} channels, {} keypoints ({}), {} edges, image {} px",
        args.out_dir.display(),
        c.stacks,
        c.levels,
        c.channels,
        c.keypoints,
        scheme.name,
        c.edges.len(),
        c.image_size
    );
    Ok(())
}
