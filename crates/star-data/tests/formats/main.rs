//! Every format of annotations in its own shape on disk, written by the tests, read back number by number; and damaged in every way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod check;
mod check_units;
mod coco;
mod coco_tools;
mod cofw;
mod face300vw;
mod face300w;
mod hrnet;
mod imglab;
mod ljson;
mod malformed;
mod own;
mod paths;
mod rows;
mod sizes;
mod source;
mod wflw;

use std::path::Path;

use image::{Rgb, RgbImage};

/// Writes a small image whose first pixel is `mark`.
fn image(path: &Path, mark: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_fn(24, 16, |x, y| Rgb([mark, x as u8, y as u8])).save(path).unwrap();
}

/// `count` points from a formula, `shift` apart from others.
fn points(count: usize, shift: f32) -> Vec<[f32; 2]> {
    (0..count).map(|k| [shift + k as f32 * 0.25, shift + (k * k % 37) as f32 * 0.5]).collect()
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` missing in: {text}");
    }
}
