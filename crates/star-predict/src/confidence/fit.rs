//! Annotated landmarks that a confidence model is fitted on.

use anyhow::{Result, ensure};

use super::logistic::Example;
use super::{ConfidenceModel, Logistic, features};

/// Landmarks that must have missed, and as many that must have hit, before anything is learnt from them.
const LEAST: usize = 30;

/// Predictions on annotated images, in what a confidence model is fitted on.
#[derive(Clone, Debug)]
pub struct Examples {
    keypoints: usize,
    threshold: f64,
    ends: Option<[Vec<usize>; 2]>,
    accurate: Vec<Vec<Example>>,
    occluded: Vec<Vec<Example>>,
}

impl Examples {
    /// Starts without a face. An error up to `threshold` times the normalizer counts as small; at prediction the normalizer lies between
    /// the means of the two groups `ends` of the landmarks, or is the diagonal of the box around them where `None`.
    ///
    /// # Errors
    /// When the threshold is not positive.
    pub fn new(keypoints: usize, threshold: f64, ends: Option<[Vec<usize>; 2]>) -> Result<Self> {
        ensure!(
            threshold > 0.0 && threshold.is_finite(),
            "threshold: expected a positive number, got {threshold}"
        );
        Ok(Self { keypoints, threshold, ends, accurate: Vec::new(), occluded: Vec::new() })
    }

    /// Faces so far.
    #[must_use]
    pub fn faces(&self) -> usize {
        self.accurate.len()
    }

    /// Adds a face: landmarks found with their covariances and the true ones in pixels, the true normalizer's `length` in pixels, and which
    /// landmarks can be seen where that is known. Landmarks of weight 0 do not count.
    ///
    /// # Errors
    /// When the number of landmarks is another, or the length not positive.
    pub fn add(
        &mut self,
        points: &[[f32; 2]],
        covariances: &[[f64; 3]],
        truth: &[[f32; 2]],
        weights: Option<&[f32]>,
        visible: Option<&[bool]>,
        length: f64,
    ) -> Result<()> {
        for (what, got) in
            [("points", points.len()), ("covariances", covariances.len()), ("truth", truth.len())]
        {
            ensure!(got == self.keypoints, "{what}: expected {} keypoints, got {got}", self.keypoints);
        }
        ensure!(length > 0.0 && length.is_finite(), "length: expected a positive number, got {length}");
        let features = features(points, covariances, self.ends.as_ref(), self.threshold);
        let counts = |k: &usize| {
            weights.is_none_or(|w| w.get(*k).is_some_and(|w| *w > 0.0))
                && truth[*k].iter().all(|v| v.is_finite())
        };
        let of = |outcome: &dyn Fn(usize) -> bool| -> Vec<Example> {
            let example = |k: usize| Example { keypoint: k, features: features[k], outcome: outcome(k) };
            (0..self.keypoints).filter(counts).map(example).collect()
        };
        let near = |k: usize| {
            let [dx, dy] = [0, 1].map(|axis| f64::from(points[k][axis]) - f64::from(truth[k][axis]));
            dx.hypot(dy) <= self.threshold * length
        };
        self.accurate.push(of(&near));
        if let Some(visible) = visible {
            self.occluded.push(of(&|k| !visible.get(k).copied().unwrap_or(true)));
        }
        Ok(())
    }

    /// The model that fits all faces.
    ///
    /// # Errors
    /// When fewer than thirty landmarks lie within the threshold, or beyond it.
    pub fn fit(&self, normalizer: &str, fitted_on: &str) -> Result<ConfidenceModel> {
        self.fit_some(normalizer, fitted_on, |_| true)
    }

    /// Confidence and outcome of every landmark under a model that was fitted without its face: in `folds` turns, each of them without
    /// every `folds`-th face.
    ///
    /// # Errors
    /// As [`Examples::fit`], and when there are fewer faces than folds.
    pub fn cross_validate(&self, folds: usize) -> Result<Vec<(f64, bool)>> {
        ensure!(folds > 1 && self.faces() >= folds, "expected at least {folds} faces, got {}", self.faces());
        let mut found = Vec::new();
        for fold in 0..folds {
            let model = self.fit_some("", "", |face| face % folds != fold)?;
            for example in self.accurate.iter().skip(fold).step_by(folds).flatten() {
                let probability = model.accurate.probability(example.keypoint, &example.features);
                found.push((probability, example.outcome));
            }
        }
        Ok(found)
    }

    fn fit_some(
        &self,
        normalizer: &str,
        fitted_on: &str,
        keep: impl Fn(usize) -> bool,
    ) -> Result<ConfidenceModel> {
        let chosen = |faces: &[Vec<Example>]| -> Vec<Example> {
            let kept = faces.iter().enumerate().filter(|(i, _)| keep(*i));
            kept.flat_map(|(_, face)| face.iter().copied()).collect()
        };
        let accurate = chosen(&self.accurate);
        let hits = accurate.iter().filter(|example| example.outcome).count();
        let misses = accurate.len() - hits;
        ensure!(
            hits >= LEAST && misses >= LEAST,
            "expected at least {LEAST} landmarks within {} of the normalizer and as many beyond it, got {hits} and {misses}: \
             take more images, or another threshold",
            self.threshold
        );
        let occluded = chosen(&self.occluded);
        let hidden = occluded.iter().filter(|example| example.outcome).count();
        let taught = hidden >= LEAST && occluded.len() - hidden >= LEAST;
        Ok(ConfidenceModel {
            threshold: self.threshold,
            normalizer: normalizer.to_string(),
            ends: self.ends.clone(),
            fitted_on: fitted_on.to_string(),
            accurate: Logistic::fit(self.keypoints, &accurate)?,
            occluded: if taught { Some(Logistic::fit(self.keypoints, &occluded)?) } else { None },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Faces of four landmarks whose deviations run from 0.5 to 8 pixels and whose errors are as large as these say.
    fn examples(count: usize, visible: bool) -> Examples {
        let truth = [[20.0, 0.0], [80.0, 0.0], [0.0, 50.0], [100.0, 100.0]];
        let mut examples = Examples::new(4, 0.05, Some([vec![0], vec![1]])).unwrap();
        for i in 0..count {
            let deviation = 0.5 * 1.4f64.powi((i % 9) as i32);
            // Rayleigh errors: the quantiles of a Gaussian in the plane.
            let radius = |k: usize| {
                let share = ((i / 9 * 4 + k) % 40) as f64 / 40.0 + 0.0125;
                (deviation * (-2.0 * (1.0 - share).ln()).sqrt()) as f32
            };
            let mut points = truth;
            points.iter_mut().enumerate().for_each(|(k, p)| p[1] += radius(k));
            let covariances = [[deviation * deviation, 0.0, deviation * deviation]; 4];
            let seen = [deviation < 3.0; 4];
            let seen = visible.then_some(seen.as_slice());
            examples.add(&points, &covariances, &truth, None, seen, 60.0).unwrap();
        }
        examples
    }

    #[test]
    fn confidence_is_the_share_of_small_errors() {
        let examples = examples(360, false);
        let held_out = examples.cross_validate(5).unwrap();
        assert_eq!(held_out.len(), 4 * 360);
        for low in [0.0, 0.2, 0.4, 0.6, 0.8] {
            let bin: Vec<_> = held_out.iter().filter(|(p, _)| (low..low + 0.2).contains(p)).collect();
            if bin.len() < 100 {
                continue;
            }
            let mean = bin.iter().map(|(p, _)| p).sum::<f64>() / bin.len() as f64;
            let hits = bin.iter().filter(|(_, hit)| *hit).count() as f64 / bin.len() as f64;
            assert!((mean - hits).abs() < 0.1, "{mean} {hits}");
        }
        let model = examples.fit("inter-ocular", "a test").unwrap();
        let points = [[20.0, 0.0], [80.0, 0.0], [0.0, 50.0], [100.0, 100.0]];
        let sure = model.confidence(&points, &[[0.25, 0.0, 0.25]; 4]);
        let unsure = model.confidence(&points, &[[36.0, 0.0, 36.0]; 4]);
        assert!(sure.iter().all(|p| *p > 0.95) && unsure.iter().all(|p| *p < 0.4), "{sure:?} {unsure:?}");
        assert_eq!(model.occlusion(&points, &[[1.0, 0.0, 1.0]; 4]), None);
    }

    #[test]
    fn what_is_hidden_is_learnt_where_the_data_say_it_and_nothing_from_a_handful() {
        let model = examples(360, true).fit("inter-ocular", "a test").unwrap();
        let points = [[20.0, 0.0], [80.0, 0.0], [0.0, 50.0], [100.0, 100.0]];
        let hidden = |variance| model.occlusion(&points, &[[variance, 0.0, variance]; 4]).unwrap()[0];
        assert!(hidden(0.3) < 0.1 && hidden(40.0) > 0.9);
        let message = examples(9, false).fit("", "").unwrap_err().to_string();
        assert!(message.contains("at least 30 landmarks"), "{message}");
    }
}
