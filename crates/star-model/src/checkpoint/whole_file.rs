//! Files that appear whole or not at all.

use std::path::{Path, PathBuf};

use candle_core::Result;

/// Lets `write` fill a temporary file beside `path`, flushes it to disk and renames it.
pub(super) fn write_renamed(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let temporary = temporary_beside(path);
    let written = write(&temporary)
        .and_then(|()| readable_by_others(&temporary))
        .and_then(|()| Ok(std::fs::File::open(&temporary)?.sync_all()?))
        .and_then(|()| Ok(std::fs::rename(&temporary, path)?));
    written.map_err(|error| {
        // The write has failed already; a leftover that cannot be removed changes nothing.
        let _ = std::fs::remove_file(&temporary);
        candle_core::Error::msg(format!("{}: {error}", path.display()))
    })
}

fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// The safetensors writer makes files for their owner alone; results are for everybody, as a plain `create` makes them.
#[cfg(unix)]
fn readable_by_others(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))?)
}

#[cfg(not(unix))]
fn readable_by_others(_: &Path) -> Result<()> {
    Ok(())
}
