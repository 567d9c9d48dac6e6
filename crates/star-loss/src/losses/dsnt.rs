//! Regression of the centre of mass with a map held near a Gaussian (Nibali et al., arXiv 1801.07372).

use candle_core::{D, Result, Tensor, bail};

use super::map::gaussian;
use super::{HeatmapLoss, Known};
use crate::moments::{MASS_FLOOR, Moments};
use crate::{Activation, Distance, Grid};

/// Probabilities are raised by this inside the logarithm.
const PROBABILITY_FLOOR: f64 = 1e-24;

/// `|target - mu| + weight * JS(p, N(target, sigma^2))`, where `JS` is the Jensen-Shannon divergence in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DsntLoss {
    /// Standard deviation of the Gaussian, in pixels of the map.
    pub sigma: f64,
    /// Factor of the divergence.
    pub weight: f64,
    /// Coordinates of maps and targets.
    pub grid: Grid,
    /// What makes the maps non-negative; the paper uses a softmax.
    pub activation: Activation,
}

impl Default for DsntLoss {
    /// The paper's settings: one pixel, weight 1, pixel centres, softmax.
    fn default() -> Self {
        let activation = Activation::Softmax { temperature: 1.0 };
        Self { sigma: 1.0, weight: 1.0, grid: Grid::PixelCentres, activation }
    }
}

impl HeatmapLoss for DsntLoss {
    fn prices(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        if !(self.weight.is_finite() && self.weight >= 0.0) {
            bail!("dsnt weight: expected a finite number >= 0, got {}", self.weight)
        }
        let known = Known::new(heatmaps, targets)?;
        let maps = self.activation.apply(heatmaps)?.to_dtype(known.targets.dtype())?;
        let means = Moments::new(&maps, self.grid, Activation::NonNegative)?.means;
        let euclidean = Distance::L1.of_norm(&(&known.targets - means)?.sqr()?.sum(D::Minus1)?)?;

        let p = normalised(&maps)?;
        // In the maximum over an empty window the Gaussian of a far target underflows; a uniform floor keeps it a distribution.
        let q = gaussian(&known.targets, maps.dims4()?, self.grid, self.sigma)?;
        let q = normalised(&q.affine(1.0, PROBABILITY_FLOOR)?)?;
        let m = (&p + &q)?.affine(0.5, 0.0)?;
        let divergence =
            ((relative_entropy(&p, &m)? + relative_entropy(&q, &m)?)?).affine(0.5 * self.weight, 0.0)?;
        known.mark(&(euclidean + divergence)?)
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
