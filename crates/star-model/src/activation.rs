//! What stands behind a layer, and ReLU with PyTorch's gradient.

use candle_core::{Result, Tensor};

/// What a layer applies to its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    None,
    Relu,
}

impl Activation {
    /// [`Activation::Relu`] where `condition` holds.
    pub(crate) fn relu_if(condition: bool) -> Self {
        if condition { Self::Relu } else { Self::None }
    }

    pub(crate) fn is_relu(self) -> bool {
        self == Self::Relu
    }
}

/// `max(x, 0)` whose gradient is 0 at exactly 0, as PyTorch's is: candle's own passes the gradient on there.
/// NaN stays NaN.
pub(crate) fn relu(x: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return crate::cuda::pointwise::relu(x);
    }
    x.le(0.0)?.where_cond(&x.zeros_like()?, x)
}
