//! Gradients against central differences in f64, and their behaviour where the reference has none.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use candle_core::{D, DType, Device, Tensor, Var};
use star_loss::{Distance, Form, Reduction, Restriction, StarLoss, StarLossConfig, eigen2};

/// Of the largest entry of the gradient.
const CENTRAL_DIFFERENCE: f64 = 1e-6;
const STEP: f64 = 1e-6;

const FORMS: [Form; 2] = [Form::PerAxis, Form::Whitened];
const DISTANCES: [Distance; 4] = [Distance::L1, Distance::L2, Distance::smooth_l1(), Distance::wing()];
const RESTRICTIONS: [Restriction; 3] =
    [Restriction::Value { weight: 0.7 }, Restriction::Value { weight: 0.0 }, Restriction::None];

fn every_config() -> impl Iterator<Item = StarLossConfig> {
    let pairs = FORMS.into_iter().flat_map(|form| DISTANCES.into_iter().map(move |d| (form, d)));
    pairs.flat_map(|(form, distance)| {
        RESTRICTIONS.into_iter().chain([Restriction::Detach]).map(move |restriction| StarLossConfig {
            form,
            distance,
            restriction,
            ..Default::default()
        })
    })
}

/// A lumpy positive map, another for each seed.
fn lumps(seed: usize, shape: (usize, usize, usize, usize)) -> Tensor {
    let n = shape.0 * shape.1 * shape.2 * shape.3;
    let values: Vec<f64> = (0..n).map(|i| (1.3 * (i + 97 * seed) as f64).sin().powi(4) + 0.01).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn targets(values: &[f64], keypoints: usize) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap().reshape((1, keypoints, 2)).unwrap()
}

fn loss(config: &StarLossConfig, heatmaps: &Tensor, targets: &Tensor) -> Tensor {
    let terms = StarLoss::new(config.clone()).unwrap().forward(heatmaps, targets).unwrap();
    terms.reduce(None, Reduction::Mean).unwrap()
}

fn gradient(loss: &Tensor, of: &Var) -> Vec<f64> {
    let grads = loss.backward().unwrap();
    let gradient = grads.get(of).unwrap().to_dtype(DType::F64).unwrap();
    gradient.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_central_differences(name: &str, at: &Tensor, f: impl Fn(&Tensor) -> Tensor) {
    let variable = Var::from_tensor(at).unwrap();
    let ours = gradient(&f(&variable), &variable);
    let flat: Vec<f64> = at.flatten_all().unwrap().to_vec1().unwrap();
    let size = ours.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    for i in 0..flat.len() {
        let shifted = |by: f64| -> f64 {
            let mut flat = flat.clone();
            flat[i] += by;
            f(&Tensor::from_vec(flat, at.shape(), &Device::Cpu).unwrap()).to_scalar().unwrap()
        };
        let difference = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP);
        let error = (ours[i] - difference).abs();
        assert!(error <= CENTRAL_DIFFERENCE * size, "{name}, entry {i}: {} against {difference}", ours[i]);
    }
}

#[test]
fn every_setting_has_the_gradient_of_its_own_loss() {
    let maps = lumps(1, (1, 2, 5, 4));
    let targets = targets(&[0.31, -0.12, -0.4, 0.9], 2);
    for config in every_config().filter(|c| c.restriction != Restriction::Detach) {
        assert_central_differences(&format!("{config:?}"), &maps, |maps| loss(&config, maps, &targets));
    }
}

#[test]
fn detach_has_the_gradient_of_a_loss_with_a_frozen_scale() {
    // Value{0} minus the gradient through the scale is what Detach leaves; along the residual both agree.
    let maps = lumps(2, (1, 1, 4, 5));
    let at = targets(&[0.2, 0.35], 1);
    for form in FORMS {
        let config = StarLossConfig { form, restriction: Restriction::Detach, ..Default::default() };
        let free = StarLossConfig { restriction: Restriction::None, ..config.clone() };
        assert_eq!(
            loss(&config, &maps, &at).to_scalar::<f64>().unwrap(),
            loss(&free, &maps, &at).to_scalar::<f64>().unwrap()
        );
        assert_central_differences("targets", &at, |at| loss(&config, &maps, at));
        let maps = Var::from_tensor(&maps).unwrap();
        let frozen = gradient(&loss(&config, &maps, &at), &maps);
        assert_ne!(frozen, gradient(&loss(&free, &maps, &at), &maps), "{form:?}");
    }
}

#[test]
fn eigenvalues_and_eigenvectors_have_their_own_gradient() {
    let matrices =
        Tensor::new(&[[0.3, 0.1, 0.1, 0.2], [1.0, -0.4, -0.4, 1.5], [2.0, 1e-3, 1e-3, 0.5]], &Device::Cpu)
            .unwrap()
            .reshape((3, 2, 2))
            .unwrap();
    let weights = Tensor::new(&[0.3, -1.2, 0.7, 0.9], &Device::Cpu).unwrap().reshape((2, 2)).unwrap();
    assert_central_differences("values", &matrices, |m| {
        let values = eigen2::sym_eigen2(m).unwrap().values;
        values.broadcast_mul(&weights.narrow(0, 0, 1).unwrap()).unwrap().sum_all().unwrap()
    });
    assert_central_differences("vectors", &matrices, |m| {
        let vectors = eigen2::sym_eigen2(m).unwrap().vectors;
        vectors.broadcast_mul(&weights).unwrap().sum_all().unwrap()
    });
}

#[test]
fn the_decomposition_multiplies_back_to_the_matrix() {
    let entries: [[f64; 3]; 6] = [
        [0.3, 0.1, 0.2],
        [2.0, -0.7, 2.0],
        [0.0, 0.0, 0.0],
        [1.0, 0.0, 1.0],
        [0.5, 0.0, 3.0],
        [1e-9, 1e-9, 1e-9],
    ];
    for [a, b, c] in entries {
        let m = Tensor::new(&[[a, b], [b, c]], &Device::Cpu).unwrap();
        let e = eigen2::sym_eigen2(&m).unwrap();
        let scaled = e.vectors.broadcast_mul(&e.values.unsqueeze(0).unwrap()).unwrap();
        let back = scaled.matmul(&e.vectors.t().unwrap()).unwrap();
        let error = (back - &m).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(error <= 1e-15 * (a.abs() + c.abs()), "[{a}, {b}, {c}]: off by {error:e}");
        let unit = e.vectors.sqr().unwrap().sum(0).unwrap().to_vec1::<f64>().unwrap();
        assert!(unit.iter().all(|n| (n - 1.0).abs() < 1e-15));
        let values: Vec<f64> = e.values.to_vec1().unwrap();
        assert!(values[0] <= values[1]);
    }
}

/// All-zero, uniform, one-hot, one row, one column, one pixel, isotropic, huge, tiny and subnormal maps.
fn degenerate() -> Vec<(&'static str, Tensor)> {
    let zeros = Tensor::zeros((1, 1, 7, 7), DType::F64, &Device::Cpu).unwrap();
    let grid = |f: &dyn Fn(f64, f64) -> f64| {
        let values: Vec<f64> = (0..49).map(|i| f((i % 7) as f64 - 3.0, (i / 7) as f64 - 3.0)).collect();
        Tensor::from_vec(values, (1, 1, 7, 7), &Device::Cpu).unwrap()
    };
    let lumps = lumps(3, (1, 1, 7, 7));
    vec![
        ("zero", zeros.clone()),
        ("uniform", (&zeros + 0.3).unwrap()),
        ("one-hot", grid(&|x, y| if (x, y) == (2.0, -3.0) { 1.0 } else { 0.0 })),
        ("one-hot of 1e-3", grid(&|x, y| if (x, y) == (0.0, 0.0) { 1e-3 } else { 0.0 })),
        ("two pixels", grid(&|x, y| if x == y && x.abs() == 3.0 { 1.0 } else { 0.0 })),
        ("row of a map", grid(&|_, y| if y == 1.0 { 1.0 } else { 0.0 })),
        ("one row", lumps.narrow(2, 0, 1).unwrap()),
        ("one column", lumps.narrow(3, 0, 1).unwrap()),
        ("one pixel", lumps.narrow(2, 0, 1).unwrap().narrow(3, 0, 1).unwrap()),
        ("isotropic", grid(&|x, y| (-(x * x + y * y) / 3.0).exp())),
        ("huge", (&lumps * 3e38).unwrap()),
        ("below the mass floor", (&lumps * 1e-8).unwrap()),
        ("tiny", (&lumps * 1e-30).unwrap()),
        ("subnormal", (&lumps * 1e-40).unwrap()),
    ]
}

#[test]
fn every_degenerate_map_has_a_finite_loss_and_gradient() {
    for (name, map) in degenerate() {
        for dtype in [DType::F64, DType::F32] {
            let map = Var::from_tensor(&map.to_dtype(dtype).unwrap()).unwrap();
            for target in [[0.0, 0.0], [0.3, -0.6], [1.5, 3.0]] {
                for config in every_config() {
                    let loss = loss(&config, &map, &targets(&target, 1));
                    let value = loss.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap();
                    assert!(value.is_finite(), "{name}, {dtype:?}, {config:?}: loss {value}");
                    let gradient = gradient(&loss, &map);
                    assert!(
                        gradient.iter().all(|g| g.is_finite()),
                        "{name}, {dtype:?}, {config:?}: {gradient:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_round_map_has_the_l2_gradient_of_its_neighbours() {
    // The per-axis L2 loss does not depend on the axes of an isotropic covariance, so its gradient there is a plain limit.
    let config = StarLossConfig { distance: Distance::L2, ..Default::default() };
    let means = targets(&[0.1, 0.2], 1);
    let at = targets(&[0.35, 0.05], 1);
    let loss = StarLoss::new(config).unwrap();
    let loss = |covariances: &Tensor| {
        let terms = loss.forward_moments(&means, &covariances.reshape((1, 1, 2, 2)).unwrap(), &at).unwrap();
        terms.reduce(None, Reduction::Mean).unwrap()
    };
    let isotropic = Tensor::new(&[0.04, 0.0, 0.0, 0.04], &Device::Cpu).unwrap();
    assert_central_differences("isotropic covariance", &isotropic, loss);
}

#[test]
fn a_nan_target_of_weight_zero_changes_neither_value_nor_gradient() {
    let maps = lumps(4, (1, 3, 5, 6));
    let good = targets(&[0.1, 0.2, 0.0, 0.0, -0.3, 0.4], 3);
    let broken = targets(&[0.1, 0.2, f64::NAN, 0.0, -0.3, 0.4], 3);
    let weights = Tensor::new(&[[2.0, 0.0, 0.5]], &Device::Cpu).unwrap();
    for config in every_config() {
        let run = |targets: &Tensor| {
            let maps = Var::from_tensor(&maps).unwrap();
            let terms = StarLoss::new(config.clone()).unwrap().forward(&maps, targets).unwrap();
            let loss = terms.reduce(Some(&weights), Reduction::Mean).unwrap();
            (loss.to_scalar::<f64>().unwrap(), gradient(&loss, &maps))
        };
        let (loss, gradient) = run(&broken);
        assert_eq!((loss, gradient.clone()), run(&good));
        assert!(gradient[30..60].iter().all(|g| *g == 0.0));
        assert!(gradient[..30].iter().any(|g| *g != 0.0));
    }
    let unweighted = loss(&StarLossConfig::default(), &maps, &broken);
    assert!(unweighted.to_scalar::<f64>().unwrap().is_nan());
}

#[test]
fn all_zero_weights_give_a_loss_of_zero() {
    let terms = StarLoss::new(StarLossConfig::default())
        .unwrap()
        .forward(&lumps(5, (1, 2, 4, 4)), &targets(&[0.1; 4], 2))
        .unwrap();
    let weights = Tensor::zeros((1, 2), DType::F64, &Device::Cpu).unwrap();
    for how in [Reduction::Mean, Reduction::Sum] {
        assert_eq!(terms.reduce(Some(&weights), how).unwrap().to_scalar::<f64>().unwrap(), 0.0);
    }
    let sum = (terms.distance + terms.restriction).unwrap().sum(D::Minus1).unwrap();
    assert!(sum.to_vec1::<f64>().unwrap()[0] > 0.0);
}

#[test]
fn half_precision_is_computed_in_f32() {
    let maps = lumps(6, (1, 2, 8, 8));
    let at = targets(&[0.1, 0.2, -0.3, 0.0], 2);
    for dtype in [DType::F16, DType::BF16] {
        let half = Var::from_tensor(&maps.to_dtype(dtype).unwrap()).unwrap();
        let exact = half.to_dtype(DType::F64).unwrap();
        let config = StarLossConfig::default();
        let ours = loss(&config, &half, &at);
        assert_eq!(ours.dtype(), DType::F32);
        let expected = loss(&config, &exact, &at).to_scalar::<f64>().unwrap();
        assert!((f64::from(ours.to_scalar::<f32>().unwrap()) - expected).abs() < 1e-5 * expected);
        assert_eq!(ours.backward().unwrap().get(&half).unwrap().dtype(), dtype);
    }
}
