//! A range of another data set's samples.

use std::ops::Range;
use std::path::PathBuf;

use star_data::dataset::Written;
use star_data::{Annotation, Dataset, Error, Result, Sample, Scheme};

/// The samples of `inner` in a range, borrowed.
pub(crate) struct Slice<'a> {
    inner: &'a dyn Dataset,
    range: Range<usize>,
}

impl<'a> Slice<'a> {
    pub(crate) fn new(inner: &'a dyn Dataset, range: Range<usize>) -> Self {
        Self { inner, range }
    }

    fn at(&self, index: usize) -> Result<usize> {
        let len = self.range.len();
        if index < len { Ok(self.range.start + index) } else { Err(Error::Index { index, len }) }
    }
}

impl Dataset for Slice<'_> {
    fn len(&self) -> usize {
        self.range.len()
    }

    fn scheme(&self) -> &Scheme {
        self.inner.scheme()
    }

    fn source(&self, index: usize) -> PathBuf {
        self.inner.source(self.range.start + index)
    }

    fn get(&self, index: usize) -> Result<Sample> {
        self.inner.get(self.at(index)?)
    }

    fn written(&self, index: usize) -> Written {
        self.inner.written(self.range.start + index)
    }

    fn annotation(&self, index: usize) -> Result<Annotation> {
        self.inner.annotation(self.at(index)?)
    }
}
