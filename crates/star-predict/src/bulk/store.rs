//! Object storage by URL; credentials come from the environment, under the names that each provider's own tools use.

use std::io::Write;

use anyhow::{Context, Result};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutPayload};
use tempfile::NamedTempFile;
use tokio::runtime::Runtime;

use super::place::{Local, Place};

/// Bytes asked for at a time.
const PIECE: u64 = 16 << 20;

/// The objects under a URL.
pub(super) struct Store {
    url: String,
    store: Box<dyn ObjectStore>,
    prefix: Path,
    /// The library is asynchronous, this crate is not.
    runtime: Runtime,
}

impl Store {
    /// Nothing is asked for before it is needed.
    ///
    /// # Errors
    /// When the URL is none, or of a kind that is not known.
    pub(super) fn open(url: &str) -> Result<Self> {
        let parsed = url::Url::parse(url).with_context(|| url.to_string())?;
        let (store, prefix) =
            object_store::parse_url_opts(&parsed, std::env::vars()).with_context(|| url.to_string())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { url: url.trim_end_matches('/').to_string(), store, prefix, runtime })
    }

    /// The object `name` under the prefix; names may have folders.
    fn path(&self, name: &str) -> Path {
        name.split('/')
            .filter(|part| !part.is_empty())
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }
}

impl Place for Store {
    fn names(&self) -> Result<Vec<String>> {
        let found = self.runtime.block_on(self.store.list_with_delimiter(Some(&self.prefix)));
        let objects = found.with_context(|| self.url.clone())?.objects;
        Ok(objects.iter().filter_map(|object| object.location.filename().map(str::to_string)).collect())
    }

    fn contains(&self, name: &str) -> Result<bool> {
        match self.runtime.block_on(self.store.head(&self.path(name))) {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error).with_context(|| self.label(name)),
        }
    }

    fn fetch(&self, name: &str) -> Result<Local> {
        let (path, mut file) = (self.path(name), NamedTempFile::new().context("a temporary file")?);
        let mut download = || -> Result<()> {
            let size = self.runtime.block_on(self.store.head(&path))?.size;
            for start in (0..size).step_by(PIECE as usize) {
                let range = start..(start + PIECE).min(size);
                file.write_all(&self.runtime.block_on(self.store.get_range(&path, range))?)?;
            }
            Ok(file.flush()?)
        };
        download().with_context(|| self.label(name))?;
        Ok(Local::Copy(file))
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path(name);
        let read = async { self.store.get(&path).await?.bytes().await };
        Ok(self.runtime.block_on(read).with_context(|| self.label(name))?.to_vec())
    }

    fn begin(&self) -> Result<NamedTempFile> {
        NamedTempFile::new().context("a temporary file")
    }

    fn put(&self, name: &str, file: NamedTempFile) -> Result<()> {
        // Results are small beside their images; one request writes them atomically.
        let bytes = std::fs::read(file.path()).context("a temporary file")?;
        let path = self.path(name);
        self.runtime
            .block_on(self.store.put(&path, PutPayload::from(bytes)))
            .with_context(|| self.label(name))?;
        Ok(())
    }

    fn label(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_listed_fetched_and_appear_whole() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a b.tar"), vec![7; 100]).unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let store = Store::open(&format!("file://{}/", dir.path().display())).unwrap();
        assert_eq!(store.names().unwrap(), ["a b.tar"]);
        assert!(store.contains("a b.tar").unwrap() && !store.contains("b.tar").unwrap());
        let local = store.fetch("a b.tar").unwrap();
        assert_eq!(std::fs::read(local.path()).unwrap(), [7; 100]);
        let mut file = store.begin().unwrap();
        file.write_all(b"rows").unwrap();
        store.put("sub/r.parquet", file).unwrap();
        assert_eq!(store.read("sub/r.parquet").unwrap(), b"rows");
        let message = format!("{:#}", store.fetch("none.tar").err().unwrap());
        assert!(message.contains("none.tar"), "{message}");
    }

    #[test]
    fn a_url_of_an_unknown_kind_is_refused() {
        let message = format!("{:#}", Store::open("ftp://host/shards").err().unwrap());
        assert!(message.contains("ftp://host/shards"), "{message}");
    }
}
