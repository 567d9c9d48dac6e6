//! The embedded detector.

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use image::RgbImage;
use star_data::FaceBox;
use star_model::YuNet;

use super::candidates::{self, Candidate};
use super::{Detection, Detector};

/// YuNet as libfacedetection ships it, BSD 3-clause; see `models/README.md`.
const MODEL: &[u8] = include_bytes!("../../models/yunet/model.safetensors");

/// From the detector's box to the landmark-tight square that networks are trained on: side, and shift of the centre downwards,
/// as shares of the geometric mean of the box's sides.
///
/// Medians over the 5,669 of 5,676 portraits that the detector finds (`cargo xtask default-model boxes`; quartiles of the side 0.85 and
/// 0.91, of the shift 0.12 and 0.16). On dlib's 43 photographed faces they are 0.92 and 0.13, which `tests/real_faces.rs` measures again
/// where those are at hand.
const TIGHT_SIDE: f32 = 0.879;
const TIGHT_DOWN: f32 = 0.142;

/// From the detector's own score `s` to a probability: `1 / (1 + exp(-(BIAS + SLOPE ln(s / (1 - s)))))`.
///
/// Fitted on what the detector finds in the images of `cargo xtask default-model detection`, 4,300 faces of them and images without one
/// (`cargo xtask default-model scores`, which prints the shares beside the curve).
const BIAS: f64 = -0.686;
const SLOPE: f64 = 2.223;

/// Probability above which nobody doubts that a detection is a face.
const SURE: f32 = 0.8;

/// The embedded detector of faces.
pub struct FaceDetector {
    network: YuNet,
    /// Least score, on its own scale.
    score: f32,
}

impl FaceDetector {
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
        let score = logistic(((min_score / (1.0 - min_score)).ln() - BIAS) / SLOPE) as f32;
        let tensors = candle_core::safetensors::load_buffer(MODEL, &Device::Cpu);
        let network = tensors.and_then(|tensors| YuNet::new(&tensors));
        Ok(Self { network: network.context("reading the embedded face detector")?, score })
    }

    /// The probability that what has this score, on the detector's own scale from 0 to 1, is a face.
    #[must_use]
    pub fn probability(score: f32) -> f32 {
        logistic(BIAS + SLOPE * Self::log_odds(score)) as f32
    }

    /// The logarithm of the odds of a score on the detector's own scale, which [`FaceDetector::probability`] is made of.
    #[must_use]
    pub fn log_odds(score: f32) -> f64 {
        let score = f64::from(score).clamp(1e-6, 1.0 - 1e-6);
        (score / (1.0 - score)).ln()
    }

    /// What the detector takes for faces, on its own scale, the surest first.
    ///
    /// # Errors
    /// Never in practice.
    pub fn candidates(&self, image: &RgbImage) -> Result<Vec<Candidate>> {
        let sure = logistic((f64::from(SURE / (1.0 - SURE)).ln() - BIAS) / SLOPE) as f32;
        Ok(candidates::of(&self.network, image, self.score, sure)?)
    }

    /// The landmark-tight square that one of the detector's boxes stands for.
    #[must_use]
    pub fn landmark_box(face: &Candidate) -> FaceBox {
        let ([x, y], size) = (face.face_box.centre(), face.size());
        let (side, y) = (size * TIGHT_SIDE, y + size * TIGHT_DOWN);
        FaceBox { x: x - side / 2.0, y: y - side / 2.0, width: side, height: side }
    }
}

fn logistic(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

impl Detector for FaceDetector {
    /// Faces from left to right.
    fn detect(&self, image: &RgbImage) -> Result<Vec<Detection>> {
        let mut found: Vec<Detection> = self
            .candidates(image)?
            .iter()
            .map(|face| Detection {
                face_box: Self::landmark_box(face),
                score: Self::probability(face.score),
            })
            .collect();
        found.sort_by(|a, b| {
            a.face_box.x.total_cmp(&b.face_box.x).then(a.face_box.y.total_cmp(&b.face_box.y))
        });
        Ok(found)
    }

    fn sure_score(&self) -> f32 {
        SURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_least_probability_is_the_score_that_has_it() {
        for probability in [0.01, 0.1, 0.5, 0.8, 0.99] {
            let detector = FaceDetector::new(probability).unwrap();
            assert!((f64::from(FaceDetector::probability(detector.score)) - probability).abs() < 1e-4);
        }
        for bad in [0.0, 1.0, 2.0] {
            assert!(FaceDetector::new(bad).err().unwrap().to_string().contains("min_score"));
        }
    }

    #[test]
    fn images_of_any_size_are_looked_at() {
        let detector = FaceDetector::new(FaceDetector::MIN_SCORE).unwrap();
        for (width, height) in [(0, 0), (1, 1), (3000, 1), (33, 2000)] {
            assert_eq!(detector.detect(&RgbImage::new(width, height)).unwrap(), [], "{width} x {height}");
        }
    }

    /// What libfacedetection's own program says of this photograph, whose figures are whole pixels and per cent: 178, 63, 89 x 112, 93.
    #[test]
    fn the_astronauts_face_is_where_libfacedetection_finds_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/astronaut.png");
        let image = image::open(path).unwrap().to_rgb8();
        let detector = FaceDetector::new(FaceDetector::MIN_SCORE).unwrap();
        let found = detector.candidates(&image).unwrap();
        let [face] = found[..] else { panic!("{found:?}") };
        let FaceBox { x, y, width, height } = face.face_box;
        let wanted = [178.0, 63.0, 89.0, 112.0, 93.0];
        for (value, wanted) in [x, y, width, height, 100.0 * face.score].into_iter().zip(wanted) {
            assert!(value >= wanted - 1e-3 && value < wanted + 1.0, "{value} {wanted}");
        }
    }
}
