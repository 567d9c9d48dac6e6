//! One annotated sample with what was predicted for it.

use crate::Covariance;

/// One annotated sample with everything that is known about it; coordinates in pixels of its image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Case {
    /// The image's name.
    pub name: String,
    /// Names of the subsets it belongs to, beside the whole set.
    pub subsets: Vec<String>,
    /// True keypoints `(x, y)`.
    pub truth: Vec<[f32; 2]>,
    /// What each keypoint counts; 0 for one that is not annotated. All alike where `None`.
    pub weights: Option<Vec<f32>>,
    /// Which keypoints can be seen; `None` where the data do not hold this.
    pub visible: Option<Vec<bool>>,
    /// Predicted keypoints; `None` where nothing was found.
    pub predicted: Option<Vec<[f32; 2]>>,
    /// Predicted covariances; `None` where the prediction carries none.
    pub covariances: Option<Vec<Covariance>>,
    /// Predicted probability of a small error for each keypoint; `None` where the prediction carries none.
    pub confidence: Option<Vec<f32>>,
    /// Pixels that one unit of the network's coordinates (half its input) spans in the image; `None` for half the longer side of
    /// the box around the true keypoints.
    pub unit: Option<f64>,
    /// Width and height of the box that the annotations state, where they do.
    pub stated_sides: Option<[f32; 2]>,
}

impl Case {
    /// Pixels of one unit of the network's coordinates, given or from the truth; `None` where neither is positive.
    pub fn unit(&self) -> Option<f64> {
        let side = |axis: usize| {
            let values = self.truth.iter().map(|p| f64::from(p[axis])).filter(|v| v.is_finite());
            values.clone().fold(f64::NEG_INFINITY, f64::max) - values.fold(f64::INFINITY, f64::min)
        };
        let unit = self.unit.unwrap_or_else(|| side(0).max(side(1)) / 2.0);
        (unit > 0.0 && unit.is_finite()).then_some(unit)
    }

    /// Prediction and covariances where both are there.
    pub fn with_covariances(&self) -> Option<(&[[f32; 2]], &[Covariance])> {
        Some((self.predicted.as_deref()?, self.covariances.as_deref().filter(|c| !c.is_empty())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_half_the_longer_side_unless_given() {
        let case = Case { truth: vec![[0.0, 0.0], [10.0, 40.0]], ..Default::default() };
        assert_eq!(case.unit(), Some(20.0));
        assert_eq!(Case { unit: Some(64.0), ..case.clone() }.unit(), Some(64.0));
        assert_eq!(Case { truth: vec![[1.0, 1.0]], ..Default::default() }.unit(), None);
    }
}
