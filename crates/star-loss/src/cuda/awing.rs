//! Adaptive Wing on a card: the kernels of `awing.cu` behind the operation of `fused`.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{DeviceRepr, PushKernelArg};
use candle_core::{CudaStorage, DType, Layout, Result, Shape, Tensor, bail};

use super::card::{Held, blocks, bytes, kernel, launch, tensor, unwritten};
use crate::AwingConfig;

/// `Wing` of `awing.cu`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Wing {
    omega: f64,
    theta: f64,
    epsilon: f64,
    alpha: f64,
    weight: f64,
    threshold: f64,
}

#[expect(unsafe_code, reason = "a structure of numbers is handed to kernels as it lies in memory")]
// SAFETY: laid out as C does, without padding, and of the fields of its namesake in `awing.cu`.
unsafe impl DeviceRepr for Wing {}

impl Wing {
    fn new(config: &AwingConfig) -> Self {
        let AwingConfig { omega, theta, epsilon, alpha, weight, threshold } = *config;
        Self { omega, theta, epsilon, alpha, weight, threshold }
    }
}

/// Number, height and width of maps `[B, C, H, W]`.
fn sides(shape: &Shape) -> Result<(usize, [i32; 2])> {
    let (b, c, h, w) = shape.dims4()?;
    match (i32::try_from(h), i32::try_from(w)) {
        (Ok(height), Ok(width)) if height.checked_mul(width).is_some() => Ok((b * c, [height, width])),
        _ => bail!("adaptive-wing: a map of {h} x {w} is larger than a card takes"),
    }
}

/// The mean of each map: f64 `[B, C]`.
pub(crate) fn means(
    output: &CudaStorage,
    lo: &Layout,
    target: &CudaStorage,
    lt: &Layout,
    config: &AwingConfig,
) -> Result<CudaStorage> {
    let (count, [height, width]) = sides(lo.shape())?;
    let mut means = unwritten(output.device(), DType::F64, &Shape::from(count))?;
    launch!(
        kernel(output.device(), output.dtype(), "awing_means")?,
        blocks(count)?,
        &bytes("output", output, lo)?,
        &bytes("target", target, lt)?,
        means.as_cuda_slice_mut::<f64>()?,
        &height,
        &width,
        &Wing::new(config),
    );
    Ok(means)
}

/// The gradient by the output from `by`, f64 `[B, C]`, that by the means.
pub(crate) fn gradient(
    output: &Tensor,
    target: &Tensor,
    by: &Tensor,
    config: &AwingConfig,
) -> Result<Tensor> {
    let (count, [height, width]) = sides(output.shape())?;
    let by = super::doubles("gradient of the means", by)?;
    let [o, t, by] = [("output", output), ("target", target), ("gradient of the means", &by)].map(Held::new);
    let (device, dtype) = (o.storage()?.device(), o.storage()?.dtype());
    let out = tensor(unwritten(device, dtype, output.shape())?, output.shape());
    launch!(
        kernel(device, dtype, "awing_gradient")?,
        blocks(count)?,
        &o.bytes()?,
        &t.bytes()?,
        &by.bytes()?,
        &Held::new(("gradient", &out)).bytes()?,
        &height,
        &width,
        &Wing::new(config),
    );
    Ok(out)
}
