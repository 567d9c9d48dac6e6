//! Where shards are kept: named objects that can be read from any place in them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Error, Result};

/// Files kept open at a time.
const OPEN_FILES: usize = 64;

/// A place that holds shards: a folder, or object storage behind range requests.
///
/// Called from many threads; what is there does not change while it is read.
pub trait ShardStore: Send + Sync {
    /// The names of everything there, in any order.
    ///
    /// # Errors
    /// Where the place cannot be listed.
    fn names(&self) -> Result<Vec<String>>;

    /// Length of an object in bytes; `None` where there is no such object.
    ///
    /// # Errors
    /// Where it cannot be told.
    fn size(&self, name: &str) -> Result<Option<u64>>;

    /// The `length` bytes of an object from `start` on.
    ///
    /// # Errors
    /// Where there is no such object, it is shorter, or it cannot be read.
    fn read(&self, name: &str, start: u64, length: usize) -> Result<Vec<u8>>;

    /// What messages call an object.
    fn place(&self, name: &str) -> PathBuf;
}

/// Shards in a folder.
pub struct LocalStore {
    folder: PathBuf,
    files: Mutex<HashMap<String, Arc<File>>>,
}

impl LocalStore {
    /// The shards in `folder`; nothing is opened before it is asked for.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), files: Mutex::default() }
    }

    /// The path of an object, whose name comes from a file that somebody else may have written.
    fn path(&self, name: &str) -> Result<PathBuf> {
        let mut parts = Path::new(name).components();
        match (parts.next(), parts.next()) {
            (Some(Component::Normal(_)), None) => Ok(self.folder.join(name)),
            _ => Err(Error::content(
                &self.folder,
                "shard",
                "the name of a file in this folder",
                format!("`{name}`"),
            )),
        }
    }

    fn open(&self, name: &str) -> Result<Arc<File>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(name) {
            return Ok(file.clone());
        }
        let path = self.path(name)?;
        let file = Arc::new(File::open(&path).map_err(|source| Error::io(path, source))?);
        if files.len() >= OPEN_FILES {
            files.clear();
        }
        files.insert(name.to_string(), file.clone());
        Ok(file)
    }
}

impl ShardStore for LocalStore {
    fn names(&self) -> Result<Vec<String>> {
        let io = |source| Error::io(&self.folder, source);
        let entries = std::fs::read_dir(&self.folder).map_err(io)?;
        let name =
            |entry: io::Result<std::fs::DirEntry>| Ok(entry.map_err(io)?.file_name().into_string().ok());
        entries.map(name).filter_map(Result::transpose).collect()
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        let path = self.path(name)?;
        match std::fs::metadata(&path) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::io(path, source)),
        }
    }

    fn read(&self, name: &str, start: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let file = self.open(name)?;
        read_at(&file, &mut bytes, start).map_err(|source| Error::io(self.place(name), source))?;
        Ok(bytes)
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Reads without moving a position that other threads share.
#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], start: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, start)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut start: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, start)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = &mut bytes[read..];
                start += read as u64;
            }
        }
    }
    Ok(())
}

/// One object as a stream that can be moved about in.
pub struct StoreReader<'a> {
    store: &'a dyn ShardStore,
    name: &'a str,
    length: u64,
    at: u64,
}

impl<'a> StoreReader<'a> {
    /// Reads the object `name`, which is `length` bytes long, from its start.
    pub fn new(store: &'a dyn ShardStore, name: &'a str, length: u64) -> Self {
        Self { store, name, length, at: 0 }
    }
}

impl Read for StoreReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (buffer.len() as u64).min(self.length.saturating_sub(self.at)) as usize;
        let bytes = self.store.read(self.name, self.at, count).map_err(io::Error::other)?;
        buffer[..count].copy_from_slice(&bytes);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for StoreReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::new(dir.path());
        for name in ["../secret", "/etc/passwd", "a/b.tar", "..", ""] {
            assert!(store.read(name, 0, 1).unwrap_err().to_string().contains("in this folder"), "{name}");
        }
        assert_eq!(store.size("missing.tar").unwrap(), None);
    }

    #[test]
    fn ranges_and_streams_read_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.tar"), (0..200u8).collect::<Vec<_>>()).unwrap();
        let store = LocalStore::new(dir.path());
        assert_eq!(store.read("a.tar", 17, 3).unwrap(), [17, 18, 19]);
        assert!(store.read("a.tar", 198, 3).unwrap_err().to_string().contains("a.tar"));
        let mut reader = StoreReader::new(&store, "a.tar", 200);
        reader.seek(SeekFrom::End(-2)).unwrap();
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, [198, 199]);
        assert!(reader.seek(SeekFrom::Current(-300)).is_err());
    }
}
