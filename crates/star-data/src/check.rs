//! Looking at every face of a data set: images, points, rows that stand twice, and a hash of it all.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::{Annotation, Dataset, Error, Result};

/// Share of a face's side by which a point may lie outside its image: annotators place points beyond the border too.
const SLACK: f32 = 0.5;

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
    /// What is wrong: images that are missing or damaged, points farther outside their image than half the face's side, faces that
    /// stand twice.
    pub problems: Vec<Error>,
    /// SHA-256 of annotations and images, in order: the same wherever the data set lies.
    pub hash: String,
}

/// Looks at every face of `dataset`; each image is decoded once, on all cores. `each` is told how many faces are done.
pub fn check(dataset: &dyn Dataset, each: &(dyn Fn(usize) + Sync)) -> Report {
    let mut report = Report {
        faces: dataset.len(),
        images: 0,
        outside: 0,
        tags: BTreeMap::new(),
        same: Vec::new(),
        problems: Vec::new(),
        hash: String::new(),
    };
    let mut hash = Sha256::new();
    let mut by_image: Vec<(PathBuf, Vec<(usize, Annotation)>)> = Vec::new();
    let mut place_of: HashMap<PathBuf, usize> = HashMap::new();
    let mut seen: HashMap<Vec<u8>, String> = HashMap::new();
    for i in 0..dataset.len() {
        let face = match dataset.annotation(i) {
            Ok(face) => face,
            Err(problem) => {
                report.problems.push(problem);
                continue;
            }
        };
        let bytes = bytes(&face);
        hash.update(&bytes);
        for tag in &face.tags {
            *report.tags.entry(tag.clone()).or_default() += 1;
        }
        let here = format!("{}: line {}", face.file.display(), face.line);
        if let Some(earlier) = seen.insert(identity(&face), here) {
            report.problems.push(row(&face, "row", "each face once", format!("the face of {earlier} again")));
        }
        let at = *place_of.entry(face.image.clone()).or_insert_with(|| {
            by_image.push((face.image.clone(), Vec::new()));
            by_image.len() - 1
        });
        by_image[at].1.push((i, face));
    }
    report.images = by_image.len();
    let mut first: HashMap<[u8; 32], PathBuf> = HashMap::new();
    let mut done = 0;
    for some in by_image.chunks(STRIDE) {
        let looked: Vec<Looked> = some.par_iter().map(|(_, faces)| look(dataset, faces)).collect();
        for ((image, faces), looked) in some.iter().zip(looked) {
            hash.update(looked.hash.unwrap_or_default());
            if let Some(earlier) = looked.hash.and_then(|digest| first.insert(digest, image.clone())) {
                report.same.push((image.clone(), earlier));
            }
            report.outside += looked.outside;
            report.problems.extend(looked.problems);
            done += faces.len();
        }
        each(done);
    }
    report.hash = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    report
}

struct Looked {
    hash: Option<[u8; 32]>,
    outside: usize,
    problems: Vec<Error>,
}

/// Decodes one image and compares its faces with it.
fn look(dataset: &dyn Dataset, faces: &[(usize, Annotation)]) -> Looked {
    let mut looked = Looked { hash: None, outside: 0, problems: Vec::new() };
    let Some((index, face)) = faces.first() else { return looked };
    let (size, digest) = match size_and_hash(dataset, *index) {
        Ok(found) => found,
        Err(error) => {
            looked.problems.push(row(face, "image", "a readable image", error.to_string()));
            return looked;
        }
    };
    looked.hash = Some(digest);
    for (_, face) in faces {
        let beyond = |slack: f32| {
            let out = move |v: f32, side: u32| v < -0.5 - slack || v > side as f32 - 0.5 + slack;
            face.points.iter().find(|p| out(p[0], size[0]) || out(p[1], size[1]))
        };
        looked.outside += usize::from(beyond(0.0).is_some());
        if let Some([x, y]) = beyond(SLACK * face.face.side()) {
            let expected = format!("points in the image of {}x{} pixels", size[0], size[1]);
            looked.problems.push(row(face, "landmarks", expected, format!("({x}, {y})")));
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

fn row(face: &Annotation, field: &'static str, expected: impl Into<String>, got: String) -> Error {
    Error::Row { path: face.file.to_path_buf(), line: face.line, field, expected: expected.into(), got }
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
