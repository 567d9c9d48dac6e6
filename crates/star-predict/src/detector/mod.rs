//! Finding faces in an image, and the box that the landmark network wants of each.

mod candidates;
mod face_detector;

use anyhow::Result;
use image::RgbImage;
use star_data::FaceBox;

pub use candidates::Candidate;
pub use face_detector::FaceDetector;

/// A face that a detector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// The landmark-tight box, pixels of the image.
    pub face_box: FaceBox,
    /// The probability, 0 to 1, that this is a face.
    pub score: f32,
}

/// What finds faces in an image. Called from many threads.
pub trait Detector: Send + Sync {
    /// The faces of `image` with landmark-tight boxes: a box's longer side spans the outermost landmarks of the scheme, since
    /// that is what networks are trained on.
    ///
    /// # Errors
    /// When the detector cannot work on the image.
    fn detect(&self, image: &RgbImage) -> Result<Vec<Detection>>;

    /// The score of a face from which on an image needs no turning to find others, see
    /// [`Predictor::with_turned`](crate::Predictor::with_turned). Any is enough unless a detector knows its scores.
    fn sure_score(&self) -> f32 {
        f32::NEG_INFINITY
    }
}

/// Intersection over union of two boxes, in `[0, 1]`.
pub fn overlap(a: &FaceBox, b: &FaceBox) -> f32 {
    let shared = shared(a, b);
    let union = a.width * a.height + b.width * b.height - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

/// Area of the intersection of two boxes.
fn shared(a: &FaceBox, b: &FaceBox) -> f32 {
    let span = |a0: f32, a1: f32, b0: f32, b1: f32| (a1.min(b1) - a0.max(b0)).max(0.0);
    span(a.x, a.x + a.width, b.x, b.x + b.width) * span(a.y, a.y + a.height, b.y, b.y + b.height)
}
