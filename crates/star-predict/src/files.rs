//! Atomic writes: a file appears complete or not at all.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// Writes `bytes` to a temporary file beside `path`, flushes it to disk and renames it.
///
/// # Errors
/// Names the file; an earlier file of that name is then left as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let write = || -> Result<()> {
        let mut file = tempfile::Builder::new().prefix(".star-").suffix(".tmp").tempfile_in(dir)?;
        file.write_all(bytes)?;
        persist(file, path)
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// Brings a temporary file in the folder of `path` to disk and renames it to that.
///
/// # Errors
/// When the disk is full.
pub fn persist(file: tempfile::NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all()?;
    readable_by_others(file.as_file())?;
    file.persist(path)?;
    Ok(())
}

/// Brings the names in a folder to disk, so that a rename in it survives a loss of power.
///
/// # Errors
/// Names the folder.
pub fn sync_dir(dir: &Path) -> Result<()> {
    // Elsewhere than on Unix a folder cannot be opened as a file.
    if cfg!(unix) {
        let file = std::fs::File::open(dir).and_then(|dir| dir.sync_all());
        file.with_context(|| format!("bringing {} to disk", dir.display()))?;
    }
    Ok(())
}

/// Temporary files are made for their owner alone; results are for everybody, as a plain `create` would make them.
#[cfg(unix)]
fn readable_by_others(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_others(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

/// Makes a folder and those above it.
///
/// # Errors
/// Names the folder.
pub fn make_dir(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("making the folder {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_earlier_file_and_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomic(&path, b"first").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let missing = dir.path().join("no/such/a.txt");
        assert!(format!("{:#}", write_atomic(&missing, b"x").unwrap_err()).contains("no/such/a.txt"));
    }
}
