//! What no reader may be brought down by: cuts, wrong counts, names that are no text, ways out of the folder, empty images, and
//! headers that promise gigabytes.

use std::path::Path;

use star_data::formats::cofw::{Base, open, read};
use star_data::formats::{Format, Source, Split, pts};
use star_data::{Dataset, Scheme};

use super::{assert_contains, cofw, face300w, image, points, wflw, write};

/// The peak of this process's memory, bytes; 0 where the system does not tell.
pub(super) fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// What all tests of this file may need together; an image of 50000 x 50000 takes 7.5 GB.
const BOUND: u64 = 600 << 20;

/// A PNG that says it has 50000 x 50000 pixels and ends.
fn png_bomb() -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(50_000u32.to_be_bytes());
    header.extend(50_000u32.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let crc = header.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    });
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(header);
    bytes.extend((!crc).to_be_bytes());
    bytes.extend(b"\0\0\0\x08IDAT\x78\x9c\x03\0\0\0\0\x01");
    bytes
}

/// A JPEG whose frame is 50000 x 50000.
fn jpeg_bomb() -> Vec<u8> {
    let mut bytes = Vec::new();
    let tiny = image::RgbImage::new(8, 8);
    image::codecs::jpeg::JpegEncoder::new(&mut bytes).encode_image(&tiny).unwrap();
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[0xc3, 0x50, 0xc3, 0x50]);
    bytes
}

#[test]
fn images_that_are_empty_cut_or_bombs_are_named_in_every_format_and_cost_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    wflw::archive(&dir.path().join("wflw"));
    face300w::archive(&dir.path().join("300w"));
    let whole = std::fs::read(dir.path().join("300w/ibug/image_092 _01.jpg")).unwrap();
    for (bytes, part) in [
        (Vec::new(), "the file is empty"),
        (whole[..whole.len() / 2].to_vec(), "truncated"),
        (png_bomb(), "50000x50000"),
        (jpeg_bomb(), "50000x50000"),
        (b"P6 50000 50000 255\n".to_vec(), "50000x50000"),
        (b"hello".to_vec(), "neither"),
    ] {
        for (format, image) in
            [(Format::Wflw, "WFLW_images/37--Soccer/c_3.jpg"), (Format::Face300w, "ibug/image_092 _01.jpg")]
        {
            let root = dir.path().join(format.to_string());
            write(&root.join(image), &bytes);
            let set = Source::new(format, &root).open().unwrap().strict().unwrap();
            let last = set.len() - 1;
            let message = set.get(last).unwrap_err().to_string();
            assert_contains(&message, &[root.join(image).to_str().unwrap(), part]);
            set.get(0).unwrap();
        }
    }
    assert!(peak() < BOUND, "{} bytes", peak());
}

#[test]
fn a_matlab_file_of_bombs_and_wrong_kinds_names_each_and_keeps_the_good() {
    let (set, problems) = read(&cofw::fixtures().join("hostile.mat"), Split::Test, Base::Zero).unwrap();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!((set.len(), problems.len()), (5, 2), "{text:?}");
    assert_contains(&text[0], &["hostile.mat: face 2: points: expected finite numbers"]);
    assert_contains(&text[1], &["hostile.mat: face 3: occlusion: expected 0 or 1, got 7"]);
    for (i, part) in [
        (0, "image 1: expected 1 to 20000 pixels a side, 1073741824 bytes at most, got 50000x50000 pixels"),
        (1, "image 4: expected bytes, got F64"),
        (2, "image 5: expected 1 to 20000 pixels a side"),
        (3, "image 6: expected bytes [3, width, height] or [width, height], got [1, 3, 6, 5]"),
    ] {
        assert_contains(&set.get(i).unwrap_err().to_string(), &["hostile.mat", part]);
    }
    assert_eq!(set.get(4).unwrap().image.get_pixel(5, 4).0, [9; 3]);
    assert!(peak() < BOUND, "{} bytes", peak());
    let strict = open(cofw::fixtures().join("hostile.mat"), Split::Test);
    assert_contains(&strict.err().unwrap().to_string(), &["face 2: points"]);
}

#[test]
fn lists_that_are_no_text_are_named_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = wflw::line(1.0, [0; 6], "a.jpg").into_bytes();
    let good = bytes.clone();
    let at = bytes.len() - 3;
    bytes[at] = 0xff;
    write(&dir.path().join("list.txt"), [good, bytes].concat());
    let message =
        Source::new(Format::Wflw, dir.path().join("list.txt")).open().unwrap().strict().err().unwrap();
    assert_contains(&message.to_string(), &["list.txt: line 2: row: expected UTF-8 text"]);
    write(&dir.path().join("a.json"), b"{\"images\": [{\"id\": 1, \"file_name\": \"\xff\"}]}");
    let message = Source::new(Format::Coco, dir.path().join("a.json")).open().err().unwrap().to_string();
    assert_contains(&message, &["a.json", "COCO keypoints"]);
    write(&dir.path().join("own.toml"), b"scheme = \"\xff\"");
    let message = Source::new(Format::Own, dir.path().join("own.toml")).open().err().unwrap().to_string();
    assert_contains(&message, &["own.toml", "UTF-8"]);
    write(&dir.path().join("own.toml"), "scheme = \"cofw29\"");
    write(&dir.path().join("own.csv"), b"image,\xff\n");
    let message = Source::new(Format::Own, dir.path().join("own.toml")).open().err().unwrap().to_string();
    assert_contains(&message, &["own.csv: line 1", "UTF-8"]);
}

#[cfg(target_os = "linux")]
#[test]
fn file_names_that_are_no_text_are_read_and_only_refused_where_they_cannot_be_written() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("ibug");
    let name = |ending: &str| {
        folder.join(std::ffi::OsStr::from_bytes(format!("x.{ending}").replace('x', "\u{1}").as_bytes()))
    };
    let odd =
        |ending: &str| folder.join(std::ffi::OsStr::from_bytes(&[b"f\xff.", ending.as_bytes()].concat()));
    write(&name("pts"), pts::format(&points(68, 1.0)));
    image(&folder.join("b.png"), 3);
    std::fs::copy(folder.join("b.png"), name("png")).unwrap();
    std::fs::copy(name("pts"), odd("pts")).unwrap();
    std::fs::copy(name("png"), odd("png")).unwrap();
    let set = Source::new(Format::Face300w, dir.path()).open().unwrap().strict().unwrap();
    assert_eq!(set.len(), 2);
    for i in 0..2 {
        set.get(i).unwrap();
    }
    let scheme = Scheme::named("300w").unwrap();
    let row = |i| {
        star_data::formats::tsv::format_annotation(&set.annotation(i).unwrap(), &scheme, Default::default())
    };
    assert_contains(&row(1).unwrap_err().to_string(), &["expected a path of UTF-8"]);
}

#[test]
fn a_folder_that_links_to_itself_ends() {
    let dir = tempfile::tempdir().unwrap();
    face300w::archive(dir.path());
    #[cfg(unix)]
    std::os::unix::fs::symlink(dir.path().join("afw"), dir.path().join("afw/again")).unwrap();
    let set = Source { split: Some(Split::Train), ..Source::new(Format::Face300w, dir.path()) };
    assert!(set.open().unwrap().dataset.len() >= 3);
}

#[test]
fn missing_files_and_folders_are_named_in_every_format() {
    for &format in Format::ALL {
        let scheme = format.scheme().is_none().then(|| Scheme::named("300w").unwrap());
        let source = Source { scheme, ..Source::new(format, Path::new("no/such/place")) };
        let opened = source.open();
        let message = match opened {
            Ok(opened) => opened.strict().err().unwrap().to_string(),
            Err(error) => error.to_string(),
        };
        assert_contains(&message, &["no/such/place"]);
    }
}
