//! Running a network over a data set, and what is measured on what it finds.

pub mod boxes;
mod cases;
pub mod confidence;
pub mod gallery;
pub mod matching;
pub mod metric_set;
mod quantize;
mod report;
mod slice;
pub mod videos;

use anyhow::Result;
use star_data::Dataset;
use star_data::affine::Affine;
use star_data::loader::{Loader, LoaderConfig};
use star_predict::Predictor;

pub use self::cases::{Scored, case, covariances, stated_sides};
pub(crate) use self::cases::{length, length_of, weights};
pub use self::quantize::{LossBound, MOST_LOSS, MOST_SHIFT, quantize};
pub use self::report::write as write_report;
pub(crate) use self::slice::Slice;

/// What becomes of true landmarks that lie outside the crop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Labels {
    /// They stay where they are.
    #[default]
    AsAnnotated,
    /// They are moved to the crop's border, as the reference does in scoring too.
    Clamped,
}

/// Runs the network over every sample of `dataset`, in order, `batch_size` at a time, calling `each` after every batch with the number
/// done.
///
/// # Errors
/// When a sample cannot be read, or the network fails.
pub fn run_over(
    predictor: &Predictor,
    dataset: &dyn Dataset,
    batch_size: usize,
    labels: Labels,
    mut each: impl FnMut(usize),
) -> Result<Vec<Scored>> {
    let config = LoaderConfig {
        clamp: labels == Labels::Clamped,
        face_scale: predictor.input().face_scale.into(),
        ..LoaderConfig::evaluation(batch_size, predictor.image_size())
    };
    let mut scored = Vec::with_capacity(dataset.len());
    std::thread::scope(|scope| {
        for batch in Loader::scoped(scope, dataset, config)?.epoch(0, 0) {
            let batch = batch?;
            let found = predictor.predict_crops(&batch.images, &batch.crops)?;
            let k = batch.keypoints;
            for (i, landmarks) in found.into_iter().enumerate() {
                scored.push(Scored {
                    index: batch.indices[i],
                    truth: batch.points_in_image(i)?,
                    weights: batch.weights[i * k..(i + 1) * k].to_vec(),
                    landmarks,
                    unit: unit(&batch.crops[i], predictor.image_size())?,
                });
            }
            each(scored.len());
        }
        Ok(scored)
    })
}

/// Half the network's input in pixels of the image that `crop` leads from; crops do not stretch.
fn unit(crop: &Affine, image_size: usize) -> Result<f64> {
    let [[a, b, _], [c, d, _]] = crop.inverse()?.matrix();
    Ok((a * d - b * c).abs().sqrt() * image_size as f64 / 2.0)
}
