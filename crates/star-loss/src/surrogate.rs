//! Values with a hand-written derivative, and constants shaped like a tensor.

use candle_core::{Result, Tensor};

/// `value`, whose derivative by `at` is `derivative`; neither `value` nor `derivative` is differentiated.
///
/// candle's own derivative of `abs`, `relu`, `maximum` at a kink and of `sqrt` at 0 is not the one wanted here.
pub(crate) fn with_derivative(value: &Tensor, at: &Tensor, derivative: &Tensor) -> Result<Tensor> {
    value.detach() + linear(at, derivative)?
}

/// `derivative * (at - at)`: zero in value, `derivative` in derivative.
pub(crate) fn linear(at: &Tensor, derivative: &Tensor) -> Result<Tensor> {
    derivative.detach() * (at - at.detach())?
}

/// A tensor like `like` filled with one number.
pub(crate) fn full_like(like: &Tensor, value: f64) -> Result<Tensor> {
    like.zeros_like()?.affine(1.0, value)
}

/// 1 where `mask` is set, else 0, in the dtype of `like`.
pub(crate) fn indicator(mask: &Tensor, like: &Tensor) -> Result<Tensor> {
    mask.to_dtype(like.dtype())
}
