//! COFW's MATLAB files; `fixtures/make_cofw.py` says how they were made and what is in them.

use std::path::{Path, PathBuf};

use star_data::Dataset;
use star_data::FaceBox;
use star_data::formats::Split;
use star_data::formats::cofw::{Base, open, read};

use super::{assert_contains, write};

pub(super) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cofw")
}

#[test]
fn every_number_and_every_pixel_of_the_files_comes_back() {
    for (split, count) in [(Split::Train, 2), (Split::Test, 4)] {
        let set = open(fixtures(), split).unwrap();
        assert_eq!((set.len(), set.scheme().name.as_str()), (count, "cofw29"));
        for i in 0..count {
            let (sample, annotation) = (set.get(i).unwrap(), set.annotation(i).unwrap());
            let (w, h) = (20 + 2 * i as u32, 12 + i as u32);
            assert_eq!(sample.image.dimensions(), (w, h));
            let grey = split == Split::Test && i == 2;
            for (x, y, pixel) in sample.image.enumerate_pixels() {
                let value = |c: u32| ((50 * if grey { 0 } else { c } + 3 * x + 7 * y + i as u32) % 256) as u8;
                assert_eq!(pixel.0, [0, 1, 2].map(value), "face {i}, pixel ({x}, {y})");
            }
            for (k, point) in sample.points.iter().enumerate() {
                let (k, i) = (k as f32, i as f32);
                assert_eq!(*point, [k / 4.0 + i, 1.0 + k / 2.0 + i]);
            }
            let visible: Vec<bool> = (0..29).map(|k| (k + i) % 5 != 0).collect();
            assert_eq!(sample.visibility, Some(visible));
            let stated = FaceBox { x: i as f32 - 3.0, y: 2.0, width: 15.0, height: 16.0 + i as f32 };
            assert_eq!(annotation.stated, Some(stated));
            // x i..i + 7, y i + 1..i + 15: side 14
            assert!((sample.face.side() - 14.0).abs() < 1e-4);
            assert_eq!(sample.source, Path::new(&format!("{split}/{:06}.png", i + 1)));
        }
    }
}

#[test]
fn points_stay_one_based_where_the_published_models_are_matched() {
    let based = |base| read(&fixtures().join("COFW_test_color.mat"), Split::Test, base).unwrap().0;
    let (zero, one) = (based(Base::Zero), based(Base::One));
    let (a, b) = (zero.annotation(1).unwrap(), one.annotation(1).unwrap());
    for (p, q) in a.points.iter().zip(&b.points) {
        assert_eq!([p[0] + 1.0, p[1] + 1.0], *q);
    }
    assert_eq!(a.face.centre().map(|v| v + 1.0), b.face.centre());
    assert_eq!(a.stated.unwrap().x + 1.0, b.stated.unwrap().x);
}

#[test]
fn other_files_are_named_with_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let message = |path: &Path| open(path, Split::Test).err().unwrap().to_string();
    assert_contains(&message(dir.path()), &["COFW_test_color.mat"]);
    assert_contains(&message(&dir.path().join("none.mat")), &["none.mat", "No such file"]);
    write(&dir.path().join("old.mat"), "MATLAB 5.0 MAT-file".repeat(100));
    assert_contains(
        &message(&dir.path().join("old.mat")),
        &["old.mat", "expected MATLAB v7.3, which is HDF5"],
    );
    write(&dir.path().join("empty.mat"), "");
    assert_contains(&message(&dir.path().join("empty.mat")), &["empty.mat"]);
}

#[test]
fn no_cut_of_a_file_is_a_panic_and_no_cut_gives_other_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let whole = std::fs::read(fixtures().join("COFW_test_color.mat")).unwrap();
    let path = dir.path().join("cut.mat");
    let full = open(fixtures().join("COFW_test_color.mat"), Split::Test).unwrap();
    for length in (0..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..length]).unwrap();
        match open(&path, Split::Test) {
            Err(error) => assert_contains(&error.to_string(), &["cut.mat"]),
            Ok(set) => {
                for i in 0..set.len() {
                    if let Ok(sample) = set.get(i) {
                        assert_eq!(sample.image, full.get(i).unwrap().image);
                    }
                }
            }
        }
    }
}

/// The test file with bytes changed, and what reading it and its images says.
fn edited(edit: impl Fn(&mut Vec<u8>)) -> (String, u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(fixtures().join("COFW_test_color.mat")).unwrap();
    edit(&mut bytes);
    let path = dir.path().join("edited.mat");
    std::fs::write(&path, &bytes).unwrap();
    let said = match read(&path, Split::Test, Base::Zero) {
        Ok((set, _)) => (0..set.len()).filter_map(|i| set.get(i).err()).map(|e| e.to_string()).collect(),
        Err(error) => error.to_string(),
    };
    (said, super::malformed::peak())
}

/// Places of `part` in `bytes`.
fn places(bytes: &[u8], part: &[u8]) -> Vec<usize> {
    (0..bytes.len()).filter(|at| bytes[*at..].starts_with(part)).collect()
}

fn numbers(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// What one of these small files may cost: reading the good one takes less than 50 MB.
const BOUND: u64 = 200 << 20;

#[test]
fn chunks_that_claim_gigabytes_are_refused_by_the_size_of_the_file() {
    // A node of chunks: signature, type 1, level, entries, two siblings, then the bytes of its first chunk.
    let (said, peak) = edited(|bytes| {
        for at in places(bytes, b"TREE\x01") {
            bytes[at + 24..at + 28].copy_from_slice(&0xf000_0000u32.to_le_bytes());
        }
    });
    assert_contains(
        &said,
        &["edited.mat: phisT: expected chunks within the file of", "got one of 4026531840 bytes at"],
    );
    assert!(peak < BOUND, "{peak} bytes");
}

#[test]
fn sides_that_a_small_file_cannot_hold_are_refused_before_room_is_made_for_them() {
    // image 1 is [3, 20, 12]; 972 MB are below the limit for one image
    let (said, peak) = edited(|bytes| {
        for at in places(bytes, &numbers(&[3, 20, 12])) {
            bytes[at..at + 24].copy_from_slice(&numbers(&[3, 18_000, 18_000]));
        }
    });
    assert_contains(&said, &["edited.mat: image 1: expected at most", "[3, 18000, 18000] of 1 bytes each"]);
    assert!(peak < BOUND, "{peak} bytes");
}

#[test]
fn a_small_file_cannot_claim_a_million_images() {
    let (said, peak) = edited(|bytes| {
        for at in places(bytes, &numbers(&[1, 4])) {
            bytes[at..at + 16].copy_from_slice(&numbers(&[1, 1_000_000]));
        }
    });
    assert_contains(&said, &["edited.mat: IsT: expected [1, N] references, N up to", "got [1, 1000000]"]);
    assert!(peak < BOUND, "{peak} bytes");
}

#[test]
fn chunks_larger_than_what_they_hold_are_counted_as_large_as_they_are() {
    // edges of chunks are 32 bits each, the last one the size of a number
    let edges = |sides: &[u32]| sides.iter().flat_map(|side| side.to_le_bytes()).collect::<Vec<u8>>();
    let (said, peak) = edited(|bytes| {
        for at in places(bytes, &edges(&[87, 4, 8])) {
            bytes[at..at + 12].copy_from_slice(&edges(&[8_700, 40_000, 8]));
        }
    });
    assert_contains(
        &said,
        &["edited.mat: phisT: expected at most", "[87, 4] in chunks [8700, 40000] of 8 bytes each"],
    );
    assert!(peak < BOUND, "{peak} bytes");
}
