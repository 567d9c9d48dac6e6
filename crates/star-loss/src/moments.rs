//! Mean and covariance of heatmaps.
//!
//! `p = h / max(sum h, 1e-6)`, `mu = sum p c`, `Sigma = sum p (c - mu)(c - mu)^T / (V1 - V2 / V1)` with `V1 = sum p + 1e-5` and
//! `V2 = sum p^2 + 1e-5`. The grid runs over `[-1, 1]` with its ends on the outer pixel centres; an axis one pixel long is at 0.
//!
//! A map with less mass than 1e-6 is not normalised further, as in the reference: its mean tends to the middle of the map. Once its
//! `V1 - V2 / V1` falls below half of 1e-5 (at a mass of 7e-7 for a one-hot map, of 3e-9 for a wide one; further down the reference
//! divides by negative numbers) the divisor stops and no gradient passes through the covariance. Every map of more mass, one-hot
//! and one-row maps included, has `V1 - V2 / V1 >= 1e-5` and its true gradient.

use candle_core::{Result, Tensor, bail};

use crate::eigen2::Entries;
use crate::maps::{map_dims, working_dtype};
use crate::{Activation, Grid, composed, fused};

/// Centre of mass of each heatmap: `[B, K, H, W] -> [B, K, 2]`, x then y, in `[-1, 1]` on [`Grid::CornerAligned`].
///
/// Heatmaps are non-negative. The centre of an all-zero map is the middle of the map. Half precision is computed in f32.
///
/// # Errors
/// When `heatmaps` has not four axes, an empty map or an integer dtype.
pub fn soft_argmax(heatmaps: &Tensor) -> Result<Tensor> {
    Ok(Moments::new(heatmaps, Grid::default(), Activation::NonNegative)?.means)
}

/// Unbiased weighted covariance of each heatmap: `[B, K, H, W] -> [B, K, 2, 2]`, rows and columns x then y, on
/// [`Grid::CornerAligned`].
///
/// # Errors
/// As [`soft_argmax`].
pub fn covariance(heatmaps: &Tensor) -> Result<Tensor> {
    Ok(Moments::new(heatmaps, Grid::default(), Activation::NonNegative)?.covariances)
}

/// Mean and covariance of each heatmap, f32 or f64, in the graph.
#[derive(Debug, Clone)]
pub struct Moments {
    /// `[B, K, 2]`, x then y.
    pub means: Tensor,
    /// `[B, K, 2, 2]`, symmetric.
    pub covariances: Tensor,
}

impl Moments {
    /// Of maps `[B, K, H, W]` on a grid, after an activation.
    ///
    /// # Errors
    /// As [`soft_argmax`].
    pub fn new(heatmaps: &Tensor, grid: Grid, activation: Activation) -> Result<Self> {
        let dtype = working_dtype(heatmaps.dtype())?;
        let packed = packed(heatmaps, grid, activation, Path::Fastest)?;
        let means = packed.narrow(2, 0, 2)?.to_dtype(dtype)?.contiguous()?;
        let covariances = Entries::of_moments(&packed)?.join()?.to_dtype(dtype)?;
        Ok(Self { means, covariances })
    }
}

/// Covariances `L L^T` from the entries `[.., 3]` of Cholesky factors `L = [[exp(a), 0], [b, exp(c)]]`, as a coordinate head
/// predicts them freely: `[.., 3] -> [.., 2, 2]`.
///
/// # Errors
/// When the last axis is not 3 long.
pub fn covariance_from_cholesky(factors: &Tensor) -> Result<Tensor> {
    let axis = factors.rank().saturating_sub(1);
    if factors.dims().last() != Some(&3) {
        bail!("factors: expected [.., 3], got {:?}", factors.shape())
    }
    let entry = |i: usize| factors.narrow(axis, i, 1)?.squeeze(axis);
    let (a, b, c) = (entry(0)?.exp()?, entry(1)?, entry(2)?.exp()?);
    let off_diagonal = (&a * &b)?;
    Entries { a: a.sqr()?, b: off_diagonal, c: (b.sqr()? + c.sqr()?)? }.join()
}

/// Which code computes the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// Sweeps on the CPU, kernels on CUDA cards, candle ops elsewhere.
    Fastest,
    /// Candle ops everywhere.
    Composed,
}

impl Path {
    pub(crate) fn sweeps(self, tensor: &Tensor) -> bool {
        let device = tensor.device();
        self == Self::Fastest && (device.is_cpu() || cfg!(feature = "cuda") && device.is_cuda())
    }
}

/// `[B, K, 5]`: mean x, y and covariance xx, xy, yy; f64 from sweeps and kernels, the working dtype from candle ops.
pub(crate) fn packed(heatmaps: &Tensor, grid: Grid, activation: Activation, path: Path) -> Result<Tensor> {
    let (_, _, h, w) = map_dims(heatmaps)?;
    working_dtype(heatmaps.dtype())?;
    let (maps, relu) = activation.split(heatmaps)?;
    if path.sweeps(heatmaps) {
        fused::moments(&maps, [grid.axis(w), grid.axis(h)], relu)
    } else {
        composed::moments(&maps, grid, relu)
    }
}
