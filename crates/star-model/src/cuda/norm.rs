//! Batch norm, with the ReLU behind it, as one candle op with its own backward. Instance norm is batch norm over each map by itself.

use std::sync::OnceLock;

use candle_core::cuda_backend::cudarc::driver::CudaSlice;
use candle_core::{
    CpuStorage, CudaDevice, CudaStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail,
};

use super::card::{Held, Operand, blocks, tensor, threads, unwritten};
use super::pointwise::{LAYERS, grid, not_here, number, packed};
use crate::launch;

/// Which statistics a norm goes by.
pub(crate) enum Statistics {
    /// The batch's own.
    Batch,
    /// The batch's own, towards which the running mean and variance move by a share; the variance by an unbiased one.
    Moving {
        /// `[C]`.
        mean: Tensor,
        /// `[C]`.
        variance: Tensor,
        /// Share of the batch.
        momentum: f64,
    },
    /// The running ones.
    Running {
        /// `[C]`.
        mean: Tensor,
        /// `[C]`.
        variance: Tensor,
    },
}

/// What a norm is beside its tensors.
pub(crate) struct Settings {
    /// Added to variances.
    pub(crate) eps: f64,
    /// Whether a ReLU follows.
    pub(crate) relu: bool,
}

/// `x`, `[B, C, H, W]`, normalised a channel, scaled by `weight` and shifted by `bias`, `[C]` both and of the type that values of `x`
/// are worked on in: f64 for f64, otherwise f32.
pub(crate) fn norm(
    x: &Tensor,
    [weight, bias]: [&Tensor; 2],
    statistics: Statistics,
    settings: Settings,
) -> Result<Tensor> {
    let wanted = working_dtype(x.dtype());
    if weight.dtype() != wanted || bias.dtype() != wanted {
        bail!("norm: expected parameters of {wanted:?} for maps of {:?}, got {:?}", x.dtype(), weight.dtype())
    }
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, Norm::new(statistics, settings))
}

/// Each map normalised by itself and cut at 0, `[B, K, H, W]`: the maps as channels of one image, scales and shifts that change nothing, and the op.
pub(crate) fn instance_norm(x: &Tensor, eps: f64) -> Result<(Tensor, [Tensor; 2], Norm)> {
    let (b, k, h, w) = x.dims4()?;
    let vector = |value: f64| Tensor::full(value, b * k, x.device())?.to_dtype(working_dtype(x.dtype()));
    let op = Norm::new(Statistics::Batch, Settings { eps, relu: true });
    Ok((x.contiguous()?.reshape((1, b * k, h, w))?, [vector(1.0)?, vector(0.0)?], op))
}

/// The type that values of `dtype` are worked on in.
pub(crate) fn working_dtype(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// The op: over `x`, weight and bias.
pub(crate) struct Norm {
    statistics: Statistics,
    settings: Settings,
    /// Means and inverse standard deviations, `[2, C]`, of the forward pass.
    saved: OnceLock<CudaSlice<f64>>,
}

/// Sizes of a batch of maps, and into how many blocks each channel is cut.
pub(super) struct Channels {
    pub(super) count: usize,
    pub(super) channels: usize,
    pub(super) batch: usize,
    pub(super) plane: usize,
    pub(super) slices: usize,
}

/// About as many blocks as two rounds of the largest cards take, eight on each of 132 multiprocessors.
const BLOCKS: usize = 2112;
/// Values below which a block is not worth it.
const VALUES_A_BLOCK: usize = 4096;

impl Channels {
    pub(super) fn of(shape: &Shape) -> Result<Self> {
        let (batch, channels, h, w) = shape.dims4()?;
        let (count, plane) = (shape.elem_count(), h * w);
        number(count)?;
        if count == 0 {
            bail!("norm: expected at least one value, got {shape:?}")
        }
        let slices = (BLOCKS / channels).min((batch * plane).div_ceil(VALUES_A_BLOCK)).max(1);
        Ok(Self { count, channels, batch, plane, slices })
    }

    /// `channels, batch, plane, slices` as kernels take them.
    pub(super) fn numbers(&self) -> [i32; 4] {
        // All are factors of `count`, which was checked.
        [self.channels, self.batch, self.plane, self.slices].map(|n| n as i32)
    }
}

/// Fresh memory for doubles that a kernel writes.
pub(super) fn doubles(device: &CudaDevice, count: usize) -> Result<CudaSlice<f64>> {
    #[expect(unsafe_code, reason = "the kernel that gets this memory writes every value of it")]
    // SAFETY: memory of a card that is not written holds some numbers.
    unsafe {
        device.alloc::<f64>(count)
    }
}

impl Norm {
    pub(crate) fn new(statistics: Statistics, settings: Settings) -> Self {
        Self { statistics, settings, saved: OnceLock::new() }
    }

    /// Means and inverse standard deviations.
    fn statistics(&self, x: Operand<'_>, sizes: &Channels) -> Result<CudaSlice<f64>> {
        let (device, dtype) = (x.device(), x.dtype());
        let mut statistics = doubles(device, 2 * sizes.channels)?;
        let [channels, batch, plane, slices] = sizes.numbers();
        let per_channel = threads(sizes.channels)?;
        if let Statistics::Running { mean, variance } = &self.statistics {
            let [mean, variance] = [("running mean", mean), ("running variance", variance)].map(Held::new);
            launch!(
                LAYERS.kernel(device, dtype, "norm_running")?,
                per_channel,
                &mean.bytes()?,
                &variance.bytes()?,
                &mut statistics,
                &channels,
                &self.settings.eps,
            );
            return Ok(statistics);
        }
        let values = x.bytes("norm")?;
        let mut partial = doubles(device, 2 * sizes.channels * sizes.slices)?;
        launch!(
            LAYERS.kernel(device, dtype, "norm_sums")?,
            blocks(sizes.channels * sizes.slices)?,
            &values,
            &mut partial,
            &channels,
            &batch,
            &plane,
            &slices,
            &i32::from(packed(x, sizes.plane, &[&values])),
        );
        let count = (sizes.batch * sizes.plane) as f64;
        let unbiased = count / (count - 1.0).max(1.0);
        let kernel = LAYERS.kernel(device, dtype, "norm_statistics")?;
        let (eps, nowhere) = (self.settings.eps, 0u64);
        if let Statistics::Moving { mean, variance, momentum } = &self.statistics {
            let [mean, variance] = [("running mean", mean), ("running variance", variance)].map(Held::new);
            launch!(
                kernel,
                per_channel,
                &partial,
                &values,
                &mut statistics,
                &mean.bytes()?,
                &variance.bytes()?,
                &channels,
                &batch,
                &plane,
                &slices,
                &eps,
                momentum,
                &unbiased,
            );
        } else {
            launch!(
                kernel,
                per_channel,
                &partial,
                &values,
                &mut statistics,
                &nowhere,
                &nowhere,
                &channels,
                &batch,
                &plane,
                &slices,
                &eps,
                &0f64,
                &unbiased,
            );
        }
        Ok(statistics)
    }
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        not_here("batch-norm")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        weight: &CudaStorage,
        lw: &Layout,
        bias: &CudaStorage,
        lb: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (x, shape) = (Operand { storage: x, layout: lx }, lx.shape());
        let weight = Operand { storage: weight, layout: lw }.bytes("norm weight")?;
        let bias = Operand { storage: bias, layout: lb }.bytes("norm bias")?;
        let sizes = Channels::of(shape)?;
        let statistics = self.statistics(x, &sizes)?;
        let out = unwritten(x.device(), x.dtype(), shape)?;
        {
            let layout = Layout::contiguous(shape);
            let (from, to) = (x.bytes("norm")?, Operand { storage: &out, layout: &layout }.bytes("norm")?);
            let packed = packed(x, sizes.plane, &[&from, &to]);
            let [channels, _, plane, _] = sizes.numbers();
            launch!(
                LAYERS.kernel(x.device(), x.dtype(), "norm_apply")?,
                grid(sizes.count, x.dtype(), packed)?,
                &from,
                &statistics,
                &weight,
                &bias,
                &to,
                &number(sizes.count)?,
                &channels,
                &plane,
                &i32::from(self.settings.relu),
                &i32::from(packed),
            );
        }
        // A second forward through the same op would give the same.
        let _ = self.saved.set(statistics);
        Ok((out, shape.clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        by: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(statistics) = self.saved.get() else { bail!("batch-norm: backward before forward") };
        let by = by.contiguous()?;
        let sizes = Channels::of(x.shape())?;
        let [channels, batch, plane, slices] = sizes.numbers();
        let relu = i32::from(self.settings.relu);
        let [x_held, weight_held, bias_held, by] =
            [("norm", x), ("norm weight", weight), ("norm bias", bias), ("gradient of norm", &by)]
                .map(Held::new);
        let (operand, values, by) = (x_held.operand()?, x_held.bytes()?, by.bytes()?);
        let (w, b) = (weight_held.bytes()?, bias_held.bytes()?);
        let (device, dtype) = (operand.device(), operand.dtype());
        let mut partial = doubles(device, 2 * sizes.channels * sizes.slices)?;
        launch!(
            LAYERS.kernel(device, dtype, "norm_backward_sums")?,
            blocks(sizes.channels * sizes.slices)?,
            &values,
            &by,
            statistics,
            &w,
            &b,
            &mut partial,
            &channels,
            &batch,
            &plane,
            &slices,
            &relu,
            &i32::from(packed(operand, sizes.plane, &[&values, &by])),
        );
        let parameters = || unwritten(device, working_dtype(dtype), weight.shape());
        let [by_weight, by_bias] = [parameters()?, parameters()?].map(|s| tensor(s, weight.shape()));
        let mut means = doubles(device, 2 * sizes.channels)?;
        // Running statistics do not depend on the batch.
        let running = matches!(self.statistics, Statistics::Running { .. });
        let count = if running { 0.0 } else { (sizes.batch * sizes.plane) as f64 };
        {
            let [by_weight, by_bias] = [("norm weight", &by_weight), ("norm bias", &by_bias)].map(Held::new);
            launch!(
                LAYERS.kernel(device, dtype, "norm_parameters")?,
                threads(sizes.channels)?,
                &partial,
                &by_weight.bytes()?,
                &by_bias.bytes()?,
                &mut means,
                &channels,
                &slices,
                &count,
            );
        }
        let dx = unwritten(device, dtype, x.shape())?;
        {
            let layout = Layout::contiguous(x.shape());
            let to = Operand { storage: &dx, layout: &layout }.bytes("norm")?;
            let packed = packed(operand, sizes.plane, &[&values, &by, &to]);
            launch!(
                LAYERS.kernel(device, dtype, "norm_backward")?,
                grid(sizes.count, dtype, packed)?,
                &values,
                &by,
                statistics,
                &means,
                &w,
                &b,
                &to,
                &number(sizes.count)?,
                &channels,
                &plane,
                &relu,
                &i32::from(packed),
            );
        }
        Ok((Some(tensor(dx, x.shape())), Some(by_weight), Some(by_bias)))
    }
}
