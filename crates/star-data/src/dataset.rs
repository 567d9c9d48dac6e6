//! What every source of annotated faces offers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::{Annotation, Error, Result, Sample, Scheme};

/// A finite, indexable source of annotated faces.
///
/// `get` may be called from many threads and must return the same sample for the same index every time.
pub trait Dataset: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keypoint scheme that every sample follows.
    fn scheme(&self) -> &Scheme;

    /// Where sample `index` comes from, without decoding it: what its `source` will be.
    fn source(&self, index: usize) -> PathBuf {
        PathBuf::from(format!("sample {index}"))
    }

    /// Reads and decodes sample `index`.
    ///
    /// # Errors
    /// Names the file, and where there is one the line and field, of what could not be read.
    fn get(&self, index: usize) -> Result<Sample>;

    /// What is written down about sample `index`; sources that can, tell without decoding its picture.
    ///
    /// # Errors
    /// As [`Dataset::get`].
    fn annotation(&self, index: usize) -> Result<Annotation> {
        let Sample { points, visibility, face, tags, source, .. } = self.get(index)?;
        let (file, line) = (Arc::from(source.as_path()), index + 1);
        Ok(Annotation { file, line, image: source, points, visibility, stated: None, face, tags })
    }

    /// How many samples lie together in each part of the storage, in order: shuffles keep what is read at a time within a few of them.
    fn shards(&self) -> Vec<usize> {
        vec![self.len()]
    }

    /// The file that the picture of sample `index` is decoded from; `None` where it has no file of its own.
    fn picture(&self, index: usize) -> Option<PathBuf> {
        let _ = index;
        None
    }
}

/// Some samples of another data set.
pub struct Subset {
    inner: Arc<dyn Dataset>,
    indices: Vec<usize>,
}

impl Subset {
    /// The samples at `indices`, in that order.
    pub fn new(inner: Arc<dyn Dataset>, indices: Vec<usize>) -> Self {
        Self { inner, indices }
    }

    /// `count` samples chosen by `seed`, and the rest; both in the original order.
    pub fn split(inner: Arc<dyn Dataset>, count: usize, seed: u64) -> (Self, Self) {
        let mut order: Vec<usize> = (0..inner.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let mut rest = order.split_off(count.min(order.len()));
        order.sort_unstable();
        rest.sort_unstable();
        (Self::new(inner.clone(), order), Self::new(inner, rest))
    }

    /// Whole groups chosen by `seed` until there are `count` samples, and the rest, with one group at least; both in the original order.
    /// Frames of one video or pictures of one person are not shared out to both: one would be learnt from the other.
    pub fn split_groups(
        inner: Arc<dyn Dataset>,
        group: impl Fn(usize) -> String,
        count: usize,
        seed: u64,
    ) -> (Self, Self) {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        (0..inner.len()).for_each(|index| groups.entry(group(index)).or_default().push(index));
        let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
        groups.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let (mut held, mut rest) = (Vec::new(), groups.pop().unwrap_or_default());
        for group in groups {
            if held.len() < count { &mut held } else { &mut rest }.extend(group);
        }
        held.sort_unstable();
        rest.sort_unstable();
        (Self::new(inner.clone(), held), Self::new(inner, rest))
    }
}

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn scheme(&self) -> &Scheme {
        self.inner.scheme()
    }

    fn source(&self, index: usize) -> PathBuf {
        self.indices.get(index).map(|&i| self.inner.source(i)).unwrap_or_default()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let len = self.indices.len();
        self.inner.get(*self.indices.get(index).ok_or(Error::Index { index, len })?)
    }

    fn annotation(&self, index: usize) -> Result<Annotation> {
        let len = self.indices.len();
        self.inner.annotation(*self.indices.get(index).ok_or(Error::Index { index, len })?)
    }

    fn picture(&self, index: usize) -> Option<PathBuf> {
        self.inner.picture(*self.indices.get(index)?)
    }

    /// Those of the other set, less what is left out; one for all where the samples are not in its order.
    fn shards(&self) -> Vec<usize> {
        if !self.indices.is_sorted() {
            return vec![self.len()];
        }
        let (mut start, mut end) = (0, 0);
        let mut count = |size: usize| {
            end += size;
            let before = start;
            start = self.indices.partition_point(|&index| index < end);
            start - before
        };
        self.inner.shards().into_iter().map(&mut count).filter(|&count| count > 0).collect()
    }
}

/// Another data set whose samples are kept in memory once they have been read: for sets that are small, or slow to make.
pub struct Cached {
    inner: Arc<dyn Dataset>,
    samples: Vec<OnceLock<Sample>>,
}

impl Cached {
    /// Nothing is read before it is asked for.
    pub fn new(inner: Arc<dyn Dataset>) -> Self {
        let samples = (0..inner.len()).map(|_| OnceLock::new()).collect();
        Self { inner, samples }
    }
}

impl Dataset for Cached {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn scheme(&self) -> &Scheme {
        self.inner.scheme()
    }

    fn source(&self, index: usize) -> PathBuf {
        self.inner.source(index)
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let slot = self.samples.get(index).ok_or(Error::Index { index, len: self.samples.len() })?;
        if let Some(sample) = slot.get() {
            return Ok(sample.clone());
        }
        // Two threads may read the same sample at once; both read the same.
        let sample = self.inner.get(index)?;
        Ok(slot.get_or_init(|| sample).clone())
    }

    fn annotation(&self, index: usize) -> Result<Annotation> {
        self.inner.annotation(index)
    }

    fn picture(&self, index: usize) -> Option<PathBuf> {
        self.inner.picture(index)
    }

    fn shards(&self) -> Vec<usize> {
        self.inner.shards()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use image::RgbImage;

    use super::*;
    use crate::FaceBox;

    struct Counting {
        reads: AtomicUsize,
        scheme: Scheme,
    }

    impl Dataset for Counting {
        fn len(&self) -> usize {
            10
        }

        fn scheme(&self) -> &Scheme {
            &self.scheme
        }

        fn get(&self, index: usize) -> Result<Sample> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            Ok(Sample {
                image: RgbImage::new(1, 1),
                points: vec![[index as f32, 0.0]],
                visibility: None,
                face: FaceBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0 },
                tags: Vec::new(),
                source: PathBuf::new(),
            })
        }
    }

    fn counting() -> Arc<Counting> {
        let scheme = Scheme::named("cofw29").unwrap();
        Arc::new(Counting { reads: AtomicUsize::new(0), scheme })
    }

    #[test]
    fn a_cached_sample_is_read_once_and_a_missing_one_is_an_error() {
        let inner = counting();
        let cached = Cached::new(inner.clone());
        for _ in 0..3 {
            assert_eq!(cached.get(4).unwrap().points, [[4.0, 0.0]]);
        }
        assert_eq!(inner.reads.load(Ordering::SeqCst), 1);
        assert!(cached.get(10).is_err());
    }

    #[test]
    fn a_split_shares_every_sample_out_once() {
        let (held, kept) = Subset::split(counting(), 3, 7);
        let mut all: Vec<f32> = [&held, &kept]
            .into_iter()
            .flat_map(|set| (0..set.len()).map(|i| set.get(i).unwrap().points[0][0]).collect::<Vec<_>>())
            .collect();
        assert_eq!((held.len(), kept.len()), (3, 7));
        all.sort_by(f32::total_cmp);
        assert_eq!(all, (0..10).map(|i| i as f32).collect::<Vec<_>>());
        let (again, _) = Subset::split(counting(), 3, 7);
        assert_eq!(again.indices, held.indices);
    }

    #[test]
    fn groups_are_not_torn_apart_and_one_is_always_left() {
        // Samples 0 to 9 in groups of 3, 3, 3 and 1.
        let group = |index: usize| (index / 3).to_string();
        for seed in 0..20 {
            let (held, kept) = Subset::split_groups(counting(), group, 3, seed);
            assert_eq!(held.len() + kept.len(), 10);
            assert!((3..=4).contains(&held.len()), "{:?}", held.indices);
            assert!(held.indices.iter().all(|h| kept.indices.iter().all(|k| group(*h) != group(*k))));
        }
        let (held, kept) = Subset::split_groups(counting(), |_| String::new(), 3, 0);
        assert_eq!((held.len(), kept.len()), (0, 10));
    }
}
