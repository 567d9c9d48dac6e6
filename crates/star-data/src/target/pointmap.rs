//! Point maps: a Gaussian bump at a landmark.

use super::taps;

/// Standard deviation of the bump on the image grid, pixels. Reference value.
const SIGMA: f64 = 1.5;

/// The bump is cut off at this many standard deviations. Reference value.
const CUT: f64 = 3.0;

/// Adds the bump of a landmark at `point` (pixels of the `size x size` image) into `map` (`map_size x map_size`, zeroed).
///
/// The centre is truncated to whole pixels and the bump, of height 1 on the image grid, resampled bilinearly to the map grid.
/// A landmark whose bump lies wholly outside, or that is not finite, leaves the map empty. `size` is a multiple of `map_size`.
pub fn pointmap(point: [f32; 2], size: usize, map: &mut [f32], map_size: usize) {
    if !point.iter().all(|v| v.is_finite() && v.abs() < 1e6) {
        return;
    }
    let factor = size / map_size;
    let centre = point.map(|v| v.trunc() as i64);
    let radius = (CUT * SIGMA) as i64;
    // The bump is a product of its profiles, and so is its bilinear resampling.
    let profile = |centre: i64| -> Vec<(usize, f32)> {
        let value = |pixel: usize| {
            let d = pixel as i64 - centre;
            if d.abs() > radius { 0.0 } else { (-((d * d) as f64) / (2.0 * SIGMA * SIGMA)).exp() }
        };
        let first = ((centre - radius) / factor as i64 - 1).clamp(0, map_size as i64) as usize;
        let last = ((centre + radius) / factor as i64 + 2).clamp(0, map_size as i64) as usize;
        (first..last)
            .map(|m| (m, taps(m, factor).iter().map(|&pixel| value(pixel)).sum::<f64>() as f32 / 2.0))
            .filter(|(_, value)| *value > 0.0)
            .collect()
    };
    let columns = profile(centre[0]);
    for (y, vertical) in profile(centre[1]) {
        for &(x, horizontal) in &columns {
            map[y * map_size + x] = vertical * horizontal;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bump_is_the_mean_of_four_pixels_about_the_middle_of_each_block() {
        let mut map = vec![0.0; 16 * 16];
        // Truncated to (5, 6): the middle pixels of block (1, 1) are (5, 5), (6, 5), (5, 6), (6, 6).
        pointmap([5.9, 6.2], 64, &mut map, 16);
        let (near, far) = (1.0, (-1.0f64 / 4.5).exp());
        let expected = ((near + far) / 2.0 * (near + far) / 2.0) as f32;
        assert!((map[16 + 1] - expected).abs() < 1e-6, "{}", map[17]);
        assert!(map.iter().all(|&v| v <= map[17]));
    }

    #[test]
    fn landmarks_outside_or_unknown_leave_the_map_empty() {
        for point in [[-20.0, 5.0], [f32::NAN, 5.0], [5.0, f32::INFINITY], [1e30, 5.0], [90.0, 90.0]] {
            let mut map = vec![0.0; 16 * 16];
            pointmap(point, 64, &mut map, 16);
            assert!(map.iter().all(|&v| v == 0.0), "{point:?}");
        }
    }
}
