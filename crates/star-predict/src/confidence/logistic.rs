//! Logistic regression with an offset a keypoint, fitted by Newton's method under a quadratic penalty.

use anyhow::{Context, Result, ensure};
use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::FEATURES;

/// Penalty on the weights of features: as if their standard deviation were 1.
const WEIGHT_PENALTY: f64 = 1.0;
/// Penalty on the offsets of keypoints: one seen a few times alone stays close to the others.
const OFFSET_PENALTY: f64 = 20.0;
/// Penalty on the bias: only so that it stays finite where all examples are alike.
const BIAS_PENALTY: f64 = 1e-3;
/// Steps at most; ten are usual.
const STEPS: usize = 50;
/// Change of a coefficient at which the fit is done.
const CLOSE: f64 = 1e-8;

/// `p = 1 / (1 + exp(-(bias + offset of the keypoint + weights . features)))`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logistic {
    /// What every landmark starts from.
    pub bias: f64,
    /// Weights of the features.
    pub weights: [f64; FEATURES.len()],
    /// What each keypoint adds.
    pub offsets: Vec<f64>,
}

/// One landmark with what became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Example {
    pub(super) keypoint: usize,
    pub(super) features: [f64; FEATURES.len()],
    pub(super) outcome: bool,
}

impl Logistic {
    /// The probability of keypoint `k` with these features.
    #[must_use]
    pub fn probability(&self, k: usize, features: &[f64; FEATURES.len()]) -> f64 {
        let dot: f64 = self.weights.iter().zip(features).map(|(w, x)| w * x).sum();
        sigmoid(self.bias + self.offsets.get(k).copied().unwrap_or(0.0) + dot)
    }

    pub(super) fn validate(&self, name: &str, keypoints: usize) -> Result<()> {
        let got = self.offsets.len();
        ensure!(got == keypoints, "{name}: offsets: expected {keypoints} numbers, got {got}");
        let all = std::iter::once(&self.bias).chain(&self.weights).chain(&self.offsets);
        ensure!(all.into_iter().all(|v| v.is_finite()), "{name}: expected finite numbers");
        Ok(())
    }

    /// The model under which `examples` are most probable, penalties considered.
    ///
    /// # Errors
    /// When the system of a step cannot be solved, which the penalties keep from happening with finite features.
    pub(super) fn fit(keypoints: usize, examples: &[Example]) -> Result<Self> {
        const FIRST: usize = 1 + FEATURES.len();
        let n = FIRST + keypoints;
        let penalty = |i: usize| match i {
            0 => BIAS_PENALTY,
            i if i < FIRST => WEIGHT_PENALTY,
            _ => OFFSET_PENALTY,
        };
        let row = |example: &Example| -> [(usize, f64); FIRST + 1] {
            std::array::from_fn(|i| match i {
                0 => (0, 1.0),
                i if i < FIRST => (i, example.features[i - 1]),
                _ => (FIRST + example.keypoint, 1.0),
            })
        };
        let loss = |at: &DVector<f64>| -> f64 {
            let penalties: f64 = (0..n).map(|i| penalty(i) * at[i] * at[i] / 2.0).sum();
            let costs = examples.iter().map(|example| {
                let z: f64 = row(example).iter().map(|(i, x)| at[*i] * x).sum();
                // log(1 + exp(z)) without overflow, less z where it happened
                z.max(0.0) + (-z.abs()).exp().ln_1p() - if example.outcome { z } else { 0.0 }
            });
            penalties + costs.sum::<f64>()
        };
        let mut at = DVector::zeros(n);
        let mut now = loss(&at);
        for _ in 0..STEPS {
            let mut gradient = DVector::from_fn(n, |i, _| -penalty(i) * at[i]);
            let mut hessian = DMatrix::from_fn(n, n, |i, j| if i == j { penalty(i) } else { 0.0 });
            for example in examples {
                let row = row(example);
                let p = sigmoid(row.iter().map(|(i, x)| at[*i] * x).sum());
                for (i, x) in row {
                    gradient[i] += (f64::from(example.outcome) - p) * x;
                    for (j, y) in row {
                        hessian[(i, j)] += p * (1.0 - p) * x * y;
                    }
                }
            }
            let solved = hessian.cholesky().context("the examples' features are not finite")?;
            let mut step = solved.solve(&gradient);
            let next = loop {
                let next = loss(&(&at + &step));
                if next <= now || step.amax() < CLOSE {
                    break next;
                }
                step /= 2.0;
            };
            at += &step;
            now = next;
            if step.amax() < CLOSE {
                break;
            }
        }
        let offsets = at.rows(FIRST, keypoints).iter().copied().collect();
        Ok(Self { bias: at[0], weights: std::array::from_fn(|i| at[1 + i]), offsets })
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probabilities_that_made_the_examples_are_found_again() {
        let truth = Logistic { bias: 1.0, weights: [-2.0, 0.5, 0.0, -1.0], offsets: vec![0.4, -0.4] };
        // A grid of features; each as often true as its probability of 400 says.
        let mut examples = Vec::new();
        for i in 0..81usize {
            let features = [0, 1, 2, 3].map(|axis| (i / 3usize.pow(axis) % 3) as f64 - 1.0);
            for keypoint in 0..2 {
                let hits = (400.0 * truth.probability(keypoint, &features)).round() as usize;
                examples.extend((0..400).map(|n| Example { keypoint, features, outcome: n < hits }));
            }
        }
        let found = Logistic::fit(2, &examples).unwrap();
        let pairs = found.weights.iter().zip(&truth.weights).chain([(&found.bias, &truth.bias)]);
        for (a, b) in pairs.chain(found.offsets.iter().zip(&truth.offsets)) {
            assert!((a - b).abs() < 0.02, "{found:?}");
        }
    }

    #[test]
    fn examples_that_are_all_alike_give_finite_numbers() {
        let example = Example { keypoint: 0, features: [1.0; 4], outcome: true };
        let found = Logistic::fit(1, &[example; 50]).unwrap();
        found.validate("accurate", 1).unwrap();
        assert!(found.probability(0, &[1.0; 4]) > 0.9);
    }
}
