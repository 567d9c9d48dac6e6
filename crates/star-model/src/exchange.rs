//! Batch norms over the batches of several processes: what they tell each other, and the gradient that comes back.

use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, DType, Device, Layout, MetalStorage, Result, Shape, Tensor, bail,
};

use crate::cpu::batch_norm::Statistics;

/// The one thing that batch norms need of those who train the same network on the rest of the batch.
///
/// All take part in every call, with equally many values, in the same order: networks are built and differentiated alike everywhere,
/// so their calls are too.
pub trait StatisticsExchange: Send + Sync {
    /// Replaces `values` by their sums over everybody.
    ///
    /// # Errors
    /// When somebody cannot be reached, or has given up.
    fn sum(&self, values: &mut [f64]) -> Result<()>;
}

/// Shared by all batch norms of a network.
pub(crate) type Exchange = Arc<dyn StatisticsExchange>;

/// Statistics of everybody's batches from those of one's own: as if all of it were one batch.
pub(crate) fn merged(own: Statistics, exchange: &Exchange) -> Result<Statistics> {
    let (channels, count) = (own.mean.len(), own.count as f64);
    let moments = own.mean.iter().zip(&own.variance).map(|(m, v)| count * (v + m * m));
    let mut sums: Vec<f64> = own.mean.iter().map(|m| count * m).chain(moments).collect();
    sums.push(count);
    exchange.sum(&mut sums)?;
    let total = sums[2 * channels];
    let mean: Vec<f64> = sums[..channels].iter().map(|sum| sum / total).collect();
    let squares = &sums[channels..2 * channels];
    let variance = squares.iter().zip(&mean).map(|(s, m)| (s / total - m * m).max(0.0)).collect();
    Ok(Statistics { mean, variance, count: total as usize })
}

/// Mean and biased variance `[1, C, 1, 1]` of everybody's `x` (`[B, C, H, W]`), and the values a channel, by tensor ops: gradients
/// flow through both, to everybody.
pub(crate) fn moments(x: &Tensor, exchange: &Exchange) -> Result<(Tensor, Tensor, usize)> {
    let (b, _, h, w) = x.dims4()?;
    let mut count = [(b * h * w) as f64];
    exchange.sum(&mut count)?;
    let mean = (sum(&x.sum_keepdim((0, 2, 3))?, exchange)? / count[0])?;
    let squares = x.broadcast_sub(&mean)?.sqr()?.sum_keepdim((0, 2, 3))?;
    Ok((mean, (sum(&squares, exchange)? / count[0])?, count[0] as usize))
}

/// Sum of everybody's `own`. Everybody's loss depends on it, so its gradient is the sum of everybody's too.
fn sum(own: &Tensor, exchange: &Exchange) -> Result<Tensor> {
    let total = exchanged(&own.detach(), exchange)?;
    let own = own.contiguous()?.apply_op1(GradientSum { exchange: exchange.clone() })?;
    // The difference is 0 and carries the gradient.
    total + (&own - own.detach())?
}

/// `values` summed over everybody, without a gradient, by way of the host.
fn exchanged(values: &Tensor, exchange: &Exchange) -> Result<Tensor> {
    // f64 on the host alone: Metal has none.
    let mut host = values.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    exchange.sum(&mut host)?;
    Tensor::from_vec(host, values.shape(), &Device::Cpu)?.to_dtype(values.dtype())?.to_device(values.device())
}

/// Changes nothing on the way forward and sums the gradient over everybody on the way back.
struct GradientSum {
    exchange: Exchange,
}

impl CustomOp1 for GradientSum {
    fn name(&self) -> &'static str {
        "gradient-sum"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((x.try_clone(layout)?, dense(layout)?))
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        Ok((x.try_clone(layout)?, dense(layout)?))
    }

    fn metal_fwd(&self, x: &MetalStorage, layout: &Layout) -> Result<(MetalStorage, Shape)> {
        Ok((x.try_clone(layout)?, dense(layout)?))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(exchanged(dy, &self.exchange)?))
    }
}

/// The shape, where the storage holds this tensor and nothing else: it is copied whole.
fn dense(layout: &Layout) -> Result<Shape> {
    if layout.start_offset() != 0 || !layout.is_contiguous() {
        bail!("gradient-sum: expected a tensor that begins its storage, got {layout:?}")
    }
    Ok(layout.shape().clone())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Barrier, Mutex};

    use candle_core::Var;

    use super::*;
    use crate::Parameters;
    use crate::builder::Builder;
    use crate::gradient_check::{assert_close, noise};
    use crate::norm::BatchNorm;

    /// Two threads that add up what they have.
    pub(crate) struct Pair {
        barrier: Barrier,
        sums: Mutex<Vec<f64>>,
    }

    impl StatisticsExchange for Pair {
        fn sum(&self, values: &mut [f64]) -> Result<()> {
            {
                let mut sums = self.sums.lock().unwrap();
                sums.resize(values.len(), 0.0);
                sums.iter_mut().zip(values.iter()).for_each(|(sum, value)| *sum += value);
            }
            self.barrier.wait();
            values.copy_from_slice(&self.sums.lock().unwrap());
            if self.barrier.wait().is_leader() {
                self.sums.lock().unwrap().clear();
            }
            self.barrier.wait();
            Ok(())
        }
    }

    /// Runs `work` on two threads, with the exchange between them and a number.
    pub(crate) fn pair<T: Send>(work: impl Fn(usize, Exchange) -> T + Sync) -> [T; 2] {
        let exchange: Exchange = Arc::new(Pair { barrier: Barrier::new(2), sums: Mutex::default() });
        std::thread::scope(|scope| {
            let other = scope.spawn(|| work(1, exchange.clone()));
            [work(0, exchange.clone()), other.join().unwrap()]
        })
    }

    /// Output, gradients of input, weight and bias, running statistics of a norm over `x`, and `sum(y^2 c)` as loss.
    fn outcome(
        x: &Tensor,
        c: &Tensor,
        composed: bool,
        relu: bool,
        exchange: Option<Exchange>,
    ) -> [Tensor; 6] {
        let parameters = Parameters::new(0);
        let vb = parameters.var_builder(DType::F64, &Device::Cpu);
        let norm = BatchNorm::new(3, Builder::new(vb, exchange)).unwrap();
        let get = |name: &str| parameters.get(name).unwrap();
        get("weight").set(&noise(&[3], 1)).unwrap();
        get("bias").set(&noise(&[3], 2)).unwrap();
        let x = Var::from_tensor(&x.contiguous().unwrap()).unwrap();
        let y = if composed {
            norm.forward_train_composed(&x, relu).unwrap()
        } else {
            norm.forward_t(&x, true, relu).unwrap()
        };
        let loss = (y.sqr().unwrap() * c).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        let gradient = |var: &Tensor| gradients.get(var).unwrap().clone();
        let statistics = ["running_mean", "running_var"].map(|name| get(name).as_tensor().copy().unwrap());
        let [mean, variance] = statistics;
        [y, gradient(&x), gradient(&get("weight")), gradient(&get("bias")), mean, variance]
    }

    #[test]
    fn two_parts_of_a_batch_are_normalised_as_the_whole_one_forward_and_backward() {
        let x = (noise(&[5, 3, 4, 3], 3) * 2.0).unwrap();
        let c = noise(&[5, 3, 4, 3], 4);
        // Unequal on purpose: three images and two.
        let part = |t: &Tensor, rank: usize| t.narrow(0, 3 * rank, 3 - rank).unwrap();
        for (composed, relu) in [(false, false), (false, true), (true, false), (true, true)] {
            let whole = outcome(&x, &c, composed, relu, None);
            let parts = pair(|rank, exchange| {
                outcome(&part(&x, rank), &part(&c, rank), composed, relu, Some(exchange))
            });
            let [first, second] = &parts;
            for i in 0..2 {
                assert_close(&Tensor::cat(&[&first[i], &second[i]], 0).unwrap(), &whole[i], 1e-11);
            }
            for i in 2..4 {
                assert_close(&(&first[i] + &second[i]).unwrap(), &whole[i], 1e-11);
            }
            for i in 4..6 {
                assert_close(&first[i], &whole[i], 1e-11);
                assert_close(&second[i], &whole[i], 1e-11);
            }
        }
    }
}
