//! Atomic writes: a file is complete or not there, whenever the program or the machine stops.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::{Error, Result};

/// Bytes gathered before they are handed to the system.
const BUFFER: usize = 1 << 18;

/// What a finished file survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A loss of power: the file and its name are on the disk when the call returns.
    Synced,
    /// The end of the program; after a loss of power it may be missing. For what can be made again.
    Cached,
}

/// Writes `bytes` to `path`, replacing what is there.
///
/// # Errors
/// [`Error::Io`] with `path`; an earlier file of that name is then left as it was.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, Durability::Synced, |out| out.write_all(bytes).map_err(|source| Error::io(path, source)))
}

/// Writes to `path` what `fill` puts into a buffer before it.
///
/// # Errors
/// [`Error::Io`] with `path`, or what `fill` returns; an earlier file of that name is then left as it was.
pub fn write_with(
    path: &Path,
    durability: Durability,
    fill: impl FnOnce(&mut BufWriter<&File>) -> Result<()>,
) -> Result<()> {
    let io = |source| Error::io(path, source);
    let file = begin(folder(path)).map_err(io)?;
    let mut buffered = BufWriter::with_capacity(BUFFER, file.as_file());
    fill(&mut buffered)?;
    buffered.flush().map_err(io)?;
    drop(buffered);
    commit(file, path, durability)
}

/// A file in `folder` under a name that no other thread or process uses, for [`commit`]. Dropped before that, it leaves nothing behind.
///
/// # Errors
/// Those of making a file.
pub fn begin(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // Readers of whole folders pass over names with a dot in front.
    builder.prefix(".star-").suffix(".tmp");
    // Temporary files are made for their owner alone; results are for everybody, as a plain `create` makes them.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Names a finished file of the same folder `path`, in place of an earlier one, whose permissions it takes over.
///
/// # Errors
/// [`Error::Io`] with `path`; an earlier file of that name is then left as it was.
pub fn commit(file: NamedTempFile, path: &Path, durability: Durability) -> Result<()> {
    let io = |source| Error::io(path, source);
    if let Ok(earlier) = std::fs::metadata(path) {
        file.as_file().set_permissions(earlier.permissions()).map_err(io)?;
    }
    if durability == Durability::Synced {
        file.as_file().sync_all().map_err(io)?;
    }
    file.persist(path).map_err(|error| io(error.error))?;
    match durability {
        Durability::Synced => sync_folder(folder(path)),
        Durability::Cached => Ok(()),
    }
}

/// Brings the names in a folder to disk, so that a rename in it survives a loss of power.
///
/// # Errors
/// [`Error::Io`] with the folder.
pub fn sync_folder(folder: &Path) -> Result<()> {
    // Elsewhere than on Unix a folder cannot be opened as a file.
    if cfg!(unix) {
        File::open(folder).and_then(|file| file.sync_all()).map_err(|source| Error::io(folder, source))?;
    }
    Ok(())
}

/// The folder of a file, `.` for a bare name.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_halfway_leaves_the_earlier_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        write(&path, b"first").unwrap();
        let failed = write_with(&path, Durability::Synced, |file| {
            file.write_all(b"second").map_err(|e| Error::io("a.bin", e))?;
            Err(Error::Index { index: 1, len: 0 })
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        write(&path, b"third").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"third");
        let missing = write(&dir.path().join("no/such/a.bin"), b"x").unwrap_err().to_string();
        assert!(missing.contains("no/such/a.bin"), "{missing}");
    }

    #[test]
    fn threads_that_write_the_same_file_at_once_each_write_a_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.bin");
        std::thread::scope(|scope| {
            for i in 0..8u8 {
                let path = &path;
                scope.spawn(move || (0..20).for_each(|_| write(path, &[i; 100_000]).unwrap()));
            }
        });
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.len() == 100_000 && bytes.iter().all(|byte| *byte == bytes[0]));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_has_the_mode_of_a_plain_one_and_a_replaced_file_keeps_its_own() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mode = |name: &str| dir.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
        std::fs::write(dir.path().join("plain"), b"").unwrap();
        let path = dir.path().join("ours");
        write(&path, b"first").unwrap();
        assert_eq!(mode("ours"), mode("plain"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(mode("ours"), 0o640);
    }
}
