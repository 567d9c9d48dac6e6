//! The variables of COFW's MATLAB files: tables of numbers, and images.

use std::path::Path;

use hdf5_pure::{File, Object};
use image::{Rgb, RgbImage};

use super::bounds;
use crate::decode::{MAX_BYTES, MAX_SIDE};
use crate::{Annotation, Error, Result};

/// Fewest bytes that an image takes in a file, of which its header has more.
const BYTES_OF_A_FACE: u64 = 64;

/// The variables of a file.
pub(super) struct Variables<'a> {
    file: File,
    length: u64,
    path: &'a Path,
}

impl<'a> Variables<'a> {
    /// Opens a file, whose HDF5 is read as it is asked for.
    pub(super) fn open(path: &'a Path) -> Result<Self> {
        // Tells a missing file from one that is not HDF5.
        let length = std::fs::metadata(path).map_err(|source| Error::io(path, source))?.len();
        let file = File::open_streaming(path).map_err(|e| unreadable(path, "file", &e))?;
        Ok(Self { file, length, path })
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether there is a variable of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.file.dataset(name).is_ok()
    }

    fn dataset(&self, name: &str) -> Result<(hdf5_pure::Dataset, Vec<u64>)> {
        let fail = |error: hdf5_pure::Error| unreadable(self.path, name, &error);
        let data = self.file.dataset(name).map_err(fail)?;
        let shape = data.shape().map_err(fail)?;
        Ok((data, shape))
    }

    /// The images that a cell array refers to.
    pub(super) fn images(&self, name: &str) -> Result<Vec<hdf5_pure::Dataset>> {
        let (cells, shape) = self.dataset(name)?;
        let count = shape.iter().try_fold(1u64, |n, side| n.checked_mul(*side));
        let most = self.length / BYTES_OF_A_FACE;
        if !count.is_some_and(|n| n > 0 && n <= most) {
            let expected = format!("[1, N] references, N up to {most} in a file of {} bytes", self.length);
            return Err(Error::content(self.path, name, expected, format!("{shape:?}")));
        }
        bounds::check(&cells, self.length, self.path, name)?;
        let objects = cells.dereference().map_err(|error| unreadable(self.path, name, &error))?;
        let image = |(i, object)| match object {
            Object::Dataset(image) => Ok(*image),
            _ => Err(Error::content(self.path, format!("{name}{{{}}}", i + 1), "an image", "something else")),
        };
        objects.into_iter().enumerate().map(image).collect()
    }

    /// A table of `rows` numbers a face, row by row.
    pub(super) fn numbers(&self, name: &str, rows: usize, faces: usize) -> Result<Vec<f64>> {
        let (table, shape) = self.dataset(name)?;
        if shape != [rows as u64, faces as u64] {
            let expected = format!("[{rows}, {faces}] numbers, a column a face");
            return Err(Error::content(self.path, name, expected, format!("{shape:?}")));
        }
        bounds::check(&table, self.length, self.path, name)?;
        let numbers = table.read_f64().map_err(|error| unreadable(self.path, name, &error))?;
        if numbers.len() != rows * faces {
            return Err(Error::content(
                self.path,
                name,
                format!("{} numbers", rows * faces),
                numbers.len().to_string(),
            ));
        }
        Ok(numbers)
    }
}

/// An image out of the file, its axes put right: pixel `(x, y)` of channel `c` is at `(c * width + x) * height + y`.
pub(super) fn image(data: &hdf5_pure::Dataset, length: u64, annotation: &Annotation) -> Result<RgbImage> {
    let field = format!("image {}", annotation.line);
    let fail = |error: hdf5_pure::Error| unreadable(&annotation.file, &field, &error);
    let wrong = |expected: &str, got: String| Error::content(&*annotation.file, &field, expected, got);
    let shape = data.shape().map_err(fail)?;
    let (channels, width, height) = match *shape.as_slice() {
        [3, width, height] => (3, width, height),
        [width, height] => (1, width, height),
        _ => return Err(wrong("bytes [3, width, height] or [width, height]", format!("{shape:?}"))),
    };
    let side = u64::from(MAX_SIDE);
    if width == 0 || height == 0 || width > side || height > side || channels * width * height > MAX_BYTES {
        return Err(wrong(
            &format!("1 to {MAX_SIDE} pixels a side, {MAX_BYTES} bytes at most"),
            format!("{width}x{height} pixels"),
        ));
    }
    if data.element_size().map_err(fail)? != 1 {
        return Err(wrong("bytes", format!("{:?}", data.dtype().map_err(fail)?)));
    }
    bounds::check(data, length, &annotation.file, &field)?;
    let bytes = data.read_u8().map_err(fail)?;
    let (w, h) = (width as usize, height as usize);
    if bytes.len() != channels as usize * w * h {
        return Err(wrong(&format!("{} bytes", channels as usize * w * h), bytes.len().to_string()));
    }
    let value = |c: usize, x: u32, y: u32| bytes[(c * w + x as usize) * h + y as usize];
    Ok(RgbImage::from_fn(width as u32, height as u32, |x, y| match channels {
        3 => Rgb([0, 1, 2].map(|c| value(c, x, y))),
        _ => Rgb([value(0, x, y); 3]),
    }))
}

pub(super) fn unreadable(path: &Path, field: &str, error: &hdf5_pure::Error) -> Error {
    Error::content(path, field, "MATLAB v7.3, which is HDF5", error.to_string())
}
