//! Weights files as folders of weights, in memory.

use std::path::Path;

use anyhow::{Context, Result};
use star_data::Scheme;
use star_model::checkpoint::{Folder, Which};

use super::scheme;

/// Who writes a folder, for its provenance.
pub const WRITTEN_BY: &str = concat!("star ", env!("CARGO_PKG_VERSION"));

/// Image side assumed for weights files, which do not say.
const DEFAULT_IMAGE_SIZE: usize = 256;

/// What weights files do not say of themselves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hints {
    /// Keypoint scheme by name or TOML file; by what the weights say, or by their number of keypoints, where it is `None`.
    pub scheme: Option<String>,
    /// Side in pixels of the network's input. For weights files alone: folders know theirs.
    pub image_size: Option<usize>,
    /// The weights or their moving average. For weights files alone: folders hold one of them.
    pub which: Which,
}

/// Reads a weights file (PyTorch checkpoint or safetensors) and finds its scheme.
///
/// # Errors
/// When it is no such file, or of another scheme than the one hinted at.
pub fn import(path: &Path, hints: &Hints) -> Result<(Folder, Scheme)> {
    let image_size = hints.image_size.unwrap_or(DEFAULT_IMAGE_SIZE);
    let mut folder = Folder::import(path, hints.which, "", image_size, WRITTEN_BY)?;
    let found = match &hints.scheme {
        Some(name) => scheme::scheme(name)?,
        None => scheme::by_count(folder.config.architecture.keypoints())?,
    };
    scheme::check(&folder, &found).with_context(|| path.display().to_string())?;
    scheme::keep(&mut folder, &found)?;
    Ok((folder, found))
}
