//! Plain regression of the centre of mass.

use candle_core::{D, Result, Tensor};

use super::{HeatmapLoss, Known};
use crate::moments::Moments;
use crate::{Activation, Distance, Grid};

/// `d(|target - mu|)` on the Euclidean norm: what STAR is compared with. L1 is the norm itself, floored at 1e-3.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoftArgmaxLoss {
    /// Price of the norm.
    pub distance: Distance,
    /// Coordinates of maps and targets.
    pub grid: Grid,
    /// What makes the maps non-negative.
    pub activation: Activation,
}

impl Default for SoftArgmaxLoss {
    /// Smooth-L1 on the reference's grid.
    fn default() -> Self {
        Self { distance: Distance::smooth_l1(), grid: Grid::default(), activation: Activation::default() }
    }
}

impl HeatmapLoss for SoftArgmaxLoss {
    fn prices(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        self.distance.validate()?;
        let known = Known::new(heatmaps, targets)?;
        let means = Moments::new(heatmaps, self.grid, self.activation)?.means;
        known.mark(&self.distance.of_norm(&(&known.targets - means)?.sqr()?.sum(D::Minus1)?)?)
    }
}
