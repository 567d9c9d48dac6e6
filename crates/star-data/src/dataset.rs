//! What every source of annotated faces offers.

use crate::{Result, Sample, Scheme};

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

    /// Reads and decodes sample `index`.
    ///
    /// # Errors
    /// Names the file, and where there is one the line and field, of what could not be read.
    fn get(&self, index: usize) -> Result<Sample>;
}
