//! Pointers to data sets are data sets.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Dataset, Written};
use crate::{Annotation, Result, Sample, Scheme};

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<D: Dataset + ?Sized> Dataset for $pointer {
            fn len(&self) -> usize {
                (**self).len()
            }

            fn scheme(&self) -> &Scheme {
                (**self).scheme()
            }

            fn source(&self, index: usize) -> PathBuf {
                (**self).source(index)
            }

            fn get(&self, index: usize) -> Result<Sample> {
                (**self).get(index)
            }

            fn annotation(&self, index: usize) -> Result<Annotation> {
                (**self).annotation(index)
            }

            fn shards(&self) -> Vec<usize> {
                (**self).shards()
            }

            fn written(&self, index: usize) -> Written {
                (**self).written(index)
            }

            fn image_path(&self, index: usize) -> Option<PathBuf> {
                (**self).image_path(index)
            }
        }
    )*};
}

forward!(&D, Box<D>, Arc<D>);
