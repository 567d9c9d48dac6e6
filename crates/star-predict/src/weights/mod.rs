//! Opening weights: a folder, a bare file, or what lies on the Hub under a name or address; and the scheme that goes with them.

#[cfg(feature = "builtin-model")]
mod builtin;
mod import;
#[cfg(feature = "hub")]
mod kept;
mod progress;
#[cfg(feature = "hub")]
mod remote;
#[cfg(not(feature = "hub"))]
#[path = "unreachable.rs"]
mod remote;
mod scheme;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use star_data::Scheme;
use star_model::checkpoint::{self, Folder, Tensors, Which};

use crate::confidence::ConfidenceModel;
#[cfg(feature = "builtin-model")]
pub use builtin::{BUILTIN, BUILTIN_WEIGHTS};
pub use import::{Hints, WRITTEN_BY, import};
pub use progress::{Download, FetchProgress};
#[cfg(feature = "hub")]
pub use remote::fetch;
pub use scheme::{keep as keep_scheme, scheme};

/// Opens weights by path, name or address; `builtin` are those in the program, with the feature `builtin-model`.
///
/// # Errors
/// When they cannot be read or fetched, or are of another scheme than the one hinted at.
pub fn open(name: &Path, hints: &Hints, progress: &mut dyn FetchProgress) -> Result<(Folder, Scheme)> {
    #[cfg(feature = "builtin-model")]
    if builtin::is_meant(name) {
        refuse_file_hints(name, hints)?;
        return with_scheme(builtin::folder()?, hints.scheme.as_deref());
    }
    if let Some(remote) = remote::find(name)? {
        return open_folder(&remote.folder(hints, progress)?, hints.scheme.as_deref());
    }
    if let Some(folder) = beside_config(name) {
        refuse_file_hints(name, hints)?;
        return open_folder(folder, hints.scheme.as_deref());
    }
    if !name.is_dir() {
        return import(name, hints);
    }
    refuse_file_hints(name, hints)?;
    open_folder(name, hints.scheme.as_deref())
}

/// The folder of a weights file that has its description beside it.
#[must_use]
pub fn beside_config(file: &Path) -> Option<&Path> {
    let folder =
        file.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
    let named = file.file_name().is_some_and(|name| name == checkpoint::WEIGHTS_FILE);
    (named && folder.join(checkpoint::CONFIG_FILE).is_file()).then_some(folder)
}

/// What weights with `keypoints` keypoints know of their confidence; `None` for those that were not calibrated.
///
/// # Errors
/// Names the file, and what is wrong in it.
pub fn confidence(name: &Path, keypoints: usize) -> Result<Option<ConfidenceModel>> {
    #[cfg(feature = "builtin-model")]
    if builtin::is_meant(name) {
        return builtin::confidence(keypoints).map(Some);
    }
    match beside_config(name) {
        Some(folder) => ConfidenceModel::load(folder, keypoints),
        None if name.is_dir() => ConfidenceModel::load(name, keypoints),
        None => Ok(None),
    }
}

fn refuse_file_hints(name: &Path, hints: &Hints) -> Result<()> {
    if hints.which == Which::Ema || hints.image_size.is_some() {
        bail!("--ema and --image-size are for weights files; {} knows its own", name.display())
    }
    Ok(())
}

fn open_folder(dir: &Path, name: Option<&str>) -> Result<(Folder, Scheme)> {
    with_scheme(Folder::load(dir)?, name).with_context(|| dir.display().to_string())
}

fn with_scheme(folder: Folder, name: Option<&str>) -> Result<(Folder, Scheme)> {
    let found = name.map_or_else(|| scheme::of(&folder), scheme)?;
    scheme::check(&folder, &found)?;
    Ok((folder, found))
}

/// The tensors of weights as they are stored, and where: what [`open`] makes a network of.
///
/// # Errors
/// When they cannot be read or fetched.
pub fn stored(name: &Path, which: Which, progress: &mut dyn FetchProgress) -> Result<(String, Tensors)> {
    #[cfg(feature = "builtin-model")]
    if builtin::is_meant(name) {
        let megabytes = BUILTIN_WEIGHTS.len() as f64 / 1e6;
        return Ok((format!("built in, {megabytes:.2} MB"), builtin::folder()?.tensors));
    }
    let path = source_file(name, progress)?;
    let tensors = checkpoint::read(&path, which)?;
    Ok((path.display().to_string(), tensors))
}

/// The tensors of a folder or weights file, or of weights on the Hub, to start a training from; a relative path starts from `base`.
///
/// # Errors
/// When they cannot be read or fetched.
pub fn tensors(name: &Path, base: &Path, progress: &mut dyn FetchProgress) -> Result<Tensors> {
    let beside = base.join(name);
    let name = if beside.exists() { &beside } else { name };
    Ok(stored(name, Which::Net, progress)?.1)
}

/// The weights file that `name` means, fetched where it lies on the Hub; of a folder, the one in it.
///
/// # Errors
/// When it cannot be fetched.
pub fn source_file(name: &Path, progress: &mut dyn FetchProgress) -> Result<PathBuf> {
    let path = match remote::find(name)? {
        Some(remote) => remote.file(progress)?,
        None => name.to_path_buf(),
    };
    Ok(if path.is_dir() { path.join(checkpoint::WEIGHTS_FILE) } else { path })
}
