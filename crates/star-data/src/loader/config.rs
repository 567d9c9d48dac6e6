//! What a loader prepares.

use std::ops::Range;

use crate::augment::Augmentation;
use crate::{Error, Result};

/// What becomes of a sample that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// Its batch is an error; later batches still come.
    #[default]
    Fail,
    /// Its batch is one smaller, [`Loader::unreadable`](super::Loader::unreadable) tells. A batch of nothing else is passed over, or
    /// empty where several loaders share the batches, so that they stay in step.
    Skip,
}

/// Which part of every batch a loader prepares, where several of them share the batches of an epoch: all parts together are the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 0.
    pub index: usize,
    /// Parts in all, at least 1.
    pub count: usize,
}

impl Default for Part {
    /// All of it.
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl Part {
    /// The places of `len` that are in this part; parts differ by at most one place.
    pub fn of(self, len: usize) -> Range<usize> {
        len * self.index / self.count..len * (self.index + 1) / self.count
    }
}

/// What a loader prepares.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderConfig {
    /// Samples a batch, all its parts together.
    pub batch_size: usize,
    /// Which of them are prepared.
    pub part: Part,
    /// Side of the crops, pixels.
    pub image_size: usize,
    /// Share of the crops' side that the longer side of a face's box takes up. Reference: 1.
    pub face_scale: f64,
    /// Side of the target maps; divides `image_size`.
    pub map_size: usize,
    /// A new order every epoch.
    pub shuffle: bool,
    /// Of a data set that lies in several shards, the samples that a shuffle mixes with each other, at least 1: the more, the better
    /// mixed; the fewer, the fewer shards are read at a time. Only their indices are kept in memory.
    pub shuffle_buffer: usize,
    /// Leave out a last batch that is not full.
    pub drop_last: bool,
    /// Random changes.
    pub augmentation: Augmentation,
    /// Draw point and edge maps.
    pub targets: bool,
    /// Clamp landmarks to `[-1, 1]`, as the reference does in training.
    pub clamp: bool,
    /// Give hidden landmarks weight 0. Off as in the reference: annotators place hidden points too.
    pub only_visible: bool,
    /// What becomes of a sample that cannot be read.
    pub unreadable: Unreadable,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Worker threads; 0 for one a core.
    pub workers: usize,
    /// Batches prepared ahead of the one being waited for, at least 1. No more than these, that one and an image a worker are ever
    /// in memory.
    pub prefetch: usize,
}

/// Samples that a shuffle mixes unless told otherwise: eight shards of the usual thousand.
pub const SHUFFLE_BUFFER: usize = 8192;

impl LoaderConfig {
    /// Every sample once, in order, unchanged: for evaluation.
    pub fn evaluation(batch_size: usize, image_size: usize) -> Self {
        Self {
            batch_size,
            part: Part::default(),
            image_size,
            face_scale: 1.0,
            map_size: (image_size / 4).max(1),
            shuffle: false,
            shuffle_buffer: SHUFFLE_BUFFER,
            drop_last: false,
            augmentation: Augmentation::none(),
            targets: false,
            clamp: false,
            only_visible: false,
            unreadable: Unreadable::Fail,
            seed: 0,
            workers: 0,
            prefetch: 2,
        }
    }

    /// Full batches in a new order every epoch, augmented as the reference does it, with target maps: for training.
    pub fn training(batch_size: usize, image_size: usize) -> Self {
        Self {
            shuffle: true,
            drop_last: true,
            augmentation: Augmentation::default(),
            targets: true,
            clamp: true,
            ..Self::evaluation(batch_size, image_size)
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] with the first field out of range.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [
            ("batch_size", self.batch_size),
            ("image_size", self.image_size),
            ("map_size", self.map_size),
            ("prefetch", self.prefetch),
            ("shuffle_buffer", self.shuffle_buffer),
        ] {
            if value == 0 {
                return Err(Error::Config { field, expected: "at least 1".into(), got: "0".into() });
            }
        }
        if self.part.index >= self.part.count {
            let (expected, got) =
                (format!("below its count of {}", self.part.count), self.part.index.to_string());
            return Err(Error::Config { field: "part", expected, got });
        }
        if !(self.face_scale.is_finite() && self.face_scale > 0.0) {
            let expected = "a positive number".to_string();
            return Err(Error::Config { field: "face_scale", expected, got: self.face_scale.to_string() });
        }
        if !self.image_size.is_multiple_of(self.map_size) {
            let expected = format!("a divisor of image_size {}", self.image_size);
            return Err(Error::Config { field: "map_size", expected, got: self.map_size.to_string() });
        }
        self.augmentation.validate()
    }
}
