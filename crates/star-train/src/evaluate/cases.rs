//! Samples with truth and prediction as star-eval measures them.

use star_data::Annotation;
use star_eval::{Case, Covariance, Normalizer};
use star_predict::Decoded;

/// One sample of a data set: the truth and what the network made of it, in pixels of its image.
pub struct Scored {
    /// Index in the data set.
    pub index: usize,
    /// True landmarks.
    pub truth: Vec<[f32; 2]>,
    /// 1 where a landmark counts, 0 where it does not.
    pub weights: Vec<f32>,
    /// What the network found.
    pub landmarks: Decoded,
    /// Pixels that half the network's input spans in the image.
    pub unit: f64,
}

/// 1 for each landmark that is annotated, 0 for the others.
pub(crate) fn weights(points: &[[f32; 2]]) -> Vec<f32> {
    points.iter().map(|point| if point.iter().all(|v| v.is_finite()) { 1.0 } else { 0.0 }).collect()
}

/// Width and height of the box that an annotation states.
pub fn stated_sides(annotation: &Annotation) -> Option<[f32; 2]> {
    annotation.stated.map(|stated| [stated.width, stated.height])
}

/// What errors on an annotated sample are divided by.
pub(crate) fn length(normalizer: &Normalizer, annotation: &Annotation) -> star_eval::Result<f64> {
    length_of(normalizer, &annotation.points, stated_sides(annotation))
}

/// The same of points, which a data set may have moved since they were annotated, and of the sides of a stated box.
pub(crate) fn length_of(
    normalizer: &Normalizer,
    points: &[[f32; 2]],
    stated_sides: Option<[f32; 2]>,
) -> star_eval::Result<f64> {
    let weights = Some(weights(points));
    normalizer.length_of(&Case { weights, truth: points.to_vec(), stated_sides, ..Case::default() })
}

/// Covariances `xx, xy, yy` as star-eval takes them.
pub fn covariances(covariances: impl IntoIterator<Item = [f64; 3]>) -> Vec<Covariance> {
    covariances.into_iter().map(|[xx, xy, yy]| Covariance { xx, xy, yy }).collect()
}

/// A sample that a network was run on, and what is written down about it.
#[must_use]
pub fn case(sample: &Scored, about: Annotation) -> Case {
    Case {
        name: about.image.to_string_lossy().into_owned(),
        stated_sides: stated_sides(&about),
        subsets: about.tags,
        truth: sample.truth.clone(),
        weights: Some(sample.weights.clone()),
        visible: about.visibility,
        predicted: Some(sample.landmarks.points.clone()),
        covariances: Some(covariances(sample.landmarks.covariances.iter().copied())),
        confidence: Some(sample.landmarks.confidence.clone()).filter(|confidence| !confidence.is_empty()),
        unit: Some(sample.unit),
    }
}
