//! Copies of a data set's images that agree with the points that are written beside them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use image::{ImageEncoder, RgbImage};
use star_data::atomic;
use star_data::decode::{self, Upright};
use star_data::{Annotation, Dataset};
use star_predict::files;

use crate::args::Target;
use crate::progress;

/// The image of a face that was annotated as its EXIF block turns it, the way that its points count; `None` where they count along the
/// pixels of its file.
fn turned(dataset: &dyn Dataset, i: usize) -> Result<Option<RgbImage>> {
    let Some((size, file)) = dataset.written(i).size.zip(dataset.image_path(i)) else { return Ok(None) };
    Ok(decode::decode_turned(&file, Upright::Stated(size))?)
}

/// Checks that no image was annotated turned, which rows of `target` cannot say.
///
/// # Errors
/// Names the first that was.
pub(super) fn none_turned(dataset: &dyn Dataset, target: Target) -> Result<()> {
    let mut seen = HashSet::new();
    for i in (0..dataset.len()).filter(|i| seen.insert(dataset.source(*i))) {
        ensure!(
            turned(dataset, i)?.is_none(),
            "{}: was annotated turned as its EXIF block says, which files of format {} cannot tell: --copy-images DIR writes images \
             that need no turning",
            dataset.source(i).display(),
            if matches!(target, Target::Own) { "own" } else { "tsv" }
        );
    }
    Ok(())
}

/// Writes every image below `folder`, under its own path; files that are there already are left, so that an interrupted conversion
/// goes on where it was. One that was annotated turned is written as PNG with its pixels turned, and the faces on it name that.
///
/// # Errors
/// When an image cannot be read or written.
pub(super) fn write(dataset: &dyn Dataset, faces: &mut [Annotation], folder: &Path) -> Result<()> {
    let mut taken: HashSet<PathBuf> = faces.iter().map(|face| face.image.clone()).collect();
    let mut upright: HashMap<PathBuf, Option<PathBuf>> = HashMap::new();
    let bar = progress::bar(faces.len(), "images");
    for (i, face) in faces.iter_mut().enumerate() {
        if !upright.contains_key(&face.image) {
            let name = match turned(dataset, i)? {
                Some(image) => {
                    let name = png_name(&face.image, &taken);
                    let path = folder.join(&name);
                    files::make_dir(&star_data::formats::folder_of(&path))?;
                    let bytes = png(&image)?;
                    if path.exists() {
                        let same = std::fs::read(&path).is_ok_and(|there| there == bytes);
                        ensure!(
                            same,
                            "{}: another image is there already; name another --copy-images",
                            path.display()
                        );
                    } else {
                        atomic::write(&path, &bytes)?;
                    }
                    taken.insert(name.clone());
                    Some(name)
                }
                None => None,
            };
            upright.insert(face.image.clone(), name);
        }
        if let Some(Some(name)) = upright.get(&face.image) {
            face.image = name.clone();
            bar.inc(1);
            continue;
        }
        let path = folder.join(&face.image);
        if !path.is_file() {
            files::make_dir(&star_data::formats::folder_of(&path))?;
            let sample = dataset.get(i)?;
            match dataset.image_path(i) {
                Some(file) => {
                    let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
                    atomic::write(&path, &bytes)?;
                }
                None => atomic::write(&path, &png(&sample.image)?)?,
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The name of an image as PNG, which none of `taken` is.
fn png_name(image: &Path, taken: &HashSet<PathBuf>) -> PathBuf {
    let name = image.with_extension("png");
    if !taken.contains(&name) {
        return name;
    }
    let mut longer = image.as_os_str().to_owned();
    longer.push(".png");
    PathBuf::from(longer)
}

fn png(image: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder
        .write_image(image.as_raw(), image.width(), image.height(), image::ExtendedColorType::Rgb8)
        .context("encoding an image as PNG")?;
    Ok(bytes)
}
