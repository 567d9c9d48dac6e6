//! Damaged files of every form are refused or read, never a panic, and a refusal names the file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use proptest::collection::vec;
use proptest::prelude::*;
use star_data::decode::decode_bytes;
use star_data::formats::{pts, tsv};
use star_data::{Result, Scheme};

fn picture() -> RgbImage {
    RgbImage::from_fn(96, 64, |x, y| Rgb([(x * 5) as u8, (y * 7) as u8, ((x * y) % 251) as u8]))
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(picture()).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Bytes overwritten at places given as shares of the length, then a cut.
fn damaged(whole: &[u8], places: &[(f64, u8)], cut: f64) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for &(share, value) in places {
        let at = (share * bytes.len() as f64) as usize;
        bytes[at] = value;
    }
    bytes.truncate((cut * whole.len() as f64).ceil() as usize);
    bytes
}

fn refusal_names<T>(result: Result<T>, file: &str) {
    if let Err(error) = result {
        assert!(error.to_string().contains(file), "{error}");
    }
}

const POINTS: &str = "version: 1\nn_points: 3\n{\n1.5 2\n3e1 4\n5 60\n}\n";
const ROWS: &str = "image\tfive\tall\tscale\tcenter_w\tcenter_h\n\
    a.png\t1,2,3,4,5,6,7,8,9,10\t1,2,3.5,4,5,6\t0.5\t10\t20\n\
    b/c.png\t1,2,3,4,5,6,7,8,9,10\t1,2,3.5,4,5,6\t0.5\t10\t20\tblur\n";

fn open_text(bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let scheme: Scheme = toml::from_str("name = \"three\"\nkeypoints = 3").unwrap();
    let path = dir.path().join("faces.tsv");
    std::fs::write(&path, bytes).unwrap();
    refusal_names(tsv::TsvDataset::open(&path, dir.path(), scheme), "faces.tsv");
    let path = dir.path().join("face.pts");
    std::fs::write(&path, bytes).unwrap();
    refusal_names(pts::read(&path), "face.pts");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_pictures_are_no_panic(
        places in vec((0.0..1.0f64, any::<u8>()), 0..8), cut in 0.0..=1.0f64, format in 0..3usize,
    ) {
        let whole = encoded([ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Pnm][format]);
        refusal_names(decode_bytes(&damaged(&whole, &places, cut), Path::new("a.jpg")), "a.jpg");
    }

    #[test]
    fn damaged_annotations_are_no_panic(
        places in vec((0.0..1.0f64, any::<u8>()), 0..8), cut in 0.0..=1.0f64, rows in any::<bool>(),
    ) {
        open_text(&damaged(if rows { ROWS } else { POINTS }.as_bytes(), &places, cut));
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in vec(any::<u8>(), 0..400)) {
        refusal_names(decode_bytes(&bytes, Path::new("a.jpg")), "a.jpg");
        open_text(&bytes);
    }
}

#[test]
fn no_cut_of_a_jpeg_is_accepted() {
    let mut whole = Vec::new();
    JpegEncoder::new_with_quality(&mut whole, 80).encode_image(&picture()).unwrap();
    assert_eq!(decode_bytes(&whole, Path::new("a.jpg")).unwrap().dimensions(), (96, 64));
    for length in 0..whole.len() {
        assert!(decode_bytes(&whole[..length], Path::new("a.jpg")).is_err(), "cut to {length} bytes");
    }
}
