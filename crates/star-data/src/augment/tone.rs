//! Brightness and colour: gamma and grey as in the reference, colour jitter beyond it.

use image::{Rgb, RgbImage};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::{between, happens};

/// What red, green and blue add to luma (ITU-R BT.601).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

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
        if !happens(self.probability, rng) {
            return;
        }
        let range = if rng.random::<bool>() { (1.0 / self.power, 1.0) } else { (1.0, self.power) };
        let power = between(range, rng);
        let table: [u8; 256] = std::array::from_fn(|v| ((v as f64 / 255.0).powf(power) * 255.0 + 0.5) as u8);
        image.iter_mut().for_each(|v| *v = table[usize::from(*v)]);
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
        if happens(self.probability, rng) {
            for pixel in image.pixels_mut() {
                *pixel = Rgb([(luma(pixel.0.map(f32::from)) + 0.5) as u8; 3]);
            }
        }
    }
}

fn luma(rgb: [f32; 3]) -> f32 {
    LUMA[0] * rgb[0] + LUMA[1] * rgb[1] + LUMA[2] * rgb[2]
}

/// Brightness, contrast, saturation and hue. Beyond the paper; off by default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Colour {
    /// Probability in `[0, 1]`.
    pub probability: f64,
    /// Values are multiplied by 1 give or take up to this.
    pub brightness: f64,
    /// The distance of values from the image's mean luma is multiplied by 1 give or take up to this.
    pub contrast: f64,
    /// The distance of values from their own pixel's luma is multiplied by 1 give or take up to this.
    pub saturation: f64,
    /// Largest rotation of the hue either way, degrees.
    pub hue: f64,
}

impl Default for Colour {
    fn default() -> Self {
        Self { probability: 0.0, brightness: 0.3, contrast: 0.3, saturation: 0.3, hue: 10.0 }
    }
}

impl Colour {
    /// Changes all colours by one random affine map, or does nothing.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        if !happens(self.probability, rng) {
            return;
        }
        let mut factor = |spread: f64| between((1.0 - spread, 1.0 + spread), rng) as f32;
        let (brightness, contrast) = (factor(self.brightness), factor(self.contrast));
        let saturation = factor(self.saturation);
        let angle = between((-self.hue, self.hue), rng).to_radians() as f32;
        let pixels = (image.as_raw().len() / 3).max(1) as f64;
        let mean = image.pixels().map(|p| f64::from(luma(p.0.map(f32::from)))).sum::<f64>() / pixels;
        let map = hue_rotation(saturation, angle);
        let scale = brightness * contrast;
        let offset = brightness * (1.0 - contrast) * mean as f32 + 0.5;
        for pixel in image.pixels_mut() {
            let rgb = pixel.0.map(f32::from);
            pixel.0 =
                map.map(|row| (scale * (row[0] * rgb[0] + row[1] * rgb[1] + row[2] * rgb[2]) + offset) as u8);
        }
    }
}

/// The map that scales a pixel's distance from its own grey and rotates it about the grey axis: greys and lumas stay.
fn hue_rotation(saturation: f32, angle: f32) -> [[f32; 3]; 3] {
    let (sin, cos) = angle.sin_cos();
    // A rotation about (1, 1, 1), applied to the distance from grey alone.
    let cross = sin / 3f32.sqrt();
    let (same, other) = (cos + (1.0 - cos) / 3.0, (1.0 - cos) / 3.0);
    let rotation = [
        [same, other - cross, other + cross],
        [other + cross, same, other - cross],
        [other - cross, other + cross, same],
    ];
    let grey = |c: usize| LUMA[c];
    let raw: [[f32; 3]; 3] = std::array::from_fn(|r| {
        std::array::from_fn(|c| {
            // rotation * (pixel - grey * 1), and a rotation leaves (1, 1, 1) as it is
            saturation * (rotation[r][c] - grey(c))
        })
    });
    // The rotation keeps the sum of the channels, not their luma: what it adds to the luma is taken off every channel.
    std::array::from_fn(|r| {
        std::array::from_fn(|c| {
            let added: f32 = (0..3).map(|k| LUMA[k] * raw[k][c]).sum();
            raw[r][c] - added + grey(c)
        })
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
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
    fn a_turn_of_the_hue_and_saturation_keep_greys_and_lumas() {
        for (saturation, angle) in [(1.3, 0.3), (0.5, -0.2), (0.0, 1.0)] {
            let map = hue_rotation(saturation, angle);
            let apply = |rgb: [f32; 3]| map.map(|row| (0..3).map(|k| row[k] * rgb[k]).sum::<f32>());
            assert!(apply([77.0; 3]).iter().all(|v| (v - 77.0).abs() < 1e-3));
            assert!((luma(apply([90.0, 40.0, 120.0])) - luma([90.0, 40.0, 120.0])).abs() < 1e-3);
        }
        // one third of a full rotation takes red's distance from grey to green's direction
        let third = hue_rotation(1.0, std::f32::consts::TAU / 3.0);
        let green = third.map(|row| row[0]);
        assert!(green[1] > green[0] && green[1] > green[2], "{green:?}");
        let identity = hue_rotation(1.0, 0.0);
        assert!((0..9).all(|i| (identity[i / 3][i % 3] - f32::from(u8::from(i % 4 == 0))).abs() < 1e-6));
    }

    #[test]
    fn contrast_alone_keeps_the_mean_and_brightness_alone_scales_it() {
        let original = RgbImage::from_fn(20, 20, |x, y| Rgb([(60 + x * 4) as u8, (60 + y * 4) as u8, 90]));
        let mean = |image: &RgbImage| image.iter().map(|&v| f64::from(v)).sum::<f64>() / 1200.0;
        let still = Colour { probability: 1.0, brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 };
        let with = |colour: Colour| {
            let mut image = original.clone();
            colour.apply(&mut image, &mut rng());
            image
        };
        assert_eq!(with(still), original);
        assert!((mean(&with(Colour { saturation: 0.3, ..still })) - mean(&original)).abs() < 5.0);
        let brighter = with(Colour { brightness: 0.5, ..still });
        let factor = mean(&brighter) / mean(&original);
        assert!((factor - 1.0).abs() > 0.01 && (0.5..=1.5).contains(&factor), "{factor}");
    }
}
