//! Faces with truth and prediction as star-eval measures them.

use star_data::Annotation;
use star_eval::{Case, Covariance};

use crate::landmarks::{Ellipse, Landmarks};

/// One face of a data set: the truth and what the network made of it, in pixels of its picture.
pub struct Scored {
    /// Index in the data set.
    pub index: usize,
    /// True landmarks.
    pub truth: Vec<[f32; 2]>,
    /// 1 where a landmark counts, 0 where it does not.
    pub weights: Vec<f32>,
    /// What the network found.
    pub landmarks: Landmarks,
    /// Pixels that half the network's input spans in the picture.
    pub unit: f64,
}

/// Covariances of ellipses, pixels squared.
pub fn covariances(ellipses: &[Ellipse]) -> Vec<Covariance> {
    let covariance =
        |e: &Ellipse| Covariance::from_axes(f64::from(e.major), f64::from(e.minor), f64::from(e.angle));
    ellipses.iter().map(covariance).collect()
}

/// A face that a network was run on, and what is written down about it.
pub fn scored(face: &Scored, about: Annotation) -> Case {
    Case {
        name: about.image.to_string_lossy().into_owned(),
        subsets: about.tags,
        truth: face.truth.clone(),
        weights: Some(face.weights.clone()),
        visible: about.visibility,
        predicted: Some(face.landmarks.points.clone()),
        covariances: Some(covariances(&face.landmarks.ellipses)),
        unit: Some(face.unit),
    }
}
