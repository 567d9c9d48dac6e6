//! Point maps: a Gaussian bump at a landmark.

use super::taps;

/// Standard deviation of the bump on the image grid, pixels. Reference value.
const SIGMA: f64 = 1.5;

/// The bump is cut off at this many standard deviations. Reference value.
const CUT: f64 = 3.0;

/// Draws the bump of a landmark at `point` (pixels of the `size x size` image) into `map` (`map_size x map_size`, zeroed).
///
/// A landmark outside the image has its bump at the border, as in the reference. The bump, of height 1 on the image grid, is
/// resampled bilinearly to the map grid. A point that is not finite leaves the map empty. `size` is a multiple of `map_size`.
pub fn pointmap(point: [f32; 2], size: usize, map: &mut [f32], map_size: usize) {
    if !point.iter().all(|v| v.is_finite()) {
        return;
    }
    let factor = size / map_size;
    // The bump is a product of its profiles, and so is its bilinear resampling.
    let profile = |p: f32| -> Vec<(usize, f32)> {
        let p = f64::from(p).clamp(0.0, size as f64 - 1.0);
        let (first, centre, end) = window(p);
        let value = |pixel: usize| {
            let pixel = pixel as i64;
            let d = (pixel - centre) as f64;
            if (first..end).contains(&pixel) { (-d * d / (2.0 * SIGMA * SIGMA)).exp() } else { 0.0 }
        };
        let maps = |pixel: i64| (pixel.max(0) as usize / factor).min(map_size - 1);
        (maps(first)..=maps(end))
            .map(|m| (m, taps(m, factor).iter().map(|&pixel| value(pixel)).sum::<f64>() as f32 / 2.0))
            .filter(|(_, value)| *value > 0.0)
            .collect()
    };
    let columns = profile(point[0]);
    for (y, vertical) in profile(point[1]) {
        for &(x, horizontal) in &columns {
            map[y * map_size + x] = vertical * horizontal;
        }
    }
}

/// First pixel, centre and end of a bump at `p`, as the reference truncates them.
///
/// The window's corners `p - 4.5` and `p + 5.5` are truncated towards zero and the centre lies five pixels after the first: the
/// nearest pixel, or the one above it within 4.5 pixels of the left and upper borders.
fn window(p: f64) -> (i64, i64, i64) {
    let radius = CUT * SIGMA;
    let first = (p - radius) as i64;
    (first, first + (2.0 * radius + 1.0) as i64 / 2, (p + radius + 1.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bump_is_the_mean_of_four_pixels_about_the_middle_of_each_block() {
        let mut map = vec![0.0; 16 * 16];
        // Centre (6, 6); the middle pixels of block (1, 1) are (5, 5), (6, 5), (5, 6), (6, 6).
        pointmap([5.9, 6.2], 64, &mut map, 16);
        let (near, far) = (1.0, (-1.0f64 / 4.5).exp());
        let expected = ((near + far) / 2.0 * (near + far) / 2.0) as f32;
        assert!((map[16 + 1] - expected).abs() < 1e-6, "{}", map[17]);
        assert!(map.iter().all(|&v| v <= map[17]));
    }

    #[test]
    fn windows_are_truncated_towards_zero() {
        // 20.4 - 4.5 = 15.9 and 20.4 + 5.5 = 25.9; 0.2 - 4.5 = -4.3, which truncates to -4
        assert_eq!(window(20.4), (15, 20, 25));
        assert_eq!(window(20.6), (16, 21, 26));
        assert_eq!(window(0.2), (-4, 1, 5));
    }

    #[test]
    fn landmarks_outside_have_their_bump_at_the_border() {
        for (outside, border) in [([-20.0, 5.0], [0.0, 5.0]), ([1e30, 90.0], [63.0, 63.0])] {
            let (mut a, mut b) = (vec![0.0; 16 * 16], vec![0.0; 16 * 16]);
            pointmap(outside, 64, &mut a, 16);
            pointmap(border, 64, &mut b, 16);
            assert!(a == b && a.iter().any(|&v| v > 0.3), "{outside:?}");
        }
    }

    #[test]
    fn unknown_landmarks_leave_the_map_empty() {
        for point in [[f32::NAN, 5.0], [5.0, f32::INFINITY]] {
            let mut map = vec![0.0; 16 * 16];
            pointmap(point, 64, &mut map, 16);
            assert!(map.iter().all(|&v| v == 0.0), "{point:?}");
        }
    }
}
