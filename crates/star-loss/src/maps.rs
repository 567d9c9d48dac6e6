//! Shapes and dtypes of heatmaps, and the constants by which they are normalised.

use candle_core::{DType, Result, Tensor, bail};

/// A map with less mass than this is not normalised further. Reference value.
pub(crate) const MASS_FLOOR: f64 = 1e-6;
/// Added to both masses of the unbiased covariance. Reference value.
pub(crate) const MASS_EPS: f64 = 1e-5;
/// `V1 - V2 / V1` is at least 1e-5 for every normalised map. Below half of that the map had less mass than [`MASS_FLOOR`] and has
/// no covariance to speak of: the divisor stops here and no gradient passes through the covariance.
pub(crate) const DIVISOR_FLOOR: f64 = 0.5 * MASS_EPS;

/// The dtype in which maps of `dtype` are summed.
pub(crate) fn working_dtype(dtype: DType) -> Result<DType> {
    match dtype {
        DType::F32 | DType::F64 => Ok(dtype),
        DType::F16 | DType::BF16 => Ok(DType::F32),
        other => bail!("heatmaps: expected a float dtype, got {other:?}"),
    }
}

/// Checks `[B, K, H, W]` with at least one pixel.
pub(crate) fn map_dims(heatmaps: &Tensor) -> Result<(usize, usize, usize, usize)> {
    map_dims_of("heatmaps", heatmaps)
}

/// As [`map_dims`], under another name in the error.
pub(crate) fn map_dims_of(name: &str, maps: &Tensor) -> Result<(usize, usize, usize, usize)> {
    let &[b, k, h, w] = maps.dims() else { bail!("{name}: expected [B, K, H, W], got {:?}", maps.shape()) };
    if b * k * h * w == 0 {
        bail!("{name}: expected at least one pixel, got {:?}", maps.shape())
    }
    Ok((b, k, h, w))
}

/// Checks that a gradient has the shape and dtype of its maps.
pub(crate) fn expect_like(heatmaps: &Tensor, gradient: &Tensor) -> Result<()> {
    if gradient.dims() != heatmaps.dims() || gradient.dtype() != heatmaps.dtype() {
        let (expected, got) = (heatmaps.dims(), gradient.dims());
        bail!("gradient: expected {expected:?} {:?}, got {got:?} {:?}", heatmaps.dtype(), gradient.dtype())
    }
    Ok(())
}
