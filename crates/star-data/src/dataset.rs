//! What every source of annotated faces offers.

use std::path::PathBuf;
use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::{Error, Result, Sample, Scheme};

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
}
