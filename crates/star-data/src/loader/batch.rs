//! Samples stacked into plain numbers.

use super::LoaderConfig;
use super::item::Item;
use super::targets::{edgemaps, pointmaps};
use crate::affine::Affine;
use crate::crop::denormalize;
use crate::{Error, Result, Scheme};

/// Samples stacked into plain numbers.
///
/// Images stay bytes: a network's own input description says how they are ordered and scaled, and bytes move four times faster.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// RGB crops, `[B, S, S, 3]`.
    pub images: Vec<u8>,
    /// Landmarks `[B, K, 2]`, `(2 p + 1) / S - 1`; 0 where unknown.
    pub points: Vec<f32>,
    /// `[B, K]`: 1, or 0 where the landmark is unknown (or hidden, if asked for).
    pub weights: Vec<f32>,
    /// Point maps `[B, K, M, M]`, where asked for.
    pub pointmaps: Option<Vec<f32>>,
    /// Edge maps `[B, E, M, M]`, where asked for.
    pub edgemaps: Option<Vec<f32>>,
    /// From image to crop, a mirror included.
    pub crops: Vec<Affine>,
    /// Index of each sample in the data set.
    pub indices: Vec<usize>,
    /// `B`.
    pub batch: usize,
    /// `S`.
    pub size: usize,
    /// `K`.
    pub keypoints: usize,
    /// `E`.
    pub edges: usize,
    /// `M`.
    pub map_size: usize,
}

impl Batch {
    /// Landmarks of sample `i` in pixels of its own image, as far as they were not clamped.
    ///
    /// # Errors
    /// [`Error::Index`] where there is no such sample.
    pub fn points_in_image(&self, i: usize) -> Result<Vec<[f32; 2]>> {
        let crop = self.crops.get(i).ok_or(Error::Index { index: i, len: self.batch })?;
        let back = crop.inverse()?;
        let points = &self.points[2 * i * self.keypoints..2 * (i + 1) * self.keypoints];
        Ok(points.chunks_exact(2).map(|p| back.apply(denormalize([p[0], p[1]], self.size))).collect())
    }

    /// Stacks `items` and draws their target maps.
    pub(super) fn stack(items: &[Item], config: &LoaderConfig, scheme: &Scheme) -> Self {
        let concat = |part: fn(&Item) -> &[f32]| items.iter().map(part).collect::<Vec<_>>().concat();
        Self {
            images: items.iter().map(|item| item.image.as_slice()).collect::<Vec<_>>().concat(),
            points: concat(|item| &item.points),
            weights: concat(|item| &item.weights),
            pointmaps: config.targets.then(|| pointmaps(items, config, scheme)),
            edgemaps: config.targets.then(|| edgemaps(items, config, scheme)),
            crops: items.iter().map(|item| item.crop).collect(),
            indices: items.iter().map(|item| item.index).collect(),
            batch: items.len(),
            size: config.image_size,
            keypoints: scheme.keypoints,
            edges: scheme.edges.len(),
            map_size: config.map_size,
        }
    }
}
