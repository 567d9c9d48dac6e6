//! What a command reads of a data set is written over by none, whatever its path is spelled like.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use star_data::Dataset;
use star_data::formats::{Format, own};

use crate::args::{DataFormat, SourceArgs};
use crate::output;

/// The files of annotations: the one named, and what it names beside images.
///
/// # Errors
/// When a file that names others cannot be read.
pub(crate) fn files(source: &SourceArgs) -> Result<Vec<PathBuf>> {
    let Some(annotations) = &source.annotations else { return Ok(Vec::new()) };
    let mut files = match source.format {
        DataFormat::Files(Format::Own) => own::files(annotations)?,
        _ => Vec::new(),
    };
    files.push(annotations.clone());
    Ok(files)
}

/// Checks that `written` may be written, which have one of `endings` where they are results of earlier runs in a data set's own folder.
///
/// # Errors
/// Names the file and the way out.
pub(super) fn claim(written: &[PathBuf], source: &SourceArgs, endings: &[&str]) -> Result<()> {
    let files = files(source)?;
    written.iter().try_for_each(|path| output::claim(path, &files))?;
    let Some(annotations) = &source.annotations else { return Ok(()) };
    written.iter().try_for_each(|path| beside(path, annotations, endings))
}

/// The same for the images of `dataset`.
///
/// # Errors
/// As [`claim`].
pub(crate) fn claim_images(written: &[PathBuf], dataset: &dyn Dataset) -> Result<()> {
    if !written.iter().any(|path| path.exists()) {
        return Ok(());
    }
    let images: Vec<PathBuf> = (0..dataset.len()).filter_map(|i| dataset.image_path(i)).collect();
    written.iter().try_for_each(|path| output::claim(path, &images))
}

/// # Errors
/// Where `path` is there already, in the folder of a data set, and its ending is none of `endings`.
fn beside(path: &Path, annotations: &Path, endings: &[&str]) -> Result<()> {
    let (Ok(here), Ok(folder)) = (std::fs::canonicalize(path), std::fs::canonicalize(annotations)) else {
        return Ok(());
    };
    let ending = here.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ensure!(
        !folder.is_dir()
            || !here.starts_with(&folder)
            || ending.is_some_and(|e| endings.contains(&e.as_str())),
        "{}: may be an input, since it is in the folder {}, and is not written over",
        path.display(),
        annotations.display()
    );
    Ok(())
}
