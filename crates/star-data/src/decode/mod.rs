//! Images from files: JPEG, PNG, WebP, BMP, GIF (its first frame), TIFF, PPM and PGM, told apart by content whatever a file is called, as
//! 8-bit RGB.
//!
//! # Which way up
//!
//! A camera that is held upright writes rows of pixels as its sensor has them and says in the EXIF block how to turn them. Whether
//! annotations count along the stored pixels or the turned ones is told by one rule for every format, [`Upright`]:
//!
//! | what is known | image |
//! |---|---|
//! | annotations of a data set that state no size, or 0 ([`Upright::Raw`]) | as stored |
//! | a person hands the image in ([`Upright::Oriented`]) | turned as its EXIF says |
//! | stated size is the stored one, the turned one or not ([`Upright::Stated`]) | as stored |
//! | stated size is the turned one alone | turned |
//! | stated size is neither | an error with both sizes |

mod jpeg;
pub(crate) mod kind;
mod tiff;

use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use self::jpeg::End;
use crate::{Error, Result};

/// Largest side that is decoded, pixels.
pub(crate) const MAX_SIDE: u32 = 20_000;

/// Largest memory for one decoded image, bytes.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// Most bytes of pixels that one byte of a file can hold: grey progressive JPEG comes to 1365, deflate to 1032.
const MAX_EXPANSION: u64 = 2000;

/// Bytes of pixels that are granted to a file of any size.
const SLACK: u64 = 1 << 20;

/// What a decoder may hold, over the most that is unpacked: the frame of a GIF beside the screen it is drawn on, a strip of a TIFF.
const ROOM: u64 = 4;

/// Most bytes that are unpacked from a file, or a part of one, of `length` bytes: a few that claim to be a gigabyte must not get it.
pub(crate) fn most_from(length: u64) -> u64 {
    SLACK.saturating_add(MAX_EXPANSION.saturating_mul(length))
}

/// An image, and what its reader should know.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The pixels.
    pub image: RgbImage,
    /// What is wrong with a file that could be decoded all the same: it ends too early, and how many rows are grey for it.
    pub warning: Option<String>,
}

/// Which way up an image is wanted; the module says which rule is whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upright {
    /// As the file stores its pixels, whatever its EXIF orientation says.
    Raw,
    /// The way it is meant to be looked at, as its EXIF orientation says.
    Oriented,
    /// As an image of this width and height; as [`Upright::Raw`] where one of them is 0.
    Stated([u32; 2]),
}

/// Decodes the raw pixels of `path`, whatever its EXIF orientation says: annotations of data sets were made on raw pixels.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, [`Error::Decode`] where it is damaged, truncated by more than a quarter of its rows, of
/// another format or too large.
pub fn decode(path: &Path) -> Result<RgbImage> {
    Ok(decode_upright(path, Upright::Raw)?.image)
}

/// Decodes `path` the way it is meant to be looked at, honouring its EXIF orientation: for images that a person hands in.
///
/// # Errors
/// As [`decode`].
pub fn decode_oriented(path: &Path) -> Result<RgbImage> {
    Ok(decode_upright(path, Upright::Oriented)?.image)
}

/// Decodes `path` that way up, with a warning for a JPEG file that ends too early.
///
/// # Errors
/// As [`decode`]; [`Error::Content`] where the size is not the stated one.
pub fn decode_upright(path: &Path, upright: Upright) -> Result<Decoded> {
    decode_bytes_upright(&read(path)?, path, upright)
}

/// As [`decode_oriented`], from memory; `path` is for error messages.
///
/// # Errors
/// As [`decode_bytes`].
pub fn decode_bytes_oriented(bytes: &[u8], path: &Path) -> Result<RgbImage> {
    Ok(decode_bytes_upright(bytes, path, Upright::Oriented)?.image)
}

/// Decodes raw pixels from memory; `path` is for error messages.
///
/// # Errors
/// [`Error::Decode`] where the bytes are damaged, truncated, of another format or too large.
pub fn decode_bytes(bytes: &[u8], path: &Path) -> Result<RgbImage> {
    Ok(decode_bytes_upright(bytes, path, Upright::Raw)?.image)
}

/// As [`decode_upright`], from memory; `path` is for error messages.
///
/// # Errors
/// As [`decode_bytes`]; [`Error::Content`] where the size is not the stated one.
pub fn decode_bytes_upright(bytes: &[u8], path: &Path, upright: Upright) -> Result<Decoded> {
    let (mut image, orientation, warning) = decode_dynamic(bytes, path)?;
    if is_turned([image.width(), image.height()], orientation, upright, path)? {
        image.apply_orientation(orientation);
    }
    Ok(Decoded { image: image.into_rgb8(), warning })
}

/// Width and height in pixels, as stored, that an image in memory says it has: its pixels are not decoded. `path` is for error messages.
///
/// # Errors
/// [`Error::Decode`] where the bytes are of another format or too large, or their beginning is damaged.
pub fn size(bytes: &[u8], path: &Path) -> Result<[u32; 2]> {
    let fail = |reason: String| Error::Decode { path: path.to_path_buf(), reason };
    let (width, height) = decoder(bytes, format(bytes).map_err(fail)?).map_err(fail)?.dimensions();
    Ok([width, height])
}

/// The image `path` that way up, where its pixels are not stored so; `None` where they are. Its pixels are decoded in the first case alone.
///
/// # Errors
/// As [`decode_upright`].
pub fn decode_turned(path: &Path, upright: Upright) -> Result<Option<RgbImage>> {
    if upright == Upright::Raw {
        return Ok(None);
    }
    let bytes = read(path)?;
    if !says_to_turn(&bytes) {
        return Ok(None);
    }
    let (turned, stored) = (decode_bytes_upright(&bytes, path, upright)?.image, decode_bytes(&bytes, path)?);
    Ok((turned != stored).then_some(turned))
}

/// Whether an image of `raw` size is turned as its EXIF says: the rule of the module.
fn is_turned(raw: [u32; 2], orientation: Orientation, upright: Upright, path: &Path) -> Result<bool> {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let swapped = [raw[1], raw[0]];
    let lies = matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH);
    match upright {
        Upright::Raw => Ok(false),
        Upright::Oriented => Ok(true),
        Upright::Stated(size) if size == raw || size.contains(&0) => Ok(false),
        Upright::Stated(size) if lies && size == swapped => Ok(true),
        Upright::Stated([width, height]) => {
            let hint = if [width, height] == swapped { ": width and height swapped" } else { "" };
            let expected = format!("an image of {width}x{height}, as the file says");
            Err(Error::content(path, "size", expected, format!("{}x{}{hint}", raw[0], raw[1])))
        }
    }
}

/// Whether bytes of an image say that it is to be turned for looking at it.
pub(crate) fn says_to_turn(bytes: &[u8]) -> bool {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok();
    let decoder = reader.and_then(|reader| reader.into_decoder().ok());
    let orientation = decoder.and_then(|mut decoder| decoder.orientation().ok());
    orientation.is_some_and(|orientation| orientation != Orientation::NoTransforms)
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

/// Decodes raw pixels, with the orientation that the file states and a warning where it ends too early.
fn decode_dynamic(bytes: &[u8], path: &Path) -> Result<(DynamicImage, Orientation, Option<String>)> {
    let fail = |reason: String| Error::Decode { path: path.to_path_buf(), reason };
    let format = format(bytes).map_err(fail)?;
    let end = if format == ImageFormat::Jpeg { jpeg::end(bytes) } else { End::Marked };
    let cut = end != End::Marked;
    let broken = |reason: String| fail(if cut { format!("truncated JPEG: {reason}") } else { reason });
    let mut decoder = decoder(bytes, format).map_err(broken)?;
    // An image without or with a broken EXIF block is simply upright.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(|error| broken(error.to_string()))?;
    let warning = jpeg::warning(end, &image).map_err(fail)?;
    Ok((image, orientation, warning))
}

/// What an image is, or why it cannot be read.
fn format(bytes: &[u8]) -> std::result::Result<ImageFormat, String> {
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    let head = &bytes[..bytes.len().min(kind::HEAD)];
    kind::readable(head).ok_or_else(|| kind::reason(head))
}

/// A decoder that stays within the limits, or why there is none.
fn decoder(bytes: &[u8], format: ImageFormat) -> std::result::Result<impl ImageDecoder, String> {
    let most = most_from(bytes.len() as u64);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES.min(most.saturating_mul(ROOM)));
    if format == ImageFormat::Tiff {
        tiff::check(bytes)?;
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(format!("{width}x{height} pixels are more than {MAX_SIDE} a side"));
    }
    if decoder.total_bytes() > most {
        let got = bytes.len();
        return Err(format!("{width}x{height} pixels are more than a file of {got} bytes can hold"));
    }
    limits
        .check_dimensions(width, height)
        .and_then(|()| limits.reserve(decoder.total_bytes()))
        .and_then(|()| decoder.set_limits(limits))
        .map_err(|error| format!("{width}x{height} pixels: {error}"))?;
    Ok(decoder)
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
    fn webp_bmp_gif_and_tiff_are_decoded_whatever_their_ending() {
        let picture = DynamicImage::ImageRgb8(test_image());
        for format in [ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff] {
            let mut bytes = Cursor::new(Vec::new());
            picture.write_to(&mut bytes, format).unwrap();
            let image = decode_bytes(bytes.get_ref(), "a.jfif".as_ref()).unwrap();
            assert_eq!(image.dimensions(), (48, 32), "{format:?}");
            let far: u32 = image
                .as_raw()
                .iter()
                .zip(test_image().as_raw())
                .map(|(a, b)| u32::from(a.abs_diff(*b)))
                .sum();
            // GIF has a palette
            let most = if format == ImageFormat::Gif { 16 * image.as_raw().len() as u32 } else { 0 };
            assert!(far <= most, "{format:?}: {far}");
        }
    }

    #[test]
    fn the_first_frame_of_a_gif_is_taken() {
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
        for value in [200, 10] {
            let frame = image::RgbaImage::from_pixel(9, 5, image::Rgba([value, value, value, 255]));
            encoder.encode_frame(image::Frame::new(frame)).unwrap();
        }
        drop(encoder);
        assert_eq!(decode_bytes(&bytes, "a.gif".as_ref()).unwrap().get_pixel(4, 4).0, [200; 3]);
    }

    #[test]
    fn a_frame_that_is_larger_than_its_file_can_hold_is_refused_whatever_the_screen_of_the_gif() {
        // A screen of 8 x 8 without colours of its own, and a frame at (0, 0) of 20000 x 13000 with two.
        let bytes = b"GIF89a\x08\0\x08\0\0\0\0\x2c\0\0\0\0\x20\x4e\xc8\x32\x80\0\0\0\xff\xff\xff\x02\x02\x44\x01\0\x3b";
        assert!(refusal(bytes).contains("limit"), "{}", refusal(bytes));
    }

    #[test]
    fn orientation_is_honoured_for_people_and_ignored_for_data_sets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("turned.jpg");
        // 6: turn by 90 degrees clockwise to look at it
        std::fs::write(&path, with_orientation(&jpeg(&test_image()), 6)).unwrap();
        assert_eq!(decode(&path).unwrap().dimensions(), (48, 32));
        assert_eq!(decode_oriented(&path).unwrap().dimensions(), (32, 48));
        assert_eq!(size(&std::fs::read(&path).unwrap(), &path).unwrap(), [48, 32]);
    }

    #[test]
    fn the_stated_size_tells_which_way_up_an_image_is() {
        let lying = with_orientation(&jpeg(&test_image()), 6);
        let size = |bytes: &[u8], stated| {
            let decoded = decode_bytes_upright(bytes, "a.jpg".as_ref(), Upright::Stated(stated));
            decoded.map(|decoded| decoded.image.dimensions()).map_err(|error| error.to_string())
        };
        assert_eq!(size(&lying, [48, 32]), Ok((48, 32)));
        assert_eq!(size(&lying, [32, 48]), Ok((32, 48)));
        assert_eq!(size(&lying, [0, 48]), Ok((48, 32)), "0 states nothing");
        let neither = size(&lying, [64, 64]).unwrap_err();
        assert_eq!(neither, "a.jpg: size: expected an image of 64x64, as the file says, got 48x32");
        let plain = jpeg(&test_image());
        assert!(size(&plain, [32, 48]).unwrap_err().ends_with("got 48x32: width and height swapped"));
    }

    #[test]
    fn a_half_turn_and_a_square_leave_the_size_open_and_stay_as_stored() {
        let raw = jpeg(&test_image());
        let square = jpeg(&RgbImage::from_fn(16, 16, |x, y| image::Rgb([(x * 9) as u8, (y * 3) as u8, 7])));
        for (image, orientation, size) in [(&raw, 3, [48, 32]), (&square, 6, [16, 16])] {
            let turned = with_orientation(image, orientation);
            let stated = decode_bytes_upright(&turned, "a".as_ref(), Upright::Stated(size)).unwrap().image;
            assert_eq!(stated, decode_bytes(&turned, "a".as_ref()).unwrap());
            assert_ne!(stated, decode_bytes_oriented(&turned, "a".as_ref()).unwrap());
        }
    }

    #[test]
    fn a_jpeg_without_its_end_marker_is_decoded_with_a_warning() {
        let whole = with_orientation(&jpeg(&test_image()), 1);
        let decoded = |bytes: &[u8]| decode_bytes_upright(bytes, "a".as_ref(), Upright::Raw).unwrap();
        assert_eq!(decoded(&whole).warning, None);
        let cut = decoded(&whole[..whole.len() - 2]);
        assert_eq!(cut.image, decoded(&whole).image);
        assert!(cut.warning.unwrap().contains("its end is missing, the last rows of pixels may be damaged"));
        // bytes after the end are harmless
        assert_eq!(decoded(&[whole.as_slice(), b"trailer"].concat()).warning, None);
    }

    #[test]
    fn a_jpeg_cut_near_its_end_is_decoded_and_one_cut_in_the_middle_is_an_error() {
        let noise =
            |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(97) >> 8;
        let whole = jpeg(&RgbImage::from_fn(64, 320, |x, y| image::Rgb([noise(x, y) as u8; 3])));
        let cut = |share: usize| &whole[..whole.len() * share / 100];
        let decoded = decode_bytes_upright(cut(90), "a".as_ref(), Upright::Raw).unwrap();
        let warning = decoded.warning.unwrap();
        assert!(warning.contains("of 320 rows of pixels are missing and grey"), "{warning}");
        for share in [1, 10, 30, 50, 70] {
            assert!(refusal(cut(share)).contains("truncated"), "{share}: {}", refusal(cut(share)));
        }
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
        assert!(refusal(b"BLP2\x01\0\x01\0").contains("neither"));
        assert!(refusal(b"\0\0\0\x18ftypheic").contains("this is HEIC: convert it to JPEG or PNG"));
        assert!(refusal(b"P6 50000 50000 255\n").contains("50000x50000"));
        assert!(refusal(b"P6 15000 15000 255\n").contains("more than a file of 19 bytes can hold"));
        let missing = decode(Path::new("no/such.png")).unwrap_err();
        assert!(missing.to_string().contains("no/such.png"));
    }
}
