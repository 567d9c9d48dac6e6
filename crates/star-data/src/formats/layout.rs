//! Finding one's way in unpacked archives, which differ in what they are nested in.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Deepest folder below the given one that is looked into; also what ends a loop of links.
const MAX_DEPTH: usize = 8;

/// Endings of images, looked for in this order, in lower and upper case.
pub(super) use crate::images::ENDINGS as IMAGE_ENDINGS;

/// Folder of a file, `.` for a bare name.
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// The first of `names` that is a file in one of `folders` below `root`.
pub(super) fn first_file(root: &Path, folders: &[&str], names: &[String]) -> Result<PathBuf> {
    let places = names.iter().flat_map(|name| folders.iter().map(move |folder| root.join(folder).join(name)));
    places.clone().find(|path| path.is_file()).ok_or_else(|| {
        let got = if root.exists() { "none of them below this folder" } else { "no such file or folder" };
        Error::content(root, "annotations", names.join(" or "), got)
    })
}

/// The files in a folder with this ending, by name; not those below it.
pub(super) fn files_in(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(folder, ending, MAX_DEPTH, &mut found)?;
    found.sort();
    Ok(found)
}

/// Every file below `root` with this ending, by path; what cannot be looked into is an error.
pub(super) fn files_below(root: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(root, ending, 0, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, ending: &str, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let io = |source| Error::io(folder, source);
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending)) {
            found.push(path);
        } else if depth < MAX_DEPTH && path.is_dir() {
            walk(&path, ending, depth + 1, found)?;
        }
    }
    Ok(())
}

/// Names of the folders that lead from `root` to `file`, in lower case.
pub(super) fn folders_between(root: &Path, file: &Path) -> Vec<String> {
    let between = file.strip_prefix(root).unwrap_or(file).parent();
    let names = between.into_iter().flat_map(Path::components);
    names.map(|part| part.as_os_str().to_string_lossy().to_lowercase()).collect()
}

/// The image in `folder` with this stem, whatever its ending.
pub(super) fn image(folder: &Path, stem: &OsStr) -> Option<PathBuf> {
    let named = |ending: &str| folder.join(stem).with_added_extension(ending);
    let candidates = IMAGE_ENDINGS.iter().flat_map(|ending| [named(ending), named(&ending.to_uppercase())]);
    candidates.into_iter().find(|path| path.is_file())
}
