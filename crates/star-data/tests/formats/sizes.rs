//! Images that their EXIF block turns, annotated as stored or as looked at.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use star_data::formats::{AnnotatedImages, imglab};
use star_data::shards::{PackConfig, ShardSet, pack};
use star_data::{Dataset, Scheme, check};

use super::{assert_contains, write};

/// A JPEG of 24 x 16 stored pixels, left half dark, which is looked at turned by 90 degrees clockwise: 16 x 24, upper half dark.
fn phone(path: &Path) {
    let mut bytes = Vec::new();
    let picture = image::RgbImage::from_fn(24, 16, |x, _| image::Rgb([if x < 12 { 20 } else { 220 }; 3]));
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(&picture).unwrap();
    let exif = b"\xff\xe1\0\x22Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    write(path, [&bytes[..2], exif, &bytes[2..]].concat());
}

fn faces(folder: &Path, size: &str) -> AnnotatedImages {
    phone(&folder.join("a.jpg"));
    let text = format!(
        "<dataset><images>\n<image file='a.jpg'{size}><box top='1' left='1' width='9' height='9'>\
         <part name='0' x='2' y='3'/></box></image></images></dataset>"
    );
    write(&folder.join("faces.xml"), text);
    let scheme: Scheme = toml::from_str("name = \"one\"\nkeypoints = 1").unwrap();
    imglab::open(folder.join("faces.xml"), folder, scheme).unwrap()
}

#[test]
fn an_image_is_turned_where_the_stated_size_is_that_of_the_turned_one_alone() {
    for (size, seen) in [
        ("", (24, 16)),
        (" width='0' height='0'", (24, 16)),
        (" width='24' height='16'", (24, 16)),
        (" width='16' height='24'", (16, 24)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let image = faces(dir.path(), size).get(0).unwrap().image;
        assert_eq!(image.dimensions(), seen, "{size}");
        let corner = image.get_pixel(image.width() - 2, 2).0[0];
        assert_eq!(corner < 60, seen == (16, 24), "{size}: the upper right corner is {corner}");
    }
}

#[test]
fn a_stated_size_that_is_neither_is_a_problem_with_both_sizes() {
    let dir = tempfile::tempdir().unwrap();
    let set = faces(dir.path(), " width='640' height='480'");
    let report = check::check(&set, &|_| {});
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    let of_size: Vec<&String> = problems.iter().filter(|problem| problem.contains("640x480")).collect();
    assert_eq!(of_size.len(), 1, "{problems:?}");
    let message = of_size[0];
    assert_contains(
        message,
        &["faces.xml: line 2: ", "a.jpg", "size: expected an image of 640x480, as the file says, got 24x16"],
    );
}

/// The first image of a set as a shard has it: its bytes, and its pixels after all.
fn packed(set: &AnnotatedImages, folder: &Path) -> (Vec<u8>, image::RgbImage) {
    pack(set, folder, &PackConfig::default(), &AtomicBool::new(false), &|_| ()).unwrap();
    let shard = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let shard =
        shard.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "tar")).unwrap();
    let packed = ShardSet::open(folder, set.scheme().clone()).unwrap();
    (std::fs::read(shard).unwrap(), packed.get(0).unwrap().image)
}

#[test]
fn a_turned_image_is_packed_as_it_was_annotated_and_one_as_stored_byte_for_byte() {
    for (size, same) in [("", true), (" width='24' height='16'", true), (" width='16' height='24'", false)] {
        let dir = tempfile::tempdir().unwrap();
        let set = faces(dir.path(), size);
        let file = std::fs::read(dir.path().join("a.jpg")).unwrap();
        let (shard, image) = packed(&set, &dir.path().join("packed"));
        assert_eq!(image, set.get(0).unwrap().image, "{size}");
        assert_eq!(shard.windows(file.len()).any(|part| part == file), same, "{size}");
    }
}

#[test]
fn a_form_that_readers_of_shards_may_not_know_is_packed_as_png() {
    let dir = tempfile::tempdir().unwrap();
    let set = faces(dir.path(), "");
    let picture = set.get(0).unwrap().image;
    picture.save_with_format(dir.path().join("a.jpg"), image::ImageFormat::WebP).unwrap();
    let (shard, image) = packed(&set, &dir.path().join("packed"));
    assert_eq!(image, picture);
    assert!(shard.starts_with(b"000000000.png"));
}
