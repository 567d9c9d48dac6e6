//! Looking at every face of a data set: images, points, boxes, rows that stand twice, and a hash of it all.

mod boxes;
mod face;
mod whole;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use self::boxes::Boxes;
use self::whole::{Corners, Units};
use crate::dataset::Written;
use crate::{Annotation, Dataset, Error, Result};

/// Images decoded between two reports of progress.
const STRIDE: usize = 64;

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// Number of faces.
    pub faces: usize,
    /// Number of images they are on.
    pub images: usize,
    /// Faces with a point outside their image, however little.
    pub outside: usize,
    /// Number of faces of each tag.
    pub tags: BTreeMap<String, usize>,
    /// Images that hold the same bytes as an earlier one, with that one.
    pub same: Vec<(PathBuf, PathBuf)>,
    /// What is wrong: images that are missing, damaged or of another size than the file says; points farther outside their image than
    /// half the face's side, in other units than pixels, or without a length between them that errors can be divided by; boxes far from
    /// their points or in another convention; faces that stand twice; left and right in names that do not swap.
    pub problems: Vec<Error>,
    /// What may be meant so, and what training will ask for.
    pub notes: Vec<String>,
    /// SHA-256 of annotations and images, in order: the same wherever the data set lies.
    pub hash: String,
}

/// A face, and where it stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    face: &'a Annotation,
    written: &'a Written,
}

impl Place<'_> {
    /// A problem of it: by its line, or by its entry and image where the file has no lines.
    fn problem(&self, field: &'static str, expected: impl Into<String>, got: String) -> Error {
        let (path, line) = (self.face.file.to_path_buf(), self.face.line);
        match &self.written.entry {
            Some(entry) => {
                let field = format!("{entry} ({}): {field}", self.face.image.display());
                Error::Content { path, field, expected: expected.into(), got }
            }
            None => Error::Row { path, line, field, expected: expected.into(), got },
        }
    }

    /// The file and the row in it.
    fn name(&self) -> String {
        let file = self.face.file.display();
        match &self.written.entry {
            Some(entry) => format!("{file}: {entry}"),
            None => format!("{file}: line {}", self.face.line),
        }
    }
}

/// One problem for `count` that are alike.
fn and_more(problem: Error, count: usize, what: &str) -> Error {
    let more = if count > 1 { format!(" (so are {count} {what})") } else { String::new() };
    match problem {
        Error::Row { path, line, field, expected, got } => {
            Error::Row { path, line, field, expected, got: got + &more }
        }
        Error::Content { path, field, expected, got } => {
            Error::Content { path, field, expected, got: got + &more }
        }
        other => other,
    }
}

type Face = (usize, Annotation, Written);

/// Looks at every face of `dataset`; each image is decoded once, on all cores. `each` is told how many faces are done.
pub fn check(dataset: &dyn Dataset, each: &(dyn Fn(usize) + Sync)) -> Report {
    let mut report = Report {
        faces: dataset.len(),
        images: 0,
        outside: 0,
        tags: BTreeMap::new(),
        same: Vec::new(),
        problems: Vec::new(),
        notes: whole::notes(dataset.scheme()),
        hash: String::new(),
    };
    let mut hash = Sha256::new();
    let by_image = sorted(dataset, &mut report, &mut hash);
    report.images = by_image.len();
    let mut first: HashMap<[u8; 32], PathBuf> = HashMap::new();
    let (mut done, mut units) = (0, Units::default());
    for some in by_image.chunks(STRIDE) {
        let looked: Vec<Looked> = some.par_iter().map(|(_, faces)| look(dataset, faces)).collect();
        for ((image, faces), looked) in some.iter().zip(looked) {
            hash.update(looked.hash.unwrap_or_default());
            if let Some(earlier) = looked.hash.and_then(|digest| first.insert(digest, image.clone())) {
                report.same.push((image.clone(), earlier));
            }
            units.add(&looked);
            report.outside += looked.outside;
            report.problems.extend(looked.problems);
            done += faces.len();
        }
        each(done);
    }
    report.notes.extend(units.note());
    report.hash = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    report
}

/// The faces by their images, in order; counts tags, finds what needs no image.
fn sorted(dataset: &dyn Dataset, report: &mut Report, hash: &mut Sha256) -> Vec<(PathBuf, Vec<Face>)> {
    let mut by_image: Vec<(PathBuf, Vec<Face>)> = Vec::new();
    let mut place_of: HashMap<PathBuf, usize> = HashMap::new();
    let mut seen: HashMap<Vec<u8>, String> = HashMap::new();
    let (mut boxes, mut far) = (Boxes::default(), Vec::new());
    let (mut alone, mut corners) = (false, Corners::default());
    for i in 0..dataset.len() {
        let face = match dataset.annotation(i) {
            Ok(face) => face,
            Err(problem) => {
                report.problems.push(problem);
                continue;
            }
        };
        let written = dataset.written(i);
        let place = Place { face: &face, written: &written };
        if place_of.is_empty() {
            report.problems.extend(whole::names(dataset.scheme(), &face.file));
        }
        if !alone && dataset.scheme().keypoints == 1 && face.stated.is_none() {
            alone = true;
            let expected = "a box, since errors of a single point are divided by its diagonal";
            report.problems.push(place.problem("box", expected, "none".into()));
        }
        corners.add(&place);
        hash.update(bytes(&face));
        for tag in &face.tags {
            *report.tags.entry(tag.clone()).or_default() += 1;
        }
        if let Some(earlier) = seen.insert(identity(&face), place.name()) {
            report.problems.push(place.problem(
                "row",
                "each face once",
                format!("the face of {earlier} again"),
            ));
        }
        boxes.add(&place);
        far.extend(face::far_box(&place));
        let at = *place_of.entry(face.image.clone()).or_insert_with(|| {
            by_image.push((face.image.clone(), Vec::new()));
            by_image.len() - 1
        });
        by_image[at].1.push((i, face, written));
    }
    report.notes.extend(corners.note());
    // Boxes of another convention may be far from their points too: one problem says it.
    match boxes.problem() {
        Some(problem) => report.problems.push(problem),
        None => report.problems.extend(far),
    }
    by_image
}

/// What one image told.
struct Looked {
    hash: Option<[u8; 32]>,
    size: Option<[u32; 2]>,
    faces: usize,
    outside: usize,
    /// Smallest and largest coordinate.
    range: [f32; 2],
    problems: Vec<Error>,
}

/// Decodes one image and compares its faces with it.
fn look(dataset: &dyn Dataset, faces: &[Face]) -> Looked {
    let (range, problems) = ([f32::INFINITY, f32::NEG_INFINITY], Vec::new());
    let mut looked = Looked { hash: None, size: None, faces: faces.len(), outside: 0, range, problems };
    let Some((index, face, written)) = faces.first() else { return looked };
    let first = Place { face, written };
    let (size, digest) = match size_and_hash(dataset, *index) {
        Ok(found) => found,
        Err(error) => {
            looked.problems.push(first.problem("image", "a readable image", error.to_string()));
            return looked;
        }
    };
    (looked.hash, looked.size) = (Some(digest), Some(size));
    for (_, face, written) in faces {
        looked.outside += usize::from(face::is_outside(face, size));
        looked.problems.extend(face::problem(&Place { face, written }, dataset.scheme(), size));
        for v in face::labelled(face).into_iter().flatten() {
            looked.range = [looked.range[0].min(v), looked.range[1].max(v)];
        }
    }
    looked
}

/// Width and height, and the hash of the image's file, or of its pixels where it has none.
fn size_and_hash(dataset: &dyn Dataset, index: usize) -> Result<([u32; 2], [u8; 32])> {
    let image = dataset.get(index)?.image;
    let size = [image.width(), image.height()];
    let digest = match dataset.image_path(index) {
        Some(path) => Sha256::digest(std::fs::read(&path).map_err(|source| Error::io(&path, source))?),
        None => Sha256::digest(image.as_raw()),
    };
    Ok((size, digest.into()))
}

/// What makes two rows the same face: image and points.
fn identity(face: &Annotation) -> Vec<u8> {
    let mut bytes = face.image.to_string_lossy().replace('\\', "/").into_bytes();
    bytes.push(0);
    bytes.extend(face.points.iter().flatten().flat_map(|v| v.to_le_bytes()));
    bytes
}

/// Everything that an annotation says, as bytes.
fn bytes(face: &Annotation) -> Vec<u8> {
    let mut bytes = identity(face);
    let place = face.face;
    bytes.extend([place.x, place.y, place.width, place.height].iter().flat_map(|v| v.to_le_bytes()));
    bytes.extend(face.visibility.iter().flatten().map(|seen| u8::from(*seen)));
    for tag in &face.tags {
        bytes.extend(tag.as_bytes());
        bytes.push(0);
    }
    bytes.push(b'\n');
    bytes
}
