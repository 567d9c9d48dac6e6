//! Reading COCO keypoints.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::annotated::{AnnotatedImages, Read};
use super::super::definition::Found;
use super::super::paths::Paths;
use super::super::place;
use super::{Category, Document, Entry, Id, Image, Scale, diagnose};
use crate::crop::CropRule;
use crate::sample::{ABSENT, is_labelled, or_absent};
use crate::scheme::Edge;
use crate::{Annotation, Error, FaceBox, Result, Scheme};

/// Reads the annotations of one category: the one called `category`, or the only one with keypoints. Images are below `images`.
/// Points follow `scheme`, or one made of the category.
///
/// # Errors
/// [`Error::Io`]; [`Error::Content`] where the file is no such JSON, has no annotations, or has no such category.
pub fn read(path: &Path, images: &Path, category: Option<&str>, scheme: Option<Scheme>) -> Result<Read> {
    let (faces, problems, _) = read_by(path, images, category, scheme, &Paths::default())?;
    Ok((faces, problems))
}

/// As [`read`], by the options for paths, and with what a person should know.
pub(super) fn found(
    path: &Path,
    images: &Path,
    category: Option<&str>,
    scheme: Option<Scheme>,
    paths: &Paths,
) -> Result<Found> {
    let (faces, problems, notes) = read_by(path, images, category, scheme, paths)?;
    Ok(Found { faces: Arc::new(faces), problems, notes })
}

fn read_by(
    path: &Path,
    images: &Path,
    category: Option<&str>,
    scheme: Option<Scheme>,
    paths: &Paths,
) -> Result<(AnnotatedImages, Vec<Error>, Vec<String>)> {
    let document = document(path)?;
    if document.annotations.is_empty() {
        return Err(Error::content(path, "annotations", "at least one with keypoints", "no annotations"));
    }
    let category = choose(&document, path, category)?;
    let (scheme, notes) = match scheme {
        Some(scheme) => (scheme, Vec::new()),
        None => made_of(&document, category, path)?,
    };
    let reader = Reader { file: path.into(), images: Images::of(&document), scheme: &scheme, paths };
    let (mut faces, mut sizes, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for (i, entry) in document.annotations.iter().enumerate() {
        if !wanted(entry, category, &scheme) {
            continue;
        }
        match reader.face(i, entry) {
            Ok((face, size)) => {
                faces.push(face);
                sizes.push(size);
            }
            Err(problem) => problems.push(problem),
        }
    }
    let faces = AnnotatedImages::new(faces, images, scheme).with_entries("annotations").with_sizes(sizes);
    Ok((faces, problems, notes))
}

/// Whether an annotation is of the category, of one thing, and has a point; one with another number of points is a fault to be told.
pub(super) fn wanted(entry: &Entry, category: &Category, scheme: &Scheme) -> bool {
    let marked = entry.keypoints.chunks_exact(3).any(|point| point[2] > 0.0);
    let empty = entry.keypoints.is_empty() || entry.num_keypoints == Some(0) || !marked;
    let whole = entry.keypoints.len() == 3 * scheme.keypoints;
    let none = empty && (whole || entry.keypoints.is_empty());
    entry.category_id == category.id && entry.iscrowd == 0 && !none
}

/// The scheme that the category called `category`, or the only one with keypoints, makes.
///
/// # Errors
/// As [`read`].
pub fn scheme(path: &Path, category: Option<&str>) -> Result<Scheme> {
    let document = document(path)?;
    Ok(made_of(&document, choose(&document, path, category)?, path)?.0)
}

pub(super) fn document(path: &Path) -> Result<Document> {
    let bytes = place::read(path)?;
    serde_json::from_slice(&bytes).map_err(|error| diagnose::error(path, &bytes, &error))
}

pub(super) fn choose<'a>(document: &'a Document, path: &Path, name: Option<&str>) -> Result<&'a Category> {
    let annotated: HashSet<&Id> =
        document.annotations.iter().filter(|e| !e.keypoints.is_empty()).map(|e| &e.category_id).collect();
    let fits = |c: &&Category| match name {
        Some(name) => c.name.eq_ignore_ascii_case(name),
        None => annotated.contains(&c.id),
    };
    let found: Vec<&Category> = document.categories.iter().filter(fits).collect();
    if let [category] = found.as_slice() {
        return Ok(category);
    }
    let known: Vec<&str> = document.categories.iter().map(|c| c.name.as_str()).collect();
    let expected = match name {
        Some(_) => format!("one of {}", known.join(", ")),
        None => format!("one category with keypoints, or --category with one of {}", known.join(", ")),
    };
    let got = match (name, annotated.iter().next(), found.len()) {
        (Some(name), ..) => format!("`{name}`"),
        (None, None, _) => format!("{} annotations, none with keypoints", document.annotations.len()),
        (None, Some(id), 0) => format!("keypoints of category_id {id}, which `categories` does not have"),
        (None, Some(_), count) => format!("{count} of them"),
    };
    Err(Error::content(path, "category", expected, got))
}

/// The scheme of a category, and what there is to know about it.
fn made_of(document: &Document, category: &Category, path: &Path) -> Result<(Scheme, Vec<String>)> {
    let of_it = |e: &&Entry| e.category_id == category.id && !e.keypoints.is_empty();
    let first = document.annotations.iter().find(of_it).map_or(0, |e| e.keypoints.len() / 3);
    let keypoints = if category.keypoints.is_empty() { first } else { category.keypoints.len() };
    let unique = category.keypoints.iter().collect::<HashSet<_>>().len() == category.keypoints.len();
    let (edges, note) = bones(category, keypoints, path)?;
    let scheme = Scheme {
        names: if unique { category.keypoints.clone() } else { Vec::new() },
        edges,
        ..Scheme::new(&category.name, keypoints)
    };
    scheme.validate()?;
    Ok((scheme, note.into_iter().collect()))
}

/// An edge a bone. Bones are counted from 1; where one has a 0 and none the number of keypoints, they are counted from 0.
fn bones(category: &Category, keypoints: usize, path: &Path) -> Result<(Vec<Edge>, Option<String>)> {
    let ends = || category.skeleton.iter().flatten();
    let from_zero = ends().any(|&end| end == 0) && !ends().any(|&end| end == keypoints as i64);
    let base = i64::from(!from_zero);
    let mut edges = Vec::new();
    for (i, &[a, b]) in category.skeleton.iter().enumerate() {
        let point = |end: i64| usize::try_from(end - base).ok().filter(|&point| point < keypoints);
        let (Some(from), Some(to)) = (point(a), point(b)) else {
            let field = format!("categories: `{}`: skeleton[{i}]", category.name);
            let last = keypoints as i64 + base - 1;
            return Err(Error::content(
                path,
                field,
                format!("numbers from {base} to {last}"),
                format!("[{a}, {b}]"),
            ));
        };
        edges.push(Edge { name: format!("{from}-{to}"), closed: false, points: vec![from, to] });
    }
    let note =
        from_zero.then(|| format!("the skeleton of `{}` is counted from 0, not from 1", category.name));
    Ok((edges, note))
}

/// The images of a document by their ids.
struct Images<'a> {
    by_id: HashMap<&'a Id, (usize, &'a Image)>,
    /// Ids of several images, with another one of theirs.
    twice: HashMap<&'a Id, (usize, &'a Image)>,
}

impl<'a> Images<'a> {
    fn of(document: &'a Document) -> Self {
        let mut images = Self { by_id: HashMap::new(), twice: HashMap::new() };
        for (i, image) in document.images.iter().enumerate() {
            let first = *images.by_id.entry(&image.id).or_insert((i, image));
            if first.1.file_name != image.file_name {
                images.twice.insert(&image.id, (i, image));
            }
        }
        images
    }
}

struct Reader<'a> {
    file: Arc<Path>,
    images: Images<'a>,
    scheme: &'a Scheme,
    paths: &'a Paths,
}

impl Reader<'_> {
    /// A problem of one annotation: its index, its id and its image are named.
    fn wrong(&self, i: usize, entry: &Entry, field: &str, expected: String, got: String) -> Error {
        let id = entry.id.iter().map(|id| format!("id {id}"));
        let image = self.images.by_id.get(&entry.image_id).map(|(_, image)| image.file_name.clone());
        let names: Vec<String> = id.chain(image).collect();
        let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
        Error::content(&*self.file, format!("annotations[{i}]{names}: {field}"), expected, got)
    }

    /// The face of an annotation, and the size that its image is to have.
    fn face(&self, i: usize, entry: &Entry) -> Result<(Annotation, Option<[u32; 2]>)> {
        let wrong = |field: &str, expected: String, got: String| self.wrong(i, entry, field, expected, got);
        let no_image = || wrong("image_id", "the id of one of the images".into(), entry.image_id.to_string());
        let &(first, image) = self.images.by_id.get(&entry.image_id).ok_or_else(no_image)?;
        if let Some((second, other)) = self.images.twice.get(&entry.image_id) {
            let got =
                format!("{} of images[{first}] and images[{second}] ({})", entry.image_id, other.file_name);
            return Err(wrong("image_id", "the id of one image alone".into(), got));
        }
        let found = self.paths.find(&image.file_name);
        let path: PathBuf = found.map_err(|(expected, got)| wrong("file_name", expected, got))?;
        let (points, visible) = self.points(i, entry)?;
        let stated = stated(entry).map_err(|(expected, got)| wrong("bbox", expected, got))?;
        let (rule, field, expected) = match stated {
            Some(_) => (CropRule::Stated, "bbox", "a box with an area"),
            None => (CropRule::LandmarkTight, "keypoints", "points apart from each other, or a bbox"),
        };
        let face = rule.apply(&points, stated);
        let face = face.map_err(|error| wrong(field, expected.into(), error.to_string()))?;
        let size = image.width.zip(image.height).map(|(width, height)| [width, height]);
        let (file, line, tags) = (self.file.clone(), i + 1, entry.tags.clone());
        let visibility = Some(visible);
        let face = Annotation { file, line, image: path, points, visibility, stated, face, tags };
        Ok((face, size.filter(|size| !size.contains(&0))))
    }

    /// The points of an annotation and which of them are visible.
    fn points(&self, i: usize, entry: &Entry) -> Result<(Vec<[f32; 2]>, Vec<bool>)> {
        let k = self.scheme.keypoints;
        if entry.keypoints.len() != 3 * k {
            let expected = format!("{} numbers ({k} points of scheme `{}`)", 3 * k, self.scheme.name);
            let hint = if entry.keypoints.len() == 2 * k { ", x and y without v" } else { "" };
            let got = format!("{}{hint}", entry.keypoints.len());
            return Err(self.wrong(i, entry, "keypoints", expected, got));
        }
        let (mut points, mut visible) = (Vec::with_capacity(k), Vec::with_capacity(k));
        for (j, triple) in entry.keypoints.chunks_exact(3).enumerate() {
            let [x, y, v] = [triple[0], triple[1], triple[2]];
            let missing = x.is_nan() && y.is_nan();
            let point = if v == 0.0 || missing { ABSENT } else { or_absent([x, y]) };
            let known = [0.0, 1.0, 2.0].contains(&v) || (missing && v.is_nan());
            let finite = (x.is_finite() && y.is_finite()) || missing || v == 0.0;
            if !(known && finite) {
                let expected = "finite x, y and a v of 0, 1 or 2".to_string();
                return Err(self.wrong(i, entry, &format!("keypoint {j}"), expected, format!("{triple:?}")));
            }
            visible.push(v == 2.0 && is_labelled(&point));
            points.push(point);
        }
        Ok((points, visible))
    }
}

/// The box that an annotation states, or what was expected of `bbox` and what is there.
fn stated(entry: &Entry) -> std::result::Result<Option<FaceBox>, (String, String)> {
    if let (Some([x, y]), Some(scale)) = (entry.center, entry.scale) {
        let [width, height] = match scale {
            Scale::One(side) => [side; 2],
            Scale::Two(sides) => sides,
        }
        .map(|side| side * FaceBox::PIXELS_PER_SCALE);
        return Ok(Some(FaceBox { x: x - width / 2.0, y: y - height / 2.0, width, height }));
    }
    match entry.bbox.as_slice() {
        [] => Ok(None),
        &[x, y, width, height] => Ok(FaceBox::stated([x, y, width, height])),
        other => Err(("4 numbers: x, y, width, height".into(), other.len().to_string())),
    }
}
