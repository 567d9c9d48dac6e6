//! Predicting in many images.

use std::path::PathBuf;

use anyhow::{Context, Result};
use star_data::FaceBox;
use star_data::decode::{self, Decoded, Upright};

use crate::parallel::map_ordered;
use crate::{Face, Predictor};

/// Predicts in the images `paths`, EXIF orientation honoured, one a thread on `workers` threads. Faces are looked for, unless `boxes`
/// gives them.
///
/// `finish` gets an image, and what is wrong with its file, with its faces on the thread that predicted them, such as to draw them; what it
/// returns comes to `each` in the order of `paths`, or else the reason why an image could not be predicted in. The work ends when `each`
/// returns an error. Few images are in memory at a time, see [`map_ordered`].
///
/// # Errors
/// The one that `each` returned.
pub fn predict_images<T: Send>(
    predictor: &Predictor,
    paths: &[PathBuf],
    boxes: Option<&[FaceBox]>,
    workers: usize,
    finish: impl Fn(usize, Decoded, Vec<Face>) -> T + Sync,
    mut each: impl FnMut(usize, Result<T>) -> Result<()>,
) -> Result<()> {
    let one = |i: usize, path: &PathBuf| -> Result<T> {
        let decoded = decode::decode_upright(path, Upright::Oriented)?;
        let image = &decoded.image;
        let found = match boxes {
            Some(boxes) => predictor.predict_in(image, boxes),
            None => predictor.predict(image),
        };
        let faces = found.with_context(|| path.display().to_string())?;
        Ok(finish(i, decoded, faces))
    };
    map_ordered(paths.iter().map(Ok), workers, |i, path| (i, one(i, path)), |(i, found)| each(i, found))
}
