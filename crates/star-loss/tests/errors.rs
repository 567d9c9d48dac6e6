//! What is refused, and in which words.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use candle_core::{DType, Device, Tensor};
use star_loss::losses::{DsntLoss, MseMapLoss, SoftArgmaxLoss};
use star_loss::{
    Activation, AwingConfig, Distance, Reduction, Restriction, StarLoss, StarLossConfig, awing, eigen2,
    moments, star,
};

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

fn text<T>(result: candle_core::Result<T>) -> String {
    result.err().unwrap().to_string()
}

#[track_caller]
fn assert_error<T>(result: candle_core::Result<T>, words: &str) {
    let text = text(result);
    assert!(text.contains(words), "{text:?} does not hold {words:?}");
}

#[test]
fn shapes_are_named_with_what_was_expected_and_what_came() {
    let maps = zeros(&[2, 3, 4, 5]);
    assert_error(star(&maps, &zeros(&[2, 3])), "targets: expected [2, 3, 2], got [2, 3]");
    assert_error(star(&maps, &zeros(&[2, 4, 2])), "targets: expected [2, 3, 2], got [2, 4, 2]");
    assert_error(star(&zeros(&[3, 4, 5]), &zeros(&[3, 2])), "heatmaps: expected [B, K, H, W], got [3, 4, 5]");
    assert_error(star(&zeros(&[1, 3, 0, 5]), &zeros(&[1, 3, 2])), "heatmaps: expected at least one pixel");
    assert_error(moments::soft_argmax(&zeros(&[5])), "heatmaps: expected [B, K, H, W], got [5]");
    assert_error(moments::covariance_from_cholesky(&zeros(&[2, 4])), "factors: expected [.., 3], got [2, 4]");
    assert_error(eigen2::sym_eigen2(&zeros(&[2, 3])), "matrices: expected [.., 2, 2], got [2, 3]");
    let loss = StarLoss::new(StarLossConfig::default()).unwrap();
    let terms = loss.forward(&maps, &zeros(&[2, 3, 2])).unwrap();
    assert_error(terms.reduce(Some(&zeros(&[3])), Reduction::Mean), "weights: expected [2, 3], got [3]");
    let covariances = zeros(&[2, 3, 2]);
    assert_error(
        loss.forward_moments(&zeros(&[2, 3, 2]), &covariances, &zeros(&[2, 3, 2])),
        "covariances: expected [2, 3, 2, 2], got [2, 3, 2]",
    );
    let into = |gradient: &Tensor| {
        loss.loss_and_gradient_into(&maps, &zeros(&[2, 3, 2]), None, Reduction::Sum, gradient)
    };
    assert_error(into(&zeros(&[2, 3, 4, 4])), "gradient: expected [2, 3, 4, 5] F32, got [2, 3, 4, 4] F32");
    assert!(into(&maps).is_err());
    assert_error(
        awing(&maps, &zeros(&[2, 3, 4, 4]), &AwingConfig::default()),
        "target: expected [2, 3, 4, 5], got [2, 3, 4, 4]",
    );
}

#[test]
fn integer_maps_are_refused() {
    let maps = Tensor::zeros((1, 1, 2, 2), DType::U32, &Device::Cpu).unwrap();
    assert_error(star(&maps, &zeros(&[1, 1, 2])), "heatmaps: expected a float dtype, got U32");
}

#[test]
fn settings_out_of_range_are_named_with_their_value() {
    let with = |change: fn(&mut StarLossConfig)| {
        let mut config = StarLossConfig::default();
        change(&mut config);
        StarLoss::new(config)
    };
    assert_error(with(|c| c.eps = 0.0), "eps: expected a positive finite number, got 0");
    assert_error(with(|c| c.eps = f64::NAN), "eps: expected a positive finite number, got NaN");
    assert_error(
        with(|c| c.distance = Distance::SmoothL1 { scale: -1.0 }),
        "smooth-L1 scale: expected a positive finite number, got -1",
    );
    assert_error(with(|c| c.distance = Distance::Wing { omega: 1.0, epsilon: 0.0 }), "wing epsilon");
    assert_error(
        with(|c| c.restriction = Restriction::Value { weight: f64::INFINITY }),
        "restriction weight",
    );
    let star = StarLoss::new(StarLossConfig::default()).unwrap();
    assert_error(star.with_activation(Activation::Softmax { temperature: 0.0 }), "softmax temperature");
    assert_error(MseMapLoss::new(0.0), "sigma: expected a positive finite number of pixels, got 0");
    assert_error(DsntLoss::new(1.0, -1.0), "dsnt weight: expected a finite number >= 0, got -1");
    assert_error(SoftArgmaxLoss::new(Distance::SmoothL1 { scale: 0.0 }), "smooth-L1 scale");
    let maps = zeros(&[1, 1, 2, 2]);
    assert_error(
        awing(&maps, &maps, &AwingConfig { alpha: 1.0, ..Default::default() }),
        "awing alpha: expected more than 2, got 1",
    );
}

#[test]
fn a_strided_view_of_maps_gives_the_loss_of_its_copy() {
    let maps = Tensor::rand(0f32, 1f32, (3, 2, 5, 4), &Device::Cpu).unwrap();
    let targets = zeros(&[2, 3, 2]);
    let view = maps.transpose(0, 1).unwrap();
    let copy = view.contiguous().unwrap();
    let loss = |maps: &Tensor| star(maps, &targets).unwrap().to_scalar::<f32>().unwrap();
    assert_eq!(loss(&view), loss(&copy));
    // A view that starts inside its storage.
    let tail = maps.narrow(0, 1, 2).unwrap();
    let at = zeros(&[2, 2, 2]);
    assert_eq!(
        star(&tail, &at).unwrap().to_scalar::<f32>().unwrap(),
        star(&tail.force_contiguous().unwrap(), &at).unwrap().to_scalar::<f32>().unwrap()
    );
}
