//! Point maps: a Gaussian bump at a landmark.

use super::taps;

/// Standard deviation of the bump on the image grid, pixels. Reference value.
const SIGMA: f64 = 1.5;

/// Half the side of the patch that the bump is drawn in, pixels: three standard deviations. Reference value.
const REACH: f64 = 3.0 * SIGMA;

/// Draws the bump of a landmark at `point` (pixels of the `size x size` image) into `map` (`map_size x map_size`, zeroed).
///
/// As the reference does it: a landmark outside is moved onto the border, the bump of height 1 sits on a whole pixel of the image
/// grid (its patch's corner is truncated, which rounds the centre), and is resampled bilinearly to the map grid. A landmark that is
/// not finite leaves the map empty. `size` is a multiple of `map_size`.
pub fn pointmap(point: [f32; 2], size: usize, map: &mut [f32], map_size: usize) {
    if !point.iter().all(|v| v.is_finite()) {
        return;
    }
    let factor = size / map_size;
    // The patch runs from its truncated corner over 6 sigma + 1 pixels; the bump's centre is the middle one.
    let length = (2.0 * REACH + 1.0) as i64;
    let place = point.map(|v| f64::from(v).clamp(0.0, size as f64 - 1.0));
    // The bump is a product of its profiles, and so is its bilinear resampling.
    let profile = |place: f64| -> Vec<(usize, f32)> {
        let (corner, end) = ((place - REACH).trunc() as i64, (place + REACH + 1.0).trunc() as i64);
        let value = |pixel: usize| {
            let at = pixel as i64 - corner;
            let d = at - length / 2;
            if at < 0 || at >= length || pixel as i64 >= end {
                0.0
            } else {
                (-((d * d) as f64) / (2.0 * SIGMA * SIGMA)).exp()
            }
        };
        let first = (corner / factor as i64 - 1).clamp(0, map_size as i64) as usize;
        let last = ((corner + length) / factor as i64 + 1).clamp(0, map_size as i64) as usize;
        (first..last)
            .map(|m| (m, taps(m, factor).iter().map(|&pixel| value(pixel)).sum::<f64>() as f32 / 2.0))
            .filter(|(_, value)| *value > 0.0)
            .collect()
    };
    let columns = profile(place[0]);
    for (y, vertical) in profile(place[1]) {
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
        // Corner at trunc(5.9 - 4.5) = 1, so the centre lies at (6, 6). The middle pixels of block (1, 1) are 5 and 6.
        pointmap([5.9, 5.6], 64, &mut map, 16);
        let (near, far) = (1.0, (-1.0f64 / 4.5).exp());
        let expected = ((near + far) / 2.0 * (near + far) / 2.0) as f32;
        assert!((map[16 + 1] - expected).abs() < 1e-6, "{}", map[17]);
        assert!(map.iter().all(|&v| v <= map[17]));
    }

    #[test]
    fn a_landmark_outside_has_its_bump_on_the_border_and_an_unknown_one_has_none() {
        let mut map = vec![0.0; 16 * 16];
        pointmap([-20.0, 30.0], 64, &mut map, 16);
        assert!(map[16 * 7] > 0.3 && map.iter().enumerate().all(|(i, &v)| v == 0.0 || i % 16 < 3));
        for point in [[f32::NAN, 5.0], [5.0, f32::INFINITY]] {
            let mut map = vec![0.0; 16 * 16];
            pointmap(point, 64, &mut map, 16);
            assert!(map.iter().all(|&v| v == 0.0), "{point:?}");
        }
    }
}
