//! What a camera's or a web site's JPEG compression does to an image.

use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::happens;
use crate::decode;

/// JPEG artefacts: the crop is compressed and decoded again. Beyond the paper; off by default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jpeg {
    /// Probability in `[0, 1]`.
    pub probability: f64,
    /// Worst and best quality, 1 to 100.
    pub quality: (u8, u8),
}

impl Default for Jpeg {
    fn default() -> Self {
        Self { probability: 0.0, quality: (20, 80) }
    }
}

impl Jpeg {
    /// Compresses with a random quality, or does nothing.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        if !happens(self.probability, rng) {
            return;
        }
        let quality = rng.random_range(self.quality.0.min(self.quality.1)..=self.quality.1);
        let (width, height) = image.dimensions();
        let mut bytes = Vec::new();
        let encoded = JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100)).encode(
            image.as_raw(),
            width,
            height,
            ExtendedColorType::Rgb8,
        );
        // Only an image of no pixels or of more than 65535 a side has no JPEG; it stays as it is.
        if let (Ok(()), Ok(compressed)) = (encoded, decode::decode_bytes(&bytes, Path::new("crop"))) {
            *image = compressed;
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn worse_quality_is_further_from_the_image_and_keeps_its_size() {
        let original =
            RgbImage::from_fn(50, 34, |x, y| Rgb([(x * 5) as u8, (y * 7) as u8, (x * y % 251) as u8]));
        let error = |quality: u8| {
            let mut image = original.clone();
            Jpeg { probability: 1.0, quality: (quality, quality) }
                .apply(&mut image, &mut ChaCha8Rng::seed_from_u64(1));
            assert_eq!(image.dimensions(), original.dimensions());
            image.iter().zip(original.iter()).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum::<u64>()
        };
        assert!(error(10) > error(60) && error(60) > error(100) && error(100) > 0);
    }
}
