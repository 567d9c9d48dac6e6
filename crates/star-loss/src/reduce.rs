//! From one price a keypoint to one number.

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
    /// Reduces `[B, K]` prices under optional `[B, K]` weights to a scalar.
    ///
    /// A keypoint of weight 0 adds nothing to value and gradient, even where its price is NaN.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn apply(self, prices: &Tensor, weights: Option<&Tensor>) -> Result<Tensor> {
        let Some(weights) = weights else {
            return match self {
                Self::Mean => prices.mean_all(),
                Self::Sum => prices.sum_all(),
            };
        };
        if weights.dims() != prices.dims() {
            bail!("weights: expected {:?}, got {:?}", prices.dims(), weights.dims())
        }
        let weights = weights.to_dtype(prices.dtype())?.detach();
        // NaN * 0 is NaN, so unweighted prices leave before the product.
        let prices = weights.ne(0.0)?.where_cond(prices, &prices.zeros_like()?)?;
        let total = (prices * &weights)?.sum_all()?;
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
}
