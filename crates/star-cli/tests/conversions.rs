//! `star data convert` loses nothing: images that were annotated turned, and files that are inputs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::path::Path;

use common::{assert_contains, ok, refused, star};
use image::{Rgb, RgbImage};

/// A JPEG of 24 x 16 stored pixels, left half dark, which is looked at turned by 90 degrees clockwise: 16 x 24, upper half dark.
fn phone(path: &Path) {
    let mut bytes = Vec::new();
    let picture = RgbImage::from_fn(24, 16, |x, _| Rgb([if x < 12 { 20 } else { 220 }; 3]));
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(&picture).unwrap();
    let exif = b"\xff\xe1\0\x22Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, [&bytes[..2], exif, &bytes[2..]].concat()).unwrap();
}

/// A COCO file of one image with two points, one in its dark and one in its light part, as looked at or as stored.
fn coco(dir: &Path, size: [u32; 2], points: &str) {
    phone(&dir.join("photos/a.jpg"));
    let text = format!(
        "{{\"images\":[{{\"id\":1,\"file_name\":\"a.jpg\",\"width\":{},\"height\":{}}}],\
         \"categories\":[{{\"id\":1,\"name\":\"p\",\"keypoints\":[\"dark\",\"light\"]}}],\
         \"annotations\":[{{\"id\":1,\"image_id\":1,\"category_id\":1,\"keypoints\":{points}}}]}}",
        size[0], size[1]
    );
    std::fs::write(dir.join("coco.json"), text).unwrap();
}

const FROM: [&str; 8] =
    ["data", "convert", "--format", "coco", "--annotations", "coco.json", "--images", "photos"];

#[test]
fn a_copy_of_an_image_that_was_annotated_turned_agrees_with_its_points_in_every_format() {
    for (size, points, name) in [([16, 24], "[8,3,2,9,20,2]", "a.png"), ([24, 16], "[3,8,2,20,9,2]", "a.jpg")]
    {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        coco(dir, size, points);
        for (to, out) in [("tsv", "rows.tsv"), ("own", "own.toml"), ("coco", "new.json")] {
            let folder = format!("copies-{to}");
            let convert = [&FROM[..], &["--to", to, "--out", out, "--copy-images", &folder]].concat();
            ok(dir, &convert);
            let file = dir.join(&folder).join(name);
            assert!(file.is_file(), "{to}: {}", file.display());
            // The points as they are read again, on the pixels as they are read again.
            let scheme = std::fs::write(dir.join("s.toml"), "name = 's'\nkeypoints = 2\nflip_pairs = []\n");
            scheme.unwrap();
            let source = star_data::formats::Source {
                images: Some(dir.join(&folder)),
                scheme: (to == "tsv")
                    .then(|| star_data::Scheme::from_toml_file(&dir.join("s.toml")).unwrap()),
                ..star_data::formats::Source::new(to.parse().unwrap(), dir.join(out))
            };
            let faces = source.open().unwrap().strict().unwrap();
            let sample = faces.get(0).unwrap();
            let at = |k: usize| {
                let [x, y] = sample.points[k].map(|v| v as u32);
                sample.image.get_pixel(x, y).0[0]
            };
            assert!(at(0) < 60 && at(1) > 180, "{to} {size:?}: {} {}", at(0), at(1));
            // Again: what is there already is the same.
            ok(dir, &[&convert[..], &["--overwrite"]].concat());
        }
    }
}

#[test]
fn rows_that_cannot_tell_a_turned_image_are_not_written_without_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    coco(dir, [16, 24], "[8,3,2,9,20,2]");
    for (to, out) in [("tsv", "rows.tsv"), ("own", "own.toml")] {
        let error = refused(dir, &[&FROM[..], &["--to", to, "--out", out]].concat());
        assert_contains(&error, &["a.jpg", "turned", &format!("format {to}"), "--copy-images"]);
        assert!(!dir.join(out).exists());
    }
    ok(dir, &[&FROM[..], &["--to", "coco", "--out", "new.json"]].concat());
    // A copy does not take the place of another image of its name.
    RgbImage::new(4, 4).save(dir.join("photos/a.png")).unwrap();
    let before = std::fs::read(dir.join("photos/a.png")).unwrap();
    let copies = ["--out", "rows.tsv", "--copy-images", "photos", "--overwrite"];
    assert_contains(&refused(dir, &[&FROM[..], &copies].concat()), &["a.png", "another image"]);
    assert_eq!(std::fs::read(dir.join("photos/a.png")).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn no_input_is_overwritten_whatever_its_path_is_spelled_like() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::create_dir_all(dir.join("photos")).unwrap();
    RgbImage::new(64, 64).save(dir.join("photos/a.png")).unwrap();
    std::fs::write(dir.join("scheme.toml"), "name = 's'\nkeypoints = 2\n").unwrap();
    std::fs::write(
        dir.join("mine.toml"),
        "images = 'photos'\npoints = 'points.csv'\nscheme = 'scheme.toml'\n",
    )
    .unwrap();
    std::fs::write(dir.join("points.csv"), "image,x0,y0,x1,y1\na.png,5,6,40,50\n").unwrap();
    std::os::unix::fs::symlink("points.csv", dir.join("link.json")).unwrap();
    std::os::unix::fs::symlink(dir, dir.join("again")).unwrap();
    let inputs = ["scheme.toml", "mine.toml", "points.csv", "photos/a.png"];
    let before: Vec<Vec<u8>> = inputs.iter().map(|path| std::fs::read(dir.join(path)).unwrap()).collect();
    let convert = ["data", "convert", "--format", "own", "--annotations", "mine.toml", "--overwrite"];
    for (to, out) in [
        ("coco", "points.csv"),
        ("coco", "./photos/../points.csv"),
        ("coco", "link.json"),
        ("coco", "again/points.csv"),
        ("coco", "mine.toml"),
        ("tsv", "scheme.toml"),
        ("tsv", "photos/a.png"),
        ("own", "points.toml"),
    ] {
        let error = refused(dir, &[&convert[..], &["--to", to, "--out", out]].concat());
        assert_contains(&error, &["is an input"]);
        let after: Vec<Vec<u8>> = inputs.iter().map(|path| std::fs::read(dir.join(path)).unwrap()).collect();
        assert!(after == before, "{to} {out}");
    }
    let view = [
        "data",
        "view",
        "--format",
        "own",
        "--annotations",
        "mine.toml",
        "--overwrite",
        "--out",
        "photos/a.png",
    ];
    assert_contains(&refused(dir, &view), &["photos/a.png: is an input"]);
    let eval = [
        "eval",
        "--format",
        "own",
        "--annotations",
        "mine.toml",
        "--overwrite",
        "--json",
        "again/points.csv",
    ];
    assert_contains(&refused(dir, &eval), &["again/points.csv: is an input"]);
    let small = common::golden("hourglass_cofw_small.pkl");
    std::fs::write(dir.join("faces.tsv"), one_row()).unwrap();
    let eval = [
        "eval",
        "--annotations",
        "faces.tsv",
        "--images",
        "photos",
        "--weights",
        &small,
        "--image-size",
        "64",
    ];
    for written in ["--json", "--predictions"] {
        let error = refused(dir, &[&eval[..], &[written, "again/photos/a.png", "--overwrite"]].concat());
        assert_contains(&error, &["again/photos/a.png: is an input"]);
    }
    // Of a folder of points any file may be one.
    std::fs::create_dir_all(dir.join("pts")).unwrap();
    std::fs::write(dir.join("pts/a.pts"), "version: 1\nn_points: 2\n{\n5 6\n40 50\n}\n").unwrap();
    std::fs::copy(dir.join("photos/a.png"), dir.join("pts/a.png")).unwrap();
    let folder = [
        "data",
        "convert",
        "--format",
        "pts",
        "--annotations",
        "pts",
        "--scheme",
        "mine.toml",
        "--overwrite",
    ];
    let error = refused(dir, &[&folder[..], &["--out", "pts/a.pts"]].concat());
    assert_contains(&error, &["pts/a.pts", "may be an input"]);
    for _ in 0..2 {
        ok(dir, &[&folder[..], &["--out", "pts/rows.tsv"]].concat());
    }
    assert!(std::fs::read_to_string(dir.join("pts/a.pts")).unwrap().contains("n_points"));
}

/// A face of 29 points.
fn one_row() -> String {
    let points: Vec<[f32; 2]> = (0..29).map(|k| [5.0 + k as f32, 8.0 + (k * k % 40) as f32]).collect();
    star_data::formats::tsv::format_row(Path::new("a.png"), &[[0.0; 2]; 5], &points, &[]).unwrap() + "\n"
}

#[test]
fn a_jpeg_without_its_end_is_predicted_in_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    phone(&dir.join("whole.jpg"));
    let bytes = std::fs::read(dir.join("whole.jpg")).unwrap();
    std::fs::write(dir.join("cut.jpg"), &bytes[..bytes.len() - 2]).unwrap();
    let small = common::golden("hourglass_cofw_small.pkl");
    let weights = ["--weights", &small, "--image-size", "64", "--box", "2,2,12,12"];
    let output = star(dir, &[&["predict", "whole.jpg", "cut.jpg"][..], &weights].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_contains(&said, &["warning: cut.jpg: truncated JPEG: its end is missing"]);
    assert!(!said.contains("warning: whole.jpg"), "{said}");
    assert_eq!(common::faces(&String::from_utf8_lossy(&output.stdout)).len(), 2);
}
