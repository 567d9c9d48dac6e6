//! The trait that STAR and its siblings share.

use candle_core::{Result, Tensor};

use crate::{Reduction, StarLoss};

/// A loss of each keypoint, between heatmaps `[B, K, H, W]` and targets `[B, K, 2]`.
pub trait HeatmapLoss {
    /// Loss of each keypoint, `[B, K]`; NaN where a target is not finite, with no gradient there.
    ///
    /// # Errors
    /// When a shape or dtype is not as stated.
    fn per_keypoint(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor>;

    /// The per-keypoint losses as one number, under optional weights `[B, K]`.
    ///
    /// # Errors
    /// As [`HeatmapLoss::per_keypoint`], and when `weights` is not `[B, K]`.
    fn loss(
        &self,
        heatmaps: &Tensor,
        targets: &Tensor,
        weights: Option<&Tensor>,
        how: Reduction,
    ) -> Result<Tensor> {
        how.apply(&self.per_keypoint(heatmaps, targets)?, weights)
    }

    /// The loss of each keypoint in its parts, for a network of several stages: `last` are the heatmaps of its last stage, of the
    /// same shape, which a loss may take its weights from. By default one part, of `heatmaps` alone.
    ///
    /// # Errors
    /// As [`HeatmapLoss::per_keypoint`].
    fn parts(&self, heatmaps: &Tensor, last: &Tensor, targets: &Tensor) -> Result<LossParts> {
        let _ = last;
        Ok(LossParts { distance: self.per_keypoint(heatmaps, targets)?, restriction: None })
    }
}

/// A loss of each keypoint in its parts, whose sum it is.
#[derive(Debug, Clone)]
pub struct LossParts {
    /// Distance of the residual, `[B, K]`.
    pub distance: Tensor,
    /// What keeps the network from inflating its distributions, weighted: `[B, K]`; where the loss has it.
    pub restriction: Option<Tensor>,
}

impl<L: HeatmapLoss + ?Sized> HeatmapLoss for Box<L> {
    fn per_keypoint(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        (**self).per_keypoint(heatmaps, targets)
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
    fn per_keypoint(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let terms = self.forward(heatmaps, targets)?;
        terms.distance + terms.restriction
    }

    fn parts(&self, heatmaps: &Tensor, _: &Tensor, targets: &Tensor) -> Result<LossParts> {
        let terms = self.forward(heatmaps, targets)?;
        Ok(LossParts { distance: terms.distance, restriction: Some(terms.restriction) })
    }
}
