//! Files that appear whole or not at all.

use std::io::{BufWriter, Write};
use std::path::Path;

use crate::{Error, Result};

/// Writes through `write` to a temporary file beside `path`, flushes it to disk where `durable`, and renames it.
///
/// # Errors
/// [`Error::Io`], or what `write` returns; an earlier file of that name is then left as it was.
pub(crate) fn write(
    path: &Path,
    durable: bool,
    write: impl FnOnce(&mut BufWriter<&std::fs::File>) -> Result<()>,
) -> Result<()> {
    let io = |source| Error::io(path, source);
    let folder = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().prefix(".star-").suffix(".tmp").tempfile_in(folder).map_err(io)?;
    let mut buffered = BufWriter::with_capacity(1 << 18, file.as_file());
    write(&mut buffered)?;
    buffered.flush().map_err(io)?;
    drop(buffered);
    if durable {
        file.as_file().sync_all().map_err(io)?;
    }
    readable_by_others(file.as_file()).map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_halfway_leaves_the_earlier_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        write(&path, true, |file| file.write_all(b"first").map_err(|e| Error::io("a.bin", e))).unwrap();
        let failed = write(&path, true, |file| {
            file.write_all(b"second").map_err(|e| Error::io("a.bin", e))?;
            Err(Error::Index { index: 1, len: 0 })
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
