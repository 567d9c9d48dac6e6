//! Plain regression of the centre of mass.

use candle_core::{D, Result, Tensor};

use super::heatmap_loss::HeatmapLoss;
use super::targets::FiniteTargets;
use crate::moments::Moments;
use crate::reading::{with_activation, with_grid};
use crate::{Activation, Distance, Grid};

/// `d(|target - mu|)` on the Euclidean norm: what STAR is compared with. L1 is the norm itself, floored at 1e-3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoftArgmaxLoss {
    distance: Distance,
    grid: Grid,
    activation: Activation,
}

with_grid!(SoftArgmaxLoss);
with_activation!(SoftArgmaxLoss);

impl SoftArgmaxLoss {
    /// On the reference's grid, of maps that are non-negative already.
    ///
    /// # Errors
    /// As [`Distance::validate`].
    pub fn new(distance: Distance) -> Result<Self> {
        distance.validate()?;
        Ok(Self { distance, grid: Grid::default(), activation: Activation::default() })
    }
}

impl Default for SoftArgmaxLoss {
    /// Smooth-L1 on the reference's grid.
    fn default() -> Self {
        Self { distance: Distance::smooth_l1(), grid: Grid::default(), activation: Activation::default() }
    }
}

impl HeatmapLoss for SoftArgmaxLoss {
    fn per_keypoint(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let targets = FiniteTargets::new(heatmaps, targets)?;
        let means = Moments::new(heatmaps, self.grid, self.activation)?.means;
        targets.with_nan(&self.distance.of_norm(&(&targets.points - means)?.sqr()?.sum(D::Minus1)?)?)
    }
}
