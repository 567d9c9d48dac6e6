//! One image of a shard, before it is decoded.

use anyhow::Result;
use star_data::FaceBox;

/// An image as it lies in its shard.
pub(super) struct Item {
    /// What the results call it: its name in a tar file, its path or row in a Parquet file.
    pub(super) name: String,
    /// Where its file's bytes are.
    pub(super) source: ImageSource,
    /// Landmark-tight boxes of its faces, where the input has them.
    pub(super) boxes: Option<Vec<FaceBox>>,
}

/// An image's file.
#[derive(Debug, PartialEq)]
pub(super) enum ImageSource {
    /// Here.
    Bytes(Vec<u8>),
    /// A file beside the shard, or an absolute path.
    Named(String),
    /// Nowhere, and why.
    Missing(String),
}

/// The images of a shard in order. An error ends the shard: what follows cannot be read.
pub(super) type Items = Box<dyn Iterator<Item = Result<Item>> + Send>;
