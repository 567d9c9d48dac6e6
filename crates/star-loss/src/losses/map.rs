//! Losses between the map itself and a Gaussian bump at the target.

use candle_core::{D, Result, Tensor, bail};

use super::heatmap_loss::HeatmapLoss;
use super::targets::FiniteTargets;
use crate::awing::awing_means;
use crate::maps::working_dtype;
use crate::reading::{with_activation, with_grid};
use crate::{Activation, AwingConfig, Grid};

/// Gaussian bumps of height 1 at targets `[B, K, 2]`: `[B, K, H, W]` in the dtype of the targets.
///
/// `sigma` is in pixels of the map. A target outside the map leaves the tail of its bump.
///
/// # Errors
/// When `targets` is not `[B, K, 2]` or `sigma` not positive.
pub fn gaussian_targets(targets: &Tensor, size: (usize, usize), grid: Grid, sigma: f64) -> Result<Tensor> {
    let &[b, k, 2] = targets.dims() else { bail!("targets: expected [B, K, 2], got {:?}", targets.shape()) };
    gaussian(targets, (b, k, size.0, size.1), grid, sigma)
}

pub(super) fn gaussian(
    targets: &Tensor,
    dims: (usize, usize, usize, usize),
    grid: Grid,
    sigma: f64,
) -> Result<Tensor> {
    check_sigma(sigma)?;
    let (b, k, h, w) = dims;
    let profile = |axis: usize, n: usize| -> Result<Tensor> {
        let coordinates: Vec<f64> = (0..n).map(|i| grid.coordinate(i as f64, n)).collect();
        let coordinates =
            Tensor::from_vec(coordinates, (1, 1, n), targets.device())?.to_dtype(targets.dtype())?;
        let offsets = coordinates.broadcast_sub(&targets.narrow(2, axis, 1)?)?;
        let pixels = offsets.affine(1.0 / (grid.axis(n).step * sigma), 0.0)?;
        pixels.sqr()?.affine(-0.5, 0.0)?.exp()
    };
    profile(1, h)?.reshape((b, k, h, 1))?.broadcast_mul(&profile(0, w)?.reshape((b, k, 1, w))?)
}

pub(super) fn check_sigma(sigma: f64) -> Result<()> {
    if !(sigma.is_finite() && sigma > 0.0) {
        bail!("sigma: expected a positive finite number of pixels, got {sigma}")
    }
    Ok(())
}

/// Mean squared difference between the map and a Gaussian bump of height 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MseMapLoss {
    sigma: f64,
    grid: Grid,
    activation: Activation,
}

with_grid!(MseMapLoss);
with_activation!(MseMapLoss);

impl MseMapLoss {
    /// With bumps of standard deviation `sigma`, in pixels of the map.
    ///
    /// # Errors
    /// When `sigma` is not positive.
    pub fn new(sigma: f64) -> Result<Self> {
        check_sigma(sigma)?;
        Ok(Self { sigma, ..Self::default() })
    }
}

impl Default for MseMapLoss {
    /// Bumps of two pixels on the reference's grid, maps as they are.
    fn default() -> Self {
        Self { sigma: 2.0, grid: Grid::default(), activation: Activation::default() }
    }
}

impl HeatmapLoss for MseMapLoss {
    fn per_keypoint(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let targets = FiniteTargets::new(heatmaps, targets)?;
        let maps = self.activation.apply(heatmaps)?.to_dtype(working_dtype(heatmaps.dtype())?)?;
        let bumps = gaussian(&targets.points, maps.dims4()?, self.grid, self.sigma)?;
        targets.with_nan(&(maps - bumps)?.sqr()?.flatten_from(2)?.mean(D::Minus1)?)
    }
}

/// Adaptive Wing between the map and a Gaussian bump of height 1, mean over the pixels of each keypoint.
#[derive(Debug, Clone, PartialEq)]
pub struct AwingMapLoss {
    config: AwingConfig,
    sigma: f64,
    grid: Grid,
    activation: Activation,
}

with_grid!(AwingMapLoss);
with_activation!(AwingMapLoss);

impl AwingMapLoss {
    /// With bumps of standard deviation `sigma`, in pixels of the map.
    ///
    /// # Errors
    /// When `sigma` is not positive, and as [`AwingConfig::validate`].
    pub fn new(sigma: f64, config: AwingConfig) -> Result<Self> {
        check_sigma(sigma)?;
        config.validate()?;
        Ok(Self { config, sigma, ..Self::default() })
    }
}

impl Default for AwingMapLoss {
    /// Bumps of 1.5 pixels on the reference's grid, maps as they are.
    fn default() -> Self {
        Self {
            config: AwingConfig::default(),
            sigma: 1.5,
            grid: Grid::default(),
            activation: Activation::default(),
        }
    }
}

impl HeatmapLoss for AwingMapLoss {
    fn per_keypoint(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let targets = FiniteTargets::new(heatmaps, targets)?;
        let maps = self.activation.apply(heatmaps)?;
        let bumps = gaussian(&targets.points, maps.dims4()?, self.grid, self.sigma)?;
        targets.with_nan(&awing_means(&maps, &bumps, &self.config)?)
    }
}
