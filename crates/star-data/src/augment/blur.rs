//! Blurs: the reference's box, and motion.

use image::RgbImage;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::{between, happens};

/// A box blur. Reference: probability 0.3, kernel up to 0.05 of the side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blur {
    /// Probability in `[0, 1]`.
    pub probability: f64,
    /// Largest kernel as a share of the mean of width and height.
    pub kernel: f64,
}

impl Default for Blur {
    fn default() -> Self {
        Self { probability: 0.3, kernel: 0.05 }
    }
}

impl Blur {
    /// Blurs by a box of random size, or does nothing.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        if !happens(self.probability, rng) {
            return;
        }
        let side = f64::from(image.width() + image.height()) / 2.0;
        let kernel = (rng.random::<f64>() * self.kernel * side) as usize;
        if kernel > 1 {
            box_blur(image, kernel);
        }
    }
}

/// The blur of a camera or head in motion: the mean along a straight line. Beyond the paper; off by default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MotionBlur {
    /// Probability in `[0, 1]`.
    pub probability: f64,
    /// Shortest and longest line as a share of the mean of width and height.
    pub length: (f64, f64),
}

impl Default for MotionBlur {
    fn default() -> Self {
        Self { probability: 0.0, length: (0.01, 0.06) }
    }
}

impl MotionBlur {
    /// Blurs along a line of random length and direction, or does nothing.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        if !happens(self.probability, rng) {
            return;
        }
        let side = f64::from(image.width() + image.height()) / 2.0;
        let length = between(self.length, rng) * side;
        let (sin, cos) = between((0.0, std::f64::consts::PI), rng).sin_cos();
        let steps = length.round().max(1.0) as i64;
        let offset = |i: i64| {
            let along = i as f64 - (steps - 1) as f64 / 2.0;
            [(along * cos).round() as i64, (along * sin).round() as i64]
        };
        let offsets: Vec<[i64; 2]> = (0..steps).map(offset).collect();
        if offsets.len() > 1 {
            mean_over(image, &offsets);
        }
    }
}

/// Each pixel becomes the mean of those at `offsets` from it; beyond the border the border pixel counts.
fn mean_over(image: &mut RgbImage, offsets: &[[i64; 2]]) {
    let (w, h) = (i64::from(image.width()), i64::from(image.height()));
    let line = 3 * w as usize;
    let mut sums = vec![0u32; image.as_raw().len()];
    for &[dx, dy] in offsets {
        // Columns whose neighbour lies inside are added in one go.
        let (first, last) = ((-dx).clamp(0, w), (w - dx).clamp(0, w));
        for (y, sums) in sums.chunks_exact_mut(line).enumerate() {
            let row = &image.as_raw()[(y as i64 + dy).clamp(0, h - 1) as usize * line..][..line];
            let from = (first + dx).clamp(0, w);
            let count = 3 * (last - first).max(0) as usize;
            let (inner, values) =
                (&mut sums[3 * first as usize..][..count], &row[3 * from as usize..][..count]);
            inner.iter_mut().zip(values).for_each(|(sum, &v)| *sum += u32::from(v));
            for x in (0..first).chain(last.max(first)..w) {
                let at = 3 * (x + dx).clamp(0, w - 1) as usize;
                (0..3).for_each(|k| sums[3 * x as usize + k] += u32::from(row[at + k]));
            }
        }
    }
    let share = 1.0 / offsets.len() as f32;
    image.iter_mut().zip(sums).for_each(|(byte, sum)| *byte = (sum as f32 * share + 0.5) as u8);
}

/// Mean over `kernel x kernel` pixels, the image mirrored at its borders without repeating the border pixel.
fn box_blur(image: &mut RgbImage, kernel: usize) {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let line = 3 * w;
    // Sums along the rows, then running sums of whole rows.
    let mut across = vec![0u32; image.as_raw().len()];
    let columns = mirrored(w, kernel);
    for (row, sums) in image.chunks_exact(line).zip(across.chunks_exact_mut(line)) {
        let at = |x: usize| [0, 1, 2].map(|k| u32::from(row[3 * x + k]));
        let mut sum = [0u32; 3];
        columns[..kernel].iter().for_each(|&x| (0..3).for_each(|k| sum[k] += at(x)[k]));
        for (x, out) in sums.chunks_exact_mut(3).enumerate() {
            out.copy_from_slice(&sum);
            let (enter, leave) = (at(columns[x + kernel]), at(columns[x]));
            (0..3).for_each(|k| sum[k] = sum[k] + enter[k] - leave[k]);
        }
    }
    let rows = mirrored(h, kernel);
    let row = |y: usize| &across[rows[y] * line..][..line];
    let mut sums = vec![0u32; line];
    for y in 0..kernel {
        sums.iter_mut().zip(row(y)).for_each(|(sum, v)| *sum += v);
    }
    // Sums stay below 2^24 for kernels up to 256, where f32 is exact; beyond, a rounding more does no harm.
    let share = 1.0 / (kernel * kernel) as f32;
    for (y, out) in image.chunks_exact_mut(line).enumerate() {
        for (((byte, sum), enter), leave) in out.iter_mut().zip(&mut sums).zip(row(y + kernel)).zip(row(y)) {
            *byte = (*sum as f32 * share + 0.5) as u8;
            *sum = *sum + enter - leave;
        }
    }
}

/// The pixels that windows of `kernel` about `0..length` run over: window `i` begins at place `i`; one more for the last step.
fn mirrored(length: usize, kernel: usize) -> Vec<usize> {
    let last = length as i64 - 1;
    let inside = |i: i64| {
        let i = i.abs();
        (if i > last { 2 * last - i } else { i }).clamp(0, last) as usize
    };
    (0..(length + kernel) as i64).map(|i| inside(i - (kernel / 2) as i64)).collect()
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_blur_keeps_a_flat_image_and_means_a_step() {
        for kernel in [2, 4, 9, 30] {
            let mut flat = RgbImage::from_pixel(9, 7, Rgb([50, 60, 70]));
            box_blur(&mut flat, kernel);
            assert!(flat.pixels().all(|p| p.0 == [50, 60, 70]), "{kernel}");
        }
        let mut step = RgbImage::from_fn(9, 9, |x, _| Rgb([if x < 4 { 0 } else { 90 }; 3]));
        box_blur(&mut step, 3);
        // column 3 sees columns 2, 3, 4: 90 / 3
        let row: Vec<u8> = (3..6).map(|x| step.get_pixel(x, 4).0[0]).collect();
        assert_eq!(row, [30, 60, 90]);
    }

    #[test]
    fn borders_are_mirrored_without_the_border_pixel() {
        let mut ramp = RgbImage::from_fn(5, 1, |x, _| Rgb([10 * x as u8; 3]));
        box_blur(&mut ramp, 3);
        // column 0 sees columns 1, 0, 1: 20 / 3; column 4 sees 3, 4, 3: 100 / 3
        assert_eq!((ramp.get_pixel(0, 0).0[0], ramp.get_pixel(4, 0).0[0]), (7, 33));
    }

    #[test]
    fn motion_smears_a_point_along_one_line_and_keeps_its_light() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for _ in 0..20 {
            let mut image = RgbImage::new(41, 41);
            image.put_pixel(20, 20, Rgb([240; 3]));
            MotionBlur { probability: 1.0, length: (0.2, 0.2) }.apply(&mut image, &mut rng);
            // 0.2 * 41 is 8 places of 30 each
            let lit: Vec<[f64; 2]> = image
                .enumerate_pixels()
                .filter(|p| p.2.0[0] > 0)
                .map(|p| [f64::from(p.0) - 20.0, f64::from(p.1) - 20.0])
                .collect();
            assert!(lit.len() >= 6 && lit.len() <= 8, "{lit:?}");
            assert_eq!(image.pixels().map(|p| u32::from(p.0[0])).sum::<u32>(), 240);
            let far = lit.iter().max_by(|a, b| a[0].hypot(a[1]).total_cmp(&b[0].hypot(b[1]))).unwrap();
            let length = far[0].hypot(far[1]);
            assert!(lit.iter().all(|p| (p[0] * far[1] - p[1] * far[0]).abs() / length < 1.5), "{lit:?}");
        }
    }
}
