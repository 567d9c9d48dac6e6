//! Decoded and pre-cropped faces on disk: epochs after the first read pixels instead of decoding photographs.
//!
//! An entry is a PPM file, which any viewer opens, of the [`Region`] about one face; a comment says where in the image it lies and
//! holds a checksum. Its name is a hash of the image's bytes, the face's box and the region's settings: an image that is exchanged,
//! a corrected box or another setting makes a new entry, and landmarks are never cached. Entries are written atomically, so
//! several processes can share a folder; damaged ones are made again. Nothing is ever deleted: delete the folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use image::RgbImage;
use sha2::{Digest, Sha256};

use crate::atomic::Durability;
use crate::region::{Place, Region};
use crate::{Annotation, Dataset, Error, FaceBox, Result, Sample, Scheme, atomic};

/// Raised when entries change their meaning.
const VERSION: u32 = 2;

/// Another data set whose faces are kept on disk, decoded and pre-cropped.
///
/// Samples are in pixels of their regions. Sets whose images have no files of their own pass through as they are.
pub struct CropCache {
    inner: Arc<dyn Dataset>,
    folder: PathBuf,
    region: Region,
    /// Hash of each image's file, once it has been read.
    images: Vec<OnceLock<[u8; 32]>>,
    found: AtomicUsize,
    made: AtomicUsize,
}

impl CropCache {
    /// Keeps faces of `inner` in `folder`, which is made if missing.
    ///
    /// # Errors
    /// [`Error::Config`] for a region out of range, [`Error::Io`] where the folder cannot be made.
    pub fn new(inner: impl Dataset + 'static, folder: &Path, region: Region) -> Result<Self> {
        region.validate()?;
        std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        let images = (0..inner.len()).map(|_| OnceLock::new()).collect();
        let (found, made) = Default::default();
        Ok(Self { inner: Arc::new(inner), folder: folder.to_path_buf(), region, images, found, made })
    }

    /// How often a face was found in the folder, and how often it had to be made.
    pub fn statistics(&self) -> (usize, usize) {
        (self.found.load(Ordering::Relaxed), self.made.load(Ordering::Relaxed))
    }

    /// The entry of sample `index`, whose image is `file` and whose box is `face`.
    fn entry(&self, index: usize, file: &Path, face: &FaceBox) -> Result<PathBuf> {
        let image = match self.images[index].get() {
            Some(known) => *known,
            None => {
                let bytes = std::fs::read(file).map_err(|source| Error::io(file, source))?;
                *self.images[index].get_or_init(|| Sha256::digest(bytes).into())
            }
        };
        let mut hash = Sha256::new();
        hash.update(VERSION.to_le_bytes());
        hash.update(image);
        [face.x, face.y, face.width, face.height].iter().for_each(|v| hash.update(v.to_bits().to_le_bytes()));
        hash.update(self.region.reach.to_bits().to_le_bytes());
        hash.update(self.region.largest_face.to_le_bytes());
        let name: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        // Folders of a million files are slow in many file systems.
        Ok(self.folder.join(&name[..2]).join(name).with_extension("ppm"))
    }
}

impl Dataset for CropCache {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn scheme(&self) -> &Scheme {
        self.inner.scheme()
    }

    fn source(&self, index: usize) -> PathBuf {
        self.inner.source(index)
    }

    /// The sample in pixels of its region; decodes its image where there is no good entry yet.
    fn get(&self, index: usize) -> Result<Sample> {
        let len = self.inner.len();
        if index >= len {
            return Err(Error::Index { index, len });
        }
        let Some(file) = self.inner.image_path(index) else { return self.inner.get(index) };
        let Annotation { mut points, visibility, mut face, tags, .. } = self.inner.annotation(index)?;
        let entry = self.entry(index, &file, &face)?;
        if let Some((image, place)) = std::fs::read(&entry).ok().and_then(|bytes| parse(&bytes)) {
            self.found.fetch_add(1, Ordering::Relaxed);
            place.follow(&mut points, &mut face);
            return Ok(Sample { image, points, visibility, face, tags, source: self.inner.source(index) });
        }
        let (sample, place) = self.region.cut(self.inner.get(index)?);
        self.made.fetch_add(1, Ordering::Relaxed);
        if let Some(folder) = entry.parent() {
            std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
        }
        atomic::write_with(&entry, Durability::Cached, |out| {
            let write = |out: &mut dyn std::io::Write| {
                out.write_all(&header(&sample.image, &place))?;
                out.write_all(sample.image.as_raw())
            };
            write(out).map_err(|source| Error::io(&entry, source))
        })?;
        Ok(sample)
    }

    fn annotation(&self, index: usize) -> Result<Annotation> {
        self.inner.annotation(index)
    }

    fn shards(&self) -> Vec<usize> {
        self.inner.shards()
    }

    fn image_path(&self, index: usize) -> Option<PathBuf> {
        self.inner.image_path(index)
    }
}

/// The head of an entry.
fn header(image: &RgbImage, place: &Place) -> Vec<u8> {
    let ([x, y], [w, h], check) = (place.origin, place.extent, checksum(place, image.as_raw()));
    let (width, height) = image.dimensions();
    format!("P6\n# star-data {VERSION} from {x} {y} {w} {h} crc32 {check}\n{width} {height}\n255\n")
        .into_bytes()
}

fn checksum(place: &Place, pixels: &[u8]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    [place.origin, place.extent, place.size].iter().flatten().for_each(|v| hash.update(&v.to_le_bytes()));
    hash.update(pixels);
    hash.finalize()
}

/// The pixels of an entry and where they lie; `None` where it is damaged.
fn parse(bytes: &[u8]) -> Option<(RgbImage, Place)> {
    let mut rest = bytes;
    let mut line = || {
        let end = rest.iter().take(200).position(|&b| b == b'\n')?;
        let text = std::str::from_utf8(&rest[..end]).ok()?;
        rest = &rest[end + 1..];
        Some(text)
    };
    let (magic, comment, size, depth) = (line()?, line()?, line()?, line()?);
    let place = comment.strip_prefix(&format!("# star-data {VERSION} from "))?;
    let (place, check) = place.split_once(" crc32 ")?;
    let numbers = |text: &str| text.split(' ').map(|v| v.parse().ok()).collect::<Option<Vec<u32>>>();
    let ([x, y, w, h], [width, height]) = (numbers(place)?.try_into().ok()?, numbers(size)?.try_into().ok()?);
    let length = u64::from(width) * u64::from(height) * 3;
    let place = Place { origin: [x, y], extent: [w, h], size: [width, height] };
    let whole = magic == "P6" && depth == "255" && rest.len() as u64 == length && w > 0 && h > 0;
    if !whole || checksum(&place, rest) != check.parse::<u32>().ok()? {
        return None;
    }
    Some((RgbImage::from_raw(width, height, rest.to_vec())?, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_what_was_put_into_it_and_a_damaged_one_says_nothing() {
        let image = RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8, y as u8, 9]));
        let place = Place { origin: [7, 8], extent: [10, 6], size: [5, 3] };
        let whole = [header(&image, &place), image.as_raw().clone()].concat();
        assert_eq!(parse(&whole), Some((image.clone(), place)));
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), None);
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert_eq!(parse(&damaged), None, "byte {at}");
        }
        // any viewer can open it
        assert_eq!(crate::decode::decode_bytes(&whole, Path::new("a.ppm")).unwrap().dimensions(), (5, 3));
    }
}
