//! What a packing leaves beside its shards until it is done, to go on by.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::index::{MANIFEST, Shard};
use super::PackConfig;
use super::files::{hex, write_json};
use crate::{Dataset, Error, Result, Scheme};

/// Settings of a packing under way.
pub(super) const PACKING: &str = "packing.json";

/// What a packing was begun with, kept beside its shards until it is done.
#[derive(PartialEq, Serialize, Deserialize)]
struct Packing {
    config: PackConfig,
    scheme: Scheme,
    samples: usize,
    /// SHA-256 of where the samples come from.
    sources: String,
}

/// Makes the folder and leaves a note of what is packed, or finds the same note there.
pub(super) fn begin(dataset: &dyn Dataset, folder: &Path, config: &PackConfig) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    if folder.join(MANIFEST).exists() {
        let expected = "a folder without packed shards (choose another, or delete them)";
        return Err(Error::content(folder, "folder", expected, MANIFEST));
    }
    let mut hash = Sha256::new();
    for index in 0..dataset.len() {
        hash.update(dataset.source(index).to_string_lossy().as_bytes());
        hash.update([0]);
    }
    let (scheme, samples) = (dataset.scheme().clone(), dataset.len());
    let packing = Packing { config: *config, scheme, samples, sources: hex(hash) };
    let note = folder.join(PACKING);
    match std::fs::read(&note) {
        Ok(bytes) if serde_json::from_slice::<Packing>(&bytes).is_ok_and(|begun| begun == packing) => Ok(()),
        Ok(_) => {
            let expected = "the settings and samples that the packing in this folder was begun with (or an empty folder)";
            Err(Error::content(note, "packing", expected, "others"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => write_json(&note, &packing),
        Err(source) => Err(Error::io(note, source)),
    }
}

/// A shard that an earlier run wrote: its note is written after it.
pub(super) fn finished(folder: &Path, url: &str) -> Result<Option<Shard>> {
    let note = folder.join(note_name(url));
    let whole = |shard: &Shard| {
        std::fs::metadata(folder.join(url)).is_ok_and(|meta| shard.filesize == Some(meta.len()))
    };
    match std::fs::read(&note) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok().filter(whole)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::io(note, source)),
    }
}

/// The note of a finished shard.
pub(super) fn note_name(url: &str) -> String {
    format!("{url}.json")
}
