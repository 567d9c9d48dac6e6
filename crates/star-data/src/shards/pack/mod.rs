//! Packing a data set into shards, which can be stopped and gone on with.

mod config;
mod files;
mod job;
mod resume;
mod sample;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

pub use self::config::{Encoding, PackConfig};
use self::job::Job;
use super::index::{MANIFEST, Manifest};
use crate::{Dataset, Error, Result};

/// What was packed.
#[derive(Debug, Default)]
pub struct Packed {
    /// Samples in all shards.
    pub samples: usize,
    /// Shards, those that an earlier run wrote included.
    pub shards: usize,
    /// Bytes of all shards.
    pub bytes: u64,
    /// Index and error of samples left out by this run.
    pub unreadable: Vec<(usize, Error)>,
    /// Stopped before everything was packed.
    pub stopped: bool,
}

/// Packs `dataset` into shards in `folder`, which is made if missing; every sample is decoded, so what is packed can be read.
///
/// Shards are written atomically, the manifest last. Once `stop` is set, or after an error, shards that are whole stay, and a call
/// with the same settings goes on after them. `progress` hears of the samples done.
///
/// # Errors
/// [`Error::Config`] for settings out of range, [`Error::Content`] where `folder` holds another packing, what cannot be read (unless
/// left out) or written.
pub fn pack(
    dataset: &dyn Dataset,
    folder: &Path,
    config: &PackConfig,
    stop: &AtomicBool,
    progress: &dyn Fn(usize),
) -> Result<Packed> {
    config.validate()?;
    resume::begin(dataset, folder, config)?;
    let mut order: Vec<usize> = (0..dataset.len()).collect();
    if let Some(seed) = config.shuffle {
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    }
    let (mut packed, mut shards) = (Packed::default(), Vec::new());
    for (number, samples) in order.chunks(config.per_shard).enumerate() {
        let url = format!("shard-{number:06}.tar");
        let first = number * config.per_shard;
        let job = Job { dataset, folder, config, url: &url, samples, first };
        let shard = match resume::finished(folder, &url)? {
            Some(shard) => shard,
            None => match job.write(stop, progress)? {
                Some((shard, skipped)) => {
                    packed.unreadable.extend(skipped);
                    shard
                }
                None => return Ok(Packed { stopped: true, shards: shards.len(), ..packed }),
            },
        };
        progress(first + samples.len());
        packed.samples += shard.nsamples;
        packed.bytes += shard.filesize.unwrap_or_default();
        shards.push(shard);
    }
    packed.shards = shards.len();
    let notes: Vec<_> = shards.iter().map(|shard| folder.join(resume::note_name(&shard.url))).collect();
    files::write_json(&folder.join(MANIFEST), &Manifest::new(shards, dataset.scheme()))?;
    for note in notes.into_iter().chain([folder.join(resume::PACKING)]) {
        std::fs::remove_file(&note).map_err(|source| Error::io(note, source))?;
    }
    Ok(packed)
}
