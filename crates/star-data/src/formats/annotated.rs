//! Faces that are written down in files, each with an image of its own: what most formats come down to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Annotation, Dataset, Error, Result, Sample, Scheme, decode};

/// Annotated faces whose images are decoded from files when they are asked for. Clones share the annotations.
#[derive(Clone, Debug)]
pub struct AnnotatedImages {
    annotations: Arc<Vec<Annotation>>,
    images: PathBuf,
    scheme: Arc<Scheme>,
}

impl AnnotatedImages {
    /// `annotations` that follow `scheme`, with images below `images`.
    pub fn new(annotations: Vec<Annotation>, images: &Path, scheme: Scheme) -> Self {
        let (annotations, scheme) = (Arc::new(annotations), Arc::new(scheme));
        Self { annotations, images: images.to_path_buf(), scheme }
    }

    /// What is written down, in order.
    pub fn annotations(&self) -> &[Annotation] {
        &self.annotations
    }

    /// The folder that images' paths start from.
    pub fn images(&self) -> &Path {
        &self.images
    }

    fn at(&self, index: usize) -> Result<&Annotation> {
        self.annotations.get(index).ok_or(Error::Index { index, len: self.annotations.len() })
    }
}

impl Dataset for AnnotatedImages {
    fn len(&self) -> usize {
        self.annotations.len()
    }

    fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    fn source(&self, index: usize) -> PathBuf {
        self.annotations.get(index).map(|annotation| annotation.image.clone()).unwrap_or_default()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let annotation = self.at(index)?;
        let image = decode::decode(&self.images.join(&annotation.image))?;
        Ok(annotation.clone().with_image(image))
    }

    fn annotation(&self, index: usize) -> Result<Annotation> {
        self.at(index).cloned()
    }

    fn image_path(&self, index: usize) -> Option<PathBuf> {
        Some(self.images.join(&self.annotations.get(index)?.image))
    }
}

/// The faces that a reader could use, and everything that is wrong with the others.
pub type Read = (AnnotatedImages, Vec<Error>);

/// The faces of `read`, if nothing is wrong.
///
/// # Errors
/// The first problem, or [`Error::Empty`] where there is neither face nor problem.
pub(super) fn strict(read: Read, path: &Path, expected: &str) -> Result<AnnotatedImages> {
    let (faces, problems) = read;
    match problems.into_iter().next() {
        Some(problem) => Err(problem),
        None if faces.is_empty() => {
            Err(Error::Empty { path: path.to_path_buf(), expected: expected.to_string() })
        }
        None => Ok(faces),
    }
}
