//! The names that others compile against.

use candle_core::{Result, Tensor};
use star_loss::{
    AwingConfig, Distance, Form, HeatmapLoss, Reduction, Restriction, StarLoss, StarLossConfig, StarTerms,
    SymEigen2,
};

#[test]
fn the_central_signatures_hold() {
    let _: fn(&Tensor, &Tensor) -> Result<Tensor> = star_loss::star;
    let _: fn(StarLossConfig) -> Result<StarLoss> = StarLoss::new;
    let _: fn(&StarLoss, &Tensor, &Tensor) -> Result<StarTerms> = StarLoss::forward;
    let _: fn(&StarLoss, &Tensor, &Tensor, &Tensor) -> Result<StarTerms> = StarLoss::forward_moments;
    let _: fn(&StarTerms, Option<&Tensor>, Reduction) -> Result<Tensor> = StarTerms::reduce;
    let _: fn(&StarLoss, &Tensor, &Tensor) -> Result<Tensor> = HeatmapLoss::per_keypoint;
    let _: fn(&Tensor) -> Result<Tensor> = star_loss::moments::soft_argmax;
    let _: fn(&Tensor) -> Result<Tensor> = star_loss::moments::covariance;
    let _: fn(&Tensor) -> Result<SymEigen2> = star_loss::eigen2::sym_eigen2;
    let _: fn(&Tensor, &Tensor, &AwingConfig) -> Result<Tensor> = star_loss::awing;
}

#[test]
fn the_default_settings_are_those_of_the_reference() {
    let StarLossConfig { form, distance, restriction, eps } = StarLossConfig::default();
    assert_eq!((form, distance, eps), (Form::PerAxis, Distance::SmoothL1 { scale: 0.01 }, 1e-5));
    assert_eq!(restriction, Restriction::Value { weight: 1.0 });
    assert_eq!(Distance::wing(), Distance::Wing { omega: 0.01, epsilon: 2.0 });
    assert_eq!([Distance::l1(), Distance::l2()], [Distance::L1, Distance::L2]);
    assert_ne!(Form::PerAxis, Form::Whitened);
}
