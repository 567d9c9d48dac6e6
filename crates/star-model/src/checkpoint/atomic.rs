//! Atomic writes: whoever opens the file meanwhile finds the earlier one or the whole new one.

use std::path::Path;

use candle_core::{Error, Result};

/// Lets `write` fill a temporary file beside `path`, brings that to disk and renames it.
///
/// The temporary file has a name that nothing else has, so that threads and processes may write one path at once; `write` may
/// replace it, as the safetensors writer does.
///
/// # Errors
/// Names `path`; an earlier file there is then left as it was.
pub(super) fn write(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    replace(path, write).map_err(|error| Error::msg(format!("{}: {error}", path.display())))
}

fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".star-").suffix(".tmp");
    // Temporary files are for their owner alone; these get what the user's umask gives to any new file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.tempfile_in(folder)?.into_temp_path();
    let permissions = std::fs::metadata(&temporary)?.permissions();
    write(&temporary)?;
    let file = std::fs::File::open(&temporary)?;
    file.set_permissions(permissions)?;
    file.sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file's content that shows by itself who wrote it and whether it is whole.
    fn content(writer: u8) -> Vec<u8> {
        vec![b'a' + writer; 100_000 + usize::from(writer)]
    }

    #[test]
    fn threads_that_write_one_path_never_leave_a_broken_or_foreign_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        write(&path, |temporary| Ok(std::fs::write(temporary, content(0))?)).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        // In two parts, so that a shared temporary file would mix them.
                        write(path, |temporary| {
                            use std::io::Write;
                            let (bytes, mut file) = (content(writer), std::fs::File::create(temporary)?);
                            file.write_all(&bytes[..50_000])?;
                            std::thread::yield_now();
                            Ok(file.write_all(&bytes[50_000..])?)
                        })
                        .unwrap();
                    }
                });
            }
            for _ in 0..200 {
                let bytes = std::fs::read(&path).unwrap();
                assert!(bytes == content(0) || bytes == content(1), "{} bytes", bytes.len());
            }
        });
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_leaves_the_earlier_file_alone_and_names_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights");
        write(&path, |temporary| Ok(std::fs::write(temporary, "first")?)).unwrap();
        let failed = write(&path, |temporary| {
            std::fs::write(temporary, "sec")?;
            candle_core::bail!("no more")
        });
        let message = failed.unwrap_err().to_string();
        assert!(message.contains("weights") && message.contains("no more"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn files_have_the_permissions_of_any_new_file_even_where_the_writer_replaces_the_temporary_one() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
        let (plain, ours) = (dir.path().join("plain"), dir.path().join("ours"));
        std::fs::write(&plain, "x").unwrap();
        write(&ours, |temporary| {
            let own = tempfile::NamedTempFile::new_in(dir.path())?;
            own.persist(temporary).map_err(|error| error.error)?;
            Ok(())
        })
        .unwrap();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
