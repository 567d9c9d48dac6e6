//! Samples kept in memory.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::{Dataset, Written};
use crate::{Annotation, Error, Result, Sample, Scheme};

/// Another data set whose samples are kept in memory once they have been read: for sets that are small, or slow to make. Clones share
/// the memory.
#[derive(Clone)]
pub struct Cached {
    inner: Arc<dyn Dataset>,
    samples: Arc<[OnceLock<Sample>]>,
}

impl Cached {
    /// Nothing is read before it is asked for.
    pub fn new(inner: impl Dataset + 'static) -> Self {
        let samples = (0..inner.len()).map(|_| OnceLock::new()).collect();
        Self { inner: Arc::new(inner), samples }
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

    fn written(&self, index: usize) -> Written {
        self.inner.written(index)
    }

    fn image_path(&self, index: usize) -> Option<PathBuf> {
        self.inner.image_path(index)
    }

    fn shards(&self) -> Vec<usize> {
        self.inner.shards()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::test_set::counting;
    use super::*;

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
}
