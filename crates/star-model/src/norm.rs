//! Batch norm that trains on batch statistics, and instance norm over single maps.

use candle_core::{Result, Tensor, Var};
use candle_nn::Init;

use crate::activation::{Activation, relu};
use crate::builder::Builder;
use crate::process_group::{self, ProcessGroup};

/// Added to a variance before its root: PyTorch's default, which the published checkpoints were trained with.
pub(crate) const EPS: f64 = 1e-5;

/// Weight of a new batch in the running statistics: PyTorch's default.
const MOMENTUM: f64 = 0.1;

/// Mean and variance of every channel, in f64.
#[derive(Clone, Debug)]
pub(crate) struct Statistics {
    pub(crate) mean: Vec<f64>,
    /// Biased.
    pub(crate) variance: Vec<f64>,
    /// Values a channel.
    pub(crate) count: usize,
}

impl Statistics {
    /// The statistics of all ranks' batches, from those of this rank's: as if they were one batch.
    pub(crate) fn all_reduce(self, group: &ProcessGroup) -> Result<Self> {
        let (channels, count) = (self.mean.len(), self.count as f64);
        let moments = self.mean.iter().zip(&self.variance).map(|(m, v)| count * (v + m * m));
        let mut sums: Vec<f64> = self.mean.iter().map(|m| count * m).chain(moments).collect();
        sums.push(count);
        group.all_reduce(&mut sums)?;
        let total = sums[2 * channels];
        let mean: Vec<f64> = sums[..channels].iter().map(|sum| sum / total).collect();
        let squares = &sums[channels..2 * channels];
        let variance = squares.iter().zip(&mean).map(|(s, m)| (s / total - m * m).max(0.0)).collect();
        Ok(Self { mean, variance, count: total as usize })
    }
}

/// Batch norm over `[B, C, H, W]`.
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

    /// Normalises by the batch's own statistics (`train`, which also moves the running ones) or by the running ones; cut at 0 where a
    /// ReLU follows.
    pub(crate) fn forward_t(&self, x: &Tensor, train: bool, behind: Activation) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if let Some(y) = self.on_card(x, train, behind)? {
            return Ok(y);
        }
        let y = self.composed(x, train)?;
        if behind.is_relu() { relu(&y) } else { Ok(y) }
    }

    /// By one op on a card; `None` elsewhere, over several ranks, and for types of maps and parameters that do not go together.
    #[cfg(feature = "cuda")]
    fn on_card(&self, x: &Tensor, train: bool, behind: Activation) -> Result<Option<Tensor>> {
        use crate::cuda::norm::{Settings, norm, working_dtype};
        if !x.device().is_cuda()
            || self.group.is_some() && train
            || self.weight.dtype() != working_dtype(x.dtype())
        {
            return Ok(None);
        }
        let statistics = if train { self.moving() } else { self.running() };
        let settings = Settings { eps: EPS, relu: behind.is_relu() };
        norm(x, [&self.weight, &self.bias], statistics, settings).map(Some)
    }

    /// The op of a training step on a card, and the parameters that it takes, outside candle's graph. Where `moving`, running
    /// statistics move towards the batch's.
    #[cfg(feature = "cudnn")]
    pub(crate) fn op_on_card(
        &self,
        moving: bool,
        relu: bool,
    ) -> Result<(crate::cuda::norm::Norm, [Tensor; 2])> {
        use crate::cuda::norm::{Norm, Settings, Statistics};
        let statistics = if moving { self.moving() } else { Statistics::Batch };
        let parameter = |tensor: &Tensor| tensor.detach().contiguous();
        let op = Norm::new(statistics, Settings { eps: EPS, relu });
        Ok((op, [parameter(&self.weight)?, parameter(&self.bias)?]))
    }

    #[cfg(feature = "cuda")]
    fn moving(&self) -> crate::cuda::norm::Statistics {
        let (mean, variance) =
            (self.running_mean.as_detached_tensor(), self.running_var.as_detached_tensor());
        crate::cuda::norm::Statistics::Moving { mean, variance, momentum: MOMENTUM }
    }

    #[cfg(feature = "cuda")]
    fn running(&self) -> crate::cuda::norm::Statistics {
        let (mean, variance) =
            (self.running_mean.as_detached_tensor(), self.running_var.as_detached_tensor());
        crate::cuda::norm::Statistics::Running { mean, variance }
    }

    /// By candle's operations.
    fn composed(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if x.dtype() != self.weight.dtype() {
            // Half-precision activations: sums over a batch need more digits than they have.
            return self.composed(&x.to_dtype(self.weight.dtype())?, train)?.to_dtype(x.dtype());
        }
        if train { self.forward_train(x) } else { self.forward_eval(x) }
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

    fn forward_train(&self, x: &Tensor) -> Result<Tensor> {
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
        y.broadcast_mul(&channels(&self.weight)?)?.broadcast_add(&channels(&self.bias)?)
    }

    fn forward_eval(&self, x: &Tensor) -> Result<Tensor> {
        let inverse = (self.running_var.as_detached_tensor() + EPS)?.sqrt()?.recip()?;
        let scale = (&self.weight * inverse)?;
        let shift = (&self.bias - (&scale * self.running_mean.as_detached_tensor())?)?;
        x.broadcast_mul(&channels(&scale)?)?.broadcast_add(&channels(&shift)?)
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
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        let (maps, [weight, bias], op) = crate::cuda::norm::instance_norm(x, EPS)?;
        return maps.apply_op3(&weight, &bias, op)?.reshape(x.shape());
    }
    relu(&instance_norm(x)?)
}

fn instance_norm(x: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim((2, 3))?)?;
    let variance = centred.sqr()?.mean_keepdim((2, 3))?;
    centred.broadcast_div(&(variance + EPS)?.sqrt()?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::Parameters;
    use crate::gradient_check::{check_gradients, noise};

    fn layer(parameters: &Parameters) -> BatchNorm {
        let norm = BatchNorm::new(3, parameters.var_builder(DType::F64, &Device::Cpu).into()).unwrap();
        parameters.get("weight").unwrap().set(&noise(&[3], 1)).unwrap();
        parameters.get("bias").unwrap().set(&noise(&[3], 2)).unwrap();
        norm
    }

    #[test]
    fn gradients_agree_with_central_differences_in_both_modes() {
        for train in [true, false] {
            let parameters = Parameters::new(0);
            let norm = layer(&parameters);
            let x = Var::from_tensor(&noise(&[2, 3, 3, 4], 5)).unwrap();
            let vars =
                [&x, &parameters.get("weight").unwrap(), &parameters.get("bias").unwrap()].map(Clone::clone);
            check_gradients(&vars, || norm.forward_t(&x, train, Activation::None));
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
        check_gradients(std::slice::from_ref(&x), || instance_norm_relu(&x));
    }
}
