//! Random changes to the pixels of a crop. Constants are the reference's; probabilities are each type's own.

use image::{Rgb, RgbImage};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// A black rectangle somewhere. Reference: probability 0.4.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Occlusion {
    /// Probability in `[0, 1]`.
    pub probability: f64,
    /// Smallest and largest height as a share of half the crop; the width is that share give or take 0.2.
    pub size: (f64, f64),
}

impl Default for Occlusion {
    fn default() -> Self {
        Self { probability: 0.4, size: (0.2, 0.8) }
    }
}

impl Occlusion {
    /// Blackens a rectangle, or does nothing.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        if rng.random::<f64>() >= self.probability {
            return;
        }
        let (w, h) = (f64::from(image.width()), f64::from(image.height()));
        let share_h = between(self.size, rng);
        let share_w = share_h - 0.2 + 0.4 * rng.random::<f64>();
        let (half_w, half_h) = (w / 4.0 * share_w, h / 4.0 * share_h);
        let (x, y) = (w * rng.random::<f64>(), h * rng.random::<f64>());
        let span = |centre: f64, half: f64, end: u32| {
            (centre - half).max(0.0) as u32..((centre + half).max(0.0) as u32).min(end)
        };
        let columns = span(x, half_w, image.width());
        for row in span(y, half_h, image.height()) {
            for column in columns.clone() {
                image.put_pixel(column, row, Rgb([0; 3]));
            }
        }
    }
}

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
        if rng.random::<f64>() >= self.probability {
            return;
        }
        let side = f64::from(image.width() + image.height()) / 2.0;
        let kernel = (rng.random::<f64>() * self.kernel * side) as usize;
        if kernel > 1 {
            box_blur(image, kernel);
        }
    }
}

/// Mean over `kernel x kernel` pixels, the picture mirrored at its borders without repeating the border pixel.
fn box_blur(image: &mut RgbImage, kernel: usize) {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let mut pixels: Vec<f32> = image.as_raw().iter().map(|&v| f32::from(v)).collect();
    // Along the rows, then along the columns.
    for (lines, line_stride, length, stride) in [(h, 3 * w, w, 3), (w, 3, h, 3 * w)] {
        let mut line = vec![0f32; length];
        for l in 0..lines {
            for channel in 0..3 {
                let base = l * line_stride + channel;
                for (i, value) in line.iter_mut().enumerate() {
                    *value = pixels[base + i * stride];
                }
                blur_line(&line, kernel, |i, value| pixels[base + i * stride] = value);
            }
        }
    }
    for (byte, value) in image.iter_mut().zip(&pixels) {
        *byte = (value + 0.5) as u8;
    }
}

/// Running mean of `line`, handed to `put` place by place.
fn blur_line(line: &[f32], kernel: usize, mut put: impl FnMut(usize, f32)) {
    let last = line.len() as i64 - 1;
    let mirrored = |i: i64| {
        let i = if i < 0 { -i } else { i };
        let i = if i > last { 2 * last - i } else { i };
        line[i.clamp(0, last) as usize]
    };
    let before = (kernel / 2) as i64;
    let mut sum: f32 = (0..kernel as i64).map(|i| mirrored(i - before)).sum();
    for i in 0..=last {
        put(i as usize, sum / kernel as f32);
        sum += mirrored(i - before + kernel as i64) - mirrored(i - before);
    }
}

/// `(v / 255)^g`: half the time `g` in 0.25 to 1, half the time in 1 to 4. Reference: probability 0.2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gamma {
    /// Probability in `[0, 1]`.
    pub probability: f64,
    /// The largest power; the smallest is one over it.
    pub power: f64,
}

impl Default for Gamma {
    fn default() -> Self {
        Self { probability: 0.2, power: 4.0 }
    }
}

impl Gamma {
    /// Raises every value to a random power, or does nothing.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        if rng.random::<f64>() >= self.probability {
            return;
        }
        let range = if rng.random::<bool>() { (1.0 / self.power, 1.0) } else { (1.0, self.power) };
        let power = between(range, rng);
        let table: [u8; 256] = std::array::from_fn(|v| ((v as f64 / 255.0).powf(power) * 255.0 + 0.5) as u8);
        image.iter_mut().for_each(|v| *v = table[usize::from(*v)]);
    }
}

/// A blend with uniform noise. Reference: probability 0.2, up to half noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Noise {
    /// Probability in `[0, 1]`.
    pub probability: f64,
    /// Largest share of noise.
    pub alpha: f64,
}

impl Default for Noise {
    fn default() -> Self {
        Self { probability: 0.2, alpha: 0.5 }
    }
}

impl Noise {
    /// Blends in noise of random strength, or does nothing.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        if rng.random::<f64>() >= self.probability {
            return;
        }
        let alpha = between((0.0, self.alpha), rng) as f32;
        let mut noise = vec![0u8; image.as_raw().len()];
        rng.fill_bytes(&mut noise);
        for (v, n) in image.iter_mut().zip(noise) {
            *v = (f32::from(*v) * (1.0 - alpha) + f32::from(n) * alpha + 0.5) as u8;
        }
    }
}

/// All colour gone. Reference: probability 0.2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grey {
    /// Probability in `[0, 1]`.
    pub probability: f64,
}

impl Default for Grey {
    fn default() -> Self {
        Self { probability: 0.2 }
    }
}

impl Grey {
    /// Replaces every pixel by its luma (ITU-R BT.601), or does nothing.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        if rng.random::<f64>() >= self.probability {
            return;
        }
        for pixel in image.pixels_mut() {
            let [r, g, b] = pixel.0.map(f32::from);
            *pixel = Rgb([(0.299 * r + 0.587 * g + 0.114 * b + 0.5) as u8; 3]);
        }
    }
}

fn between((low, high): (f64, f64), rng: &mut impl Rng) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn picture() -> RgbImage {
        RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 6) as u8, (y * 8) as u8, 90]))
    }

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    #[test]
    fn what_has_no_probability_changes_nothing() {
        let mut image = picture();
        crate::augment::Augmentation::none().apply_photometric(&mut image, &mut rng());
        assert_eq!(image, picture());
    }

    #[test]
    fn an_occlusion_blackens_a_rectangle_and_nothing_else() {
        let (mut image, before) = (RgbImage::from_pixel(40, 30, Rgb([200; 3])), 40 * 30);
        for _ in 0..20 {
            Occlusion { probability: 1.0, ..Default::default() }.apply(&mut image, &mut rng());
        }
        let black = image.pixels().filter(|p| p.0 == [0; 3]).count();
        let kept = image.pixels().filter(|p| p.0 == [200; 3]).count();
        assert!(black > 0 && black + kept == before);
    }

    #[test]
    fn a_blur_keeps_a_flat_picture_and_means_a_step() {
        let mut flat = RgbImage::from_pixel(9, 9, Rgb([50, 60, 70]));
        box_blur(&mut flat, 4);
        assert!(flat.pixels().all(|p| p.0 == [50, 60, 70]));
        let mut step = RgbImage::from_fn(9, 9, |x, _| Rgb([if x < 4 { 0 } else { 90 }; 3]));
        box_blur(&mut step, 3);
        // column 3 sees columns 2, 3, 4: 90 / 3
        assert_eq!(
            (step.get_pixel(3, 4).0[0], step.get_pixel(4, 4).0[0], step.get_pixel(5, 4).0[0]),
            (30, 60, 90)
        );
    }

    #[test]
    fn grey_pixels_have_one_value_and_keep_their_luma() {
        let mut image = RgbImage::from_pixel(2, 2, Rgb([255, 0, 0]));
        Grey { probability: 1.0 }.apply(&mut image, &mut rng());
        // 0.299 * 255 = 76.2
        assert_eq!(image.get_pixel(0, 0).0, [76; 3]);
    }

    #[test]
    fn gamma_keeps_black_and_white_and_the_order_between() {
        let mut image = RgbImage::from_fn(256, 1, |x, _| Rgb([x as u8; 3]));
        Gamma { probability: 1.0, ..Default::default() }.apply(&mut image, &mut rng());
        let values: Vec<u8> = image.pixels().map(|p| p.0[0]).collect();
        assert_eq!((values[0], values[255]), (0, 255));
        assert!(values.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn noise_is_the_same_for_the_same_rng() {
        let noisy = |mut rng: ChaCha8Rng| {
            let mut image = picture();
            Noise { probability: 1.0, ..Default::default() }.apply(&mut image, &mut rng);
            image
        };
        assert_eq!(noisy(rng()), noisy(rng()));
        assert_ne!(noisy(rng()), noisy(ChaCha8Rng::seed_from_u64(8)));
    }
}
