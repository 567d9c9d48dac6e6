//! Regression of the centre of mass with a map held near a Gaussian (Nibali et al., arXiv 1801.07372).

use candle_core::{D, Result, Tensor, bail};

use super::heatmap_loss::HeatmapLoss;
use super::map::{check_sigma, gaussian};
use super::targets::FiniteTargets;
use crate::maps::MASS_FLOOR;
use crate::moments::Moments;
use crate::reading::{with_activation, with_grid};
use crate::{Activation, Distance, Grid};

/// Probabilities are raised by this inside the logarithm.
const PROBABILITY_FLOOR: f64 = 1e-24;

/// `|target - mu| + weight * JS(p, N(target, sigma^2))`, where `JS` is the Jensen-Shannon divergence in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DsntLoss {
    sigma: f64,
    weight: f64,
    grid: Grid,
    activation: Activation,
}

with_grid!(DsntLoss);
with_activation!(DsntLoss);

impl DsntLoss {
    /// With a Gaussian of standard deviation `sigma` in pixels of the map, and `weight` as the factor of the divergence; on pixel
    /// centres, after a softmax, as in the paper.
    ///
    /// # Errors
    /// When `sigma` is not positive or `weight` is negative.
    pub fn new(sigma: f64, weight: f64) -> Result<Self> {
        check_sigma(sigma)?;
        if !(weight.is_finite() && weight >= 0.0) {
            bail!("dsnt weight: expected a finite number >= 0, got {weight}")
        }
        Ok(Self { sigma, weight, ..Self::default() })
    }
}

impl Default for DsntLoss {
    /// The paper's settings: one pixel, weight 1, pixel centres, softmax.
    fn default() -> Self {
        let activation = Activation::Softmax { temperature: 1.0 };
        Self { sigma: 1.0, weight: 1.0, grid: Grid::PixelCentres, activation }
    }
}

impl HeatmapLoss for DsntLoss {
    fn per_keypoint(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let targets = FiniteTargets::new(heatmaps, targets)?;
        let maps = self.activation.apply(heatmaps)?.to_dtype(targets.points.dtype())?;
        let means = Moments::new(&maps, self.grid, Activation::NonNegative)?.means;
        let euclidean = Distance::L1.of_norm(&(&targets.points - means)?.sqr()?.sum(D::Minus1)?)?;

        let p = normalised(&maps)?;
        // In the maximum over an empty window the Gaussian of a far target underflows; a uniform floor keeps it a distribution.
        let q = gaussian(&targets.points, maps.dims4()?, self.grid, self.sigma)?;
        let q = normalised(&q.affine(1.0, PROBABILITY_FLOOR)?)?;
        let m = (&p + &q)?.affine(0.5, 0.0)?;
        let divergence =
            ((relative_entropy(&p, &m)? + relative_entropy(&q, &m)?)?).affine(0.5 * self.weight, 0.0)?;
        targets.with_nan(&(euclidean + divergence)?)
    }
}

/// Maps divided by their sums, which are at least the mass floor.
fn normalised(maps: &Tensor) -> Result<Tensor> {
    let (b, k, h, w) = maps.dims4()?;
    let flat = maps.reshape((b, k, h * w))?;
    let mass = flat.sum_keepdim(D::Minus1)?;
    let dead = mass.le(MASS_FLOOR)?;
    let mass = dead.where_cond(&crate::surrogate::full_like(&mass, MASS_FLOOR)?, &mass)?;
    flat.broadcast_mul(&mass.recip()?)
}

/// `sum p ln(p / m)` over the last axis.
fn relative_entropy(p: &Tensor, m: &Tensor) -> Result<Tensor> {
    let log = |t: &Tensor| t.affine(1.0, PROBABILITY_FLOOR)?.log();
    (p * (log(p)? - log(m)?)?)?.sum(D::Minus1)
}
