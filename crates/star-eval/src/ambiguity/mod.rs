//! How elongated the predicted distributions are, and how much models of one recipe disagree.
//!
//! Input is numbers only: each keypoint's predicted covariance, and predicted coordinates.

mod direction;
mod summary;

pub use direction::{angle_between, tangents};
pub use summary::{AmbiguitySummary, Contrast};

use crate::{Covariance, Error, Result};

/// Added to both eigenvalues before their ratio is taken, so that a one-pixel map has ratio 1 and not 0/0. The value that the
/// reference loss adds under its square root.
pub const EPS: f64 = 1e-5;

/// Eigenvalue ratios `l_max / l_min` of a data set: 1 is an isotropic distribution, above 1 an elongated one.
#[derive(Clone, Debug, PartialEq)]
pub struct Ambiguity {
    keypoints: usize,
    /// One row of `keypoints` ratios per image.
    ratios: Vec<f64>,
    nmes: Vec<f64>,
}

impl Ambiguity {
    /// Starts with no image.
    ///
    /// # Errors
    /// [`Error::Empty`] for 0 keypoints.
    pub fn new(keypoints: usize) -> Result<Self> {
        if keypoints == 0 {
            return Err(Error::Empty { what: "set of keypoints", hint: "a scheme has at least one" });
        }
        Ok(Self { keypoints, ratios: Vec::new(), nmes: Vec::new() })
    }

    /// Adds an image: its NME (a fraction, infinity if missing) and each keypoint's covariance, in squared units of the network's
    /// coordinates (half its input).
    ///
    /// # Errors
    /// [`Error::Length`] for another number of keypoints, [`Error::ImageError`] for an NME that is NaN or negative,
    /// [`Error::Range`] for an eigenvalue that is negative or not finite.
    pub fn add(&mut self, nme: f64, covariances: &[Covariance]) -> Result<()> {
        if covariances.len() != self.keypoints {
            let (expected, got) = (self.keypoints, covariances.len());
            return Err(Error::Length { what: "covariances", expected, got });
        }
        if nme.is_nan() || nme < 0.0 {
            return Err(Error::ImageError { index: self.images(), value: nme });
        }
        let ratio = |covariance: &Covariance| {
            covariance.variances().map(elongation).ok_or(Error::Range {
                what: "eigenvalue of a covariance",
                expected: "a finite number of at least 0",
                value: covariance.eigenvalues()[0],
            })
        };
        let ratios = covariances.iter().map(ratio).collect::<Result<Vec<f64>>>()?;
        self.ratios.extend(ratios);
        self.nmes.push(nme);
        Ok(())
    }

    /// Number of images added.
    pub fn images(&self) -> usize {
        self.nmes.len()
    }

    /// Mean ratio of each keypoint over the images: `K` numbers of at least 1.
    ///
    /// # Errors
    /// [`Error::Empty`] before the first image.
    pub fn per_keypoint(&self) -> Result<Vec<f64>> {
        if self.nmes.is_empty() {
            return Err(Error::Empty { what: "set of images", hint: "add images first" });
        }
        let mut means = vec![0.0; self.keypoints];
        for row in self.ratios.chunks_exact(self.keypoints) {
            means.iter_mut().zip(row).for_each(|(mean, ratio)| *mean += ratio);
        }
        Ok(means.into_iter().map(|sum| sum / self.images() as f64).collect())
    }

    /// Mean ratio over some keypoints, for example eye corners against the contour.
    ///
    /// # Errors
    /// [`Error::Empty`] before the first image or for an empty list, [`Error::Index`] for a keypoint that does not exist.
    pub fn of_group(&self, indices: &[usize]) -> Result<f64> {
        let means = self.per_keypoint()?;
        if indices.is_empty() {
            return Err(Error::Empty { what: "group", hint: "name at least one keypoint" });
        }
        let mut sum = 0.0;
        for &index in indices {
            sum += means.get(index).ok_or_else(|| Error::Index {
                what: "group".into(),
                index,
                keypoints: self.keypoints,
            })?;
        }
        Ok(sum / indices.len() as f64)
    }

    /// Mean ratio over all keypoints of the images whose NME lies in `[low, high)`; `None` where there are none. The paper compares
    /// easy images, below 0.03, with hard ones, above 0.08.
    pub fn of_images_with_nme(&self, low: f64, high: f64) -> Option<f64> {
        let rows = self.ratios.chunks_exact(self.keypoints).zip(&self.nmes);
        let chosen: Vec<f64> = rows
            .filter(|(_, nme)| (low..high).contains(*nme))
            .map(|(row, _)| row.iter().sum::<f64>() / self.keypoints as f64)
            .collect();
        (!chosen.is_empty()).then(|| chosen.iter().sum::<f64>() / chosen.len() as f64)
    }

    /// Number of images whose NME lies in `[low, high)`.
    pub fn images_with_nme(&self, low: f64, high: f64) -> usize {
        self.nmes.iter().filter(|nme| (low..high).contains(*nme)).count()
    }
}

/// Ratio of the larger to the smaller variance, both raised by [`EPS`].
fn elongation([small, large]: [f64; 2]) -> f64 {
    (large + EPS) / (small + EPS)
}

/// Disagreement of several models of one recipe on one image, per keypoint, as a fraction of the normalizer's `length`: the root of the
/// mean over models of the squared distance to the models' mean position (divisor: the number of models).
///
/// `predictions` holds one list of `(x, y)` per model.
///
/// # Errors
/// [`Error::Range`] for fewer than two models, [`Error::Length`] for lists of different lengths, [`Error::Degenerate`] for a length
/// that is not positive and finite.
pub fn spread_over_models(predictions: &[&[[f32; 2]]], length: f64) -> Result<Vec<f64>> {
    let models = predictions.len();
    if models < 2 {
        return Err(Error::Range { what: "number of models", expected: "at least 2", value: models as f64 });
    }
    if !(length > 0.0 && length.is_finite()) {
        return Err(Error::Degenerate { normalizer: "given".into(), length });
    }
    let keypoints = predictions[0].len();
    if let Some(other) = predictions.iter().find(|p| p.len() != keypoints) {
        return Err(Error::Length { what: "predicted keypoints", expected: keypoints, got: other.len() });
    }
    let spread = |k: usize| {
        let axis_variance = |axis: usize| {
            let values = || predictions.iter().map(|p| f64::from(p[k][axis]));
            let mean = values().sum::<f64>() / models as f64;
            values().map(|v| (v - mean).powi(2)).sum::<f64>() / models as f64
        };
        (axis_variance(0) + axis_variance(1)).sqrt() / length
    };
    Ok((0..keypoints).map(spread).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f64 = 1e-6;

    #[test]
    fn ratios_average_over_images_whichever_axis_is_long() {
        let along = |[xx, yy]: [f64; 2]| Covariance { xx, xy: 0.0, yy };
        let mut set = Ambiguity::new(2).unwrap();
        // (l + 1e-5) ratios: 4, 1 and 2, 1; the means are 3 and 1.
        set.add(0.02, &[[4e-3 - 1e-5, 1e-3 - 1e-5], [0.0, 0.0]].map(along)).unwrap();
        set.add(0.10, &[[1e-3 - 1e-5, 2e-3 - 1e-5], [0.5, 0.5]].map(along)).unwrap();
        let means = set.per_keypoint().unwrap();
        assert!((means[0] - 3.0).abs() < 1e-4 && (means[1] - 1.0).abs() < TOLERANCE, "{means:?}");
        assert!((set.of_group(&[0, 1]).unwrap() - 2.0).abs() < 1e-4);
        assert!((set.of_images_with_nme(0.0, 0.03).unwrap() - 2.5).abs() < 1e-4);
        assert!((set.of_images_with_nme(0.08, f64::INFINITY).unwrap() - 1.5).abs() < 1e-4);
        assert_eq!(set.of_images_with_nme(0.04, 0.05), None);
    }

    #[test]
    fn bad_covariances_and_indices_are_refused() {
        let diagonal = |xx| Covariance { xx, xy: 0.0, yy: 1.0 };
        let mut set = Ambiguity::new(1).unwrap();
        assert!(matches!(set.add(0.1, &[diagonal(f64::NAN)]), Err(Error::Range { .. })));
        assert!(matches!(set.add(0.1, &[diagonal(-1.0)]), Err(Error::Range { .. })));
        assert!(matches!(set.add(0.1, &[]), Err(Error::Length { expected: 1, got: 0, .. })));
        assert!(matches!(set.add(f64::NAN, &[diagonal(1.0)]), Err(Error::ImageError { .. })));
        assert!(matches!(set.per_keypoint(), Err(Error::Empty { .. })));
        set.add(0.1, &[diagonal(1.0)]).unwrap();
        assert!(matches!(set.of_group(&[1]), Err(Error::Index { index: 1, .. })));
    }

    #[test]
    fn models_that_agree_have_no_spread() {
        let one: &[[f32; 2]] = &[[1.0, 2.0], [0.0, 0.0]];
        let two: &[[f32; 2]] = &[[1.0, 2.0], [6.0, 8.0]];
        // Second keypoint: both are 5 from the mean (3, 4); over a length of 10 that is 0.5.
        let spread = spread_over_models(&[one, two], 10.0).unwrap();
        assert!(spread[0].abs() < TOLERANCE && (spread[1] - 0.5).abs() < TOLERANCE);
        assert!(matches!(spread_over_models(&[one], 10.0), Err(Error::Range { .. })));
    }
}
