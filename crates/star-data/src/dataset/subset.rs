//! Parts of a data set.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Dataset, Written};
use crate::{Annotation, Error, Result, Sample, Scheme};

/// Some samples of another data set.
#[derive(Clone)]
pub struct Subset {
    inner: Arc<dyn Dataset>,
    indices: Arc<[usize]>,
}

impl Subset {
    /// The samples at `indices`, in that order.
    pub fn new(inner: impl Dataset + 'static, indices: Vec<usize>) -> Self {
        Self { inner: Arc::new(inner), indices: indices.into() }
    }

    /// `count` samples chosen by `seed`, and the rest; both in the original order.
    pub fn split(inner: impl Dataset + 'static, count: usize, seed: u64) -> (Self, Self) {
        let mut order: Vec<usize> = (0..inner.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let mut rest = order.split_off(count.min(order.len()));
        order.sort_unstable();
        rest.sort_unstable();
        Self::pair(inner, order, rest)
    }

    /// Whole groups chosen by `seed` until there are `count` samples, and the rest, with one group at least; both in the original order.
    /// Frames of one video or images of one person are not shared out to both: one would be learnt from the other.
    pub fn split_groups(
        inner: impl Dataset + 'static,
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
        Self::pair(inner, held, rest)
    }

    fn pair(inner: impl Dataset + 'static, first: Vec<usize>, second: Vec<usize>) -> (Self, Self) {
        let inner: Arc<dyn Dataset> = Arc::new(inner);
        (Self { inner: inner.clone(), indices: first.into() }, Self { inner, indices: second.into() })
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

    fn written(&self, index: usize) -> Written {
        self.indices.get(index).map(|&i| self.inner.written(i)).unwrap_or_default()
    }

    fn image_path(&self, index: usize) -> Option<PathBuf> {
        self.inner.image_path(*self.indices.get(index)?)
    }

    /// Those of the other set, without what is left out; one for all where the samples are not in its order.
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

#[cfg(test)]
mod tests {
    use super::super::test_set::counting;
    use super::*;

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
