//! Edge maps: a smooth curve through the keypoints of an edge, one pixel wide.

use tiny_skia::{FillRule, Mask, PathBuilder, Stroke, Transform};

use super::{spline, taps};

/// Width of the drawn curve on the image grid, pixels: one, and what the reference's smooth borders add.
const WIDTH: f32 = 1.25;

/// The reference draws on a grid finer by this factor, at whole pixels of it.
const FINE: f32 = 4.0;

/// Draws the edge through `points` (pixels of the `size x size` image) into `map` (`map_size x map_size`, zeroed), values 0 to 1.
///
/// The curve is drawn with smooth borders on the image grid and resampled bilinearly. An edge of fewer than two known points leaves
/// the map empty. `size` is a multiple of `map_size`.
pub fn edgemap(points: &[[f32; 2]], closed: bool, size: usize, map: &mut [f32], map_size: usize) {
    let curve = spline::through(points, closed);
    let far = 8.0 * size as f32;
    if curve.iter().flatten().any(|v| v.abs() > far) {
        // Nothing of use is left of a face this far outside; curves through such points only cost time.
        return;
    }
    let Some((canvas, side)) = u32::try_from(size).ok().and_then(|side| Some((Mask::new(side, side)?, side)))
    else {
        return;
    };
    let mut path = PathBuilder::new();
    for (i, [x, y]) in curve.iter().enumerate() {
        // Whole pixels of the finer grid, whose centres lie at halves in the rasteriser.
        let last = size as f32 - 1.0;
        let [x, y] = [x, y].map(|v| (v.clamp(0.0, last) * FINE).round() / FINE + 0.5 / FINE);
        if i == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
    }
    let stroke = Stroke { width: WIDTH, ..Default::default() };
    let Some(outline) = path.finish().and_then(|path| path.stroke(&stroke, 4.0)) else { return };
    let mut canvas = canvas;
    canvas.fill_path(&outline, FillRule::Winding, true, Transform::identity());
    let (pixels, side) = (canvas.data(), side as usize);
    let factor = size / map_size;
    for (y, line) in map.chunks_exact_mut(map_size).enumerate() {
        let rows = taps(y, factor);
        for (x, value) in line.iter_mut().enumerate() {
            let columns = taps(x, factor);
            let sum: u32 =
                rows.iter().flat_map(|r| columns.iter().map(move |c| u32::from(pixels[r * side + c]))).sum();
            *value = sum as f32 / (4.0 * 255.0);
        }
    }
}
