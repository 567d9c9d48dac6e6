//! Values with a hand-written derivative, and constants shaped like a tensor.

use candle_core::{Result, Tensor};

/// `value`, whose derivative by `at` is `slope`; neither `value` nor `slope` is differentiated.
///
/// candle's own derivative of `abs`, `relu`, `maximum` at a kink and of `sqrt` at 0 is not the one wanted here.
pub(crate) fn with_slope(value: &Tensor, at: &Tensor, slope: &Tensor) -> Result<Tensor> {
    value.detach() + linear(at, slope)?
}

/// `slope * (at - at)`: zero in value, `slope` in derivative.
pub(crate) fn linear(at: &Tensor, slope: &Tensor) -> Result<Tensor> {
    slope.detach() * (at - at.detach())?
}

/// A tensor like `like` filled with one number.
pub(crate) fn full_like(like: &Tensor, value: f64) -> Result<Tensor> {
    like.zeros_like()?.affine(1.0, value)
}

/// 1 where `mask` is set, else 0, in the dtype of `like`.
pub(crate) fn indicator(mask: &Tensor, like: &Tensor) -> Result<Tensor> {
    mask.to_dtype(like.dtype())
}
