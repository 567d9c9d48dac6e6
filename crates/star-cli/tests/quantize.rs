//! `star quantize` from photographs without annotations.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::path::Path;

use common::{assert_contains, faces, golden, ok, refused, star};
use star_train::evaluate::MOST_SHIFT;

/// An EXIF block by which a JPEG is looked at turned by half a turn.
const HALF_A_TURN: &[u8] =
    b"\xff\xe1\0\x22Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0\0\0\0\0";

/// A portrait upright and one stored upside down that its EXIF turns, a picture without a face, and files that are no images.
fn photographs(dir: &Path) {
    let below = dir.join("photographs/below");
    std::fs::create_dir_all(&below).unwrap();
    let portrait = Path::new(env!("CARGO_MANIFEST_DIR")).join("../star-predict/tests/data/astronaut.png");
    std::fs::copy(&portrait, dir.join("photographs/astronaut.png")).unwrap();
    let mut jpeg = Vec::new();
    let turned = image::imageops::rotate180(&image::open(&portrait).unwrap().to_rgb8());
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 95).encode_image(&turned).unwrap();
    std::fs::write(below.join("turned.jpg"), [&jpeg[..2], HALF_A_TURN, &jpeg[2..]].concat()).unwrap();
    image::RgbImage::from_pixel(64, 64, image::Rgb([9, 80, 200])).save(below.join("wall.png")).unwrap();
    std::fs::write(dir.join("photographs/notes.txt"), "none").unwrap();
}

fn points(face: &serde_json::Value) -> Vec<[f64; 2]> {
    let points = face["points"].as_array().unwrap().iter();
    points.map(|point| [0, 1].map(|axis| point[axis].as_f64().unwrap())).collect()
}

fn distance([a, b]: [[f64; 2]; 2]) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

#[test]
fn weights_are_quantised_on_faces_found_in_photographs_and_predict_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    photographs(dir);
    std::fs::write(dir.join("photographs/broken.jpg"), b"\xff\xd8\xff").unwrap();
    ok(dir, &["convert", &golden("hourglass_cofw_small.pkl"), "w", "--image-size", "64"]);
    for weights in ["builtin", "w"] {
        let out = format!("{weights}-int8");
        let quantize = ["quantize", "--images", "photographs", "--weights", weights, "--out", &out];
        assert_contains(&refused(dir, &quantize), &["broken.jpg", "--lenient"]);
        let output = star(dir, &[&quantize[..], &["--lenient"]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("{said}");
        assert!(output.status.success());
        assert_contains(
            &said,
            &[
                "left out: ",
                "broken.jpg",
                "convolutions of bytes; on 2 faces found in 3 images of photographs",
            ],
        );
        let config = std::fs::read(dir.join(&out).join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        let found = config["quantization"].as_object().unwrap();
        assert!(!found.contains_key("nme_fractions"), "there were no labels");
        assert_eq!(found["fitted_on"], "2 faces found in 3 images of photographs");
        let (ranges, shift) =
            (found["ranges"].as_object().unwrap(), found["shift_fraction"].as_f64().unwrap());
        assert!(shift > 0.0 && (shift <= MOST_SHIFT || ranges.is_empty()), "{shift}");
        assert!(weights == "w" || !ranges.is_empty());
    }
    let predict = |more: &[&str]| {
        let found = faces(&ok(dir, &[&["predict", "photographs/astronaut.png"][..], more].concat()));
        points(&found[0])
    };
    let (plain, bytes) = (predict(&[]), predict(&["--weights", "builtin-int8", "--precision", "int8"]));
    let inter_ocular = distance([plain[36], plain[45]]);
    let shift = plain.iter().zip(&bytes).map(|(a, b)| distance([*a, *b])).sum::<f64>() / 68.0;
    assert!(shift > 0.0 && shift / inter_ocular < 2.0 * MOST_SHIFT, "{shift} of {inter_ocular}");
}

#[test]
fn what_holds_no_face_is_named_and_other_commands_still_want_annotations() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    photographs(dir);
    std::fs::create_dir(dir.join("bare")).unwrap();
    let quantize = ["quantize", "--out", "q", "--images"];
    let with = |more: &[&str]| refused(dir, &[&quantize[..], more].concat());
    assert_contains(
        &with(&["bare"]),
        &["--images", "bare", "expected images (jpg", "no images, 0 other files"],
    );
    image::RgbImage::new(64, 64).save(dir.join("bare/dark.png")).unwrap();
    assert_contains(&with(&["bare"]), &["bare: ", "no face in 1 images", "--annotations"]);
    assert_contains(&with(&["nowhere"]), &["nowhere"]);
    assert_contains(&with(&["bare", "--split", "test"]), &["--split", "photographs"]);
    assert_contains(&with(&["bare", "--map-98-to-68", "blend"]), &["--map-98-to-68", "photographs"]);
    assert_contains(&with(&["bare", "--format", "synthetic"]), &["--images", "--synthetic"]);
    for misused in [
        &["quantize", "--out", "q"][..],
        &["quantize", "--out", "q", "--images", "photographs", "--format", "tsv"],
        &["calibrate", "--images", "photographs"],
    ] {
        let output = star(dir, misused);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{misused:?}: {error}");
        assert_contains(&error, &["--annotations"]);
    }
    assert!(!dir.join("q").exists());
}
