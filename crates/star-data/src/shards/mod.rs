//! Big sets packed into shards: tar files as WebDataset has them, of images and their annotations.
//!
//! A shard holds, one after the other, `000017.jpg` with an image and `000017.json` with its annotation. Beside the shards lie a
//! manifest (`index.json`) and, for each shard, a list of what lies where, so that any sample is one read of one range: from a disk,
//! or from object storage through a [`ShardStore`] of one's own. Shards that other programs wrote need neither; they are walked
//! through once.
//!
//! An epoch reads shards in a random order and mixes samples within a buffer that runs over them
//! ([`LoaderConfig::shuffle_buffer`](crate::loader::LoaderConfig::shuffle_buffer)), so that a few shards are read at a time. The order
//! is one of indices, known in advance: it does not depend on the number of workers, and an epoch can be entered anywhere.
//!
//! ```
//! use star_data::shards::{PackConfig, ShardSet, pack};
//! use star_data::synthetic::{SyntheticConfig, SyntheticFaces};
//! use star_data::Dataset;
//!
//! let folder = tempfile::tempdir().unwrap();
//! let faces = SyntheticFaces::new(SyntheticConfig { count: 5, ..Default::default() })?;
//! let config = PackConfig { per_shard: 2, ..Default::default() };
//! pack(&faces, folder.path(), &config, &Default::default(), &|_| ())?;
//! let packed = ShardSet::open(folder.path(), faces.scheme().clone())?;
//! assert_eq!((packed.len(), packed.shards()), (5, vec![2, 2, 1]));
//! assert_eq!(packed.get(3)?.image, faces.get(3)?.image);
//! # Ok::<(), star_data::Error>(())
//! ```

mod index;
mod pack;
mod record;
mod store;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::decode::decode_bytes;
use crate::{Annotation, Dataset, Error, FaceBox, Result, Sample, Scheme};
use index::{Manifest, Member, Shard};
pub use pack::{Encoding, PackConfig, Packed, pack};
use record::Record;
pub use store::{LocalStore, ShardStore, StoreReader};

/// The samples of packed shards, read one range at a time.
pub struct ShardSet {
    store: Box<dyn ShardStore>,
    scheme: Scheme,
    shards: Vec<Shard>,
    /// Index of each shard's first sample, and the number of samples.
    starts: Vec<usize>,
    /// What lies where, by shard, once it was needed.
    members: Vec<OnceLock<Vec<Member>>>,
}

impl ShardSet {
    /// The shards in `folder`, whose samples follow `scheme`.
    ///
    /// # Errors
    /// [`Error::Content`] for a damaged manifest or one of another scheme, [`Error::Empty`] where there is no sample.
    pub fn open(folder: &Path, scheme: Scheme) -> Result<Self> {
        Self::from_store(Box::new(LocalStore::new(folder)), scheme)
    }

    /// The shards that a store keeps.
    ///
    /// # Errors
    /// As [`ShardSet::open`].
    pub fn from_store(store: Box<dyn ShardStore>, scheme: Scheme) -> Result<Self> {
        let (mut members, mut shards) = (Vec::new(), Vec::new());
        match Manifest::read(store.as_ref())? {
            Some(manifest) => {
                if let Some(packed) = manifest
                    .scheme
                    .filter(|packed| packed.keypoints != scheme.keypoints || !scheme.is_called(&packed.name))
                {
                    let expected = format!("{} points of scheme `{}`", scheme.keypoints, scheme.name);
                    let got = format!("{} points of scheme `{}`", packed.keypoints, packed.name);
                    return Err(Error::content(store.place(index::MANIFEST), "scheme", expected, got));
                }
                shards = manifest.shardlist;
                members.resize_with(shards.len(), OnceLock::new);
            }
            None => {
                let mut names = store.names()?;
                names.retain(|name| name.ends_with(".tar"));
                names.sort();
                for url in names {
                    let mut shard = Shard { url, nsamples: 0, filesize: None, sha256: None };
                    let found = index::members(store.as_ref(), &shard)?;
                    shard.nsamples = found.len();
                    shards.push(shard);
                    members.push(OnceLock::from(found));
                }
            }
        }
        let (mut starts, mut sum) = (vec![0], 0);
        for shard in &shards {
            // A run should not learn in its third hour that a shard is missing, nor reserve memory for samples that cannot be there.
            index::checked_size(store.as_ref(), shard)?;
            sum += shard.nsamples;
            starts.push(sum);
        }
        if starts.last() == Some(&0) {
            let expected = "an index.json, or .tar files of images with annotations".into();
            return Err(Error::Empty { path: store.place(""), expected });
        }
        Ok(Self { store, scheme, shards, starts, members })
    }

    /// Shard and place in it of sample `index`.
    fn locate(&self, index: usize) -> Result<(usize, usize)> {
        let len = self.len();
        if index >= len {
            return Err(Error::Index { index, len });
        }
        // The last shard that begins at or before the sample; empty shards begin where the next one does.
        let shard = self.starts.partition_point(|&start| start <= index) - 1;
        Ok((shard, index - self.starts[shard]))
    }

    fn member(&self, index: usize) -> Result<(&Shard, &Member)> {
        let (shard, place) = self.locate(index)?;
        let (slot, shard) = (&self.members[shard], &self.shards[shard]);
        let members = match slot.get() {
            Some(members) => members,
            None => {
                let found = index::members(self.store.as_ref(), shard)?;
                if found.len() != shard.nsamples {
                    let (expected, got) =
                        (format!("{} as its manifest says", shard.nsamples), found.len().to_string());
                    return Err(Error::content(self.store.place(&shard.url), "samples", expected, got));
                }
                slot.get_or_init(|| found)
            }
        };
        Ok((shard, &members[place]))
    }

    fn name(&self, shard: &Shard, member: &Member) -> PathBuf {
        self.store.place(&shard.url).join(format!("{}.{}", member.key, member.ending))
    }

    fn bytes(&self, shard: &Shard, range: &std::ops::Range<u64>) -> Result<Vec<u8>> {
        self.store.read(&shard.url, range.start, (range.end - range.start) as usize)
    }
}

impl Dataset for ShardSet {
    fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or_default()
    }

    fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Shard and name of the image.
    fn source(&self, index: usize) -> PathBuf {
        self.member(index).map(|(shard, member)| self.name(shard, member)).unwrap_or_default()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let (shard, member) = self.member(index)?;
        let name = self.name(shard, member);
        // Image and annotation lie together: one read for both.
        let (a, b) = (&member.image, &member.annotation);
        let (start, end) = (a.start.min(b.start), a.end.max(b.end));
        let together = end - start <= (a.end - a.start) + (b.end - b.start) + 4096;
        let (image, annotation) = if together {
            let bytes = self.bytes(shard, &(start..end))?;
            let part = |range: &std::ops::Range<u64>| {
                bytes[(range.start - start) as usize..(range.end - start) as usize].to_vec()
            };
            (part(a), part(b))
        } else {
            (self.bytes(shard, a)?, self.bytes(shard, b)?)
        };
        let record = Record::parse(&annotation, &name, &self.scheme)?;
        Ok(Sample {
            image: decode_bytes(&image, &name)?,
            points: record.landmarks(),
            visibility: record.visibility,
            face: record.face,
            tags: record.tags,
            source: name,
        })
    }

    fn annotation(&self, index: usize) -> Result<Annotation> {
        let (shard, member) = self.member(index)?;
        let name = self.name(shard, member);
        let record = Record::parse(&self.bytes(shard, &member.annotation)?, &name, &self.scheme)?;
        Ok(Annotation {
            file: self.store.place(&shard.url).into(),
            line: index + 1,
            points: record.landmarks(),
            image: name,
            visibility: record.visibility,
            stated: FaceBox::of_a_single_point(self.scheme.keypoints, record.face),
            face: record.face,
            tags: record.tags,
        })
    }

    fn shards(&self) -> Vec<usize> {
        self.shards.iter().map(|shard| shard.nsamples).collect()
    }
}
