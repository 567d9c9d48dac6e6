//! What every source of annotated faces offers.

mod cached;
mod joined;
mod pointer;
mod subset;

use std::path::PathBuf;
use std::sync::Arc;

pub use self::cached::Cached;
pub use self::joined::Joined;
pub use self::subset::Subset;
use crate::{Annotation, FaceBox, Result, Sample, Scheme};

/// What the annotation file says about a sample beside its [`Annotation`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Where it stands in a file without lines: `annotations[8]`.
    pub entry: Option<String>,
    /// Width and height that its image is to have.
    pub size: Option<[u32; 2]>,
}

/// A finite, indexable source of annotated faces.
///
/// `get` may be called from many threads and must return the same sample for the same index every time. References, `Box` and `Arc` of
/// a data set are data sets too, so whatever takes one takes any of these.
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

    /// What is written down about sample `index`; sources that can, tell without decoding its image.
    ///
    /// # Errors
    /// As [`Dataset::get`].
    fn annotation(&self, index: usize) -> Result<Annotation> {
        let Sample { points, visibility, face, tags, source, .. } = self.get(index)?;
        let (file, line) = (Arc::from(source.as_path()), index + 1);
        let stated = FaceBox::of_a_single_point(points.len(), face);
        Ok(Annotation { file, line, image: source, points, visibility, stated, face, tags })
    }

    /// What else the annotation file says about sample `index`: for messages and checks.
    fn written(&self, index: usize) -> Written {
        let _ = index;
        Written::default()
    }

    /// How many samples lie together in each part of the storage, in order: shuffles keep what is read at a time within a few of them.
    fn shards(&self) -> Vec<usize> {
        vec![self.len()]
    }

    /// The file that the image of sample `index` is decoded from; `None` where it has no file of its own.
    fn image_path(&self, index: usize) -> Option<PathBuf> {
        let _ = index;
        None
    }
}

#[cfg(test)]
mod test_set {
    //! Ten samples that count how often they are read.

    use std::sync::atomic::{AtomicUsize, Ordering};

    use image::RgbImage;

    use super::*;
    use crate::FaceBox;

    pub(super) struct Counting {
        pub(super) reads: AtomicUsize,
        scheme: Scheme,
    }

    impl Dataset for Counting {
        fn len(&self) -> usize {
            10
        }

        fn scheme(&self) -> &Scheme {
            &self.scheme
        }

        fn get(&self, index: usize) -> Result<Sample> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            Ok(Sample {
                image: RgbImage::new(1, 1),
                points: vec![[index as f32, 0.0]],
                visibility: None,
                face: FaceBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0 },
                tags: Vec::new(),
                source: PathBuf::new(),
            })
        }
    }

    pub(super) fn counting() -> Arc<Counting> {
        let scheme = Scheme::named("cofw29").unwrap();
        Arc::new(Counting { reads: AtomicUsize::new(0), scheme })
    }
}
