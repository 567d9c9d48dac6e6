//! Loss and gradient at once: each map is swept for its moments and, while it is still in the cache, for its gradient.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Storage, Tensor, bail};

use super::access::{Access, Sweeper, for_dtype};
use super::keypoint::{Terms, derivative, terms};
use super::map::Axes;
use super::op::{contiguous, zeros_like};
use crate::maps::expect_like;
use crate::{Reduction, StarLossConfig};

/// The loss over one batch of maps, everything but the maps themselves.
pub(crate) struct Kernel<'a> {
    config: &'a StarLossConfig,
    sweeper: Sweeper,
    targets: Vec<f64>,
    /// What multiplies the loss of each keypoint, the divisor of a mean included.
    factors: Vec<f64>,
}

impl<'a> Kernel<'a> {
    /// For maps `[B, K, H, W]`; `targets` has `2 B K` numbers, `weights` `B K`.
    pub(crate) fn new(
        config: &'a StarLossConfig,
        (axes, relu): (Axes, bool),
        [b, k, h, w]: [usize; 4],
        targets: Vec<f64>,
        weights: Option<Vec<f64>>,
        how: Reduction,
    ) -> Result<Self> {
        if b * k * h * w == 0 {
            bail!("heatmaps: expected at least one pixel, got [{b}, {k}, {h}, {w}]")
        }
        if targets.len() != 2 * b * k {
            bail!("targets: expected [{b}, {k}, 2], got {} numbers", targets.len())
        }
        let mut factors = weights.unwrap_or_else(|| vec![1.0; b * k]);
        if factors.len() != b * k {
            bail!("weights: expected [{b}, {k}], got {} numbers", factors.len())
        }
        if how == Reduction::Mean {
            let mass: f64 = factors.iter().sum();
            let inverse = if mass == 0.0 { 0.0 } else { 1.0 / mass };
            factors.iter_mut().for_each(|f| *f *= inverse);
        }
        Ok(Self { config, sweeper: Sweeper::new(axes, relu, h, w), targets, factors })
    }

    /// Writes the gradient by the maps into `out` and returns the loss, whose value does not depend on the number of threads.
    pub(crate) fn run<D: Sync + Send, A: Access<D>>(&self, maps: &[D], out: &mut [D]) -> f64 {
        let losses = self.sweeper.for_maps_into::<D, A, _>(maps, out, |i, map, out, scratch| {
            let factor = self.factors[i];
            let moments = self.sweeper.moments_of::<D, A>(map, scratch);
            let ([tx, ty], [mx, my]) = ([self.targets[2 * i], self.targets[2 * i + 1]], moments.mean);
            let residual = [tx - mx, ty - my];
            let by = Terms { distance: factor, restriction: factor };
            let derivative = derivative(self.config, residual, moments.covariance, by);
            let by_mean = derivative.residual.map(|g| -g);
            let q = moments.gradient(by_mean, derivative.covariance, &self.sweeper.axes);
            self.sweeper.gradient_of::<D, A>(map, &q, out, scratch);
            if factor == 0.0 {
                return 0.0;
            }
            let terms = terms(self.config, residual, moments.covariance);
            factor * (terms.distance + terms.restriction)
        });
        losses.iter().sum()
    }

    /// As [`Kernel::run`], into a fresh tensor.
    pub(crate) fn fresh(&self, heatmaps: &Tensor) -> Result<(f64, Tensor)> {
        let (storage, layout) = heatmaps.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { bail!("heatmaps: expected a tensor on the CPU") };
        for_dtype!(storage, maps, A => {
            let maps = contiguous("heatmaps", maps, layout)?;
            let mut out = zeros_like(maps);
            let loss = self.run::<_, A>(maps, &mut out);
            Ok((loss, Tensor::from_vec(out, layout.shape(), heatmaps.device())?))
        })
    }

    /// As [`Kernel::run`], into the storage of a tensor of the same shape and dtype.
    pub(crate) fn reused(mut self, heatmaps: &Tensor, gradient: &Tensor) -> Result<f64> {
        expect_like(heatmaps, gradient)?;
        let bytes = heatmaps.elem_count() * heatmaps.dtype().size_in_bytes();
        self.sweeper.streamed = bytes > CACHED_BYTES;
        let op = IntoOp { kernel: &self, loss: std::cell::Cell::new(0.0) };
        gradient.inplace_op2(heatmaps, &op)?;
        Ok(op.loss.get())
    }
}

/// Gradients above this do not stay in the second-level caches of one or two cores.
const CACHED_BYTES: usize = 4 << 20;

struct IntoOp<'a> {
    kernel: &'a Kernel<'a>,
    loss: std::cell::Cell<f64>,
}

impl InplaceOp2 for IntoOp<'_> {
    fn name(&self) -> &'static str {
        "star-gradient"
    }

    fn cpu_fwd(&self, s1: &mut CpuStorage, l1: &Layout, s2: &CpuStorage, l2: &Layout) -> Result<()> {
        let Some((start, end)) = l1.contiguous_offsets() else {
            bail!("gradient: expected a contiguous tensor, got strides {:?}", l1.stride())
        };
        macro_rules! run {
            ($($variant:ident => $access:ident),*) => {
                match (s1, s2) {
                    $((CpuStorage::$variant(out), CpuStorage::$variant(maps)) => {
                        let maps = contiguous("heatmaps", maps, l2)?;
                        self.kernel.run::<_, super::access::$access>(maps, &mut out[start..end])
                    })*
                    (_, other) => bail!("heatmaps: expected a float dtype, got {:?}", other.dtype()),
                }
            };
        }
        self.loss.set(run!(F32 => Direct, F64 => Direct, F16 => Converted, BF16 => Converted));
        Ok(())
    }
}
