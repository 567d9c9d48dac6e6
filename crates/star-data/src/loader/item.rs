//! One sample made ready: one map for pixels and points, then changes of pixels.

use std::panic::AssertUnwindSafe;

use rand_chacha::ChaCha8Rng;

use super::Shared;
use super::order::stream;
use crate::affine::Affine;
use crate::augment::mirrored;
use crate::crop::{Crop, normalize};
use crate::{Dataset, Error, Result, Sample, warp};

/// One sample of a batch.
pub(super) struct Item {
    pub(super) image: Vec<u8>,
    pub(super) points: Vec<f32>,
    pub(super) weights: Vec<f32>,
    /// Landmarks in pixels of the crop, NaN where unknown.
    pub(super) pixels: Vec<[f32; 2]>,
    pub(super) crop: Affine,
    pub(super) index: usize,
}

impl Item {
    /// Reads and prepares sample `index`. A panic becomes an error: in a worker thread it would end the program.
    pub(super) fn prepare(shared: &Shared, epoch: u64, index: usize) -> Result<Self> {
        let work = AssertUnwindSafe(|| Self::new(shared, epoch, index));
        std::panic::catch_unwind(work).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let reason = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
            let reason = reason.unwrap_or_else(|| "no message".into());
            Err(Error::Panicked { path: shared.dataset.source(index), index, reason })
        })
    }

    fn new(shared: &Shared, epoch: u64, index: usize) -> Result<Self> {
        let Shared { dataset, config, .. } = shared;
        let sample = dataset.get(index)?;
        let scheme = dataset.scheme();
        let mut rng = stream(config.seed, epoch, index as u64);
        let (size, augmentation) = (config.image_size, &config.augmentation);
        let (crop, permutation) = geometry(&sample, shared, &mut rng)?;
        let mut image = warp::warp(&sample.image, &crop, size)?;
        augmentation.apply_photometric(&mut image, &mut rng);

        let k = scheme.keypoints;
        let (mut points, mut weights, mut pixels) =
            (vec![0f32; 2 * k], vec![0f32; k], vec![[f32::NAN; 2]; k]);
        for (to, from) in permutation.into_iter().enumerate() {
            let Some(&point) = sample.points.get(from).filter(|p| p.iter().all(|v| v.is_finite())) else {
                continue;
            };
            let hidden =
                sample.visibility.as_ref().is_some_and(|seen| !seen.get(from).copied().unwrap_or(true));
            weights[to] = if hidden && config.only_visible { 0.0 } else { 1.0 };
            pixels[to] = crop.apply(point);
            let normal = normalize(pixels[to], size);
            let normal = if config.clamp { normal.map(|v| v.clamp(-1.0, 1.0)) } else { normal };
            points[2 * to..2 * to + 2].copy_from_slice(&normal);
        }
        Ok(Self { image: image.into_raw(), points, weights, pixels, crop, index })
    }
}

/// The one map from image to crop (mirror, crop, jitter), and which point of the sample each keypoint is.
fn geometry(sample: &Sample, shared: &Shared, rng: &mut ChaCha8Rng) -> Result<(Affine, Vec<usize>)> {
    let config = &shared.config;
    let crop = Crop { size: config.image_size, target_face_scale: config.face_scale };
    let flip = config.augmentation.flip.draw(rng);
    let jitter = config.augmentation.similarity.draw(config.image_size, rng);
    if !flip {
        return Ok((
            crop.transform(&sample.face)?.then(jitter),
            (0..shared.dataset.scheme().keypoints).collect(),
        ));
    }
    let width = sample.image.width();
    let crop = crop.transform(&mirrored(&sample.face, width))?;
    Ok((Affine::mirror(f64::from(width)).then(crop).then(jitter), shared.mirror.clone()))
}
