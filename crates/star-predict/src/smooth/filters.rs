//! The filters of one face's landmarks.

use super::{OneEuro, SmoothConfig};
use crate::Face;

/// A one-euro filter a landmark.
#[derive(Clone, Debug, Default)]
pub struct Filters(Vec<OneEuro>);

impl Filters {
    /// The landmarks of `face` become smoothed ones, `elapsed` seconds after those before. Covariances stay as they were predicted.
    pub fn smooth(&mut self, face: &mut Face, elapsed: f64, config: &SmoothConfig) {
        self.0.resize(face.landmarks.points.len(), OneEuro::new(config.min_cutoff, config.beta));
        let side = f64::from(face.face_box.side());
        for (point, filter) in face.landmarks.points.iter_mut().zip(&mut self.0) {
            *point = filter.next(point.map(f64::from), elapsed, side).map(|v| v as f32);
        }
    }
}
