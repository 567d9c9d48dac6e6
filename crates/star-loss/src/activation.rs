//! From the output of a network to a map of masses.

use candle_core::{D, Result, Tensor, bail};

use crate::maps::working_dtype;

/// How a raw map becomes non-negative before its moments are taken.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Activation {
    /// The map is non-negative already.
    #[default]
    NonNegative,
    /// `max(h, 0)`; no gradient where `h <= 0`.
    Relu,
    /// `exp(h / temperature)`, normalised over the map. Never an empty map, but the tails of a wide map weigh in the moments.
    Softmax {
        /// Larger is flatter.
        temperature: f64,
    },
}

impl Activation {
    /// Checks that the temperature is positive and finite.
    ///
    /// # Errors
    /// Names the temperature.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Softmax { temperature } if !(temperature.is_finite() && *temperature > 0.0) => {
                bail!("softmax temperature: expected a positive finite number, got {temperature}")
            }
            _ => Ok(()),
        }
    }

    /// The activated maps `[B, K, H, W]`.
    ///
    /// # Errors
    /// When `heatmaps` has not four axes or the temperature is out of range.
    pub fn apply(&self, heatmaps: &Tensor) -> Result<Tensor> {
        self.validate()?;
        match *self {
            Self::NonNegative => Ok(heatmaps.clone()),
            // candle's relu has derivative 1 at exactly 0.
            Self::Relu => heatmaps.gt(0.0)?.where_cond(heatmaps, &heatmaps.zeros_like()?),
            Self::Softmax { temperature } => {
                let dims = heatmaps.dims4()?;
                let (n, area) = (dims.0 * dims.1, dims.2 * dims.3);
                let logits = heatmaps.to_dtype(working_dtype(heatmaps.dtype())?)?.reshape((n, area))?;
                let logits = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
                let masses = logits.affine(1.0 / temperature, 0.0)?.exp()?;
                masses.broadcast_mul(&masses.sum_keepdim(1)?.recip()?)?.reshape(dims)
            }
        }
    }

    /// Maps for the moments, and whether these must still apply ReLU.
    pub(crate) fn split(&self, heatmaps: &Tensor) -> Result<(Tensor, bool)> {
        match self {
            Self::Relu => Ok((heatmaps.clone(), true)),
            _ => Ok((self.apply(heatmaps)?, false)),
        }
    }
}
