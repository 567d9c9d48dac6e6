//! Finding faces in an image, and the box that the landmark network wants of each.

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use star_data::FaceBox;

/// SeetaFace's frontal detector, BSD 2-clause; see `models/README.md`.
const MODEL: &[u8] = include_bytes!("../models/seeta_fd_frontal_v1.0.bin");

/// Smallest face searched for, pixels: the smallest that the detector's pyramid knows.
const MIN_FACE: u32 = 20;

/// From the detector's square to the landmark-tight square that networks are trained on: side, and shift of the
/// centre downwards, as shares of the detector's side.
///
/// Medians over the 5,364 of 5,676 portraits that the detector finds (`cargo xtask default-model boxes`; quartiles of the side 0.82 and
/// 0.92, of the shift 0.12 and 0.18). On dlib's 43 photographed faces they are 0.90 and 0.16, which `tests/real_faces.rs` measures again
/// where those are at hand.
const TIGHT_SIDE: f32 = 0.87;
const TIGHT_DOWN: f32 = 0.155;

/// From the detector's own score `s` to a probability: `1 / (1 + exp(-(BIAS + SLOPE ln s)))`.
///
/// Fitted on the detections in the images of five sets of faces and in the same images turned by quarters, where what is found is no
/// upright face: 1,060 detections, 474 faces (`cargo xtask default-model scores`, which prints the shares beside the curve).
const BIAS: f64 = -4.045;
const SLOPE: f64 = 2.627;

/// Probability above which a detection is an upright face: a portrait has 0.98 upright and 0.97 at 15 degrees; one at 45 degrees, and what
/// is no face at all, had up to 0.66.
const SURE: f32 = 0.8;

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

/// The embedded detector of frontal faces.
pub struct FrontalDetector {
    model: rustface::Model,
    /// Least score, on its own scale.
    score: f64,
}

impl FrontalDetector {
    /// Smallest probability that counts as a face where nothing else is asked for: few faces have less.
    pub const MIN_SCORE: f64 = 0.1;

    /// A detector that reports what is a face with a probability of at least `min_score`.
    ///
    /// # Errors
    /// When `min_score` does not lie between 0 and 1.
    pub fn new(min_score: f64) -> Result<Self> {
        ensure!(
            min_score > 0.0 && min_score < 1.0,
            "min_score: expected a probability between 0 and 1, got {min_score}"
        );
        // The inverse of `probability`.
        let score = (((min_score / (1.0 - min_score)).ln() - BIAS) / SLOPE).exp();
        let model = rustface::read_model(std::io::Cursor::new(MODEL))
            .context("reading the embedded face detector")?;
        Ok(Self { model, score })
    }

    /// The probability that what has this score, on the detector's own scale, is a face.
    #[must_use]
    pub fn probability(score: f32) -> f32 {
        let odds = (BIAS + SLOPE * f64::from(score).max(f64::MIN_POSITIVE).ln()).exp();
        (odds / (1.0 + odds)) as f32
    }

    /// The detector's own squares from left to right, each with its score on the detector's own scale.
    pub fn squares(&self, image: &RgbImage) -> Vec<(FaceBox, f32)> {
        let (width, height) = image.dimensions();
        if width.min(height) < MIN_FACE {
            return Vec::new();
        }
        let grey = image::imageops::grayscale(image);
        let mut detector = rustface::create_detector_with_model(self.model.clone());
        detector.set_min_face_size(MIN_FACE);
        detector.set_score_thresh(self.score);
        detector.set_pyramid_scale_factor(0.8);
        detector.set_slide_window_step(4, 4);
        let mut found: Vec<(FaceBox, f32)> = detector
            .detect(&rustface::ImageData::new(&grey, width, height))
            .iter()
            .map(|face| {
                let b = face.bbox();
                let square = FaceBox {
                    x: b.x() as f32,
                    y: b.y() as f32,
                    width: b.width() as f32,
                    height: b.height() as f32,
                };
                (square, face.score() as f32)
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
        found
    }

    /// The landmark-tight box that one of the detector's squares stands for.
    #[must_use]
    pub fn landmark_box(square: &FaceBox) -> FaceBox {
        let [x, y] = square.centre();
        let side = square.side() * TIGHT_SIDE;
        let y = y + square.side() * TIGHT_DOWN;
        FaceBox { x: x - side / 2.0, y: y - side / 2.0, width: side, height: side }
    }
}

impl Detector for FrontalDetector {
    /// Faces from left to right.
    fn detect(&self, image: &RgbImage) -> Result<Vec<Detection>> {
        let found = self.squares(image).into_iter();
        Ok(found
            .map(|(square, score)| Detection {
                face_box: Self::landmark_box(&square),
                score: Self::probability(score),
            })
            .collect())
    }

    fn sure_score(&self) -> f32 {
        SURE
    }
}

/// Intersection over union of two boxes, in `[0, 1]`.
pub fn overlap(a: &FaceBox, b: &FaceBox) -> f32 {
    let span = |a0: f32, a1: f32, b0: f32, b1: f32| (a1.min(b1) - a0.max(b0)).max(0.0);
    let shared =
        span(a.x, a.x + a.width, b.x, b.x + b.width) * span(a.y, a.y + a.height, b.y, b.y + b.height);
    let union = a.width * a.height + b.width * b.height - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_smaller_than_any_face_has_none() {
        let detector = FrontalDetector::new(FrontalDetector::MIN_SCORE).unwrap();
        assert_eq!(detector.detect(&RgbImage::new(MIN_FACE - 1, 200)).unwrap(), []);
        for bad in [0.0, 1.0, 2.0] {
            assert!(FrontalDetector::new(bad).err().unwrap().to_string().contains("min_score"));
        }
    }

    #[test]
    fn a_least_probability_is_the_score_that_has_it() {
        for probability in [0.01, 0.1, 0.5, 0.8, 0.99] {
            let detector = FrontalDetector::new(probability).unwrap();
            assert!(
                (f64::from(FrontalDetector::probability(detector.score as f32)) - probability).abs() < 1e-4
            );
        }
        // exp(-4.045 + 2.627 ln 2) = 0.108 to 1
        assert!((FrontalDetector::probability(2.0) - 0.0976).abs() < 1e-3);
    }
}
