//! How a network's raw maps become masses.

use candle_core::{D, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::activation::relu;
use crate::norm::instance_norm_relu;

/// Share of a map's largest value below which [`HeatmapActivation::Peak`] counts nothing. A Gaussian bump of sigma 1.5
/// is then read over a radius of 3.2 pixels, and the level that training to a squared error leaves elsewhere is not.
pub(crate) const PEAK_SHARE: f64 = 0.1;

/// How the head's raw maps become the non-negative maps that a loss and a decoder read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeatmapActivation {
    /// Each map to zero mean and unit variance, then `max(h, 0)`: as the hourglass does, for training with STAR.
    #[default]
    InstanceNormRelu,
    /// `max(h, 0)`.
    Relu,
    /// `max(h - 0.1 max(h), 0)`: for networks trained to draw bumps by a squared error, as the published HRNets are.
    /// Their maps are not quite 0 away from the bump, and over a whole map that would pull a centre of mass inwards.
    Peak,
}

impl HeatmapActivation {
    /// `[B, K, M, M] -> [B, K, M, M]`, non-negative.
    pub(crate) fn apply(self, raw: &Tensor) -> Result<Tensor> {
        match self {
            Self::InstanceNormRelu => instance_norm_relu(raw),
            Self::Relu => relu(raw),
            Self::Peak => {
                let largest = raw.detach().max_keepdim(D::Minus1)?.max_keepdim(D::Minus2)?;
                relu(&raw.broadcast_sub(&(largest * PEAK_SHARE)?)?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::gradient_check::{check_gradients, noise};

    #[test]
    fn a_level_off_the_bump_moves_a_plain_centre_of_mass_and_not_a_peaks() {
        // a bump of height 1 and sigma 1.5 about (50, 10) on 64x64, and 0.02 everywhere
        let values: Vec<f64> = (0..64 * 64)
            .map(|i| {
                let (x, y) = ((i % 64) as f64 - 50.0, (i / 64) as f64 - 10.0);
                (-(x * x + y * y) / 4.5).exp() + 0.02
            })
            .collect();
        let raw = Tensor::from_vec(values, (1, 1, 64, 64), &Device::Cpu).unwrap();
        let centre = |activation: HeatmapActivation| {
            let maps = activation.apply(&raw).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let total: f64 = maps.iter().sum();
            maps.iter().enumerate().map(|(i, mass)| mass * (i % 64) as f64).sum::<f64>() / total
        };
        // mass 14.1 at 50 and 81.9 at 31.5: (14.1 * 50 + 81.9 * 31.5) / 96.1 = 34.2
        assert!((centre(HeatmapActivation::Relu) - 34.2).abs() < 0.1);
        assert!((centre(HeatmapActivation::Peak) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn every_activation_has_the_gradient_of_its_value() {
        for activation in [HeatmapActivation::InstanceNormRelu, HeatmapActivation::Relu] {
            let x = Var::from_tensor(&noise(&[2, 2, 3, 4], 3)).unwrap();
            check_gradients(std::slice::from_ref(&x), || activation.apply(&x));
        }
        // The peak's threshold is held fixed: each surviving pixel has derivative 1, the others 0.
        let x = Var::from_tensor(&Tensor::new(&[[[[0.05f64, 0.2], [1.0, -1.0]]]], &Device::Cpu).unwrap());
        let x = x.unwrap();
        let sum = HeatmapActivation::Peak.apply(&x).unwrap().sum_all().unwrap();
        let derivative = sum.backward().unwrap().get(&x).unwrap().to_dtype(DType::F64).unwrap();
        assert_eq!(derivative.flatten_all().unwrap().to_vec1::<f64>().unwrap(), [0.0, 1.0, 1.0, 0.0]);
    }
}
