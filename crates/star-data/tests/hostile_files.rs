//! Damaged files of every format are refused or read, never a panic, and a refusal names the file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use proptest::collection::vec;
use proptest::prelude::*;
use star_data::decode::decode_bytes;
use star_data::formats::{Format, Source, Split, cofw, pts, tsv};
use star_data::{Dataset, Result, Scheme};

fn test_image() -> RgbImage {
    RgbImage::from_fn(96, 64, |x, y| Rgb([(x * 5) as u8, (y * 7) as u8, ((x * y) % 251) as u8]))
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(test_image()).write_to(&mut bytes, format).unwrap();
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

const COCO: &str = r#"{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"id": 1, "image_id": 1,
    "category_id": 1, "keypoints": [1, 2, 2, 3, 4, 1, 0, 0, 0], "bbox": [0, 0, 5, 5]}],
    "categories": [{"id": 1, "name": "paw", "keypoints": ["a", "b", "c"], "skeleton": [[1, 2]]}]}"#;
const OWN: &str = "points = \"own.csv\"\n[scheme]\nname = \"paw\"\nkeypoints = 2\n";
const TABLE: &str =
    "image,x0,y0,v0,x1,y1,v1,split,tags\na.png,1,2,2,3,4,1,train,wet\na.png,1,2,2,,,0,test,\n";

/// Opens what `Source` is pointed at, and reads its first face.
fn open_source(format: Format, path: &Path) {
    if let Ok(opened) = Source::new(format, path).open() {
        let _ = opened.dataset.get(0);
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
    refusal_names(tsv::open(&path, dir.path(), scheme), "faces.tsv");
    let path = dir.path().join("face.pts");
    std::fs::write(&path, bytes).unwrap();
    refusal_names(pts::read(&path), "face.pts");
}

const FORMS: [ImageFormat; 7] = [
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::Pnm,
    ImageFormat::WebP,
    ImageFormat::Bmp,
    ImageFormat::Gif,
    ImageFormat::Tiff,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_images_are_no_panic(
        places in vec((0.0..1.0f64, any::<u8>()), 0..8), cut in 0.0..=1.0f64, format in 0..7usize,
    ) {
        let whole = encoded(FORMS[format]);
        refusal_names(decode_bytes(&damaged(&whole, &places, cut), Path::new("a.jpg")), "a.jpg");
    }

    #[test]
    fn damaged_annotations_are_no_panic(
        places in vec((0.0..1.0f64, any::<u8>()), 0..8), cut in 0.0..=1.0f64, rows in any::<bool>(),
    ) {
        open_text(&damaged(if rows { ROWS } else { POINTS }.as_bytes(), &places, cut));
    }

    #[test]
    fn damaged_json_toml_csv_and_lists_are_no_panic(
        places in vec((0.0..1.0f64, any::<u8>()), 0..8), cut in 0.0..=1.0f64, which in 0..4usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str, damage: bool| {
            let path = dir.path().join(name);
            let bytes = if damage { damaged(text.as_bytes(), &places, cut) } else { text.as_bytes().to_vec() };
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let line = format!("{} 1 2 3 4 0 1 0 1 0 1 a.png\n", ["1.5 2.25"; 98].join(" "));
        match which {
            0 => open_source(Format::Coco, &write("a.json", COCO, true)),
            1 => open_source(Format::Wflw, &write("list.txt", &line, true)),
            _ => {
                write("own.csv", TABLE, which == 2);
                open_source(Format::Own, &write("own.toml", OWN, which == 3));
            }
        }
    }

    #[test]
    fn damaged_matlab_files_are_no_panic(
        places in vec((0.0..1.0f64, any::<u8>()), 1..12), cut in 0.9..=1.0f64,
    ) {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cofw/COFW_train_color.mat");
        let whole = std::fs::read(fixture).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("damaged.mat");
        std::fs::write(&path, damaged(&whole, &places, cut)).unwrap();
        match cofw::open(&path, Split::Train) {
            Ok(set) => (0..set.len()).for_each(|i| refusal_names(set.get(i), "damaged.mat")),
            Err(error) => refusal_names::<()>(Err(error), "damaged.mat"),
        }
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in vec(any::<u8>(), 0..400)) {
        refusal_names(decode_bytes(&bytes, Path::new("a.jpg")), "a.jpg");
        open_text(&bytes);
    }
}

#[test]
fn a_cut_of_a_jpeg_is_accepted_only_with_three_quarters_of_its_rows_as_they_were() {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 80).encode_image(&test_image()).unwrap();
    let whole = decode_bytes(&bytes, Path::new("a.jpg")).unwrap();
    assert_eq!(whole.dimensions(), (96, 64));
    // 4:2:0 shades the last rows that are there with the first of those that are not
    const SHADED: usize = 16;
    let mut accepted = 0;
    for length in 0..bytes.len() {
        if let Ok(cut) = decode_bytes(&bytes[..length], Path::new("a.jpg")) {
            let same = cut.rows().zip(whole.rows()).take_while(|(a, b)| a.clone().eq(b.clone())).count();
            assert!((same + SHADED) * 4 >= 64 * 3, "cut to {length} bytes: {same} rows");
            accepted += 1;
        }
    }
    assert!(accepted > 0);
}
