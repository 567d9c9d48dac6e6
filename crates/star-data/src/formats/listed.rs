//! Faces that are written down in files, each with an image of its own: what most formats come down to.

use std::path::{Path, PathBuf};

use crate::{Annotation, Dataset, Error, Result, Sample, Scheme, decode};

/// Annotated faces whose images are decoded from files when they are asked for.
#[derive(Clone, Debug)]
pub struct Listed {
    annotations: Vec<Annotation>,
    images: PathBuf,
    scheme: Scheme,
}

impl Listed {
    /// `annotations` that follow `scheme`, with images below `images`.
    pub fn new(annotations: Vec<Annotation>, images: &Path, scheme: Scheme) -> Self {
        Self { annotations, images: images.to_path_buf(), scheme }
    }

    /// What is written down, in order.
    pub fn annotations(&self) -> &[Annotation] {
        &self.annotations
    }

    pub(super) fn annotations_mut(&mut self) -> &mut Vec<Annotation> {
        &mut self.annotations
    }

    /// The folder that images' paths start from.
    pub fn images(&self) -> &Path {
        &self.images
    }

    fn at(&self, index: usize) -> Result<&Annotation> {
        self.annotations.get(index).ok_or(Error::Index { index, len: self.annotations.len() })
    }
}

impl Dataset for Listed {
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

/// A reader's faces, and everything that is wrong with the rows it could not use.
pub type Read = (Listed, Vec<Error>);

/// The faces of `read`, or the first thing that is wrong.
///
/// # Errors
/// The first problem, or [`Error::Empty`] where there is neither face nor problem.
pub fn strict(read: Read, path: &Path, expected: &str) -> Result<Listed> {
    let (faces, problems) = read;
    match problems.into_iter().next() {
        Some(problem) => Err(problem),
        None if faces.is_empty() => {
            Err(Error::Empty { path: path.to_path_buf(), expected: expected.to_string() })
        }
        None => Ok(faces),
    }
}
