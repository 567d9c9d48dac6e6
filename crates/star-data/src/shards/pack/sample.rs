//! One sample as the bytes that a shard holds of it.

use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, ImageFormat, RgbImage};

use super::super::record::Record;
use super::files::json;
use super::{Encoding, PackConfig};
use crate::decode::{decode_bytes, says_to_turn};
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
    let sample = dataset.get(index)?;
    let image = file.map(|file| same_bytes(&file, &sample.image)).transpose()?.flatten();
    let (sample, place) = match config.region {
        Some(region) => {
            let (sample, place) = region.cut(sample);
            (sample, Some(place))
        }
        None => (sample, None),
    };
    let annotation = json(&Record::new(&sample, place))?;
    let (ending, image) = match image {
        Some(found) => found,
        None => encode(&sample.image, config.encoding)
            .map_err(|error| Error::Decode { path: sample.source.clone(), reason: error.to_string() })?,
    };
    Ok(Ready { ending, image, annotation })
}

/// The bytes of an image's file with the ending that they have in a shard, where every reader of shards makes `image` of them: they are
/// JPEG, PNG or PNM, and not to be turned first.
fn same_bytes(file: &Path, image: &RgbImage) -> Result<Option<(&'static str, Vec<u8>)>> {
    let bytes = std::fs::read(file).map_err(|source| Error::io(file, source))?;
    let ending = match image::guess_format(&bytes) {
        Ok(ImageFormat::Jpeg) => "jpg",
        Ok(ImageFormat::Png) => "png",
        Ok(ImageFormat::Pnm) => "ppm",
        _ => return Ok(None),
    };
    let same = !says_to_turn(&bytes) || decode_bytes(&bytes, file)? == *image;
    Ok(same.then_some((ending, bytes)))
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
