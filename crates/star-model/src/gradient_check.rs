//! Central differences in f64, for the tests of every op that is trained through.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use candle_core::{Device, Result, Tensor, Var};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

/// Half the distance between the two points of a difference.
const STEP: f64 = 1e-5;

/// Absolute plus relative disagreement allowed between a gradient and its central difference.
const TOLERANCE: f64 = 1e-6;

/// Standard normal values in f64, the same for the same seed.
pub(crate) fn noise(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| StandardNormal.sample(&mut rng)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Largest absolute difference at most `tolerance`.
pub(crate) fn assert_close(a: &Tensor, b: &Tensor, tolerance: f64) {
    assert_eq!(a.shape(), b.shape());
    let worst =
        (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap();
    assert!(worst <= tolerance, "largest difference {worst:e}, allowed {tolerance:e}");
}

/// Checks `d sum(r * f) / d v` for a fixed random `r` against central differences, for every element of `vars`.
pub(crate) fn check_gradients(vars: &[Var], f: impl Fn() -> Result<Tensor>) {
    let y = f().unwrap();
    let weights = noise(y.dims(), 99);
    let loss = || (f().unwrap() * &weights).unwrap().sum_all().unwrap();
    let gradients = loss().backward().unwrap();
    for (v, var) in vars.iter().enumerate() {
        let analytic: Vec<f64> = gradients.get(var).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let values: Vec<f64> = var.flatten_all().unwrap().to_vec1().unwrap();
        for (i, &gradient) in analytic.iter().enumerate() {
            let at = |shift: f64| {
                let mut moved = values.clone();
                moved[i] += shift;
                var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap()).unwrap();
                loss().to_scalar::<f64>().unwrap()
            };
            let numeric = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            at(0.0);
            let allowed = TOLERANCE * (1.0 + numeric.abs());
            assert!(
                (gradient - numeric).abs() <= allowed,
                "variable {v} element {i}: {gradient} against {numeric}"
            );
        }
    }
}
