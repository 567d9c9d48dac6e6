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

mod bounds;
mod variables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::variables::Variables;
use super::definition::{Compat, Definition, Found, Request, Split};
use super::layout;
use crate::crop::CropRule;
use crate::sample::{ABSENT, is_labelled, or_absent};
use crate::{Annotation, Dataset, Error, FaceBox, Result, Sample, Scheme};

/// The scheme of the points.
pub const SCHEME: &str = "cofw29";

/// Points of a face.
const POINTS: usize = 29;

/// What the first pixel's centre is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Base {
    /// 0: points as this crate has them everywhere.
    #[default]
    Zero,
    /// 1: points as the file has them, which is what the published models were trained on. A pixel off.
    One,
}

/// Faces of one file; images stay in the file until they are asked for. Clones share them.
#[derive(Clone)]
pub struct Cofw(Arc<Faces>);

struct Faces {
    annotations: Vec<Annotation>,
    images: Vec<hdf5_pure::Dataset>,
    /// Bytes of the file.
    length: u64,
    scheme: Scheme,
}

/// The faces of a split in the folder `root` or of the file that it is, 0-based.
///
/// # Errors
/// As [`read`], and for the first face that cannot be used.
pub fn open(root: impl AsRef<Path>, split: Split) -> Result<Cofw> {
    let (faces, problems) = read(root.as_ref(), split, Base::Zero)?;
    problems.into_iter().next().map_or(Ok(faces), Err)
}

/// Reads a split in the folder `path`, or the file that `path` is, whose variables then tell the split: the faces that can be used, and
/// what is wrong with the others.
///
/// # Errors
/// [`Error::Io`]; [`Error::Content`] where the file is no such MATLAB file or its variables do not fit each other.
pub fn read(path: &Path, split: Split, base: Base) -> Result<(Cofw, Vec<Error>)> {
    let path = if path.is_dir() {
        let names = vec![format!("COFW_{split}_color.mat"), format!("COFW_{split}.mat")];
        layout::first_file(path, &[".", "COFW", "COFW_color"], &names)?
    } else {
        path.to_path_buf()
    };
    let file = Variables::open(&path)?;
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
    let faces = Faces { annotations, images: kept, length: file.length(), scheme: Scheme::named(SCHEME)? };
    Ok((Cofw(Arc::new(faces)), problems))
}

/// COFW's files among the formats.
pub(super) struct Mat;

impl Definition for Mat {
    fn name(&self) -> &'static str {
        "cofw"
    }

    fn about(&self) -> &'static str {
        "COFW's MATLAB files"
    }

    fn scheme(&self) -> Option<&'static str> {
        Some(SCHEME)
    }

    fn splits(&self) -> &'static [Split] {
        &[Split::Train, Split::Test]
    }

    fn published(&self, split: Split, subset: Option<&str>) -> Option<usize> {
        match (split, subset) {
            (Split::Train, None) => Some(1345),
            (Split::Test, None) => Some(507),
            _ => None,
        }
    }

    fn read(&self, request: &Request) -> Result<Found> {
        let (base, notes) = match request.compat {
            Compat::None => (Base::Zero, Vec::new()),
            Compat::Reference => (Base::One, vec!["compat reference: points are 1-based".to_string()]),
        };
        let (faces, problems) = read(request.path, request.split, base)?;
        Ok(Found { faces: Arc::new(faces), problems, notes })
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
    let point = |k: usize| {
        let written = [phis(k), phis(POINTS + k)];
        let absent =
            written.iter().all(|v| v.is_finite()) && !is_labelled(&or_absent(written.map(|v| v as f32)));
        if absent { ABSENT } else { written.map(|v| (v - first) as f32) }
    };
    let finite = |k: &usize| phis(*k).is_finite() && phis(POINTS + *k).is_finite();
    if let Some(k) = (0..POINTS).find(|k| !finite(k)) {
        return wrong("points", "finite numbers", format!("{:?}", [phis(k), phis(POINTS + k)]));
    }
    let points: Vec<[f32; 2]> = (0..POINTS).map(point).collect();
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

impl Dataset for Cofw {
    fn len(&self) -> usize {
        self.0.annotations.len()
    }

    fn scheme(&self) -> &Scheme {
        &self.0.scheme
    }

    fn source(&self, index: usize) -> PathBuf {
        self.0.annotations.get(index).map(|annotation| annotation.image.clone()).unwrap_or_default()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let annotation = self.annotation(index)?;
        let image = variables::image(&self.0.images[index], self.0.length, &annotation)?;
        Ok(annotation.with_image(image))
    }

    fn annotation(&self, index: usize) -> Result<Annotation> {
        let len = self.0.annotations.len();
        self.0.annotations.get(index).cloned().ok_or(Error::Index { index, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_of_minus_one_is_not_labelled_and_the_others_are_made_zero_based() {
        let file: Arc<Path> = Path::new("a.mat").into();
        let phis = |k: usize| match k % POINTS {
            _ if k >= 2 * POINTS => 0.0,
            3 => -1.0,
            k => 10.5 + k as f64,
        };
        let face = annotation(&file, 0, Split::Test, Base::Zero, phis, |_| 5.0).unwrap();
        assert!(face.points[3].iter().all(|v| v.is_nan()));
        assert_eq!((face.points[0], face.face.side()), ([9.5, 9.5], 29.0));
    }
}
