//! Images on disk: which there are, and predicting in many of them.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use star_data::{FaceBox, decode};

use crate::parallel::map_ordered;
use crate::{Face, Predictor};

/// Endings of the files that a folder is searched for.
const ENDINGS: [&str; 5] = ["jpg", "jpeg", "png", "ppm", "pgm"];

/// The images that are named, or lie in a folder that is, the latter sorted by name.
///
/// # Errors
/// When a folder cannot be read, or has no images.
pub fn image_paths(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::with_capacity(paths.len());
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
        let mut inside = Vec::new();
        for entry in entries {
            let file = entry.with_context(|| path.display().to_string())?.path();
            let ending = file.extension().map(|ending| ending.to_ascii_lowercase());
            if ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)) && file.is_file() {
                inside.push(file);
            }
        }
        ensure!(
            !inside.is_empty(),
            "{}: no images in this folder (looked for {})",
            path.display(),
            ENDINGS.join(", ")
        );
        inside.sort();
        found.extend(inside);
    }
    Ok(found)
}

/// Predicts in the images `paths`, EXIF orientation honoured, one a thread on `workers` threads. Faces are looked for, unless `boxes`
/// gives them.
///
/// `finish` gets an image with its faces on the thread that predicted them, such as to draw them; what it returns comes to `each` in
/// the order of `paths`, or else the reason why an image could not be predicted in. The work ends when `each` returns an error. Few
/// images are in memory at a time, see [`map_ordered`].
///
/// # Errors
/// The one that `each` returned.
pub fn predict_images<T: Send>(
    predictor: &Predictor,
    paths: &[PathBuf],
    boxes: Option<&[FaceBox]>,
    workers: usize,
    finish: impl Fn(usize, RgbImage, Vec<Face>) -> T + Sync,
    mut each: impl FnMut(usize, Result<T>) -> Result<()>,
) -> Result<()> {
    let one = |i: usize, path: &PathBuf| -> Result<T> {
        let image = decode::decode_oriented(path)?;
        let found = match boxes {
            Some(boxes) => predictor.predict_in(&image, boxes),
            None => predictor.predict(&image),
        };
        let faces = found.with_context(|| path.display().to_string())?;
        Ok(finish(i, image, faces))
    };
    map_ordered(paths.iter().map(Ok), workers, |i, path| (i, one(i, path)), |(i, found)| each(i, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_the_images_in_it() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.JPG", "a.png", "notes.txt"] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        let found = image_paths(&[PathBuf::from("x.jpg"), dir.path().to_path_buf()]).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_string_lossy()).collect();
        assert_eq!(names, ["x.jpg", "a.png", "b.JPG"]);
        let empty = tempfile::tempdir().unwrap();
        assert!(image_paths(&[empty.path().to_path_buf()]).unwrap_err().to_string().contains("no images"));
    }
}
