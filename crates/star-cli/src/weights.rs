//! Opening weights: a folder or a bare file, and the scheme that goes with them.

use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::DType;
use star_data::Scheme;
use star_model::checkpoint::{self, Folder, Tensors, Which};

use crate::args::{ConvertArgs, ExportArgs, HintArgs, StorageType, WeightsArgs};
use crate::output;

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
    if name == ANIME {
        return anime();
    }
    Ok(Scheme::named(name)?)
}

/// Name of the scheme of the registry's drawn faces, which no data set of star-data has.
const ANIME: &str = "anime28";

fn anime() -> Result<Scheme> {
    let scheme: Scheme = toml::from_str(include_str!("../schemes/anime28.toml")).context(ANIME)?;
    scheme.validate()?;
    Ok(scheme)
}

/// The built-in scheme with `keypoints` points.
fn scheme_by_count(keypoints: usize) -> Result<Scheme> {
    let fits = |scheme: &Scheme| scheme.keypoints == keypoints;
    match Scheme::built_in().into_iter().chain([anime()?]).find(fits) {
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
    let sets = |edges: &[Vec<usize>]| -> Vec<std::collections::BTreeSet<usize>> {
        edges.iter().map(|edge| edge.iter().copied().collect()).collect()
    };
    if let Some(edges) = folder.config.architecture.edges()
        && sets(edges) != sets(&scheme.edge_points())
    {
        bail!(
            "the weights' edges are not those of scheme `{}`: these weights are of another scheme",
            scheme.name
        )
    }
    Ok(())
}

/// Reads a weights file and finds its scheme, by `name` where one is given and by the number of keypoints else.
pub(crate) fn import(
    path: &Path,
    which: Which,
    name: Option<&str>,
    image_size: Option<usize>,
) -> Result<(Folder, Scheme)> {
    let mut folder = Folder::import(path, which, "", image_size.unwrap_or(DEFAULT_IMAGE_SIZE), WRITTEN_BY)?;
    let scheme = match name {
        Some(name) => scheme(name)?,
        None => scheme_by_count(folder.config.architecture.keypoints())?,
    };
    check_scheme(&folder, &scheme).with_context(|| path.display().to_string())?;
    folder.config.scheme = scheme.name.clone();
    Ok((folder, scheme))
}

/// The tensors of a folder or weights file, or of weights on the Hub, to start a training from; a relative path starts from `base`.
///
/// # Errors
/// When they cannot be read.
pub fn tensors(name: &Path, base: &Path) -> Result<Tensors> {
    let beside = base.join(name);
    let file = source_file(if beside.exists() { &beside } else { name })?;
    Ok(checkpoint::read(&file, Which::Net)?)
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
    open_named(&args.weights, &args.hints)
}

/// Opens weights by path, name or address.
///
/// # Errors
/// As [`open`].
pub fn open_named(name: &Path, hints: &HintArgs) -> Result<(Folder, Scheme)> {
    let which = which(hints.ema);
    if let Some(remote) = remote(name)? {
        let folder = remote.folder(which, hints.scheme.as_deref(), hints.image_size)?;
        return open_folder(&folder, hints.scheme.as_deref());
    }
    if !name.is_dir() {
        return import(name, which, hints.scheme.as_deref(), hints.image_size);
    }
    if hints.ema || hints.image_size.is_some() {
        bail!(
            "--ema and --image-size are for weights files; {} is a folder, which knows its own",
            name.display()
        )
    }
    open_folder(name, hints.scheme.as_deref())
}

fn open_folder(dir: &Path, name: Option<&str>) -> Result<(Folder, Scheme)> {
    let folder = Folder::load(dir)?;
    let scheme = scheme(name.unwrap_or(&folder.config.scheme))?;
    check_scheme(&folder, &scheme).with_context(|| dir.display().to_string())?;
    Ok((folder, scheme))
}

/// What `name` means on the Hub, if anything.
#[cfg(feature = "hub")]
fn remote(name: &Path) -> Result<Option<crate::fetch::Remote>> {
    let remote = crate::fetch::remote(name)?;
    if remote.is_none() && !name.exists() {
        bail!(
            "{}: no such file or folder, and no published weights of that name (known are: {}; any file of the Hub is \
             hf:owner/repo[@revision]/file)",
            name.display(),
            crate::fetch::names().join(", ")
        )
    }
    Ok(remote)
}

/// Without the feature `hub` nothing lies there.
#[cfg(not(feature = "hub"))]
fn remote(name: &Path) -> Result<Option<Unreachable>> {
    if name.to_str().is_some_and(|name| name.starts_with("hf:")) {
        bail!("{}: this program was built without the feature `hub`", name.display())
    }
    Ok(None)
}

/// Stands for weights on the Hub in a program that does not reach it.
#[cfg(not(feature = "hub"))]
enum Unreachable {}

#[cfg(not(feature = "hub"))]
impl Unreachable {
    fn file(&self) -> Result<std::path::PathBuf> {
        match *self {}
    }

    fn folder(&self, _: Which, _: Option<&str>, _: Option<usize>) -> Result<std::path::PathBuf> {
        match *self {}
    }
}

/// The file that `name` means, fetched where it lies on the Hub; of a folder, its weights.
///
/// # Errors
/// When it cannot be fetched.
pub fn source_file(name: &Path) -> Result<std::path::PathBuf> {
    let path = file(name)?;
    Ok(if path.is_dir() { path.join(checkpoint::WEIGHTS_FILE) } else { path })
}

/// `star export`.
///
/// # Errors
/// When the weights cannot be opened or the file not written.
pub fn export(args: &ExportArgs) -> Result<()> {
    let (folder, scheme) = open_named(&args.weights, &args.hints)?;
    let bytes = star_model::onnx::export(&folder)?;
    output::write_renamed(&args.onnx, &bytes)?;
    let architecture = &folder.config.architecture;
    eprintln!(
        "{}: {architecture}, {} keypoints ({}), {:.1} MB",
        args.onnx.display(),
        scheme.keypoints,
        scheme.name,
        bytes.len() as f64 / 1e6
    );
    Ok(())
}

/// The file that `name` means, fetched where it lies on the Hub.
fn file(name: &Path) -> Result<std::path::PathBuf> {
    Ok(match remote(name)? {
        Some(remote) => remote.file()?,
        None => name.to_path_buf(),
    })
}

/// `star convert`.
///
/// # Errors
/// When the input is no such checkpoint, or the folder cannot be written.
pub fn convert(args: &ConvertArgs) -> Result<()> {
    let input = file(&args.input)?;
    let (folder, scheme) = import(&input, which(args.ema), args.scheme.as_deref(), Some(args.image_size))?;
    let folder = folder.stored_as(match args.dtype {
        StorageType::F32 => DType::F32,
        StorageType::F16 => DType::F16,
        StorageType::Bf16 => DType::BF16,
    })?;
    folder.save(&args.out_dir).with_context(|| format!("writing {}", args.out_dir.display()))?;
    let architecture = &folder.config.architecture;
    eprintln!("{}: {architecture}, {} keypoints ({})", args.out_dir.display(), scheme.keypoints, scheme.name);
    Ok(())
}
