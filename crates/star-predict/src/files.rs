//! Folders, with errors for a person to read.

use std::path::Path;

use anyhow::{Context, Result};

/// Makes a folder and those above it.
///
/// # Errors
/// Names the folder.
pub fn make_dir(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("making the folder {}", dir.display()))
}
