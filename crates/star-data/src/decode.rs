//! Images from files: JPEG, PNG, PPM and PGM, told apart by content, as 8-bit RGB.

use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use crate::{Error, Result};

/// Largest side that is decoded, pixels.
pub(crate) const MAX_SIDE: u32 = 20_000;

/// Largest memory for one decoded image, bytes.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// Most bytes of pixels that one byte of a file can hold: grey progressive JPEG comes to 1365, deflate to 1032.
const MAX_EXPANSION: u64 = 2000;

/// Bytes of pixels that are granted to a file of any size.
const SLACK: u64 = 1 << 20;

/// Decodes the raw pixels of `path`, whatever its EXIF orientation says: annotations of data sets were made on raw pixels.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, [`Error::Decode`] where it is damaged, truncated, of another format or too large.
pub fn decode(path: &Path) -> Result<RgbImage> {
    decode_bytes(&read(path)?, path)
}

/// Decodes `path` the way it is meant to be looked at, honouring its EXIF orientation: for images that a person hands in.
///
/// # Errors
/// As [`decode`].
pub fn decode_oriented(path: &Path) -> Result<RgbImage> {
    decode_bytes_oriented(&read(path)?, path)
}

/// As [`decode_oriented`], from memory; `path` is for error messages.
///
/// # Errors
/// As [`decode_bytes`].
pub fn decode_bytes_oriented(bytes: &[u8], path: &Path) -> Result<RgbImage> {
    let (mut image, orientation) = decode_dynamic(bytes, path)?;
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// Decodes raw pixels from memory; `path` is for error messages.
///
/// # Errors
/// [`Error::Decode`] where the bytes are damaged, truncated, of another format or too large.
pub fn decode_bytes(bytes: &[u8], path: &Path) -> Result<RgbImage> {
    Ok(decode_dynamic(bytes, path)?.0.into_rgb8())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let io = |source| Error::io(path, source);
    let meta = std::fs::metadata(path).map_err(io)?;
    // A device or a pipe might never end.
    if !meta.is_file() || meta.len() > MAX_BYTES {
        let reason =
            format!("expected a file of at most {MAX_BYTES} bytes, got a folder, a device or a larger one");
        return Err(Error::Decode { path: path.to_path_buf(), reason });
    }
    std::fs::read(path).map_err(io)
}

fn decode_dynamic(bytes: &[u8], path: &Path) -> Result<(DynamicImage, Orientation)> {
    let fail = |reason: String| Error::Decode { path: path.to_path_buf(), reason };
    if bytes.is_empty() {
        return Err(fail("the file is empty".into()));
    }
    let reader = ImageReader::new(Cursor::new(bytes));
    let reader = reader.with_guessed_format().map_err(|error| fail(error.to_string()))?;
    let known = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Pnm];
    let Some(format) = reader.format().filter(|format| known.contains(format)) else {
        return Err(fail("neither JPEG, PNG, PPM nor PGM".into()));
    };
    if format == ImageFormat::Jpeg && !jpeg_is_whole(bytes) {
        return Err(fail("truncated JPEG: its end is missing".into()));
    }
    let mut decoder = reader.into_decoder().map_err(|error| fail(error.to_string()))?;
    let (width, height) = decoder.dimensions();
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(fail(format!("{width}x{height} pixels are more than {MAX_SIDE} a side")));
    }
    // A few bytes that claim to be a gigabyte must not get it.
    let most = SLACK + MAX_EXPANSION * bytes.len() as u64;
    if decoder.total_bytes() > most {
        let got = bytes.len();
        return Err(fail(format!("{width}x{height} pixels are more than a file of {got} bytes can hold")));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    limits
        .check_dimensions(width, height)
        .and_then(|()| limits.reserve(decoder.total_bytes()))
        .and_then(|()| decoder.set_limits(limits))
        .map_err(|error| fail(format!("{width}x{height} pixels: {error}")))?;
    // An image without or with a broken EXIF block is simply upright.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(|error| fail(error.to_string()))?;
    Ok((image, orientation))
}

/// Whether a JPEG's entropy-coded data ends in an end-of-image marker.
///
/// The decoder fills what is missing with grey and reports success, which would train a network on grey halves. Markers are walked
/// from the start, so the end marker of an embedded thumbnail does not count; what follows the true end is ignored.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // Find the next marker: 0xff and a byte that is neither fill nor a stuffed zero.
        let Some(offset) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xff)) else {
            return false;
        };
        at += offset + 1;
        match bytes.get(at) {
            None => return false,
            Some(0xd9) => return true,
            // stuffed zero, fill byte, restart markers, start of image, temporary: no length follows
            Some(0x00 | 0xff | 0x01 | 0xd0..=0xd8) => at += usize::from(bytes[at] != 0xff),
            Some(_) => {
                let Some(length) = bytes.get(at + 1..at + 3) else { return false };
                at += 1 + usize::from(u16::from_be_bytes([length[0], length[1]]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;

    use super::*;

    fn test_image() -> RgbImage {
        RgbImage::from_fn(48, 32, |x, y| image::Rgb([(x * 5) as u8, (y * 7) as u8, ((x * y) % 251) as u8]))
    }

    fn jpeg(image: &RgbImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(image).unwrap();
        bytes
    }

    fn png(image: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn refusal(bytes: &[u8]) -> String {
        let message = decode_bytes(bytes, Path::new("a.jpg")).unwrap_err().to_string();
        assert!(message.starts_with("a.jpg: "), "{message}");
        message
    }

    /// Puts an EXIF block with an orientation right behind the start of a JPEG.
    fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let tiff = [
            &b"II\x2a\0\x08\0\0\0\x01\0"[..],
            &[0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0],
            &[0, 0, 0, 0],
        ]
        .concat();
        let length = (2 + 6 + tiff.len() as u16).to_be_bytes();
        [&jpeg[..2], &[0xff, 0xe1], &length, b"Exif\0\0", &tiff, &jpeg[2..]].concat()
    }

    #[test]
    fn grey_alpha_and_16_bit_images_become_rgb() {
        let grey = DynamicImage::ImageLuma8(image::GrayImage::from_pixel(3, 2, image::Luma([77])));
        assert_eq!(decode_bytes(&png(&grey), "a".as_ref()).unwrap().get_pixel(0, 0).0, [77; 3]);
        let deep = DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(3, 2, image::Luma([0x4d4d])));
        assert_eq!(decode_bytes(&png(&deep), "a".as_ref()).unwrap().get_pixel(2, 1).0, [77; 3]);
        let alpha = DynamicImage::ImageRgba8(image::RgbaImage::from_pixel(3, 2, image::Rgba([1, 2, 3, 0])));
        assert_eq!(decode_bytes(&png(&alpha), "a".as_ref()).unwrap().get_pixel(1, 1).0, [1, 2, 3]);
        assert_eq!(decode_bytes(b"P5 2 1 255\n\x07\x09", "a".as_ref()).unwrap().get_pixel(1, 0).0, [9; 3]);
        assert_eq!(decode_bytes(b"P3 1 1 255\n1 2 3\n", "a".as_ref()).unwrap().get_pixel(0, 0).0, [1, 2, 3]);
    }

    #[test]
    fn orientation_is_honoured_for_people_and_ignored_for_data_sets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("turned.jpg");
        // 6: turn by 90 degrees clockwise to look at it
        std::fs::write(&path, with_orientation(&jpeg(&test_image()), 6)).unwrap();
        assert_eq!(decode(&path).unwrap().dimensions(), (48, 32));
        assert_eq!(decode_oriented(&path).unwrap().dimensions(), (32, 48));
    }

    #[test]
    fn a_truncated_jpeg_is_an_error_wherever_it_was_cut() {
        let whole = with_orientation(&jpeg(&test_image()), 1);
        decode_bytes(&whole, "a".as_ref()).unwrap();
        for share in [1, 10, 30, 50, 70, 90, 99] {
            refusal(&whole[..whole.len() * share / 100]);
        }
        assert!(refusal(&whole[..whole.len() - 2]).contains("truncated"));
        // bytes after the end are harmless
        decode_bytes(&[whole.as_slice(), b"trailer"].concat(), "a".as_ref()).unwrap();
    }

    #[test]
    fn a_truncated_png_and_ppm_are_errors() {
        let whole = png(&DynamicImage::ImageRgb8(test_image()));
        refusal(&whole[..whole.len() / 2]);
        refusal(b"P6 4 4 255\n\x01\x02\x03");
    }

    #[test]
    fn an_empty_file_another_format_and_a_header_bomb_are_named() {
        assert!(refusal(b"").contains("empty"));
        assert!(refusal(b"GIF89a\x01\0\x01\0").contains("neither"));
        assert!(refusal(b"P6 50000 50000 255\n").contains("50000x50000"));
        assert!(refusal(b"P6 15000 15000 255\n").contains("more than a file of 19 bytes can hold"));
        let missing = decode(Path::new("no/such.png")).unwrap_err();
        assert!(missing.to_string().contains("no/such.png"));
    }
}
