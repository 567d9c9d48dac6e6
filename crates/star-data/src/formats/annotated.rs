//! Faces that are written down in files, each with an image of its own: what most formats come down to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::paths;
use crate::dataset::Written;
use crate::decode::{self, Upright};
use crate::{Annotation, Dataset, Error, Result, Sample, Scheme};

/// Annotated faces whose images are decoded from files when they are asked for. Clones share the annotations.
#[derive(Clone, Debug)]
pub struct AnnotatedImages {
    annotations: Arc<Vec<Annotation>>,
    images: PathBuf,
    scheme: Arc<Scheme>,
    /// The list that annotations are entries of, where their file has no lines.
    entries: Option<&'static str>,
    /// The size that the file says each image has; empty where it says none.
    sizes: Arc<Vec<Option<[u32; 2]>>>,
}

impl AnnotatedImages {
    /// `annotations` that follow `scheme`, with images below `images`. A path with escapes such as `%20` is what it stands for where
    /// there is no file of the path as written.
    pub fn new(mut annotations: Vec<Annotation>, images: &Path, scheme: Scheme) -> Self {
        for annotation in &mut annotations {
            if let Some(plain) = paths::unescaped(images, &annotation.image) {
                annotation.image = plain;
            }
        }
        let (annotations, scheme) = (Arc::new(annotations), Arc::new(scheme));
        Self { annotations, images: images.to_path_buf(), scheme, entries: None, sizes: Arc::default() }
    }

    /// The same, of a file without lines: what [`Annotation::line`] counts from 1 are the entries of its list `name`.
    #[must_use]
    pub fn with_entries(self, name: &'static str) -> Self {
        Self { entries: Some(name), ..self }
    }

    /// The same, of a file that says how wide and high the image of each annotation is: it tells whether an image that its EXIF block
    /// turns was annotated turned or as stored, by the rule of [`decode`].
    #[must_use]
    pub fn with_sizes(self, sizes: Vec<Option<[u32; 2]>>) -> Self {
        Self { sizes: Arc::new(sizes), ..self }
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
        let upright = self.sizes.get(index).copied().flatten().map_or(Upright::Raw, Upright::Stated);
        let decoded = decode::decode_upright(&self.images.join(&annotation.image), upright)?;
        Ok(annotation.clone().with_image(decoded.image))
    }

    fn annotation(&self, index: usize) -> Result<Annotation> {
        self.at(index).cloned()
    }

    fn written(&self, index: usize) -> Written {
        let entry = self.entries.zip(self.annotations.get(index));
        let entry = entry.map(|(name, annotation)| format!("{name}[{}]", annotation.line.saturating_sub(1)));
        Written { entry, size: self.sizes.get(index).copied().flatten() }
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
