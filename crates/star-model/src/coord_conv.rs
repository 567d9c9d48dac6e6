//! Coordinate channels: maps that tell a convolution where it is (CoordConv, Liu et al. 2018, as ADNet uses it).

use candle_core::{DType, Device, Result, Tensor};

/// Above this a pixel of the boundary map counts as lying on the boundary. Reference value.
pub(crate) const BOUNDARY: f64 = 0.05;

/// `2 i / (n - 1) - 1` for `i` in `0..n`: the ends of the axis are the outer pixel centres.
fn axis(n: usize) -> Vec<f64> {
    let last = n.saturating_sub(1).max(1) as f64;
    (0..n).map(|i| 2.0 * i as f64 / last - 1.0).collect()
}

/// Rows, columns and radius: `[1, 3, H, W]`.
///
/// The first channel varies along the *rows* and the second along the columns; the reference calls the first "x" and
/// its weights are trained so. The radius is divided by its largest value.
pub(crate) fn coordinates(h: usize, w: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    Tensor::from_vec(values(h, w), (1, 3, h, w), device)?.to_dtype(dtype)
}

/// [`coordinates`], on a CUDA card those made before: working them out on the host and sending them takes longer than a small network.
fn kept(h: usize, w: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(card) = device {
        use std::collections::HashMap;
        use std::sync::{Mutex, PoisonError};
        type Key = (usize, usize, DType, candle_core::cuda::DeviceId);
        static KEPT: Mutex<Option<HashMap<Key, Tensor>>> = Mutex::new(None);
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.get_or_insert_default();
        let key = (h, w, dtype, card.id());
        if let Some(grid) = kept.get(&key) {
            return Ok(grid.clone());
        }
        let grid = coordinates(h, w, dtype, device)?;
        kept.insert(key, grid.clone());
        return Ok(grid);
    }
    coordinates(h, w, dtype, device)
}

/// [`coordinates`] in `f32`, one plane after the other.
pub(crate) fn planes(h: usize, w: usize) -> Vec<f32> {
    values(h, w).into_iter().map(|value| value as f32).collect()
}

fn values(h: usize, w: usize) -> Vec<f64> {
    let (rows, columns) = (axis(h), axis(w));
    let mut values = Vec::with_capacity(3 * h * w);
    values.extend(rows.iter().flat_map(|&y| columns.iter().map(move |_| y)));
    values.extend(rows.iter().flat_map(|_| columns.iter().copied()));
    let radius: Vec<f64> = (0..h * w).map(|i| values[i].hypot(values[h * w + i])).collect();
    let largest = radius.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    values.extend(radius.iter().map(|r| r / largest));
    values
}

/// The coordinate channels of maps like `x`, `[B, C, H, W] -> [B, 3, H, W]`.
///
/// With `boundary` (`[B, K, H, W]`, an earlier stack's heatmaps, of which the last counts) two more follow: the row and column
/// channels, zero where the boundary map, clamped to `[0, 1]`, is not above [`BOUNDARY`]. No gradient flows through the mask.
pub(crate) fn channels(x: &Tensor, boundary: Option<&Tensor>) -> Result<Tensor> {
    let (b, _, h, w) = x.dims4()?;
    let grid = kept(h, w, x.dtype(), x.device())?.broadcast_as((b, 3, h, w))?;
    match boundary {
        None => Ok(grid),
        Some(maps) => {
            let last = maps.narrow(1, maps.dim(1)?.saturating_sub(1), 1)?;
            let mask = last.detach().gt(BOUNDARY)?.to_dtype(x.dtype())?;
            Tensor::cat(&[&grid, &grid.narrow(1, 0, 2)?.broadcast_mul(&mask)?], 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_channel_varies_along_the_rows_and_the_radius_ends_at_one() {
        let grid = coordinates(3, 2, DType::F64, &Device::Cpu).unwrap();
        let grid = grid.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(&grid[..6], &[-1.0, -1.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(&grid[6..12], &[-1.0, 1.0, -1.0, 1.0, -1.0, 1.0]);
        // corners lie at sqrt(2), the middle row at 1
        assert_eq!((grid[12], grid[17]), (1.0, 1.0));
        assert!((grid[14] - 0.5f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn masked_copies_are_zero_off_the_boundary() {
        let x = Tensor::zeros((1, 1, 2, 2), DType::F64, &Device::Cpu).unwrap();
        let boundary = Tensor::new(&[[[[0.0f64, 0.05], [0.06, 3.0]]]], &Device::Cpu).unwrap();
        let y = channels(&x, Some(&boundary)).unwrap();
        assert_eq!(y.dims(), [1, 5, 2, 2]);
        let y = y.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(&y[12..16], &[0.0, 0.0, 1.0, 1.0]);
        assert_eq!(&y[16..20], &[0.0, 0.0, -1.0, 1.0]);
    }
}
