//! Batch norms over all ranks of a process group: the sums they need of the others, and the gradient that comes back.

use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, DType, Device, Layout, MetalStorage, Result, Shape, Tensor, bail,
};

/// The one collective operation that batch norms need where several ranks train the same network, each on its part of the batch.
///
/// All ranks make every call, with equally many values, in the same order: networks are built and differentiated alike on each,
/// so their calls are too.
pub trait AllReduce: Send + Sync {
    /// Replaces `values` by their sums over all ranks.
    ///
    /// # Errors
    /// When a rank cannot be reached, or has given up.
    fn all_reduce(&self, values: &mut [f64]) -> Result<()>;
}

/// Shared by all batch norms of a network.
pub(crate) type ProcessGroup = Arc<dyn AllReduce>;

/// Mean and biased variance `[1, C, 1, 1]` of all ranks' `x` (`[B, C, H, W]`), and the values a channel, by tensor ops: gradients
/// flow through both, to all ranks.
pub(crate) fn moments(x: &Tensor, group: &ProcessGroup) -> Result<(Tensor, Tensor, usize)> {
    let (b, _, h, w) = x.dims4()?;
    let mut count = [(b * h * w) as f64];
    group.all_reduce(&mut count)?;
    let mean = (all_reduce(&x.sum_keepdim((0, 2, 3))?, group)? / count[0])?;
    let squares = x.broadcast_sub(&mean)?.sqr()?.sum_keepdim((0, 2, 3))?;
    Ok((mean, (all_reduce(&squares, group)? / count[0])?, count[0] as usize))
}

/// Sum of `x` over all ranks. Every rank's loss depends on it, so its gradient is the sum of all ranks' gradients.
fn all_reduce(x: &Tensor, group: &ProcessGroup) -> Result<Tensor> {
    let total = all_reduce_detached(&x.detach(), group)?;
    let x = x.contiguous()?.apply_op1(GradientSum { group: group.clone() })?;
    // The difference is 0 and carries the gradient.
    total + (&x - x.detach())?
}

/// Sum of `values` over all ranks, without a gradient, by way of the host.
fn all_reduce_detached(values: &Tensor, group: &ProcessGroup) -> Result<Tensor> {
    // f64 on the host alone: Metal has none.
    let mut host = values.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    group.all_reduce(&mut host)?;
    Tensor::from_vec(host, values.shape(), &Device::Cpu)?.to_dtype(values.dtype())?.to_device(values.device())
}

/// The identity whose gradient is summed over all ranks.
struct GradientSum {
    group: ProcessGroup,
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
        Ok(Some(all_reduce_detached(dy, &self.group)?))
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
    use crate::activation::Activation;
    use crate::builder::Builder;
    use crate::gradient_check::{assert_close, noise};
    use crate::norm::BatchNorm;

    /// A process group of two threads.
    pub(crate) struct Pair {
        barrier: Barrier,
        sums: Mutex<Vec<f64>>,
    }

    impl AllReduce for Pair {
        fn all_reduce(&self, values: &mut [f64]) -> Result<()> {
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

    /// Runs `work` on two threads, each with its rank and the group.
    pub(crate) fn pair<T: Send>(work: impl Fn(usize, ProcessGroup) -> T + Sync) -> [T; 2] {
        let group: ProcessGroup = Arc::new(Pair { barrier: Barrier::new(2), sums: Mutex::default() });
        std::thread::scope(|scope| {
            let other = scope.spawn(|| work(1, group.clone()));
            [work(0, group.clone()), other.join().unwrap()]
        })
    }

    /// Output, gradients of input, weight and bias, running statistics of a norm over `x`, and `sum(y^2 c)` as loss.
    fn outcome(x: &Tensor, c: &Tensor, group: Option<ProcessGroup>) -> [Tensor; 6] {
        let parameters = Parameters::new(0);
        let vb = parameters.var_builder(DType::F64, &Device::Cpu);
        let norm = BatchNorm::new(3, Builder::new(vb, group, false)).unwrap();
        let get = |name: &str| parameters.get(name).unwrap();
        get("weight").set(&noise(&[3], 1)).unwrap();
        get("bias").set(&noise(&[3], 2)).unwrap();
        let x = Var::from_tensor(&x.contiguous().unwrap()).unwrap();
        let y = norm.forward_t(&x, true, Activation::None).unwrap();
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
        let whole = outcome(&x, &c, None);
        let parts = pair(|rank, group| outcome(&part(&x, rank), &part(&c, rank), Some(group)));
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
