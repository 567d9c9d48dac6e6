//! Controls of STAR: each has everything of it but one part. On candle's operations, beside the losses of star-loss.

use candle_core::{D, Result, Tensor};
use serde::{Deserialize, Serialize};
use star_loss::eigen2::sym_eigen2;
use star_loss::losses::LossParts;
use star_loss::moments::Moments;
use star_loss::{Activation, Grid, HeatmapLoss, StarLossConfig};

/// Residual up to which smooth-L1 is quadratic. The reference's.
const SCALE: f64 = 0.01;

/// Which part of STAR is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Control {
    /// The direction: `sum_i d(v_i . e) (1 / s_1 + 1 / s_2) / 2` with `s_i = sqrt(l_i + eps)`, both axes under the mean of their
    /// factors, which are cut from the graph, so that no eigenvalue is pushed by the distance. What it does as well as STAR is not due
    /// to the direction of the ambiguity.
    IsotropicDetached,
    /// The factors: `sum_i d(v_i . e)`. What it does as well as STAR is due to the restriction alone.
    Unscaled,
}

/// A control with smooth-L1 as its distance and the value restriction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlLoss {
    /// What is missing.
    pub(crate) control: Control,
    /// Weight of the sum of both eigenvalues.
    pub(crate) restriction_weight: f64,
}

impl HeatmapLoss for ControlLoss {
    fn per_keypoint(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let LossParts { distance, restriction } = self.parts(heatmaps, heatmaps, targets)?;
        restriction.map_or(Ok(distance.clone()), |restriction| distance + restriction)
    }

    fn parts(&self, heatmaps: &Tensor, _last: &Tensor, targets: &Tensor) -> Result<LossParts> {
        let Moments { means, covariances, .. } =
            Moments::new(heatmaps, Grid::default(), Activation::default())?;
        let targets = targets.to_dtype(means.dtype())?;
        // 0 where a target is finite, NaN elsewhere: such a target must not reach the gradient.
        let lost = targets.detach().affine(0.0, 0.0)?;
        let residual = (lost.eq(0.0)?.where_cond(&targets, &means.detach())? - means)?;
        let eigen = sym_eigen2(&covariances)?;
        // e_i = v_i . e for the columns v_i: [B, K, 2, 1] * [B, K, 2, 2], summed over x and y.
        let axes = residual.unsqueeze(3)?.broadcast_mul(&eigen.vectors)?.sum(2)?;
        let distance = smooth_l1(&axes)?.sum(D::Minus1)?;
        let distance = match self.control {
            Control::IsotropicDetached => {
                let eps = StarLossConfig::default().eps;
                // An eigenvalue is below 0 by rounding alone.
                let factors = eigen.values.detach().maximum(0.0)?.affine(1.0, eps)?.sqrt()?.recip()?;
                (distance * factors.mean(D::Minus1)?)?
            }
            Control::Unscaled => distance,
        };
        Ok(LossParts {
            distance: (distance + lost.sum(D::Minus1)?)?,
            restriction: Some(eigen.values.sum(D::Minus1)?.affine(self.restriction_weight, 0.0)?),
        })
    }
}

/// `x^2 / 2 s` up to the scale `s`, `|x| - s / 2` from there on.
fn smooth_l1(x: &Tensor) -> Result<Tensor> {
    let size = x.abs()?;
    let quadratic = x.sqr()?.affine(0.5 / SCALE, 0.0)?;
    size.lt(SCALE)?.where_cond(&quadratic, &size.affine(1.0, -0.5 * SCALE)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};
    use star_loss::losses::SoftArgmaxLoss;
    use star_loss::{Distance, Reduction, StarLoss};

    use super::*;

    /// Sums in another order than the fused kernel's.
    const TOLERANCE: f64 = 1e-9;

    /// A heatmap `[1, 1, 16, 16]` of a Gaussian with deviations of `sx` and `sy` pixels about the middle.
    fn gaussian(sx: f64, sy: f64) -> Tensor {
        let at = |p: usize| {
            let [dx, dy] = [(p % 16) as f64 - 7.5, (p / 16) as f64 - 7.5];
            (-0.5 * ((dx / sx).powi(2) + (dy / sy).powi(2))).exp()
        };
        Tensor::from_vec((0..256).map(at).collect::<Vec<f64>>(), (1, 1, 16, 16), &Device::Cpu).unwrap()
    }

    fn target(x: f64, y: f64) -> Tensor {
        Tensor::new(&[[[x, y]]], &Device::Cpu).unwrap()
    }

    fn loss(control: Control, heatmaps: &Tensor, targets: &Tensor) -> f64 {
        let loss = ControlLoss { control, restriction_weight: 1.0 };
        loss.loss(heatmaps, targets, None, Reduction::Mean).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn on_an_isotropic_heatmap_the_isotropic_control_is_star() {
        let (heatmaps, targets) = (gaussian(2.0, 2.0), target(0.3, -0.1));
        let star = StarLoss::new(StarLossConfig::default()).unwrap();
        let star: f64 = star.loss(&heatmaps, &targets, None, Reduction::Mean).unwrap().to_scalar().unwrap();
        let control = loss(Control::IsotropicDetached, &heatmaps, &targets);
        assert!((star - control).abs() < TOLERANCE * star, "{star} {control}");
    }

    #[test]
    fn the_isotropic_control_does_not_know_along_from_across_and_star_does() {
        let heatmaps = gaussian(3.0, 1.0);
        let star = StarLoss::new(StarLossConfig::default()).unwrap();
        let star = |t: &Tensor| -> f64 {
            star.loss(&heatmaps, t, None, Reduction::Mean).unwrap().to_scalar().unwrap()
        };
        let (along, across) = (target(0.2, 0.0), target(0.0, 0.2));
        assert!(star(&along) < 0.6 * star(&across));
        for control in [Control::IsotropicDetached, Control::Unscaled] {
            let (a, b) = (loss(control, &heatmaps, &along), loss(control, &heatmaps, &across));
            assert!((a - b).abs() < TOLERANCE, "{control:?}: {a} {b}");
        }
        // d(0.2) = 0.2 - 0.01 / 2 and d(0) = 0, beside both eigenvalues.
        let values = sym_eigen2(&star_loss::moments::covariance(&heatmaps).unwrap()).unwrap().values;
        let trace: f64 = values.sum_all().unwrap().to_scalar().unwrap();
        let unscaled = loss(Control::Unscaled, &heatmaps, &along);
        assert!((unscaled - (0.195 + trace)).abs() < TOLERANCE, "{unscaled} {trace}");
    }

    #[test]
    fn gradients_are_those_of_central_differences_and_none_comes_from_a_target_that_is_not_known() {
        let heatmaps = gaussian(2.5, 1.5);
        let values = sym_eigen2(&star_loss::moments::covariance(&heatmaps).unwrap()).unwrap().values;
        let l: Vec<f64> = values.flatten_all().unwrap().to_vec1().unwrap();
        let fixed = 0.5 * l.iter().map(|l| 1.0 / (l + StarLossConfig::default().eps).sqrt()).sum::<f64>();
        for control in [Control::IsotropicDetached, Control::Unscaled] {
            let own = ControlLoss { control, restriction_weight: 0.5 };
            // Factors that pass no gradient are numbers: the isotropic control has the gradient of the unscaled one times a number.
            let value = |h: &Tensor, t: &Tensor| {
                let unscaled = ControlLoss { control: Control::Unscaled, restriction_weight: 0.5 };
                let LossParts { distance, restriction } = unscaled.parts(h, h, t).unwrap();
                let factor = if control == Control::IsotropicDetached { fixed } else { 1.0 };
                let whole = ((distance * factor).unwrap() + restriction.unwrap()).unwrap();
                whole.sum_all().unwrap()
            };
            let var = Var::from_tensor(&heatmaps).unwrap();
            let targets = target(0.25, -0.15);
            let gradients = own.loss(&var, &targets, None, Reduction::Sum).unwrap().backward().unwrap();
            let gradient: Vec<f64> = gradients.get(&var).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let values: Vec<f64> = heatmaps.flatten_all().unwrap().to_vec1().unwrap();
            for pixel in [17, 100, 119, 136, 200] {
                let moved = |by: f64| -> f64 {
                    let mut values = values.clone();
                    values[pixel] += by;
                    let moved = Tensor::from_vec(values, (1, 1, 16, 16), &Device::Cpu).unwrap();
                    value(&moved, &targets).to_scalar().unwrap()
                };
                let central = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!(
                    (gradient[pixel] - central).abs() < 1e-6,
                    "{control:?} {pixel}: {} {central}",
                    gradient[pixel]
                );
            }
            let lost = own.per_keypoint(&heatmaps, &target(f64::NAN, 0.0)).unwrap();
            assert!(
                lost.to_dtype(DType::F64).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().is_nan()
            );
        }
    }

    #[test]
    fn close_to_the_target_a_control_is_plain_regression_under_one_factor() {
        // Within its scale smooth-L1 is a multiple of the square, which is the same in every frame.
        let (heatmaps, targets) = (gaussian(3.0, 1.0), target(0.004, -0.003));
        let plain = SoftArgmaxLoss::new(Distance::smooth_l1()).unwrap();
        let plain: f64 = plain.loss(&heatmaps, &targets, None, Reduction::Mean).unwrap().to_scalar().unwrap();
        let values = sym_eigen2(&star_loss::moments::covariance(&heatmaps).unwrap()).unwrap().values;
        let l: Vec<f64> = values.flatten_all().unwrap().to_vec1().unwrap();
        let factor = 0.5 * l.iter().map(|l| 1.0 / (l + StarLossConfig::default().eps).sqrt()).sum::<f64>();
        for (control, factor) in [(Control::IsotropicDetached, factor), (Control::Unscaled, 1.0)] {
            let distance = loss(control, &heatmaps, &targets) - l.iter().sum::<f64>();
            assert!((distance - factor * plain).abs() < TOLERANCE, "{control:?}: {distance} {plain}");
        }
    }

    #[test]
    fn empty_maps_and_targets_that_are_not_finite_have_finite_gradients() {
        let maps = Var::zeros((1, 1, 16, 16), DType::F32, &Device::Cpu).unwrap();
        for control in [Control::IsotropicDetached, Control::Unscaled] {
            let own = ControlLoss { control, restriction_weight: 1.0 };
            for targets in [target(0.2, 0.1), target(f64::NAN, 0.0)] {
                let value = own.loss(&maps, &targets, None, Reduction::Sum).unwrap();
                let gradient = value.backward().unwrap().get(&maps).unwrap().flatten_all().unwrap();
                let gradient: Vec<f32> = gradient.to_vec1().unwrap();
                assert!(gradient.iter().all(|g| g.is_finite()), "{control:?}");
            }
        }
    }
}
