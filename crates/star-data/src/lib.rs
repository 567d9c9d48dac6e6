//! Keypoint data sets as plain numbers: schemes, readers, crops, targets and a deterministic loader.

pub mod dataset;
pub mod error;
pub mod sample;
pub mod scheme;

pub use dataset::Dataset;
pub use error::{Error, Result};
pub use sample::{FaceBox, Sample};
pub use scheme::Scheme;
