//! Files and folders, with errors for a person to read.

use std::path::Path;

use anyhow::{Context, Result};
use star_data::atomic;

/// Writes `bytes` to `path` atomically.
///
/// # Errors
/// Names the file; an earlier file of that name is then left as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(atomic::write(path, bytes)?)
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
