//! Reading COCO keypoints.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::annotated::{AnnotatedImages, Read};
use super::super::place;
use super::{Category, Document, Entry, Id, Scale};
use crate::crop::CropRule;
use crate::scheme::Edge;
use crate::{Annotation, Error, FaceBox, Result, Scheme};

/// Reads the annotations of one category: the one called `category`, or the only one with keypoints. Images are below `images`.
/// Points follow `scheme`, or one made of the category.
///
/// # Errors
/// [`Error::Io`]; [`Error::Content`] where the file is no such JSON, or has no such category.
pub fn read(path: &Path, images: &Path, category: Option<&str>, scheme: Option<Scheme>) -> Result<Read> {
    let document = document(path)?;
    let category = choose(&document, path, category)?;
    let scheme = match scheme {
        Some(scheme) => scheme,
        None => made_of(&document, category, path)?,
    };
    let mut files = HashMap::new();
    for image in &document.images {
        files.insert(&image.id, image.file_name.as_str());
    }
    let file: Arc<Path> = path.into();
    let (mut faces, mut problems) = (Vec::new(), Vec::new());
    for (i, entry) in document.annotations.iter().enumerate() {
        let marked = entry.keypoints.chunks_exact(3).any(|point| point[2] > 0.0);
        let empty = entry.keypoints.is_empty() || entry.num_keypoints == Some(0) || !marked;
        let whole = entry.keypoints.len() == 3 * scheme.keypoints;
        if entry.category_id != category.id
            || entry.iscrowd != 0
            || (empty && (whole || entry.keypoints.is_empty()))
        {
            continue;
        }
        match face(&file, i, entry, &files, &scheme) {
            Ok(face) => faces.push(face),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((AnnotatedImages::new(faces, images, scheme), problems))
}

/// The scheme that the category called `category`, or the only one with keypoints, makes.
///
/// # Errors
/// As [`read`].
pub fn scheme(path: &Path, category: Option<&str>) -> Result<Scheme> {
    let document = document(path)?;
    made_of(&document, choose(&document, path, category)?, path)
}

fn document(path: &Path) -> Result<Document> {
    let bytes = place::read(path)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Error::content(
            path,
            "annotations",
            "COCO keypoints: images, annotations, categories",
            error.to_string(),
        )
    })
}

fn choose<'a>(document: &'a Document, path: &Path, name: Option<&str>) -> Result<&'a Category> {
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
    let got = name.map_or(format!("{} of them", found.len()), |name| format!("`{name}`"));
    Err(Error::content(path, "category", expected, got))
}

fn made_of(document: &Document, category: &Category, path: &Path) -> Result<Scheme> {
    let of_it = |e: &&Entry| e.category_id == category.id && !e.keypoints.is_empty();
    let first = document.annotations.iter().find(of_it).map_or(0, |e| e.keypoints.len() / 3);
    let keypoints = if category.keypoints.is_empty() { first } else { category.keypoints.len() };
    let unique = category.keypoints.iter().collect::<HashSet<_>>().len() == category.keypoints.len();
    let mut edges = Vec::new();
    for (i, &[a, b]) in category.skeleton.iter().enumerate() {
        let inside = |k: usize| (1..=keypoints).contains(&k);
        if !(inside(a) && inside(b)) {
            let field = format!("categories: `{}`: skeleton[{i}]", category.name);
            return Err(Error::content(
                path,
                field,
                format!("numbers from 1 to {keypoints}"),
                format!("[{a}, {b}]"),
            ));
        }
        edges.push(Edge { name: format!("{}-{}", a - 1, b - 1), closed: false, points: vec![a - 1, b - 1] });
    }
    let scheme = Scheme {
        name: category.name.clone(),
        aliases: Vec::new(),
        keypoints,
        names: if unique { category.keypoints.clone() } else { Vec::new() },
        five_points: None,
        inter_ocular: None,
        inter_pupil: None,
        normalizer: Default::default(),
        threshold: 0.10,
        flip_pairs: mirror_pairs(&category.keypoints),
        edges,
    };
    scheme.validate()?;
    Ok(scheme)
}

/// Names that are the same but for left and right.
fn mirror_pairs(names: &[String]) -> Vec<[usize; 2]> {
    let at: HashMap<String, usize> =
        names.iter().enumerate().map(|(i, name)| (name.to_lowercase(), i)).collect();
    let mirrored = |(i, name): (usize, &String)| {
        let name = name.to_lowercase();
        let other = if name.contains("left") { name.replace("left", "right") } else { return None };
        at.get(&other).map(|&j| [i, j])
    };
    names.iter().enumerate().filter_map(mirrored).collect()
}

fn face(
    file: &Arc<Path>,
    i: usize,
    entry: &Entry,
    files: &HashMap<&Id, &str>,
    scheme: &Scheme,
) -> Result<Annotation> {
    let wrong = |field: &str, expected: String, got: String| {
        Error::content(&**file, format!("annotations[{i}] (id {}): {field}", entry.id), expected, got)
    };
    let no_image = || wrong("image_id", "the id of one of the images".into(), entry.image_id.to_string());
    let name = files.get(&entry.image_id).ok_or_else(no_image)?;
    let outside = || wrong("file_name", "a path below the image folder".into(), place::quoted(name));
    let image: PathBuf = place::inside(name).ok_or_else(outside)?;
    let k = scheme.keypoints;
    if entry.keypoints.len() != 3 * k {
        let expected = format!("{} numbers ({k} points of scheme `{}`)", 3 * k, scheme.name);
        return Err(wrong("keypoints", expected, entry.keypoints.len().to_string()));
    }
    let (mut points, mut visible) = (Vec::with_capacity(k), Vec::with_capacity(k));
    for (j, triple) in entry.keypoints.chunks_exact(3).enumerate() {
        let [x, y, v] = [triple[0], triple[1], triple[2]];
        if !([0.0, 1.0, 2.0].contains(&v) && x.is_finite() && y.is_finite()) {
            return Err(wrong(
                &format!("keypoint {j}"),
                "finite x, y and a v of 0, 1 or 2".into(),
                format!("{triple:?}"),
            ));
        }
        points.push(if v == 0.0 { [f32::NAN; 2] } else { [x, y] });
        visible.push(v == 2.0);
    }
    let stated = stated(entry);
    let rule = if stated.is_some() { CropRule::Stated } else { CropRule::LandmarkTight };
    let face = rule.apply(&points, stated);
    let face = face.map_err(|error| wrong("bbox", "a box with an area".into(), error.to_string()))?;
    let (file, line, tags) = (file.clone(), i + 1, entry.tags.clone());
    Ok(Annotation { file, line, image, points, visibility: Some(visible), stated, face, tags })
}

fn stated(entry: &Entry) -> Option<FaceBox> {
    if let (Some([x, y]), Some(scale)) = (entry.center, entry.scale) {
        let [width, height] = match scale {
            Scale::One(side) => [side; 2],
            Scale::Two(sides) => sides,
        }
        .map(|side| side * FaceBox::PIXELS_PER_SCALE);
        return Some(FaceBox { x: x - width / 2.0, y: y - height / 2.0, width, height });
    }
    entry.bbox.map(|[x, y, width, height]| FaceBox { x, y, width, height })
}
