//! Mean and covariance of heatmaps.
//!
//! `p = h / max(sum h, 1e-6)`, `mu = sum p c`, `Sigma = sum p (c - mu)(c - mu)^T / (V1 - V2 / V1)` with `V1 = sum p + 1e-5` and
//! `V2 = sum p^2 + 1e-5`. The grid runs over `[-1, 1]` with its ends on the outer pixel centres; an axis one pixel long is at 0.
//!
//! Sums run over pixel offsets from the centre of the map, exact in every dtype, and second moments about the mean from row and
//! column sums: raw second moments in f32 would lose a sharp peak near the border to cancellation.

use candle_core::{D, DType, Device, Result, Tensor, bail};

use crate::eigen2::Entries;
use crate::surrogate::indicator;

/// A map with less mass than this is not normalised further. Reference value.
pub(crate) const MASS_FLOOR: f64 = 1e-6;
/// Added to both masses of the unbiased covariance. Reference value.
pub(crate) const MASS_EPS: f64 = 1e-5;
/// `V1 - V2 / V1` is at least 1e-5 for every normalised map. Below half of that the map had less mass than [`MASS_FLOOR`] and has
/// no covariance to speak of: the divisor stops here and no gradient passes through the covariance.
pub(crate) const DIVISOR_FLOOR: f64 = 0.5 * MASS_EPS;

/// Centre of mass of each heatmap: `[B, K, H, W] -> [B, K, 2]`, x then y, in `[-1, 1]`.
///
/// Heatmaps are non-negative. The centre of an all-zero map is the middle of the map. Half precision is computed in f32.
///
/// # Errors
/// When `heatmaps` has not four axes, an empty map or an integer dtype.
pub fn soft_argmax(heatmaps: &Tensor) -> Result<Tensor> {
    Sums::of(heatmaps)?.means()
}

/// Unbiased weighted covariance of each heatmap: `[B, K, H, W] -> [B, K, 2, 2]`, rows and columns x then y.
///
/// # Errors
/// As [`soft_argmax`].
pub fn covariance(heatmaps: &Tensor) -> Result<Tensor> {
    Sums::of(heatmaps)?.covariances()?.join()
}

/// The dtype in which maps of `dtype` are summed.
pub(crate) fn working_dtype(dtype: DType) -> Result<DType> {
    match dtype {
        DType::F32 | DType::F64 => Ok(dtype),
        DType::F16 | DType::BF16 => Ok(DType::F32),
        other => bail!("heatmaps: expected a float dtype, got {other:?}"),
    }
}

/// Checks `[B, K, H, W]` with at least one pixel.
pub(crate) fn map_dims(heatmaps: &Tensor) -> Result<(usize, usize, usize, usize)> {
    let &[b, k, h, w] = heatmaps.dims() else {
        bail!("heatmaps: expected [B, K, H, W], got {:?}", heatmaps.shape())
    };
    if b * k * h * w == 0 {
        bail!("heatmaps: expected at least one pixel, got {:?}", heatmaps.shape())
    }
    Ok((b, k, h, w))
}

/// Normalised row and column sums, `N = B * K` maps.
pub(crate) struct Sums {
    batch: (usize, usize),
    x: Axis,
    y: Axis,
    /// `sum_j p_ij`: `[N, H]`.
    rows: Tensor,
    /// `sum_j p_ij x_j`: `[N, H]`.
    rows_x: Tensor,
    /// `sum_i p_ij`: `[N, W]`.
    columns: Tensor,
    /// `sum p` and `sum p^2`: `[N, 1]`.
    mass: Tensor,
    squares: Tensor,
}

/// One axis of the map: offsets from the centre in pixels, and the length of a pixel.
struct Axis {
    /// `[1, n]`.
    offsets: Tensor,
    step: f64,
}

impl Axis {
    fn new(n: usize, dtype: DType, device: &Device) -> Result<Self> {
        let offsets: Vec<f64> = (0..n).map(|i| i as f64 - 0.5 * (n - 1) as f64).collect();
        let offsets = Tensor::from_vec(offsets, (1, n), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?;
        // On an axis of one pixel the offset is 0; a step of 0 would cut the map from candle's graph.
        Ok(Self { offsets, step: if n > 1 { 2.0 / (n - 1) as f64 } else { 1.0 } })
    }
}

impl Sums {
    pub(crate) fn of(heatmaps: &Tensor) -> Result<Self> {
        let (b, k, h, w) = map_dims(heatmaps)?;
        let dtype = working_dtype(heatmaps.dtype())?;
        let n = b * k;
        let (x, y) = (Axis::new(w, dtype, heatmaps.device())?, Axis::new(h, dtype, heatmaps.device())?);
        let maps = heatmaps.to_dtype(dtype)?.contiguous()?.reshape((n, h, w))?;
        // Huge maps are brought to a largest value of 1 so that sums and squares stay finite; the moments do not change.
        let peak = maps.detach().reshape((n, h * w))?.max_keepdim(D::Minus1)?.maximum(1.0)?;
        let maps = maps.broadcast_mul(&peak.recip()?.reshape((n, 1, 1))?)?;

        let ones = Tensor::ones((1, w), dtype, heatmaps.device())?;
        let row_basis = Tensor::cat(&[&ones, &x.offsets], 0)?.t()?.contiguous()?;
        let row_sums = maps.reshape((n * h, w))?.matmul(&row_basis)?.reshape((n, h, 2))?;
        let rows = row_sums.narrow(2, 0, 1)?.squeeze(2)?;
        let rows_x = row_sums.narrow(2, 1, 1)?.squeeze(2)?;
        let columns = Tensor::ones((n, 1, h), dtype, heatmaps.device())?.matmul(&maps)?.squeeze(1)?;
        let squares = maps.sqr()?.reshape((n, h * w))?.sum_keepdim(1)?;

        let mass = rows.sum_keepdim(1)?;
        // A map with a value above 1 has mass 1 or more after scaling, so the floor needs none.
        let dead = mass.le(MASS_FLOOR)?;
        let floor = crate::surrogate::full_like(&mass, MASS_FLOOR)?;
        let inverse = dead.where_cond(&floor, &mass)?.recip()?;
        Ok(Self {
            batch: (b, k),
            x,
            y,
            rows: rows.broadcast_mul(&inverse)?,
            rows_x: rows_x.broadcast_mul(&inverse)?,
            columns: columns.broadcast_mul(&inverse)?,
            mass: (mass * &inverse)?,
            squares: (squares * inverse.sqr()?)?,
        })
    }

    /// Mean in pixels from the centre, `[N, 1]` for x and y.
    fn offsets(&self) -> Result<[Tensor; 2]> {
        let x = self.columns.broadcast_mul(&self.x.offsets)?.sum_keepdim(1)?;
        let y = self.rows.broadcast_mul(&self.y.offsets)?.sum_keepdim(1)?;
        Ok([x, y])
    }

    /// `[B, K, 2]`.
    pub(crate) fn means(&self) -> Result<Tensor> {
        let [x, y] = self.offsets()?;
        let (b, k) = self.batch;
        Tensor::cat(&[x.affine(self.x.step, 0.0)?, y.affine(self.y.step, 0.0)?], 1)?.reshape((b, k, 2))
    }

    /// The three entries, each `[B, K]`.
    pub(crate) fn covariances(&self) -> Result<Entries> {
        let [mean_x, mean_y] = self.offsets()?;
        let dx = self.x.offsets.broadcast_sub(&mean_x)?;
        let dy = self.y.offsets.broadcast_sub(&mean_y)?;
        let xx = (&self.columns * dx.sqr()?)?.sum_keepdim(1)?;
        let yy = (&self.rows * dy.sqr()?)?.sum_keepdim(1)?;
        let xy = ((&self.rows_x - self.rows.broadcast_mul(&mean_x)?)? * dy)?.sum_keepdim(1)?;

        let v1 = self.mass.affine(1.0, MASS_EPS)?;
        let v2 = self.squares.affine(1.0, MASS_EPS)?;
        let divisor = (&v1 - (v2 / &v1)?)?;
        let alive = divisor.gt(DIVISOR_FLOOR)?;
        let floor = crate::surrogate::full_like(&divisor, DIVISOR_FLOOR)?;
        let inverse = alive.where_cond(&divisor, &floor)?.recip()?;
        let alive = indicator(&alive, &xx)?;
        let entry = |sum: &Tensor, scale: f64| -> Result<Tensor> {
            let entry = (sum * &inverse)?.affine(scale, 0.0)?;
            let kept = (entry.detach() + crate::surrogate::linear(&entry, &alive)?)?;
            kept.reshape(self.batch)
        };
        let (sx, sy) = (self.x.step, self.y.step);
        Ok(Entries { a: entry(&xx, sx * sx)?, b: entry(&xy, sx * sy)?, c: entry(&yy, sy * sy)? })
    }
}
