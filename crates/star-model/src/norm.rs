//! Batch norm that trains on batch statistics, and instance norm over single maps.

use candle_core::{DType, Result, Tensor, Var};
use candle_nn::Init;

use crate::activation::{Activation, relu};
use crate::builder::Builder;
use crate::cpu::batch_norm::{self, BatchNormOp, Mode, Statistics};
use crate::cpu::instance_norm::InstanceNormRelu;
use crate::cpu::slices_supported;
use crate::process_group::{self, ProcessGroup};

/// Added to a variance before its root: PyTorch's default, which the published checkpoints were trained with.
pub(crate) const EPS: f64 = 1e-5;

/// Weight of a new batch in the running statistics: PyTorch's default.
const MOMENTUM: f64 = 0.1;

/// Batch norm over `[B, C, H, W]`, with an activation behind it.
pub(crate) struct BatchNorm {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) running_mean: Var,
    pub(crate) running_var: Var,
    /// The ranks that the batch statistics are of in training; `None` for this process alone.
    group: Option<ProcessGroup>,
}

impl BatchNorm {
    pub(crate) fn new(channels: usize, vb: Builder) -> Result<Self> {
        let get = |name: &str, value: f64| vb.get_with_hints(channels, name, Init::Const(value));
        Ok(Self {
            weight: get("weight", 1.0)?,
            bias: get("bias", 0.0)?,
            running_mean: Var::from_tensor(&get("running_mean", 0.0)?)?,
            running_var: Var::from_tensor(&get("running_var", 1.0)?)?,
            group: vb.group().cloned(),
        })
    }

    /// Normalises by the batch's own statistics (`train`, which also moves the running ones) or by the running ones.
    pub(crate) fn forward_t(&self, x: &Tensor, train: bool, activation: Activation) -> Result<Tensor> {
        if x.dtype() != self.weight.dtype() {
            // Half-precision activations: sums over a batch need more digits than they have.
            return self.forward_t(&x.to_dtype(self.weight.dtype())?, train, activation)?.to_dtype(x.dtype());
        }
        match (slices_supported(x), train) {
            (true, _) => self.forward_fused(&x.contiguous()?, train, activation),
            (false, true) => self.forward_train_composed(x, activation),
            (false, false) => self.forward_eval_composed(x, activation),
        }
    }

    fn forward_fused(&self, x: &Tensor, train: bool, activation: Activation) -> Result<Tensor> {
        let statistics = if train {
            let own = batch_norm::statistics(x)?;
            let statistics = match &self.group {
                Some(group) => own.all_reduce(group)?,
                None => own,
            };
            self.update_running_stats(&statistics)?;
            statistics
        } else {
            let values = |running: &Var| running.as_detached_tensor().to_dtype(DType::F64)?.to_vec1();
            let count = x.elem_count() / x.dim(1)?;
            Statistics { mean: values(&self.running_mean)?, variance: values(&self.running_var)?, count }
        };
        let mode = if train { Mode::Train } else { Mode::Eval };
        let op = BatchNormOp { statistics, mode, eps: EPS, activation, group: self.group.clone() };
        x.apply_op3(&self.weight, &self.bias, op)
    }

    /// Moves the running statistics towards those of a batch.
    pub(crate) fn update_running_stats(&self, statistics: &Statistics) -> Result<()> {
        let like = &self.running_mean;
        let vector = |values: &[f64]| Tensor::new(values, like.device())?.to_dtype(like.dtype());
        self.blend_running_stats(&vector(&statistics.mean)?, &vector(&statistics.variance)?, statistics.count)
    }

    /// Scale and shift.
    pub(crate) fn parameters(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    pub(crate) fn forward_train_composed(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let (b, c, h, w) = x.dims4()?;
        let (mean, variance, count) = match &self.group {
            Some(group) => process_group::moments(x, group)?,
            None => {
                let mean = x.mean_keepdim((0, 2, 3))?;
                let variance = x.broadcast_sub(&mean)?.sqr()?.mean_keepdim((0, 2, 3))?;
                (mean, variance, b * h * w)
            }
        };
        let centred = x.broadcast_sub(&mean)?;
        self.blend_running_stats(&mean.detach().reshape(c)?, &variance.detach().reshape(c)?, count)?;
        let y = centred.broadcast_div(&(variance + EPS)?.sqrt()?)?;
        let y = y.broadcast_mul(&channels(&self.weight)?)?.broadcast_add(&channels(&self.bias)?)?;
        activation.apply(y)
    }

    fn forward_eval_composed(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        let inverse = (self.running_var.as_detached_tensor() + EPS)?.sqrt()?.recip()?;
        let scale = (&self.weight * inverse)?;
        let shift = (&self.bias - (&scale * self.running_mean.as_detached_tensor())?)?;
        let y = x.broadcast_mul(&channels(&scale)?)?.broadcast_add(&channels(&shift)?)?;
        activation.apply(y)
    }

    /// Moves the running statistics towards a batch's; the running variance is the unbiased one, as in PyTorch.
    fn blend_running_stats(&self, mean: &Tensor, variance: &Tensor, count: usize) -> Result<()> {
        let unbiased = MOMENTUM * count as f64 / (count as f64 - 1.0).max(1.0);
        let blend = |old: &Var, new: &Tensor, weight: f64| -> Result<()> {
            old.set(&((old.as_detached_tensor() * (1.0 - MOMENTUM))? + (new * weight)?)?)
        };
        blend(&self.running_mean, mean, MOMENTUM)?;
        blend(&self.running_var, variance, unbiased)
    }
}

fn channels(vector: &Tensor) -> Result<Tensor> {
    vector.reshape((1, vector.dim(0)?, 1, 1))
}

/// Each map brought to zero mean and unit variance over its own pixels, then cut at 0: `[B, K, H, W]`, no learned scale.
pub(crate) fn instance_norm_relu(x: &Tensor) -> Result<Tensor> {
    if slices_supported(x) {
        x.contiguous()?.apply_op1(InstanceNormRelu { eps: EPS })
    } else {
        relu(&instance_norm(x)?)
    }
}

fn instance_norm(x: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim((2, 3))?)?;
    let variance = centred.sqr()?.mean_keepdim((2, 3))?;
    centred.broadcast_div(&(variance + EPS)?.sqrt()?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::Parameters;
    use crate::gradient_check::{assert_close, check_gradients, noise};

    fn layer(parameters: &Parameters) -> BatchNorm {
        let norm = BatchNorm::new(3, parameters.var_builder(DType::F64, &Device::Cpu).into()).unwrap();
        parameters.get("weight").unwrap().set(&noise(&[3], 1)).unwrap();
        parameters.get("bias").unwrap().set(&noise(&[3], 2)).unwrap();
        norm
    }

    #[test]
    fn the_kernel_agrees_with_composed_ops_and_moves_the_same_statistics() {
        for activation in [Activation::None, Activation::Relu] {
            let (a, b) = (Parameters::new(0), Parameters::new(0));
            let (fused, composed) = (layer(&a), layer(&b));
            let x = (noise(&[4, 3, 5, 6], 3) * 2.0).unwrap();
            let y = fused.forward_t(&x, true, activation).unwrap();
            assert_close(&y, &composed.forward_train_composed(&x, activation).unwrap(), 1e-12);
            for name in ["running_mean", "running_var"] {
                assert_close(&a.get(name).unwrap(), &b.get(name).unwrap(), 1e-12);
            }
            let y = fused.forward_t(&x, false, activation).unwrap();
            assert_close(&y, &composed.forward_eval_composed(&x, activation).unwrap(), 1e-12);
        }
    }

    #[test]
    fn gradients_agree_with_central_differences_in_both_modes() {
        let modes = [true, false].map(|train| [(train, Activation::None), (train, Activation::Relu)]);
        for (train, activation) in modes.into_iter().flatten() {
            let parameters = Parameters::new(0);
            let norm = layer(&parameters);
            let x = Var::from_tensor(&noise(&[2, 3, 3, 4], 5)).unwrap();
            let vars =
                [&x, &parameters.get("weight").unwrap(), &parameters.get("bias").unwrap()].map(Clone::clone);
            check_gradients(&vars, || norm.forward_t(&x, train, activation));
        }
    }

    #[test]
    fn a_large_offset_does_not_cost_the_variance_its_digits() {
        let parameters = Parameters::new(0);
        let norm = BatchNorm::new(1, parameters.var_builder(DType::F32, &Device::Cpu).into()).unwrap();
        // values 4096 + (0 or 1): mean 4096.5, variance 0.25, so +-1 after the norm
        let x: Vec<f32> = (0..64).map(|i| 4096.0 + (i % 2) as f32).collect();
        let x = Tensor::from_vec(x, (1, 1, 8, 8), &Device::Cpu).unwrap();
        let y = norm.forward_t(&x, true, Activation::None).unwrap();
        let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!((y[0] + 1.0).abs() < 1e-3 && (y[1] - 1.0).abs() < 1e-3, "{:?}", &y[..2]);
    }

    #[test]
    fn instance_norm_and_relu_gradients_agree_with_central_differences() {
        let x = Var::from_tensor(&noise(&[2, 2, 3, 4], 9)).unwrap();
        check_gradients(std::slice::from_ref(&x), || relu(&instance_norm(&x)?));
        check_gradients(std::slice::from_ref(&x), || instance_norm_relu(&x));
        assert_close(&instance_norm_relu(&x).unwrap(), &relu(&instance_norm(&x).unwrap()).unwrap(), 1e-12);
    }
}
