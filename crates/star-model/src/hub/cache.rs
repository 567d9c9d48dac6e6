//! What the cache holds of a file: the whole of it, or a part to go on from.

use std::path::PathBuf;

use candle_core::{Result, bail};

use super::digest::Tag;
use super::verify::evict;
use super::{Address, Fetched, Hub, RemoteFile};

impl Hub {
    /// What the cache holds for `address`, unchecked.
    pub(super) fn cached(&self, address: &Address) -> Option<Fetched> {
        let repo = self.cache.repo(self.repo(address));
        let pinned = repo.pointer_path(&address.revision).join(&address.file);
        if address.is_pinned() && pinned.exists() {
            return Some(Fetched { path: pinned, commit: address.revision.clone() });
        }
        let path = repo.get(&address.file)?;
        let snapshot = path.ancestors().nth(address.file.split('/').count())?;
        let commit = snapshot.file_name()?.to_string_lossy().into_owned();
        Some(Fetched { path, commit })
    }

    /// The same file if its content fits its name in the cache; otherwise it is removed from there, which it would spoil for others.
    pub(super) fn verified(&self, cached: Fetched, sha256: Option<&str>) -> Result<Option<Fetched>> {
        let blob = std::fs::canonicalize(&cached.path)?;
        let name = blob.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if Tag::new(&name).mismatch(&blob)?.is_some() {
            evict(&cached.path);
            if self.config.offline {
                bail!(
                    "{}: damaged in the cache, and HF_HUB_OFFLINE forbids fetching it again: unset it and repeat",
                    cached.path.display()
                )
            }
            return Ok(None);
        }
        let expected = sha256.map(|digest| Tag::Sha256(digest.to_lowercase()));
        if let Some((expected, got)) = expected.and_then(|tag| tag.mismatch(&blob).transpose()).transpose()? {
            bail!(
                "{}: not the file that was expected: expected sha256 {expected}, got {got}; remove it to fetch it again",
                cached.path.display()
            )
        }
        Ok(Some(cached))
    }

    /// Where the cache keeps what has come of a file so far.
    pub(super) fn part_path(&self, address: &Address, remote: &RemoteFile) -> PathBuf {
        self.cache.repo(self.repo(address)).blob_path(&remote.tag).with_extension("part")
    }
}
