//! PCK: the share of keypoints whose error is at most a fraction of a normalizer.

use crate::{Error, Result};

/// Errors of keypoints over a data set, each a fraction of its image's normalizer.
///
/// With the head's size as normalizer ([`Normalizer::HeadSize`](crate::Normalizer::HeadSize)) and 0.5 this is PCKh@0.5.
///
/// ```
/// let mut pck = star_eval::Pck::new(2)?;
/// pck.add(&[0.02, 0.20], None)?;
/// pck.add(&[0.08, f64::INFINITY], None)?; // no prediction: a miss at every threshold
/// assert_eq!(pck.share(0.10), 0.5);
/// assert_eq!(pck.per_keypoint(0.10), [Some(1.0), Some(0.0)]);
/// # Ok::<(), star_eval::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Pck {
    /// Errors of each keypoint, in the order of images.
    errors: Vec<Vec<f64>>,
}

impl Pck {
    /// Starts with no image.
    ///
    /// # Errors
    /// [`Error::Empty`] for 0 keypoints.
    pub fn new(keypoints: usize) -> Result<Self> {
        if keypoints == 0 {
            return Err(Error::Empty { what: "set of keypoints", hint: "a scheme has at least one" });
        }
        Ok(Self { errors: vec![Vec::new(); keypoints] })
    }

    /// Adds an image's errors as [`keypoint_errors`](crate::keypoint_errors) makes them; keypoints of weight 0 are left out, other
    /// weights count once.
    ///
    /// # Errors
    /// [`Error::Length`] for another number of keypoints, [`Error::ImageError`] for an error that is NaN or negative.
    pub fn add(&mut self, errors: &[f64], weights: Option<&[f32]>) -> Result<()> {
        let expected = self.errors.len();
        if errors.len() != expected {
            return Err(Error::Length { what: "keypoint errors", expected, got: errors.len() });
        }
        if let Some(weights) = weights.filter(|w| w.len() != expected) {
            return Err(Error::Length { what: "weights", expected, got: weights.len() });
        }
        if let Some(index) = errors.iter().position(|e| e.is_nan() || *e < 0.0) {
            return Err(Error::ImageError { index, value: errors[index] });
        }
        for (keypoint, (list, &error)) in self.errors.iter_mut().zip(errors).enumerate() {
            if weights.is_none_or(|w| w[keypoint] > 0.0) {
                list.push(error);
            }
        }
        Ok(())
    }

    /// Share of all keypoints of all images with an error of at most `t`, in `[0, 1]`; NaN before the first keypoint.
    pub fn share(&self, t: f64) -> f64 {
        let all = self.errors.iter().map(Vec::len).sum::<usize>();
        let within = self.errors.iter().flatten().filter(|e| is_within(**e, t)).count();
        within as f64 / all as f64
    }

    /// The share of each keypoint on its own; `None` for one that no image has.
    pub fn per_keypoint(&self, t: f64) -> Vec<Option<f64>> {
        let share = |list: &Vec<f64>| {
            let within = list.iter().filter(|e| is_within(**e, t)).count();
            (!list.is_empty()).then(|| within as f64 / list.len() as f64)
        };
        self.errors.iter().map(share).collect()
    }
}

/// A missing prediction is within no distance.
fn is_within(error: f64, t: f64) -> bool {
    error.is_finite() && error <= t
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keypoint_of_weight_zero_is_not_counted_and_the_threshold_belongs_to_it() {
        let mut pck = Pck::new(2).unwrap();
        pck.add(&[0.1, 0.5], Some(&[1.0, 0.0])).unwrap();
        assert_eq!((pck.share(0.1), pck.share(0.0999)), (1.0, 0.0));
        assert_eq!(pck.per_keypoint(1.0), [Some(1.0), None]);
        assert_eq!(pck.share(f64::INFINITY), 1.0);
        assert!(matches!(pck.add(&[f64::NAN, 0.0], None), Err(Error::ImageError { index: 0, .. })));
        assert!(matches!(pck.add(&[0.0], None), Err(Error::Length { .. })));
    }
}
