//! Atomic writes of folders, so that a run that is killed leaves nothing that the next one takes for complete.

use std::path::Path;

use anyhow::{Context, Result};
use star_model::checkpoint::CONFIG_FILE;

use crate::files;

/// How the folders that are being written are called until they are whole.
const UNFINISHED: &str = ".converting-";

/// Age in seconds at which such a folder belongs to no run that still lives.
const STALE: u64 = 24 * 3600;

/// Makes `folder` by `write` under another name and renames it; what killed runs left behind goes.
pub(super) fn keep(folder: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = folder.parent().context("a folder without a parent")?;
    files::make_dir(parent)?;
    for entry in std::fs::read_dir(parent)?.flatten() {
        let old = entry.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED)
            && old.is_some_and(|age| age.as_secs() > STALE)
        {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(parent)?;
    write(unfinished.path())?;
    readable_by_others(unfinished.path())?;
    match std::fs::rename(unfinished.path(), folder) {
        // Another run was faster, with the same content.
        Err(_) if folder.join(CONFIG_FILE).is_file() => Ok(()),
        renamed => Ok(renamed?),
    }
}

/// Lets everybody read a folder that was made as a temporary one.
#[cfg(unix)]
fn readable_by_others(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn readable_by_others(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_finished_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("repo/commit/a.pkl");
        let failed = keep(&folder, |unfinished| {
            std::fs::write(unfinished.join(CONFIG_FILE), "{}")?;
            anyhow::bail!("killed here")
        });
        assert!(failed.is_err() && !folder.exists());
        keep(&folder, |unfinished| Ok(std::fs::write(unfinished.join(CONFIG_FILE), "{}")?)).unwrap();
        assert!(folder.join(CONFIG_FILE).is_file());
        assert_eq!(std::fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1);
    }
}
