//! From a loss per keypoint to one number.

use candle_core::{Result, Tensor, bail};

/// How the keypoints of a batch become a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Mean over `B * K`; with weights, `sum(w l) / sum(w)`, and 0 where all weights are 0.
    Mean,
    /// Sum over `B * K`; with weights, `sum(w l)`.
    Sum,
}

impl Reduction {
    /// Reduces per-keypoint losses `[B, K]` under optional `[B, K]` weights to a scalar.
    ///
    /// A keypoint of weight 0 adds nothing to value and gradient, even where its loss is NaN.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn apply(self, losses: &Tensor, weights: Option<&Tensor>) -> Result<Tensor> {
        let Some(weights) = weights else {
            return match self {
                Self::Mean => losses.mean_all(),
                Self::Sum => losses.sum_all(),
            };
        };
        if weights.dims() != losses.dims() {
            bail!("weights: expected {:?}, got {:?}", losses.dims(), weights.dims())
        }
        let weights = weights.to_dtype(losses.dtype())?.detach();
        // NaN * 0 is NaN, so losses of weight 0 leave before the product.
        let losses = weights.ne(0.0)?.where_cond(losses, &losses.zeros_like()?)?;
        let total = (losses * &weights)?.sum_all()?;
        match self {
            Self::Sum => Ok(total),
            Self::Mean => {
                let mass = weights.sum_all()?;
                // Without any weight the total is 0 and so is the mean.
                let mass = mass.eq(0.0)?.where_cond(&mass.ones_like()?, &mass)?;
                total / mass
            }
        }
    }

    /// What multiplies each loss under weights.
    #[cfg(feature = "cuda")]
    pub(crate) fn factors(self, weights: &Tensor) -> Result<Tensor> {
        match self {
            Self::Sum => Ok(weights.clone()),
            Self::Mean => {
                let mass = weights.sum_all()?;
                let mass = mass.eq(0.0)?.where_cond(&mass.ones_like()?, &mass)?;
                weights.broadcast_div(&mass)
            }
        }
    }
}
