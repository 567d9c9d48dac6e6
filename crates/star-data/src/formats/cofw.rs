//! COFW: faces under heavy occlusion, 29 points (Burgos-Artizzu et al., Robust Face Landmark Estimation under Occlusion, ICCV 2013;
//! data.caltech.edu/records/bc0bf-nc666).
//!
//! `COFW_train_color.mat` and `COFW_test_color.mat` are MATLAB v7.3 files, which are HDF5 behind a block of 512 bytes:
//!
//! | variable | in HDF5 | what |
//! |---|---|---|
//! | `IsTr`, `IsT` | references `[1, N]` | an image each: bytes `[3, width, height]`, or `[width, height]` for the grey ones |
//! | `phisTr`, `phisT` | numbers `[87, N]` | 29 x, 29 y (1-based), 29 flags of which 1 is occluded |
//! | `bboxesTr`, `bboxesT` | numbers `[4, N]` | x, y (1-based), width, height; some reach out of the image |
//!
//! (MATLAB stores columns first, so that HDF5 has every axis in reverse.) The training file has 1345 faces, the test file 507. Points
//! and boxes are made 0-based; the published rows kept the points 1-based, which [`Base::One`] reproduces. Occluded points have
//! places too; they are not [`visible`](crate::Annotation::visibility).
//!
//! Images have no files: sample *i* calls itself `test/000001.png` and so on.
//!
//! Crop: [`CropRule::LandmarkTight`](crate::crop::CropRule), which the published rows follow exactly; `stated` takes the box instead.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hdf5_pure::{File, Object};
use image::{Rgb, RgbImage};

use super::{Split, layout};
use crate::crop::CropRule;
use crate::decode::{MAX_BYTES, MAX_SIDE};
use crate::{Annotation, Dataset, Error, FaceBox, Result, Sample, Scheme};

/// The scheme of the points.
pub const SCHEME: &str = "cofw29";

/// Points of a face.
const POINTS: usize = 29;

/// Most faces that a file is believed to hold.
const MAX_FACES: u64 = 1_000_000;

/// What the first pixel's centre is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Base {
    /// 0: points as this crate has them everywhere.
    #[default]
    Zero,
    /// 1: points as the file has them, which is what the published models were trained on. A pixel off.
    One,
}

/// Faces of one file; images stay in the file until they are asked for.
pub struct Cofw {
    annotations: Vec<Annotation>,
    images: Vec<hdf5_pure::Dataset>,
    scheme: Scheme,
}

impl Cofw {
    /// Opens a split in the folder `path`, or the file that `path` is, whose variables then tell the split.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Content`] where the file is no such MATLAB file or its variables do not fit each other.
    pub fn open(path: &Path, split: Split, base: Base) -> Result<Self> {
        let (file, problems) = Self::open_lenient(path, split, base)?;
        problems.into_iter().next().map_or(Ok(file), Err)
    }

    /// As [`Cofw::open`], keeping the good faces and handing back what is wrong with the others.
    ///
    /// # Errors
    /// As [`Cofw::open`], without single faces.
    pub fn open_lenient(path: &Path, split: Split, base: Base) -> Result<(Self, Vec<Error>)> {
        let path = if path.is_dir() {
            layout::first_file(path, &[".", "COFW", "COFW_color"], &names(split))?
        } else {
            path.to_path_buf()
        };
        // Tells a missing file from one that is not HDF5.
        std::fs::metadata(&path).map_err(|source| Error::io(&path, source))?;
        let file = Variables {
            file: File::open_streaming(&path).map_err(|e| unreadable(&path, "file", &e))?,
            path: &path,
        };
        let (split, suffix) = if file.has("IsTr") { (Split::Train, "Tr") } else { (Split::Test, "T") };
        let images = file.images(&format!("Is{suffix}"))?;
        let n = images.len();
        let points = file.numbers(&format!("phis{suffix}"), 3 * POINTS, n)?;
        let boxes = file.numbers(&format!("bboxes{suffix}"), 4, n)?;
        let (mut annotations, mut problems, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        let name: Arc<Path> = path.as_path().into();
        for (i, image) in images.into_iter().enumerate() {
            let column = |table: &[f64], row: usize| table[row * n + i];
            match annotation(&name, i, split, base, |k| column(&points, k), |k| column(&boxes, k)) {
                Ok(annotation) => {
                    annotations.push(annotation);
                    kept.push(image);
                }
                Err(problem) => problems.push(problem),
            }
        }
        Ok((Self { annotations, images: kept, scheme: Scheme::named(SCHEME)? }, problems))
    }
}

fn names(split: Split) -> Vec<String> {
    vec![format!("COFW_{split}_color.mat"), format!("COFW_{split}.mat")]
}

fn unreadable(path: &Path, field: &str, error: &hdf5_pure::Error) -> Error {
    Error::content(path, field, "MATLAB v7.3, which is HDF5", error.to_string())
}

/// The variables of a file.
struct Variables<'a> {
    file: File,
    path: &'a Path,
}

impl Variables<'_> {
    fn has(&self, name: &str) -> bool {
        self.file.dataset(name).is_ok()
    }

    fn dataset(&self, name: &str) -> Result<(hdf5_pure::Dataset, Vec<u64>)> {
        let fail = |error: hdf5_pure::Error| unreadable(self.path, name, &error);
        let data = self.file.dataset(name).map_err(fail)?;
        let shape = data.shape().map_err(fail)?;
        Ok((data, shape))
    }

    /// The images that a cell array refers to.
    fn images(&self, name: &str) -> Result<Vec<hdf5_pure::Dataset>> {
        let (cells, shape) = self.dataset(name)?;
        let count = shape.iter().try_fold(1u64, |n, side| n.checked_mul(*side));
        if !count.is_some_and(|n| n > 0 && n <= MAX_FACES) {
            let expected = format!("[1, N] references, N up to {MAX_FACES}");
            return Err(Error::content(self.path, name, expected, format!("{shape:?}")));
        }
        let objects = cells.dereference().map_err(|error| unreadable(self.path, name, &error))?;
        let image = |(i, object)| match object {
            Object::Dataset(image) => Ok(*image),
            _ => Err(Error::content(self.path, format!("{name}{{{}}}", i + 1), "an image", "something else")),
        };
        objects.into_iter().enumerate().map(image).collect()
    }

    /// A table of `rows` numbers a face, row by row.
    fn numbers(&self, name: &str, rows: usize, faces: usize) -> Result<Vec<f64>> {
        let (table, shape) = self.dataset(name)?;
        if shape != [rows as u64, faces as u64] {
            let expected = format!("[{rows}, {faces}] numbers, a column a face");
            return Err(Error::content(self.path, name, expected, format!("{shape:?}")));
        }
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

fn annotation(
    file: &Arc<Path>,
    i: usize,
    split: Split,
    base: Base,
    phis: impl Fn(usize) -> f64,
    bbox: impl Fn(usize) -> f64,
) -> Result<Annotation> {
    let first = match base {
        Base::Zero => 1.0,
        Base::One => 0.0,
    };
    let wrong = |field: &str, expected: &str, got: String| {
        Err(Error::content(&**file, format!("face {}: {field}", i + 1), expected, got))
    };
    let points: Vec<[f32; 2]> =
        (0..POINTS).map(|k| [(phis(k) - first) as f32, (phis(POINTS + k) - first) as f32]).collect();
    if let Some(point) = points.iter().find(|p| !p.iter().all(|v| v.is_finite())) {
        return wrong("points", "finite numbers", format!("{point:?}"));
    }
    let flags: Vec<f64> = (0..POINTS).map(|k| phis(2 * POINTS + k)).collect();
    if let Some(flag) = flags.iter().find(|flag| ![0.0, 1.0].contains(*flag)) {
        return wrong("occlusion", "0 or 1", flag.to_string());
    }
    let stated = FaceBox {
        x: (bbox(0) - first) as f32,
        y: (bbox(1) - first) as f32,
        width: bbox(2) as f32,
        height: bbox(3) as f32,
    };
    Ok(Annotation {
        file: file.clone(),
        line: i + 1,
        image: PathBuf::from(format!("{split}/{:06}.png", i + 1)),
        face: CropRule::LandmarkTight.apply(&points, None)?,
        points,
        visibility: Some(flags.iter().map(|flag| *flag == 0.0).collect()),
        stated: Some(stated),
        tags: Vec::new(),
    })
}

/// An image out of the file, its axes put right: pixel `(x, y)` of channel `c` is at `(c * width + x) * height + y`.
fn image(data: &hdf5_pure::Dataset, annotation: &Annotation) -> Result<RgbImage> {
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

impl Dataset for Cofw {
    fn len(&self) -> usize {
        self.annotations.len()
    }

    fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    fn source(&self, index: usize) -> PathBuf {
        self.annotations.get(index).map(|annotation| annotation.image.clone()).unwrap_or_default()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let annotation = self.annotation(index)?;
        let image = image(&self.images[index], &annotation)?;
        Ok(annotation.with_image(image))
    }

    fn annotation(&self, index: usize) -> Result<Annotation> {
        let len = self.annotations.len();
        self.annotations.get(index).cloned().ok_or(Error::Index { index, len })
    }
}
