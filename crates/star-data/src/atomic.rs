//! Atomic writes: a file is complete or not there, whenever the program or the machine stops. Devices, pipes and sockets are written
//! into, and a link keeps pointing where it does.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

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

/// Writes to `path` what `fill` puts into a buffer before it. What is no file but a device, a pipe or a socket gets the bytes; of a link,
/// the file that it points to is replaced.
///
/// # Errors
/// [`Error::Io`] with `path`, or what `fill` returns; an earlier file of that name is then left as it was.
pub fn write_with(
    path: &Path,
    durability: Durability,
    fill: impl FnOnce(&mut BufWriter<&File>) -> Result<()>,
) -> Result<()> {
    let io = |source| Error::io(path, source);
    let target = match target(path) {
        Target::File(target) => target,
        Target::Stream => {
            let stream = File::options().write(true).open(path).map_err(io)?;
            let mut buffered = BufWriter::with_capacity(BUFFER, &stream);
            fill(&mut buffered)?;
            return buffered.flush().map_err(io);
        }
    };
    let file = begin(folder(&target)).map_err(io)?;
    let mut buffered = BufWriter::with_capacity(BUFFER, file.as_file());
    fill(&mut buffered)?;
    buffered.flush().map_err(io)?;
    drop(buffered);
    commit(file, &target, durability)
}

/// What a path names.
enum Target {
    /// A file that is there, or can be made.
    File(PathBuf),
    /// Something that is written into.
    Stream,
}

/// Whether `path` is written into instead of replaced: a device, a pipe, a socket, or one of a process's own streams, whatever that leads
/// to; a shell's `> file` is among them, which must stay the file that the shell opened.
#[must_use]
pub fn is_stream(path: &Path) -> bool {
    let own = ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder));
    std::fs::metadata(path).is_ok_and(|found| own || !(found.is_file() || found.is_dir()))
}

fn target(path: &Path) -> Target {
    if is_stream(path) {
        return Target::Stream;
    }
    match std::fs::metadata(path) {
        Ok(_) => Target::File(std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())),
        // A link to what is not there yet.
        Err(_) => Target::File(
            std::fs::read_link(path).map_or_else(|_| path.to_path_buf(), |to| folder(path).join(to)),
        ),
    }
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
    fn a_pipe_gets_the_bytes_and_a_link_keeps_pointing_where_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        let pipe = at("pipe");
        let reader = std::thread::spawn(move || std::fs::read(pipe).unwrap());
        write(&at("pipe"), b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        std::fs::create_dir(at("real")).unwrap();
        for (link, to) in [("link", "real/file"), ("new", "real/none")] {
            std::os::unix::fs::symlink(to, at(link)).unwrap();
        }
        std::fs::write(at("real/file"), b"before").unwrap();
        for (link, to) in [("link", "real/file"), ("new", "real/none")] {
            write(&at(link), b"after").unwrap();
            assert!(at(link).symlink_metadata().unwrap().is_symlink(), "{link}");
            assert_eq!(std::fs::read(at(to)).unwrap(), b"after");
        }
        write(Path::new("/dev/null"), b"gone").unwrap();
        assert!(is_stream(&at("pipe")) && is_stream(Path::new("/dev/null")));
        assert!(!is_stream(&at("link")) && !is_stream(dir.path()) && !is_stream(&at("missing")));
        assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4);
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
