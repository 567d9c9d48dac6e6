//! Mean and covariance of maps by matrix products.
//!
//! Sums run over pixel offsets from the middle of the map, which every dtype holds exactly. One product gives the row sums of `h`
//! and `h x`, another the column sums; second moments are then taken about the mean on these `H + W` numbers a map. A single
//! product with the six monomials `1, x, y, x^2, xy, y^2` is as fast, but in f32 the raw second moments of a sharp peak near the
//! border lose four digits to cancellation, and of a one-hot map all of them.

use candle_core::{D, DType, Device, Result, Tensor};

use crate::grid::{Grid, GridAxis, middle};
use crate::moments::{DIVISOR_FLOOR, MASS_EPS, MASS_FLOOR, working_dtype};
use crate::surrogate::{full_like, indicator, linear};

/// Moments of `[B, K, H, W]`: `[B, K, 5]`, mean x, y and covariance xx, xy, yy, in the working dtype.
pub(crate) fn moments(heatmaps: &Tensor, grid: Grid, relu: bool) -> Result<Tensor> {
    let heatmaps = if relu {
        heatmaps.gt(0.0)?.where_cond(heatmaps, &heatmaps.zeros_like()?)?
    } else {
        heatmaps.clone()
    };
    let sums = Sums::of(&heatmaps, grid)?;
    let [x, y] = sums.means()?;
    let [a, b, c] = sums.covariances()?;
    Tensor::cat(&[x, y, a, b, c], 1)?.reshape((sums.batch.0, sums.batch.1, 5))
}

/// Normalised row and column sums, `N = B * K` maps.
struct Sums {
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

/// One axis of the map: offsets from the centre in pixels, and where they lie on the grid.
struct Axis {
    /// `[1, n]`.
    offsets: Tensor,
    grid: GridAxis,
}

impl Axis {
    fn new(n: usize, grid: Grid, dtype: DType, device: &Device) -> Result<Self> {
        let offsets: Vec<f64> = (0..n).map(|i| i as f64 - middle(n)).collect();
        let offsets = Tensor::from_vec(offsets, (1, n), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?;
        Ok(Self { offsets, grid: grid.axis(n) })
    }
}

impl Sums {
    fn of(heatmaps: &Tensor, grid: Grid) -> Result<Self> {
        let (b, k, h, w) = heatmaps.dims4()?;
        let (dtype, device) = (working_dtype(heatmaps.dtype())?, heatmaps.device());
        let n = b * k;
        let (x, y) = (Axis::new(w, grid, dtype, device)?, Axis::new(h, grid, dtype, device)?);
        let maps = heatmaps.to_dtype(dtype)?.contiguous()?.reshape((n, h, w))?;
        // Huge maps are brought to a largest value of 1 so that sums and squares stay finite; the moments do not change.
        let peak = maps.detach().reshape((n, h * w))?.max_keepdim(D::Minus1)?.maximum(1.0)?;
        let maps = maps.broadcast_mul(&peak.recip()?.reshape((n, 1, 1))?)?;

        let ones = Tensor::ones((1, w), dtype, device)?;
        let row_basis = Tensor::cat(&[&ones, &x.offsets], 0)?.t()?.contiguous()?;
        let row_sums = maps.reshape((n * h, w))?.matmul(&row_basis)?.reshape((n, h, 2))?;
        let rows = row_sums.narrow(2, 0, 1)?.squeeze(2)?;
        let rows_x = row_sums.narrow(2, 1, 1)?.squeeze(2)?;
        let columns = Tensor::ones((n, 1, h), dtype, device)?.matmul(&maps)?.squeeze(1)?;
        let squares = maps.sqr()?.reshape((n, h * w))?.sum_keepdim(1)?;

        let mass = rows.sum_keepdim(1)?;
        // A map with a value above 1 has mass 1 or more after scaling, so the floor needs none.
        let dead = mass.le(MASS_FLOOR)?;
        let floor = full_like(&mass, MASS_FLOOR)?;
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

    /// On the grid: `[N, 1]` for x and y.
    fn means(&self) -> Result<[Tensor; 2]> {
        let [x, y] = self.offsets()?;
        Ok([x.affine(self.x.grid.step, self.x.grid.centre)?, y.affine(self.y.grid.step, self.y.grid.centre)?])
    }

    /// `a`, `b`, `c` of `[[a, b], [b, c]]`: `[N, 1]` each.
    fn covariances(&self) -> Result<[Tensor; 3]> {
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
        let floor = full_like(&divisor, DIVISOR_FLOOR)?;
        let inverse = alive.where_cond(&divisor, &floor)?.recip()?;
        let alive = indicator(&alive, &xx)?;
        let entry = |sum: &Tensor, scale: f64| -> Result<Tensor> {
            let entry = (sum * &inverse)?.affine(scale, 0.0)?;
            entry.detach() + linear(&entry, &alive)?
        };
        let (sx, sy) = (self.x.grid.step, self.y.grid.step);
        Ok([entry(&xx, sx * sx)?, entry(&xy, sx * sy)?, entry(&yy, sy * sy)?])
    }
}
