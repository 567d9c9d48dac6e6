//! Opening weights: a folder, a bare file, or what lies on the Hub under a name or address; and the scheme that goes with them.

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

pub use import::{Hints, WRITTEN_BY, import};
pub use progress::{Download, FetchProgress};
#[cfg(feature = "hub")]
pub use remote::fetch;
pub use scheme::scheme;

/// Opens weights by path, name or address.
///
/// # Errors
/// When they cannot be read or fetched, or are of another scheme than the one hinted at.
pub fn open(name: &Path, hints: &Hints, progress: &mut dyn FetchProgress) -> Result<(Folder, Scheme)> {
    if let Some(remote) = remote::find(name)? {
        return open_folder(&remote.folder(hints, progress)?, hints.scheme.as_deref());
    }
    if !name.is_dir() {
        return import(name, hints);
    }
    if hints.which == Which::Ema || hints.image_size.is_some() {
        bail!(
            "--ema and --image-size are for weights files; {} is a folder, which knows its own",
            name.display()
        )
    }
    open_folder(name, hints.scheme.as_deref())
}

fn open_folder(dir: &Path, name: Option<&str>) -> Result<(Folder, Scheme)> {
    let folder = Folder::load(dir)?;
    let found = scheme(name.unwrap_or(&folder.config.scheme))?;
    scheme::check(&folder, &found).with_context(|| dir.display().to_string())?;
    Ok((folder, found))
}

/// The tensors of a folder or weights file, or of weights on the Hub, to start a training from; a relative path starts from `base`.
///
/// # Errors
/// When they cannot be read or fetched.
pub fn tensors(name: &Path, base: &Path, progress: &mut dyn FetchProgress) -> Result<Tensors> {
    let beside = base.join(name);
    let file = source_file(if beside.exists() { &beside } else { name }, progress)?;
    Ok(checkpoint::read(&file, Which::Net)?)
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
