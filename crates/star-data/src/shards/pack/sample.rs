//! One sample as the bytes that a shard holds of it.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::super::record::Record;
use super::files::json;
use super::{Encoding, PackConfig};
use crate::decode::decode_bytes;
use crate::{Dataset, Error, Result};

/// A sample ready to be written.
pub(super) struct Ready {
    pub(super) ending: &'static str,
    pub(super) image: Vec<u8>,
    pub(super) annotation: Vec<u8>,
}

/// Reads and encodes one sample.
pub(super) fn ready(dataset: &dyn Dataset, config: &PackConfig, index: usize) -> Result<Ready> {
    let file = dataset.image_path(index).filter(|_| config.region.is_none());
    let (sample, image) = match file {
        Some(file) => {
            let bytes = std::fs::read(&file).map_err(|source| Error::io(&file, source))?;
            let image = decode_bytes(&bytes, &file)?;
            (dataset.annotation(index)?.with_image(image), Some(bytes))
        }
        None => (dataset.get(index)?, None),
    };
    let (sample, place) = match config.region {
        Some(region) => {
            let (sample, place) = region.cut(sample);
            (sample, Some(place))
        }
        None => (sample, None),
    };
    let annotation = json(&Record::new(&sample, place))?;
    let (ending, image) = match image {
        Some(bytes) => (ending(&bytes), bytes),
        None => encode(&sample.image, config.encoding)
            .map_err(|error| Error::Decode { path: sample.source.clone(), reason: error.to_string() })?,
    };
    Ok(Ready { ending, image, annotation })
}

/// What an image's bytes are, whatever its file was called.
fn ending(bytes: &[u8]) -> &'static str {
    match image::guess_format(bytes) {
        Ok(image::ImageFormat::Jpeg) => "jpg",
        Ok(image::ImageFormat::Png) => "png",
        _ => "ppm",
    }
}

fn encode(image: &RgbImage, encoding: Encoding) -> image::ImageResult<(&'static str, Vec<u8>)> {
    let (width, height) = image.dimensions();
    let mut bytes = Vec::new();
    let ending = match encoding {
        Encoding::Png => {
            let encoder =
                PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive);
            encoder.write_image(image, width, height, ExtendedColorType::Rgb8)?;
            "png"
        }
        Encoding::Jpeg(quality) => {
            JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image)?;
            "jpg"
        }
        Encoding::Ppm => {
            bytes.extend_from_slice(format!("P6\n{width} {height}\n255\n").as_bytes());
            bytes.extend_from_slice(image);
            "ppm"
        }
    };
    Ok((ending, bytes))
}
