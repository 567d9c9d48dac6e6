//! One's own data with one's own scheme: a TOML file that says what the points are, and a CSV file that says where.
//!
//! ```toml
//! points = "points.csv"        # default: the name of this file with .csv
//! images = "images"            # default: the folder of this file
//! crop = "landmark_tight"      # default: stated where the rows have boxes
//! [scheme]                     # or scheme = "wflw98", or scheme = "mine.toml"
//! name = "paw"
//! keypoints = 3
//! names = ["left_toe", "right_toe", "heel"]
//! flip_pairs = [[0, 1]]        # names with left and right say it too; [] where nothing swaps
//! inter_ocular = [[0], [1]]    # the ends of the normalizer; they need not be eyes
//! normalizer = "inter-ocular"
//! edges = [{ name = "sole", closed = false, points = [0, 2, 1] }]
//! ```
//!
//! The CSV file has a header. `image` is needed, and for each keypoint two columns, `NAME_x` and `NAME_y` by the scheme's names or
//! `x0`, `y0`, `x1`, ... by number: 0-based pixels, both empty, `nan` or `-1` where the point is absent. A column `NAME_v` or `v0` of 0, 1 or 2 says
//! absent, hidden or visible, as in COCO. `box_x`, `box_y`, `box_width`, `box_height` state the box; `split` is any word; `tags` are
//! words between spaces.
//!
//! Crop: as the TOML file says; without a word in it [`CropRule::Stated`] where the rows have boxes, else
//! [`CropRule::LandmarkTight`].

mod columns;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::columns::Columns;
use super::annotated::{self, AnnotatedImages, Read};
use super::definition::{Definition, Found, Request};
use super::paths::Paths;
use super::place::Place;
use super::{layout, sniff};
use crate::crop::CropRule;
use crate::scheme::file::misplaced;
use crate::{Error, Result, Scheme};

pub use write::to_files;

/// The TOML file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    points: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    images: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crop: Option<CropRule>,
    scheme: toml::Value,
}

/// Every face of the TOML file `description` and the CSV file it names.
///
/// # Errors
/// As [`read`], and for the first row that cannot be used.
pub fn open(description: impl AsRef<Path>) -> Result<AnnotatedImages> {
    let description = description.as_ref();
    annotated::strict(read(description, None, None)?, description, "rows of faces")
}

/// One's own data among the formats.
pub(super) struct Own;

impl Definition for Own {
    fn name(&self) -> &'static str {
        "own"
    }

    fn about(&self) -> &'static str {
        "A TOML file with a scheme of your own, and a CSV file"
    }

    fn cuts_paths(&self) -> bool {
        true
    }

    fn read(&self, request: &Request) -> Result<Found> {
        Ok(read_by(&description(request.path), request.images, request.own_split, request.paths)?.into())
    }
}

/// Reads the TOML file `path` and the CSV file it names; with a `split` only the rows of that split. `images` goes before what the
/// file says.
///
/// # Errors
/// [`Error::Io`]; [`Error::Content`] for the TOML file, [`Error::Row`] where the CSV file has no or a wrong header.
pub fn read(path: &Path, images: Option<&Path>, split: Option<&str>) -> Result<Read> {
    read_by(path, images, split, &Paths::default())
}

fn read_by(path: &Path, images: Option<&Path>, split: Option<&str>, paths: &Paths) -> Result<Read> {
    let (head, scheme) = head(path)?;
    let folder = layout::folder_of(path);
    let below = folder.join(head.images.as_deref().unwrap_or(Path::new(".")));
    let table = table(path, &head);
    let bytes = sniff::read_rows(&table, "CSV with a header: image, x0, y0, x1, ...")?;
    let file: Arc<Path> = table.as_path().into();
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(bytes.as_slice());
    let (mut columns, mut faces, mut problems) = (None, Vec::new(), Vec::new());
    let mut record = csv::ByteRecord::new();
    loop {
        let more = reader.read_byte_record(&mut record);
        let at = Place { file: file.clone(), line: record.position().map_or(0, |p| line_of(&bytes, p)) };
        if !more.map_err(|error| at.error("row", "CSV", error.to_string()))? {
            break;
        }
        if record.iter().all(|field| field.iter().all(u8::is_ascii_whitespace)) {
            continue;
        }
        let Some(columns) = &columns else {
            columns = Some(Columns::of(&at, &record, &scheme)?);
            continue;
        };
        match columns.face(&at, &record, head.crop, paths) {
            Ok((of, face)) if split.is_none_or(|split| of.as_deref() == Some(split)) => faces.push(face),
            Ok(_) => {}
            Err(problem) => problems.push(problem),
        }
    }
    if columns.is_none() {
        return Err(Error::Empty {
            path: table,
            expected: "a header with image, x0, y0, x1, ... and rows".into(),
        });
    }
    Ok((AnnotatedImages::new(faces, images.unwrap_or(&below), scheme), problems))
}

/// The line that a record begins on: its position is that of blank lines before it.
pub(crate) fn line_of(bytes: &[u8], position: &csv::Position) -> usize {
    let rest = bytes.get(position.byte() as usize..).unwrap_or_default();
    let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() as usize + blank.filter(|byte| **byte == b'\n').count()
}

/// The scheme that the TOML file gives or names.
///
/// # Errors
/// As [`read`].
pub fn scheme(path: &Path) -> Result<Scheme> {
    Ok(head(path)?.1)
}

/// The files that data of one's own are read from: the TOML file, its CSV file, and that of the scheme where it is another one.
///
/// # Errors
/// As [`read`].
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let path = description(path);
    let (head, _) = head(&path)?;
    let folder = layout::folder_of(&path);
    let table = table(&path, &head);
    let scheme = head.scheme.as_str().filter(|name| name.ends_with(".toml")).map(|name| folder.join(name));
    Ok([path, table].into_iter().chain(scheme).collect())
}

/// The TOML file, of which the folder may be named.
fn description(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("dataset.toml") } else { path.to_path_buf() }
}

/// The CSV file.
fn table(path: &Path, head: &Head) -> PathBuf {
    match &head.points {
        Some(points) => layout::folder_of(path).join(points),
        None => path.with_extension("csv"),
    }
}

fn head(path: &Path) -> Result<(Head, Scheme)> {
    let bytes = sniff::read_rows(path, "TOML: points, images, crop, scheme")?;
    let text = Place { file: path.into(), line: 1 }.text(&bytes)?.to_string();
    let wrong = |error: toml::de::Error| {
        let got = format!("{}{}", error.to_string().trim_end(), misplaced(&text));
        Error::content(path, "description", "points, images, crop, scheme", got)
    };
    let head: Head = toml::from_str(&text).map_err(wrong)?;
    let scheme = match &head.scheme {
        toml::Value::String(name) if name.ends_with(".toml") => {
            Scheme::from_file_of_its_own(&layout::folder_of(path).join(name))?
        }
        toml::Value::String(name) => Scheme::asked(name)?,
        given => Scheme::deserialize(given.clone()).map_err(wrong)?,
    };
    scheme.validate()?;
    Ok((head, scheme))
}
