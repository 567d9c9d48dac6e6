//! A whole pre-activation bottleneck block in training as one candle op: what lies between its input and its output is in no graph.
//!
//! `y = s(x) + W3 r3(W2 * r2(W1 r1(x)))`, where `r` is a batch norm with its ReLU, `*` the 3x3 convolution and `s` the identity or a
//! 1x1 convolution. Kept for the backward pass are the outputs of the first two convolutions (a half of the input's channels
//! each) and the batch statistics; activations are worked out again from them, a strip of pixels at a time.
//!
//! Biases in front of a batch norm change nothing, so their gradients are exactly 0 and are not computed.

mod backward;
mod forward;
mod norm;
mod parts;

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::batch_norm::Statistics;
use super::slices::{self, for_real};
use norm::Norm;
pub(crate) use parts::Sizes;

/// What a forward pass leaves for its backward pass.
struct Kept<T> {
    norms: [Norm<T>; 3],
    /// Outputs of the first two convolutions, `[N, half, H, W]` each.
    first: Vec<T>,
    second: Vec<T>,
}

/// The op over `x` `[N, I, H, W]` and all parameters of the block in one vector, in the order of [`Sizes::parts`].
struct ResidualOp {
    sizes: Sizes,
    eps: f64,
    /// A [`Kept`] of the element type. Filled by the forward pass, emptied by the backward pass; a second backward pass works it out
    /// again.
    kept: Mutex<Option<Box<dyn Any + Send + Sync>>>,
    statistics: Arc<Mutex<Option<[Statistics; 3]>>>,
}

/// The block in training mode, and the batch statistics that its three norms used.
///
/// # Errors
/// When `x` or `parameters` do not have the sizes stated.
pub(crate) fn residual(
    x: &Tensor,
    parameters: &Tensor,
    sizes: Sizes,
    eps: f64,
) -> Result<(Tensor, [Statistics; 3])> {
    let statistics = Arc::new(Mutex::new(None));
    let op = ResidualOp { sizes, eps, kept: Mutex::new(None), statistics: statistics.clone() };
    let y = x.contiguous()?.apply_op2(&parameters.contiguous()?, op)?;
    let taken = statistics.lock().unwrap_or_else(PoisonError::into_inner).take();
    match taken {
        Some(statistics) => Ok((y, statistics)),
        None => candle_core::bail!("residual: the op did not run on the cpu"),
    }
}

impl CustomOp2 for ResidualOp {
    fn name(&self) -> &'static str {
        "residual-block-cpu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        parameters: &CpuStorage,
        lp: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.sizes.check(lx.shape(), lp.shape())?;
        for_real!(x.dtype(), T => {
            let (x, parts) = (slices::of_storage::<T>(x, lx)?, self.sizes.parts(slices::of_storage(parameters, lp)?));
            let (y, kept) = forward::forward(&self.sizes, x, &parts, self.eps);
            let statistics = kept.norms.each_ref().map(|norm| norm.statistics.clone());
            *self.statistics.lock().unwrap_or_else(PoisonError::into_inner) = Some(statistics);
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(kept));
            Ok(slices::result(y, self.sizes.output_shape()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        parameters: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        for_real!(x.dtype(), T => {
            let (dx, dp) = slices::with::<T, _>(x, |x| {
                slices::with::<T, _>(parameters, |p| {
                    let parts = self.sizes.parts(p);
                    let kept = match kept.and_then(|kept| kept.downcast::<Kept<T>>().ok()) {
                        Some(kept) => *kept,
                        None => forward::forward(&self.sizes, x, &parts, self.eps).1,
                    };
                    slices::with::<T, _>(dy, |dy| Ok(backward::backward(&self.sizes, x, &parts, kept, dy)))
                })
            })?;
            let device = x.device();
            Ok((
                Some(Tensor::from_vec(dx, x.shape(), device)?),
                Some(Tensor::from_vec(dp, parameters.shape(), device)?),
            ))
        })
    }
}
