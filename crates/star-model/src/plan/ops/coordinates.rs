//! Coordinate channels of an hourglass's entry, channels-last, so that they are one more run of its 1x1 convolution.

use candle_core::{DType, Device, Result};

use super::heads::Layout;
use crate::coord_conv;

/// Channels: rows, columns, radius, and the first two where the boundary map is on.
pub(crate) const CHANNELS: usize = 5;

/// Coordinates of a square map `[side * side, 5]`, the masked ones zero.
pub(crate) fn table(side: usize) -> Result<Vec<f32>> {
    let planes =
        coord_conv::coordinates(side, side, DType::F32, &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    let pixels = side * side;
    Ok((0..pixels).flat_map(|p| [planes[p], planes[pixels + p], planes[2 * pixels + p], 0.0, 0.0]).collect())
}

/// Copies the `table` and masks its last two channels by the last heatmap of `maps`.
pub(crate) fn mask(table: &[f32], maps: &[f32], layout: &Layout, out: &mut [f32]) {
    let boundary = maps.chunks_exact(layout.channels).map(|pixel| pixel[layout.points - 1]);
    for ((out, from), on) in out.chunks_exact_mut(CHANNELS).zip(table.chunks_exact(CHANNELS)).zip(boundary) {
        out.copy_from_slice(from);
        if f64::from(on) > coord_conv::BOUNDARY {
            out[3..].copy_from_slice(&from[..2]);
        }
    }
}
