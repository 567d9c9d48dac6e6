//! STAR and the losses it is compared with, behind one trait.

mod adl;
mod dsnt;
mod map;
mod regression;

use candle_core::{D, DType, Result, Tensor, bail};

use crate::moments::{map_dims, working_dtype};
use crate::{Reduction, StarLoss};

pub use adl::{AnisotropicDirectionLoss, Edge};
pub use dsnt::DsntLoss;
pub use map::{AwingMapLoss, MseMapLoss, gaussian_targets};
pub use regression::SoftArgmaxLoss;

/// A loss that prices each keypoint of heatmaps `[B, K, H, W]` against targets `[B, K, 2]`.
pub trait HeatmapLoss {
    /// Price of each keypoint, `[B, K]`; NaN where a target is not finite, with no gradient there.
    ///
    /// # Errors
    /// When a shape or dtype is not as stated.
    fn prices(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor>;

    /// The prices as one number, under optional weights `[B, K]`.
    ///
    /// # Errors
    /// As [`HeatmapLoss::prices`], and when `weights` is not `[B, K]`.
    fn loss(
        &self,
        heatmaps: &Tensor,
        targets: &Tensor,
        weights: Option<&Tensor>,
        how: Reduction,
    ) -> Result<Tensor> {
        how.apply(&self.prices(heatmaps, targets)?, weights)
    }

    /// The loss of each keypoint in its parts, for a network of several stages: `last` are the heatmaps of its last stage, of the
    /// same shape, which a loss may take its weights from. By default one part, of `heatmaps` alone.
    ///
    /// # Errors
    /// As [`HeatmapLoss::prices`].
    fn parts(&self, heatmaps: &Tensor, last: &Tensor, targets: &Tensor) -> Result<LossParts> {
        let _ = last;
        Ok(LossParts { distance: self.prices(heatmaps, targets)?, restriction: None })
    }
}

/// A loss of each keypoint in its parts, whose sum it is.
#[derive(Debug, Clone)]
pub struct LossParts {
    /// What the error costs: `[B, K]`.
    pub distance: Tensor,
    /// What keeps the network from inflating its distributions, weighted: `[B, K]`; where the loss has it.
    pub restriction: Option<Tensor>,
}

impl<L: HeatmapLoss + ?Sized> HeatmapLoss for Box<L> {
    fn prices(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        (**self).prices(heatmaps, targets)
    }

    fn loss(
        &self,
        heatmaps: &Tensor,
        targets: &Tensor,
        weights: Option<&Tensor>,
        how: Reduction,
    ) -> Result<Tensor> {
        (**self).loss(heatmaps, targets, weights, how)
    }

    fn parts(&self, heatmaps: &Tensor, last: &Tensor, targets: &Tensor) -> Result<LossParts> {
        (**self).parts(heatmaps, last, targets)
    }
}

impl HeatmapLoss for StarLoss {
    fn prices(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let terms = self.forward(heatmaps, targets)?;
        terms.distance + terms.restriction
    }

    fn parts(&self, heatmaps: &Tensor, _: &Tensor, targets: &Tensor) -> Result<LossParts> {
        let terms = self.forward(heatmaps, targets)?;
        Ok(LossParts { distance: terms.distance, restriction: Some(terms.restriction) })
    }
}

/// Targets without gradient, in the working dtype of the maps, 0 where they are not finite.
struct Known {
    targets: Tensor,
    /// `[B, K]`: 0, or NaN where a target is not finite.
    lost: Tensor,
}

impl Known {
    fn new(heatmaps: &Tensor, targets: &Tensor) -> Result<Self> {
        let (b, k, _, _) = map_dims(heatmaps)?;
        Self::of(targets, working_dtype(heatmaps.dtype())?, b, k)
    }

    fn of(targets: &Tensor, dtype: DType, b: usize, k: usize) -> Result<Self> {
        if targets.dims() != [b, k, 2] {
            bail!("targets: expected [{b}, {k}, 2], got {:?}", targets.shape())
        }
        let targets = targets.detach().to_dtype(dtype)?;
        // 0 times a number is 0 exactly if it is finite.
        let lost = targets.affine(0.0, 0.0)?;
        let targets = lost.eq(0.0)?.where_cond(&targets, &targets.zeros_like()?)?;
        Ok(Self { targets, lost: lost.sum(D::Minus1)? })
    }

    /// The prices, NaN where a target was lost.
    fn mark(&self, prices: &Tensor) -> Result<Tensor> {
        self.lost.eq(0.0)?.where_cond(prices, &self.lost)
    }
}
