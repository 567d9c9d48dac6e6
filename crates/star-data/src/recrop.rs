//! Another data set under another crop rule.

use std::path::PathBuf;
use std::sync::Arc;

use crate::crop::CropRule;
use crate::dataset::Written;
use crate::{Annotation, Dataset, Result, Sample, Scheme};

/// Another data set whose boxes are made by a rule.
#[derive(Clone)]
pub struct Recropped {
    inner: Arc<dyn Dataset>,
    rule: CropRule,
}

impl Recropped {
    /// Boxes of `inner` by `rule`. A face that the rule has no box for is an error when it is asked for.
    pub fn new(inner: impl Dataset + 'static, rule: CropRule) -> Self {
        Self { inner: Arc::new(inner), rule }
    }
}

impl Dataset for Recropped {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn scheme(&self) -> &Scheme {
        self.inner.scheme()
    }

    fn source(&self, index: usize) -> PathBuf {
        self.inner.source(index)
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let face = self.annotation(index)?.face;
        Ok(Sample { face, ..self.inner.get(index)? })
    }

    fn annotation(&self, index: usize) -> Result<Annotation> {
        let annotation = self.inner.annotation(index)?;
        let face = self.rule.apply(&annotation.points, annotation.stated)?;
        Ok(Annotation { face, ..annotation })
    }

    fn written(&self, index: usize) -> Written {
        self.inner.written(index)
    }

    fn image_path(&self, index: usize) -> Option<PathBuf> {
        self.inner.image_path(index)
    }
}
