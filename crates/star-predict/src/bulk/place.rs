//! A place with files: what is asked of it, and the folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use star_data::atomic::{self, Durability};
use tempfile::NamedTempFile;

/// A place with named files. Called from many threads.
pub(super) trait Place: Send + Sync {
    /// The names of the files right in it, in any order.
    fn names(&self) -> Result<Vec<String>>;

    /// Whether there is a file of that name.
    fn contains(&self, name: &str) -> Result<bool>;

    /// The file as one on this machine.
    fn fetch(&self, name: &str) -> Result<Local>;

    /// A file's bytes; small files.
    fn read(&self, name: &str) -> Result<Vec<u8>>;

    /// A new file on this machine, to be handed to [`Place::put`].
    fn begin(&self) -> Result<NamedTempFile>;

    /// Makes `file` appear under `name`, whole.
    fn put(&self, name: &str, file: NamedTempFile) -> Result<()>;

    /// What messages call a file.
    fn label(&self, name: &str) -> String;
}

/// A file on this machine.
pub(super) enum Local {
    /// Its own.
    Here(PathBuf),
    /// A copy, removed when dropped.
    #[cfg_attr(not(feature = "object-store"), expect(dead_code, reason = "made by object storage alone"))]
    Copy(NamedTempFile),
}

impl Local {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Here(path) => path,
            Self::Copy(file) => file.path(),
        }
    }
}

/// A folder.
pub(super) struct Folder(pub(super) PathBuf);

impl Place for Folder {
    fn names(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.0).with_context(|| self.0.display().to_string())?;
        let name = |entry: std::io::Result<std::fs::DirEntry>| -> Result<Option<String>> {
            let entry = entry.with_context(|| self.0.display().to_string())?;
            Ok(entry.path().is_file().then(|| entry.file_name().into_string().ok()).flatten())
        };
        entries.map(name).filter_map(Result::transpose).collect()
    }

    fn contains(&self, name: &str) -> Result<bool> {
        let path = self.0.join(name);
        path.try_exists().with_context(|| path.display().to_string())
    }

    fn fetch(&self, name: &str) -> Result<Local> {
        Ok(Local::Here(self.0.join(name)))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.0.join(name);
        let meta = std::fs::metadata(&path).with_context(|| path.display().to_string())?;
        ensure!(meta.is_file(), "{}: expected a file", path.display());
        std::fs::read(&path).with_context(|| path.display().to_string())
    }

    fn begin(&self) -> Result<NamedTempFile> {
        let file = atomic::begin(&self.0);
        file.with_context(|| format!("writing into {}", self.0.display()))
    }

    fn put(&self, name: &str, file: NamedTempFile) -> Result<()> {
        Ok(atomic::commit(file, &self.0.join(name), Durability::Synced)?)
    }

    fn label(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}
