//! What keeps the network from inflating the eigenvalues to make its loss small.

use candle_core::{Result, Tensor, bail};

/// The loss divides by `sqrt(l + eps)`; without a restriction a network learns large `l` instead of small errors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Restriction {
    /// Adds `weight * (|l1| + |l2|)` per keypoint. The reference, with weight 1.
    Value {
        /// Factor of the sum of both eigenvalues; larger means sharper heatmaps.
        weight: f64,
    },
    /// No gradient through the scale `1 / sqrt(l + eps)`. The axes stay attached: the paper's figure names this variant, and the
    /// public code does not contain it, so whether its authors cut the eigenvectors too is unknown.
    Detach,
    /// Nothing, for ablations.
    None,
}

impl Restriction {
    /// Checks that the weight is finite and not negative.
    ///
    /// # Errors
    /// Names the weight.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Value { weight } if !(weight.is_finite() && *weight >= 0.0) => {
                bail!("restriction weight: expected a finite number >= 0, got {weight}")
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn detaches(&self) -> bool {
        matches!(self, Self::Detach)
    }

    /// `weight * (|l1| + |l2|)` from both eigenvalues, zero for the other variants.
    pub(crate) fn penalty(&self, l1: &Tensor, l2: &Tensor) -> Result<Tensor> {
        match self {
            Self::Value { weight } => (magnitude(l1)? + magnitude(l2)?)?.affine(*weight, 0.0),
            Self::Detach | Self::None => l1.zeros_like(),
        }
    }
}

/// An eigenvalue of a covariance is negative only by rounding: its absolute value then still has derivative +1.
pub(crate) const ROUNDING: f64 = 1e-6;

fn magnitude(l: &Tensor) -> Result<Tensor> {
    let negative = l.lt(-ROUNDING)?.to_dtype(l.dtype())?;
    crate::surrogate::with_derivative(&l.abs()?, l, &negative.affine(-2.0, 1.0)?)
}
