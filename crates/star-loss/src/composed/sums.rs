//! Mean and covariance of maps by one matrix product.
//!
//! Each row is cut into segments of a few pixels, and one product takes the sums of `h`, `h u` and `h u^2` over each segment, `u` being
//! the offset from the segment's middle, which every dtype holds exactly. The rest is arithmetic on these few numbers: second moments
//! are put together about the mean. A product with the six monomials `1, x, y, x^2, xy, y^2` of the whole map is twice as fast still,
//! but its raw second moments reach a thousand squared pixels, and in f32 those of a sharp peak near the border lose four digits to
//! cancellation; inside a segment they reach 56.

use candle_core::{D, DType, Device, Result, Tensor};

use crate::grid::{Grid, GridAxis, middle};
use crate::maps::{DIVISOR_FLOOR, MASS_EPS, MASS_FLOOR, working_dtype};
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

/// Normalised sums of `N = B * K` maps.
struct Sums {
    batch: (usize, usize),
    x: Axis,
    y: Axis,
    /// Offsets of the middles of a row's `S` segments from the middle of the map, pixels: `[1, S]`.
    middles: Tensor,
    /// Sums of `p`, `p u` and `p u^2` over the segments one below the other: `[N, S]` each.
    segments: [Tensor; 3],
    /// `sum_j p_ij`: `[N, H]`.
    rows: Tensor,
    /// `sum_j p_ij x_j`: `[N, H]`.
    rows_x: Tensor,
    /// `sum p` and `sum p^2`: `[N, 1]`.
    mass: Tensor,
    squares: Tensor,
}

/// Longest segment, pixels: `u^2` is at most 56 in it.
const SEGMENT: usize = 16;

/// Length of the segments that a row of `width` pixels is cut into: they are all alike.
fn segment(width: usize) -> usize {
    (2..=SEGMENT).rev().find(|n| width.is_multiple_of(*n)).unwrap_or(width)
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

        let length = segment(w);
        let count = w / length;
        let vector = |values: Vec<f64>, shape: (usize, usize)| {
            Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
        };
        // [length, 3]: 1, u, u^2
        let local = (0..length).flat_map(|i| {
            let u = i as f64 - middle(length);
            [1.0, u, u * u]
        });
        let local = vector(local.collect(), (length, 3))?;
        let at: Vec<f64> = (0..count).map(|s| (s * length) as f64 + middle(length) - middle(w)).collect();
        // [3 count, 2]: from the sums of a row's segments to the row's sums of h and h x
        let along = vector(at.iter().flat_map(|&c| [1.0, c, 0.0, 1.0, 0.0, 0.0]).collect(), (3 * count, 2))?;
        let middles = vector(at, (1, count))?;

        let parts = maps.reshape((n * h * count, length))?.matmul(&local)?;
        let row_sums = parts.reshape((n * h, 3 * count))?.matmul(&along)?.reshape((n, h, 2))?;
        let rows = row_sums.narrow(2, 0, 1)?.squeeze(2)?;
        let rows_x = row_sums.narrow(2, 1, 1)?.squeeze(2)?;
        let segments = parts.reshape((n, h, 3 * count))?.sum(1)?.reshape((n, count, 3))?;
        let flat = maps.reshape((n, 1, h * w))?;
        let squares = flat.matmul(&flat.reshape((n, h * w, 1))?)?.reshape((n, 1))?;

        let mass = rows.sum_keepdim(1)?;
        // A map with a value above 1 has mass 1 or more after scaling, so the floor needs none.
        let dead = mass.le(MASS_FLOOR)?;
        let floor = full_like(&mass, MASS_FLOOR)?;
        let inverse = dead.where_cond(&floor, &mass)?.recip()?;
        let segments = |i: usize| segments.narrow(2, i, 1)?.squeeze(2)?.broadcast_mul(&inverse);
        Ok(Self {
            batch: (b, k),
            x,
            y,
            rows: rows.broadcast_mul(&inverse)?,
            rows_x: rows_x.broadcast_mul(&inverse)?,
            segments: [segments(0)?, segments(1)?, segments(2)?],
            middles,
            mass: (mass * &inverse)?,
            squares: (squares * inverse.sqr()?)?,
        })
    }

    /// Mean in pixels from the centre, `[N, 1]` for x and y.
    fn offsets(&self) -> Result<[Tensor; 2]> {
        let [mass, first, _] = &self.segments;
        let x = (mass.broadcast_mul(&self.middles)? + first)?.sum_keepdim(1)?;
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
        let [mass, first, second] = &self.segments;
        // Of the segments' middles from the mean.
        let dx = self.middles.broadcast_sub(&mean_x)?;
        let dy = self.y.offsets.broadcast_sub(&mean_y)?;
        let moved = ((mass * &dx)? + first.affine(2.0, 0.0)?)?;
        let xx = (second + (moved * &dx)?)?.sum_keepdim(1)?;
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
