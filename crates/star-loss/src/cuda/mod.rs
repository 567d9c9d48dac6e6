//! The CUDA path: the kernels of `star.cu` behind the operations of `fused`, and loss and gradient at once.

pub(crate) mod awing;
mod card;

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{DeviceRepr, LaunchConfig, PushKernelArg};
use candle_core::{CudaStorage, DType, Layout, Result, Shape, Tensor, bail};

use crate::fused::{Axes, MOMENTS};
use crate::{Distance, Form, Restriction, StarLossConfig};
use card::{Held, THREADS, blocks, bytes, kernel, launch, tensor, unwritten};

/// What a map's moments keep for their derivative, in numbers.
const SAVED: usize = 6;

/// `Geometry` of `star.cu`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Geometry {
    height: i32,
    width: i32,
    relu: i32,
    reserved: i32,
    centre_x: f64,
    step_x: f64,
    centre_y: f64,
    step_y: f64,
}

/// `Settings` of `star.cu`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Settings {
    form: i32,
    distance: i32,
    restriction: i32,
    reserved: i32,
    p: f64,
    q: f64,
    weight: f64,
    eps: f64,
}

#[expect(unsafe_code, reason = "structures of numbers are handed to kernels as they lie in memory")]
// SAFETY: laid out as C does, without padding, and of the fields of their namesakes in `star.cu`.
unsafe impl DeviceRepr for Geometry {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl DeviceRepr for Settings {}

impl Geometry {
    pub(crate) fn new([x, y]: Axes, relu: bool, height: usize, width: usize) -> Result<Self> {
        let (Ok(h), Ok(w)) = (i32::try_from(height), i32::try_from(width)) else {
            bail!("heatmaps: a map of {height} x {width} is larger than a card takes")
        };
        if h.checked_mul(w).is_none() {
            bail!("heatmaps: a map of {height} x {width} is larger than a card takes")
        }
        Ok(Self {
            height: h,
            width: w,
            relu: i32::from(relu),
            reserved: 0,
            centre_x: x.centre,
            step_x: x.step,
            centre_y: y.centre,
            step_y: y.step,
        })
    }

    fn area(&self) -> usize {
        self.height as usize * self.width as usize
    }
}

impl Settings {
    fn new(config: &StarLossConfig) -> Self {
        let (distance, p, q) = match config.distance {
            Distance::L1 => (0, 1.0, 1.0),
            Distance::L2 => (1, 1.0, 1.0),
            Distance::SmoothL1 { scale } => (2, scale, 1.0),
            Distance::Wing { omega, epsilon } => (3, omega, epsilon),
        };
        let (restriction, weight) = match config.restriction {
            Restriction::Value { weight } => (0, weight),
            Restriction::Detach => (1, 0.0),
            Restriction::None => (2, 0.0),
        };
        let form = i32::from(config.form == Form::Whitened);
        Self { form, distance, restriction, reserved: 0, p, q, weight, eps: config.eps }
    }
}

/// One thread a keypoint.
fn threads(keypoints: usize) -> Result<(LaunchConfig, i32)> {
    let Ok(count) = i32::try_from(keypoints) else {
        bail!("keypoints: {keypoints} are more than a card takes at once")
    };
    let grid_dim = ((count as u32).div_ceil(THREADS), 1, 1);
    Ok((LaunchConfig { grid_dim, block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 }, count))
}

/// Moments of `[B, K, H, W]`: f64 `[B, K, 5]`, and what their derivative needs.
pub(crate) fn moments(maps: &CudaStorage, layout: &Layout, geometry: Geometry) -> Result<[CudaStorage; 2]> {
    let (device, count) = (maps.device(), layout.shape().elem_count() / geometry.area());
    let [mut moments, mut saved] = [
        unwritten(device, DType::F64, &Shape::from(count * MOMENTS))?,
        unwritten(device, DType::F64, &Shape::from(count * SAVED))?,
    ];
    launch!(
        kernel(device, maps.dtype(), "star_moments")?,
        blocks(count)?,
        &bytes("heatmaps", maps, layout)?,
        moments.as_cuda_slice_mut::<f64>()?,
        saved.as_cuda_slice_mut::<f64>()?,
        &geometry,
    );
    Ok([moments, saved])
}

/// The gradient by the maps from `by`, that by the moments.
pub(crate) fn moments_backward(
    maps: &Tensor,
    moments: &Tensor,
    saved: &CudaStorage,
    by: &Tensor,
    geometry: Geometry,
) -> Result<Tensor> {
    let (count, by) = (maps.elem_count() / geometry.area(), doubles("gradient of the moments", by)?);
    let [held, moments, by] =
        [("heatmaps", maps), ("moments", moments), ("gradient of the moments", &by)].map(Held::new);
    let (device, dtype) = (held.storage()?.device(), held.storage()?.dtype());
    let out = tensor(unwritten(device, dtype, maps.shape())?, maps.shape());
    launch!(
        kernel(device, dtype, "star_gradient")?,
        blocks(count)?,
        &held.bytes()?,
        &moments.bytes()?,
        saved.as_cuda_slice::<f64>()?,
        &by.bytes()?,
        &Held::new(("gradient", &out)).bytes()?,
        &geometry,
    );
    Ok(out)
}

/// `fused::terms_of` on a card.
pub(crate) fn terms(
    moments: &CudaStorage,
    lm: &Layout,
    targets: &CudaStorage,
    lt: &Layout,
    config: &StarLossConfig,
) -> Result<CudaStorage> {
    let keypoints = lm.shape().elem_count() / MOMENTS;
    let (grid, count) = threads(keypoints)?;
    let mut out = unwritten(moments.device(), DType::F64, &Shape::from(2 * keypoints))?;
    launch!(
        kernel(moments.device(), DType::F64, "star_terms")?,
        grid,
        &bytes("moments", moments, lm)?,
        &bytes("targets", targets, lt)?,
        out.as_cuda_slice_mut::<f64>()?,
        &count,
        &Settings::new(config),
    );
    Ok(out)
}

/// The gradients by moments and targets from `by`, that by the terms.
pub(crate) fn terms_backward(
    moments: &Tensor,
    targets: &Tensor,
    by: &Tensor,
    config: &StarLossConfig,
) -> Result<[Tensor; 2]> {
    let by = doubles("gradient of the terms", by)?;
    let (grid, count) = threads(moments.elem_count() / MOMENTS)?;
    let [m, t, by] =
        [("moments", moments), ("targets", targets), ("gradient of the terms", &by)].map(Held::new);
    let device = m.storage()?.device();
    let mut by_moments = unwritten(device, DType::F64, moments.shape())?;
    let mut by_targets = unwritten(device, DType::F64, targets.shape())?;
    launch!(
        kernel(device, DType::F64, "star_terms_backward")?,
        grid,
        &m.bytes()?,
        &t.bytes()?,
        &by.bytes()?,
        by_moments.as_cuda_slice_mut::<f64>()?,
        by_targets.as_cuda_slice_mut::<f64>()?,
        &count,
        &Settings::new(config),
    );
    Ok([tensor(by_moments, moments.shape()), tensor(by_targets, targets.shape())])
}

/// Writes the gradient by `heatmaps` into `gradient`, of the same shape and dtype and in a storage of its own, and returns the loss,
/// an f64 scalar. `targets` are f64 `[B, K, 2]`; `factors`, f64 `[B, K]`, multiply the loss of each keypoint. All are contiguous.
pub(crate) fn loss_and_gradient(
    heatmaps: &Tensor,
    targets: &Tensor,
    factors: &Tensor,
    gradient: &Tensor,
    config: &StarLossConfig,
    geometry: Geometry,
) -> Result<Tensor> {
    let count = heatmaps.elem_count() / geometry.area();
    let work = if heatmaps.dtype() == DType::F64 { 8 } else { 4 };
    let room = geometry.area() * work;
    let keep = i32::from(room <= SHARED_BYTES);
    let grid = LaunchConfig { shared_mem_bytes: if keep == 1 { room as u32 } else { 0 }, ..blocks(count)? };
    let [heatmaps, targets, factors, gradient] =
        [("heatmaps", heatmaps), ("targets", targets), ("factors", factors), ("gradient", gradient)]
            .map(Held::new);
    let (device, dtype) = (heatmaps.storage()?.device(), heatmaps.storage()?.dtype());
    if std::ptr::eq(heatmaps.storage()?, gradient.storage()?) {
        bail!("gradient: expected a storage of its own, got that of the heatmaps")
    }
    let mut losses = unwritten(device, DType::F64, &Shape::from(count))?;
    launch!(
        kernel(device, dtype, "star_fused")?,
        grid,
        &heatmaps.bytes()?,
        &targets.bytes()?,
        &factors.bytes()?,
        losses.as_cuda_slice_mut::<f64>()?,
        &gradient.bytes()?,
        &geometry,
        &Settings::new(config),
        &keep,
    );
    let (_, n) = threads(count)?;
    let mut loss = unwritten(device, DType::F64, &Shape::from(()))?;
    launch!(
        kernel(device, dtype, "star_total")?,
        blocks(1)?,
        losses.as_cuda_slice::<f64>()?,
        loss.as_cuda_slice_mut::<f64>()?,
        &n,
    );
    Ok(tensor(loss, ()))
}

/// Shared memory for a map: what every card gives a block without being asked, less a few kilobytes that are the kernel's own.
const SHARED_BYTES: usize = 40 << 10;

fn doubles(name: &str, tensor: &Tensor) -> Result<Tensor> {
    match tensor.dtype() {
        DType::F64 => tensor.contiguous(),
        other => bail!("{name}: expected f64, got {other:?}"),
    }
}
