//! Writing one shard, its list and its note.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::super::index::{self, Member, Shard};
use super::files::{Hashing, append, hex, write_json};
use super::sample::{self, Ready};
use super::{PackConfig, resume};
use crate::atomic::{self, Durability};
use crate::loader::Unreadable;
use crate::{Dataset, Error, Result};

/// Samples prepared side by side before they are written.
const CHUNK: usize = 64;

/// Index and error of samples left out.
pub(super) type Skipped = Vec<(usize, Error)>;

/// One shard to be written.
pub(super) struct Job<'a> {
    pub(super) dataset: &'a dyn Dataset,
    pub(super) folder: &'a Path,
    pub(super) config: &'a PackConfig,
    pub(super) url: &'a str,
    pub(super) samples: &'a [usize],
    /// Samples in the shards before.
    pub(super) first: usize,
}

/// What a shard turned out to hold.
#[derive(Default)]
struct Contents {
    members: Vec<Member>,
    skipped: Skipped,
    length: u64,
    sha256: String,
    stopped: bool,
}

impl Job<'_> {
    /// Writes the shard, its list and its note; `None` where it was stopped.
    pub(super) fn write(
        &self,
        stop: &AtomicBool,
        progress: &dyn Fn(usize),
    ) -> Result<Option<(Shard, Skipped)>> {
        let mut contents = Contents::default();
        let written = atomic::write_with(&self.folder.join(self.url), Durability::Synced, |file| {
            self.fill(file, &mut contents, stop, progress)
        });
        if contents.stopped {
            return Ok(None);
        }
        written?;
        let Contents { members, skipped, length, sha256, .. } = contents;
        let list = self.folder.join(index::list_name(self.url));
        atomic::write(&list, index::format(&members).as_bytes())?;
        let (url, nsamples) = (self.url.to_string(), members.len());
        let shard = Shard { url, nsamples, filesize: Some(length), sha256: Some(sha256) };
        write_json(&self.folder.join(resume::note_name(self.url)), &shard)?;
        Ok(Some((shard, skipped)))
    }

    fn fill(
        &self,
        file: impl Write,
        contents: &mut Contents,
        stop: &AtomicBool,
        progress: &dyn Fn(usize),
    ) -> Result<()> {
        let path = self.folder.join(self.url);
        let io = |source| Error::io(&path, source);
        let mut archive = tar::Builder::new(Hashing { inner: file, hash: Sha256::new(), length: 0 });
        let mut done = self.first;
        for indices in self.samples.chunks(CHUNK) {
            if stop.load(Ordering::Relaxed) {
                contents.stopped = true;
                // Any error leaves no file behind; this one goes no further.
                return Err(io(io::ErrorKind::Interrupted.into()));
            }
            let ready: Vec<Result<Ready>> =
                indices.par_iter().map(|&index| sample::ready(self.dataset, self.config, index)).collect();
            for (key, (ready, &index)) in (done..).zip(ready.into_iter().zip(indices)) {
                let Ready { ending, image, annotation } = match ready {
                    Ok(ready) => ready,
                    Err(error) if self.config.unreadable == Unreadable::Skip => {
                        contents.skipped.push((index, error));
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let key = format!("{key:09}");
                let mut append = |ending: &str, bytes: &[u8]| {
                    append(&mut archive, &format!("{key}.{ending}"), bytes).map_err(io)
                };
                let (image, annotation) = (append(ending, &image)?, append("json", &annotation)?);
                contents.members.push(Member { key, ending: ending.to_string(), image, annotation });
            }
            done += indices.len();
            progress(done);
        }
        let end = archive.into_inner().map_err(io)?;
        (contents.length, contents.sha256) = (end.length, hex(end.hash));
        Ok(())
    }
}
