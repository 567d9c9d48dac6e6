//! The losses beside STAR: arithmetic by hand, gradients by central differences, and what every loss does with targets that are not finite.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use candle_core::{D, DType, Device, Tensor, Var};
use star_loss::losses::{
    AnisotropicDirectionLoss, AwingMapLoss, DsntLoss, Edge, MseMapLoss, SoftArgmaxLoss, gaussian_targets,
};
use star_loss::{
    Activation, AwingConfig, Distance, Grid, HeatmapLoss, Reduction, StarLoss, StarLossConfig, awing, moments,
};

const EXACT: f64 = 1e-12;
/// Of the largest entry of the gradient.
const CENTRAL_DIFFERENCE: f64 = 1e-6;
const STEP: f64 = 1e-6;

fn every_loss() -> Vec<(String, Box<dyn HeatmapLoss>)> {
    let mut losses: Vec<(String, Box<dyn HeatmapLoss>)> = vec![
        ("star".into(), Box::new(StarLoss::new(StarLossConfig::default()).unwrap())),
        ("dsnt".into(), Box::new(DsntLoss::default())),
        ("mse".into(), Box::new(MseMapLoss::new(1.1).unwrap())),
        ("awing".into(), Box::new(AwingMapLoss::default())),
    ];
    for distance in [Distance::L1, Distance::L2, Distance::smooth_l1(), Distance::wing()] {
        losses.push((format!("{distance:?}"), Box::new(SoftArgmaxLoss::new(distance).unwrap())));
    }
    let edges = vec![Edge { keypoints: vec![0, 1, 2], closed: false }];
    losses
        .push(("adl".into(), Box::new(AnisotropicDirectionLoss::new(edges, Distance::smooth_l1()).unwrap())));
    losses
}

fn maps() -> Tensor {
    let values: Vec<f64> = (0..4 * 30).map(|i| (1.7 * i as f64).sin().powi(2) + 0.05).collect();
    Tensor::from_vec(values, (1, 4, 5, 6), &Device::Cpu).unwrap()
}

fn points(values: &[[f64; 2]]) -> Tensor {
    Tensor::from_vec(values.concat(), (1, values.len(), 2), &Device::Cpu).unwrap()
}

fn doubles(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

const TARGETS: [[f64; 2]; 4] = [[-0.6, 0.1], [0.1, 0.31], [0.7, -0.2], [0.2, 0.9]];

#[test]
fn every_loss_has_its_own_gradient() {
    let targets = points(&TARGETS);
    for (name, loss) in every_loss() {
        let value = |maps: &Tensor| loss.loss(maps, &targets, None, Reduction::Mean).unwrap();
        let variable = Var::from_tensor(&maps()).unwrap();
        let ours = doubles(value(&variable).backward().unwrap().get(&variable).unwrap());
        let size = ours.iter().fold(0.0f64, |m, g| m.max(g.abs()));
        let flat = doubles(&maps());
        // ADL's ratio of variances is outside its graph, so its difference quotient is taken with that of the unmoved map.
        if name == "adl" {
            continue;
        }
        for i in 0..flat.len() {
            let shifted = |by: f64| {
                let mut flat = flat.clone();
                flat[i] += by;
                doubles(&value(&Tensor::from_vec(flat, (1, 4, 5, 6), &Device::Cpu).unwrap()))[0]
            };
            let difference = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP);
            assert!(
                (ours[i] - difference).abs() <= CENTRAL_DIFFERENCE * size,
                "{name} {i}: {} against {difference}",
                ours[i]
            );
        }
    }
}

#[test]
fn a_target_that_is_not_finite_changes_no_loss_under_weight_zero() {
    let mut broken = TARGETS;
    broken[3] = [f64::NAN, f64::INFINITY];
    let weights = Tensor::new(&[[1.0, 2.0, 0.5, 0.0]], &Device::Cpu).unwrap();
    for (name, loss) in every_loss() {
        let run = |targets: &[[f64; 2]; 4]| {
            let maps = Var::from_tensor(&maps()).unwrap();
            let loss = loss.loss(&maps, &points(targets), Some(&weights), Reduction::Mean).unwrap();
            (doubles(&loss), doubles(loss.backward().unwrap().get(&maps).unwrap()))
        };
        let (value, gradient) = run(&broken);
        assert_eq!((value, gradient.clone()), run(&TARGETS), "{name}");
        assert!(gradient[90..].iter().all(|g| *g == 0.0), "{name}");
        assert!(doubles(&loss.per_keypoint(&maps(), &points(&broken)).unwrap())[3].is_nan(), "{name}");
    }
}

#[test]
fn every_loss_takes_half_precision_and_empty_maps() {
    for (name, loss) in every_loss() {
        for dtype in [DType::F16, DType::BF16, DType::F32] {
            let maps = Var::from_tensor(&Tensor::zeros((1, 4, 5, 6), dtype, &Device::Cpu).unwrap()).unwrap();
            let value = loss.loss(&maps, &points(&TARGETS), None, Reduction::Sum).unwrap();
            let grads = value.backward().unwrap();
            let gradient = grads.get(&maps).unwrap();
            assert_eq!(gradient.dtype(), dtype);
            assert!(
                doubles(&value).iter().chain(&doubles(gradient)).all(|v| v.is_finite()),
                "{name} {dtype:?}"
            );
        }
    }
}

#[test]
fn regression_takes_the_distance_of_the_norm_of_the_residual() {
    // The mean of a symmetric map is (0, 0); the residual is (0.3, -0.4) with norm 0.5.
    let map = Tensor::ones((1, 1, 3, 5), DType::F64, &Device::Cpu).unwrap();
    let target = points(&[[0.3, -0.4]]);
    let expected = [
        (Distance::L1, 0.5),
        (Distance::L2, 0.25),
        (Distance::smooth_l1(), 0.5 - 0.005),
        // 0.5 - (0.01 - 0.01 ln(1 + 0.005))
        (Distance::wing(), 0.5 - (0.01 - 0.01 * 1.005f64.ln())),
    ];
    for (distance, expected) in expected {
        let loss = SoftArgmaxLoss::new(distance).unwrap();
        assert!(
            (doubles(&loss.per_keypoint(&map, &target).unwrap())[0] - expected).abs() < EXACT,
            "{distance:?}"
        );
    }
}

#[test]
fn the_dsnt_loss_of_a_gaussian_at_its_target_is_the_floor_of_the_norm() {
    let grid = Grid::PixelCentres;
    let target = points(&[[grid.coordinate(10.0, 21), grid.coordinate(8.0, 17)]]);
    let map = gaussian_targets(&target, (17, 21), grid, 1.0).unwrap();
    let loss = DsntLoss::default().with_activation(Activation::NonNegative).unwrap();
    let ours = doubles(&loss.per_keypoint(&map, &target).unwrap())[0];
    assert!((ours - 1e-3).abs() < 1e-9, "{ours}");
    // Two distributions that do not meet are ln 2 apart.
    let far = Tensor::zeros((1, 1, 17, 21), DType::F64, &Device::Cpu).unwrap();
    let one = Tensor::ones((1, 1, 1, 1), DType::F64, &Device::Cpu).unwrap();
    let far = far.slice_assign(&[0..1, 0..1, 0..1, 0..1], &one).unwrap();
    let ours = doubles(&loss.per_keypoint(&far, &target).unwrap())[0];
    let norm = ((20.0f64 / 21.0).powi(2) + (16.0f64 / 17.0).powi(2)).sqrt();
    assert!((ours - norm - 2f64.ln()).abs() < 1e-9, "{ours}");
}

#[test]
fn a_bump_is_one_at_its_target_and_its_map_losses_are_zero() {
    let target = points(&[[Grid::CornerAligned.coordinate(3.0, 9), Grid::CornerAligned.coordinate(2.0, 7)]]);
    let bump = gaussian_targets(&target, (7, 9), Grid::CornerAligned, 2.0).unwrap();
    let flat = doubles(&bump);
    assert!((flat[2 * 9 + 3] - 1.0).abs() < EXACT);
    // One pixel to the right: exp(-1 / (2 * 2^2)).
    assert!((flat[2 * 9 + 4] - (-1.0 / 8.0f64).exp()).abs() < EXACT);
    assert!(doubles(&MseMapLoss::default().per_keypoint(&bump, &target).unwrap())[0] < EXACT);
    let awing_map = AwingMapLoss::new(2.0, AwingConfig::default()).unwrap();
    assert!(doubles(&awing_map.per_keypoint(&bump, &target).unwrap())[0] < EXACT);
    // The mean over keypoints is the loss over maps.
    let shifted = bump.affine(0.5, 0.1).unwrap();
    let ours = awing_map.per_keypoint(&shifted, &target).unwrap();
    let whole = awing(&shifted, &bump, &AwingConfig::default()).unwrap();
    assert!((doubles(&ours)[0] - doubles(&whole)[0]).abs() < EXACT);
}

/// A map with variances 4 along x and 1 along y around the middle.
fn wide_map() -> Tensor {
    let value = |i: usize| {
        let (x, y) = ((i % 31) as f64 - 15.0, (i / 31) as f64 - 15.0);
        (-x * x / 8.0 - y * y / 2.0).exp()
    };
    Tensor::from_vec((0..31 * 31).map(value).collect::<Vec<f64>>(), (1, 1, 31, 31), &Device::Cpu).unwrap()
}

#[test]
fn adl_weighs_across_and_along_the_edge_by_the_ratio_of_variances() {
    // A straight edge along x: the normal is y, the ratio 4, the weights 8/5 across and 2/5 along.
    let maps = wide_map().repeat((1, 3, 1, 1)).unwrap();
    let edges = vec![Edge { keypoints: vec![0, 1, 2], closed: false }];
    let loss = AnisotropicDirectionLoss::new(edges, Distance::L2).unwrap();
    let targets = points(&[[-0.5, 0.1], [0.2, 0.1], [0.4, 0.1]]);
    let losses = doubles(&loss.per_keypoint(&maps, &targets).unwrap());
    for (ours, x) in losses.iter().zip([-0.5f64, 0.2, 0.4]) {
        let expected = 1.6 * 0.01 + 0.4 * x * x;
        assert!((ours - expected).abs() < 1e-6, "{ours} against {expected}");
    }
    // Off every edge the norm is plain.
    let free = AnisotropicDirectionLoss::new(vec![], Distance::L2).unwrap();
    let losses = doubles(&free.per_keypoint(&maps, &targets).unwrap());
    assert!((losses[0] - (0.25 + 0.01)).abs() < EXACT);
}

#[test]
fn adl_takes_the_bisector_of_a_bent_edge_for_its_normal() {
    // Neighbours at (1, 1) and (1, -1) from the middle keypoint: the normal is x, across which the wide map varies most, so the
    // ratio is at least 1 and the clamp leaves weights of 1.
    let maps = wide_map().repeat((1, 3, 1, 1)).unwrap();
    let edges = vec![Edge { keypoints: vec![0, 1, 2], closed: false }];
    let loss = AnisotropicDirectionLoss::new(edges, Distance::L2).unwrap();
    let targets = points(&[[0.5, 0.6], [-0.1, 0.0], [0.5, -0.6]]);
    let losses = doubles(&loss.per_keypoint(&maps, &targets).unwrap());
    assert!((losses[1] - 0.01).abs() < EXACT, "{}", losses[1]);
    // Rotated by 90 degrees the normal is y and the ratio 4: 8/5 across.
    let targets = points(&[[0.6, 0.5], [0.0, -0.1], [-0.6, 0.5]]);
    let losses = doubles(&loss.per_keypoint(&maps, &targets).unwrap());
    assert!((losses[1] - 0.016).abs() < 1e-6, "{}", losses[1]);
    // An edge that names a keypoint the maps do not have is refused by name.
    let wrong =
        AnisotropicDirectionLoss::new(vec![Edge { keypoints: vec![0, 7], closed: true }], Distance::L2);
    let error = wrong.unwrap().per_keypoint(&maps, &targets).unwrap_err().to_string();
    assert!(error.contains("expected keypoints below 3, got 7"), "{error}");
}

#[test]
fn the_parts_of_a_loss_add_up_to_it() {
    let (maps, targets) = (maps(), points(&TARGETS));
    let edges = vec![Edge { keypoints: vec![0, 1, 2, 3], closed: true }];
    let adl = AnisotropicDirectionLoss::new(edges, Distance::smooth_l1()).unwrap();
    let star = StarLoss::new(StarLossConfig::default()).unwrap();
    let losses: [Box<dyn HeatmapLoss>; 3] =
        [Box::new(adl), Box::new(star), Box::new(SoftArgmaxLoss::default())];
    for (loss, has_restriction) in losses.iter().zip([false, true, false]) {
        let parts = loss.parts(&maps, &maps, &targets).unwrap();
        assert_eq!(parts.restriction.is_some(), has_restriction);
        let sum = match parts.restriction {
            Some(restriction) => (parts.distance + restriction).unwrap(),
            None => parts.distance,
        };
        assert_eq!(doubles(&sum), doubles(&loss.per_keypoint(&maps, &targets).unwrap()));
    }
}

#[test]
fn adl_has_the_gradient_of_its_weights_held_fixed() {
    let edges = vec![Edge { keypoints: vec![0, 1, 2, 3], closed: true }];
    let loss = AnisotropicDirectionLoss::new(edges, Distance::smooth_l1()).unwrap();
    let (guide, targets) = (maps(), points(&TARGETS));
    let value = |maps: &Tensor| loss.parts(maps, &guide, &targets).unwrap().distance.mean_all().unwrap();
    let variable = Var::from_tensor(&maps()).unwrap();
    let ours = doubles(value(&variable).backward().unwrap().get(&variable).unwrap());
    let (flat, size) = (doubles(&maps()), ours.iter().fold(0.0f64, |m, g| m.max(g.abs())));
    for i in 0..flat.len() {
        let shifted = |by: f64| {
            let mut flat = flat.clone();
            flat[i] += by;
            doubles(&value(&Tensor::from_vec(flat, (1, 4, 5, 6), &Device::Cpu).unwrap()))[0]
        };
        let difference = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP);
        assert!(
            (ours[i] - difference).abs() <= CENTRAL_DIFFERENCE * size,
            "{i}: {} against {difference}",
            ours[i]
        );
    }
}

#[test]
fn the_loss_on_moments_is_that_by_hand() {
    // Variances exp(-4) along x and exp(-6) along y, a residual of 0.1 along x: (0.1 - 0.005) / sqrt(exp(-4) + 1e-5).
    let factors = Tensor::new(&[[[-2.0, 0.0, -3.0]]], &Device::Cpu).unwrap();
    let covariances = moments::covariance_from_cholesky(&factors).unwrap();
    let loss = StarLoss::new(StarLossConfig::default()).unwrap();
    let terms = loss.forward_moments(&points(&[[0.0, 0.0]]), &covariances, &points(&[[0.1, 0.0]])).unwrap();
    let distance = 0.095 / ((-4f64).exp() + 1e-5).sqrt();
    assert!((doubles(&terms.distance)[0] - distance).abs() < EXACT * distance);
    assert!((doubles(&terms.restriction)[0] - (-4f64).exp() - (-6f64).exp()).abs() < EXACT);
    assert_eq!(doubles(&terms.means), [0.0, 0.0]);
}

#[test]
fn a_cholesky_head_trains_through_the_same_loss() {
    // L = [[e^0, 0], [2, e^0]]: L L^T = [[1, 2], [2, 5]].
    let factors = Tensor::new(&[[[0.0, 2.0, 0.0]]], &Device::Cpu).unwrap();
    let covariance = moments::covariance_from_cholesky(&factors).unwrap();
    assert_eq!(doubles(&covariance), [1.0, 2.0, 2.0, 5.0]);
    let factors = Var::from_tensor(&Tensor::new(&[[[-2.0, 0.1, -3.0]]], &Device::Cpu).unwrap()).unwrap();
    let means = Var::from_tensor(&points(&[[0.0, 0.1]])).unwrap();
    let loss = StarLoss::new(StarLossConfig::default()).unwrap();
    let mut values = Vec::new();
    for _ in 0..50 {
        let covariances = moments::covariance_from_cholesky(&factors).unwrap();
        let value = loss.forward_moments(&means, &covariances, &points(&[[0.2, 0.0]])).unwrap();
        let value = value.reduce(None, Reduction::Mean).unwrap();
        let grads = value.backward().unwrap();
        for variable in [&factors, &means] {
            let step = grads.get(variable).unwrap().affine(-1e-3, 0.0).unwrap();
            variable.set(&(variable.as_tensor() + step).unwrap()).unwrap();
        }
        values.push(doubles(&value)[0]);
    }
    assert!(values[49] < 0.5 * values[0], "{values:?}");
    let misses = (means.as_tensor() - points(&[[0.2, 0.0]])).unwrap().sqr().unwrap().sum(D::Minus1).unwrap();
    assert!(doubles(&misses)[0] < 0.05);
}
