//! Signatures that users compile against.

use candle_core::{Result, Tensor};
use star_loss::{Reduction, StarLoss, StarLossConfig, StarTerms};

#[test]
fn the_central_signatures_hold() {
    let _: fn(&Tensor, &Tensor) -> Result<Tensor> = star_loss::star;
    let _: fn(StarLossConfig) -> Result<StarLoss> = StarLoss::new;
    let _: fn(&StarLoss, &Tensor, &Tensor) -> Result<StarTerms> = StarLoss::forward;
    let _: fn(&StarTerms, Option<&Tensor>, Reduction) -> Result<Tensor> = StarTerms::reduce;
    let _: fn(&Tensor) -> Result<Tensor> = star_loss::moments::soft_argmax;
    let _: fn(&Tensor) -> Result<Tensor> = star_loss::moments::covariance;
    let _: fn(&Tensor, &Tensor, &star_loss::AwingConfig) -> Result<Tensor> = star_loss::awing;
}
