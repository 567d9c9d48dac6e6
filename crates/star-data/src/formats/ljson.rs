//! menpo's `.ljson` files (menpo.org, menpo/io/input/landmark.py), versions 1 to 3: one JSON file an image, beside it, or a folder of them.
//!
//! | version | points |
//! |---|---|
//! | 1 | `groups[].landmarks[].point`, all groups one after the other |
//! | 2 | `landmarks.points` |
//! | 3 | `groups.NAME.landmarks.points`; of several groups the one with as many points as the scheme |
//!
//! A point is `[y, x]` in 0-based pixels, y first; `null` or `NaN` is a point that is absent. Labels, masks and connectivity are passed
//! over: a scheme says what they say. No splits, no subsets.
//!
//! Crop: [`CropRule::LandmarkTight`](crate::crop::CropRule), since the format states no box.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::annotated::{self, AnnotatedImages, Read};
use super::definition::{Definition, Found, Request};
use super::{layout, place, pts};
use crate::sample::or_absent;
use crate::{Annotation, Error, Result, Scheme};

/// What an empty folder should have held.
const EXPECTED: &str = ".ljson files beside their images";

/// The faces of an `.ljson` file, or of every one in a folder (not below it), by name, beside their images.
///
/// # Errors
/// As [`read`], and for the first file that cannot be used.
pub fn open(annotations: impl AsRef<Path>, scheme: Scheme) -> Result<AnnotatedImages> {
    let annotations = annotations.as_ref();
    annotated::strict(read(annotations, &pts::beside(annotations), scheme)?, annotations, EXPECTED)
}

/// The faces of an `.ljson` file or of every one in a folder, and what is wrong with the files that cannot be used.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be read, [`Error::Empty`] where it holds none.
pub fn read(annotations: &Path, images: &Path, scheme: Scheme) -> Result<Read> {
    let files = if annotations.is_dir() {
        layout::files_in(annotations, "ljson")?
    } else {
        vec![annotations.to_path_buf()]
    };
    if files.is_empty() {
        return Err(Error::Empty { path: annotations.to_path_buf(), expected: EXPECTED.into() });
    }
    let (mut faces, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        match face(&file, images, &scheme) {
            Ok(face) => faces.push(face),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((AnnotatedImages::new(faces, images, scheme), problems))
}

/// menpo's files among the formats.
pub(super) struct Ljson;

impl Definition for Ljson {
    fn name(&self) -> &'static str {
        "ljson"
    }

    fn about(&self) -> &'static str {
        "menpo's .ljson files beside their images"
    }

    fn read(&self, request: &Request) -> Result<Found> {
        let images = request.images.map_or_else(|| pts::beside(request.path), Path::to_path_buf);
        Ok(read(request.path, &images, request.needed_scheme()?)?.into())
    }
}

/// y, then x; absent where either is.
type Point = Option<Vec<Option<f32>>>;

#[derive(Deserialize)]
struct File {
    version: Option<u32>,
    /// A list in version 1, named ones in version 3.
    groups: Option<Value>,
    landmarks: Option<Landmarks>,
}

#[derive(Deserialize)]
struct Listed {
    landmarks: Vec<ListedPoint>,
}

#[derive(Deserialize)]
struct ListedPoint {
    point: Point,
}

#[derive(Deserialize)]
struct Group {
    landmarks: Landmarks,
}

#[derive(Deserialize)]
struct Landmarks {
    points: Vec<Point>,
}

fn face(file: &Path, images: &Path, scheme: &Scheme) -> Result<Annotation> {
    let text = without_nan(&place::read(file)?);
    let parsed: File = serde_json::from_slice(&text).map_err(|error| no_ljson(file, &error))?;
    let points = points(parsed, file, scheme.keypoints)?;
    let expected = || format!("{} points of scheme `{}`", scheme.keypoints, scheme.name);
    if points.len() != scheme.keypoints {
        return Err(Error::content(file, "points", expected(), points.len().to_string()));
    }
    let points = points.iter().enumerate().map(|(k, point)| pixel(point, k, file)).collect::<Result<_>>()?;
    let image: PathBuf = pts::image_of(file, images, images)?;
    pts::face(file, image, points)
}

/// JSON does not have NaN, which Python writes for points that are absent: `null` in its place.
fn without_nan(text: &[u8]) -> Vec<u8> {
    let free = |byte: Option<&u8>| byte.is_none_or(|byte| b" \t\r\n[],:".contains(byte));
    let (mut clean, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(byte) = text.get(at) {
        if text[at..].starts_with(b"NaN") && free(clean.last()) && free(text.get(at + 3)) {
            clean.extend(b"null");
            at += 3;
        } else {
            clean.push(*byte);
            at += 1;
        }
    }
    clean
}

fn points(file: File, path: &Path, wanted: usize) -> Result<Vec<Point>> {
    match (file.groups, file.landmarks) {
        (Some(groups @ Value::Array(_)), None) => {
            let groups: Vec<Listed> =
                serde_json::from_value(groups).map_err(|error| no_ljson(path, &error))?;
            Ok(groups.into_iter().flat_map(|group| group.landmarks).map(|landmark| landmark.point).collect())
        }
        (Some(groups), None) => {
            of_groups(serde_json::from_value(groups).map_err(|error| no_ljson(path, &error))?, path, wanted)
        }
        (_, Some(landmarks)) => Ok(landmarks.points),
        (None, None) => {
            let got =
                file.version.map_or("neither".into(), |version| format!("neither, in version {version}"));
            Err(Error::content(path, "points", "`landmarks` or `groups`", got))
        }
    }
}

fn no_ljson(path: &Path, error: &serde_json::Error) -> Error {
    Error::content(path, "annotations", "an .ljson file of menpo", error.to_string())
}

/// The points of the only group, or of the only one with as many as wanted.
fn of_groups(groups: BTreeMap<String, Group>, path: &Path, wanted: usize) -> Result<Vec<Point>> {
    let known: Vec<String> =
        groups.iter().map(|(name, group)| format!("{name} ({})", group.landmarks.points.len())).collect();
    let got = if known.is_empty() { "none".into() } else { known.join(", ") };
    let only = groups.len() == 1;
    let points = groups.into_values().map(|group| group.landmarks.points);
    let mut fitting = points.filter(|points| only || points.len() == wanted);
    match (fitting.next(), fitting.next()) {
        (Some(points), None) => Ok(points),
        _ => Err(Error::content(path, "groups", format!("one group of {wanted} points"), got)),
    }
}

/// A point as `(x, y)`, NaN where it is absent.
fn pixel(point: &Point, k: usize, path: &Path) -> Result<[f32; 2]> {
    match point.as_deref() {
        None => Ok([f32::NAN; 2]),
        Some([Some(y), Some(x)]) if x.is_finite() && y.is_finite() => Ok(or_absent([*x, *y])),
        Some([_, _]) => Ok([f32::NAN; 2]),
        Some(other) => {
            let got = format!("{} numbers", other.len());
            Err(Error::content(path, format!("point {k}"), "[y, x]", got))
        }
    }
}
