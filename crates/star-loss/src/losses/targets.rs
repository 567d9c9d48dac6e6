//! Targets that may not be finite.

use candle_core::{D, DType, Result, Tensor, bail};

use crate::maps::{map_dims, working_dtype};

/// Targets without gradient, in the working dtype of the maps, 0 where they are not finite.
pub(super) struct FiniteTargets {
    /// `[B, K, 2]`.
    pub(super) points: Tensor,
    /// `[B, K]`: 0, or NaN where a target is not finite.
    pub(super) nan_or_zero: Tensor,
}

impl FiniteTargets {
    pub(super) fn new(heatmaps: &Tensor, targets: &Tensor) -> Result<Self> {
        let (b, k, _, _) = map_dims(heatmaps)?;
        Self::of(targets, working_dtype(heatmaps.dtype())?, b, k)
    }

    pub(super) fn of(targets: &Tensor, dtype: DType, b: usize, k: usize) -> Result<Self> {
        if targets.dims() != [b, k, 2] {
            bail!("targets: expected [{b}, {k}, 2], got {:?}", targets.shape())
        }
        let targets = targets.detach().to_dtype(dtype)?;
        // 0 times a number is 0 exactly if it is finite.
        let nan_or_zero = targets.affine(0.0, 0.0)?;
        let points = nan_or_zero.eq(0.0)?.where_cond(&targets, &targets.zeros_like()?)?;
        Ok(Self { points, nan_or_zero: nan_or_zero.sum(D::Minus1)? })
    }

    /// `losses`, `[B, K]`, with NaN where a target is not finite.
    pub(super) fn with_nan(&self, losses: &Tensor) -> Result<Tensor> {
        self.nan_or_zero.eq(0.0)?.where_cond(losses, &self.nan_or_zero)
    }
}
