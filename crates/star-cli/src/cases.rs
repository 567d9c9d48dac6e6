//! Faces with truth and prediction as star-eval measures them.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use star_data::{Dataset, Result, Sample, Scheme};
use star_eval::{Case, Covariance};

use crate::evaluate::Scored;
use crate::landmarks::Ellipse;

/// What a sample says beside its points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Subset names and attributes.
    pub tags: Vec<String>,
    /// Which landmarks are visible, where the data say.
    pub visibility: Option<Vec<bool>>,
}

/// Another data set that remembers what its samples said when they were read, so that no picture is decoded twice for it.
pub struct Noted {
    inner: Arc<dyn Dataset>,
    notes: Vec<OnceLock<About>>,
}

impl Noted {
    /// Nothing is known before it is read.
    pub fn new(inner: Arc<dyn Dataset>) -> Self {
        let notes = (0..inner.len()).map(|_| OnceLock::new()).collect();
        Self { inner, notes }
    }

    /// What sample `index` said; nothing where it was not read.
    pub fn about(&self, index: usize) -> About {
        self.notes.get(index).and_then(OnceLock::get).cloned().unwrap_or_default()
    }
}

impl Dataset for Noted {
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
        let sample = self.inner.get(index)?;
        if let Some(note) = self.notes.get(index) {
            let about = About { tags: sample.tags.clone(), visibility: sample.visibility.clone() };
            // A sample says the same every time it is read.
            let _ = note.set(about);
        }
        Ok(sample)
    }
}

/// Covariances of ellipses, pixels squared.
pub fn covariances(ellipses: &[Ellipse]) -> Vec<Covariance> {
    let covariance =
        |e: &Ellipse| Covariance::from_axes(f64::from(e.major), f64::from(e.minor), f64::from(e.angle));
    ellipses.iter().map(covariance).collect()
}

/// A face that a network was run on.
pub fn scored(face: &Scored, name: String, about: About) -> Case {
    Case {
        name,
        subsets: about.tags,
        truth: face.truth.clone(),
        weights: Some(face.weights.clone()),
        visible: about.visibility,
        predicted: Some(face.landmarks.points.clone()),
        covariances: Some(covariances(&face.landmarks.ellipses)),
        unit: Some(face.unit),
    }
}
