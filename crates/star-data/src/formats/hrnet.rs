//! The CSV files of HRNet-Facial-Landmark-Detection (Sun et al., High-Resolution Representations for Labeling Pixels and Regions,
//! 2019; github.com/HRNet/HRNet-Facial-Landmark-Detection).
//!
//! `image_name,scale,center_w,center_h,original_0_x,original_0_y,...,original_{K-1}_x,original_{K-1}_y` is the header, and each row
//! below it a face: the image's path below the folder of images, the box as a square of side `200 scale` about the centre, and K points
//! in 0-based pixels, taken as they are. Any scheme of K points is read. A file is one split of one data set, without subsets or tags.
//!
//! Crop: the row's own scale and centre ([`CropRule::Stated`]). The project's networks see 1.25 times that side, a margin that belongs
//! to the weights and not to the rows.

use std::path::Path;
use std::sync::Arc;

use csv::StringRecord;

use super::annotated::{self, AnnotatedImages, Read};
use super::definition::{Definition, Found, Request};
use super::paths::Paths;
use super::place::{self, Place, quoted};
use crate::crop::CropRule;
use crate::{Annotation, Error, FaceBox, Result, Scheme};

/// Columns before the points.
const FIRST: [&str; 4] = ["image_name", "scale", "center_w", "center_h"];

/// What an empty file should have held.
const EXPECTED: &str = "a header with image_name, scale, center_w, center_h, original_0_x, ... and rows";

/// Every face of the file `annotations`, with images below `images`.
///
/// # Errors
/// As [`read`], [`Error::Empty`] for a header without rows, and for the first row that cannot be used.
pub fn open(
    annotations: impl AsRef<Path>,
    images: impl AsRef<Path>,
    scheme: Scheme,
) -> Result<AnnotatedImages> {
    let annotations = annotations.as_ref();
    annotated::strict(read(annotations, images.as_ref(), scheme)?, annotations, EXPECTED)
}

/// The rows of the file `path`, and what is wrong with those that cannot be used.
///
/// # Errors
/// [`Error::Io`]; [`Error::Empty`] for a file without a header, [`Error::Row`] where the header is not that of the scheme's points.
pub fn read(path: &Path, images: &Path, scheme: Scheme) -> Result<Read> {
    read_by(path, images, scheme, &Paths::default())
}

fn read_by(path: &Path, images: &Path, scheme: Scheme, paths: &Paths) -> Result<Read> {
    let bytes = place::read(path)?;
    let file: Arc<Path> = path.into();
    let mut lines = place::lines(&bytes).map(|(line, bytes)| (Place { file: file.clone(), line }, bytes));
    let Some((at, first)) = lines.next() else {
        return Err(Error::Empty { path: path.to_path_buf(), expected: EXPECTED.into() });
    };
    check_header(&at, &fields(&at, first)?, &scheme)?;
    let (mut faces, mut problems) = (Vec::new(), Vec::new());
    for (at, line) in lines {
        match face(&at, line, &scheme, paths) {
            Ok(face) => faces.push(face),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((AnnotatedImages::new(faces, images, scheme), problems))
}

/// HRNet's CSV files among the formats.
pub(super) struct Hrnet;

impl Definition for Hrnet {
    fn name(&self) -> &'static str {
        "hrnet"
    }

    fn about(&self) -> &'static str {
        "A CSV file of HRNet-Facial-Landmark-Detection: image_name, scale, centre, points"
    }

    fn crop(&self) -> CropRule {
        CropRule::Stated
    }

    fn cuts_paths(&self) -> bool {
        true
    }

    fn read(&self, request: &Request) -> Result<Found> {
        let images = request.images_or_beside();
        Ok(read_by(request.path, &images, request.needed_scheme()?, request.paths)?.into())
    }
}

/// The fields of a line; a path with a comma in it stands between quotes.
fn fields(place: &Place, line: &[u8]) -> Result<StringRecord> {
    let text = place.text(line)?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .buffer_capacity(text.len())
        .from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    reader.read_record(&mut record).map_err(|error| place.error("row", "CSV", error.to_string()))?;
    Ok(record)
}

fn columns(scheme: &Scheme) -> usize {
    FIRST.len() + 2 * scheme.keypoints
}

fn check_header(place: &Place, header: &StringRecord, scheme: &Scheme) -> Result<()> {
    let points = (0..scheme.keypoints).flat_map(|k| ["x", "y"].map(|axis| format!("original_{k}_{axis}")));
    let names = FIRST.map(str::to_string).into_iter().chain(points);
    for (i, (name, got)) in names.zip(header).enumerate() {
        if name != got {
            return Err(place.error("header", format!("`{name}` in column {}", i + 1), quoted(got)));
        }
    }
    count(place, "header", header, scheme)
}

/// That a header or a row has a field for each column.
fn count(place: &Place, field: &'static str, record: &StringRecord, scheme: &Scheme) -> Result<()> {
    let wanted = columns(scheme);
    if record.len() == wanted {
        return Ok(());
    }
    let first = FIRST.join(", ");
    let expected = format!("{wanted} columns ({first}, {} points of `{}`)", scheme.keypoints, scheme.name);
    Err(place.error(field, expected, record.len().to_string()))
}

fn face(place: &Place, line: &[u8], scheme: &Scheme, paths: &Paths) -> Result<Annotation> {
    let record = fields(place, line)?;
    count(place, "columns", &record, scheme)?;
    let fields: Vec<&str> = record.iter().collect();
    let scale = place.number("scale", fields[1])?;
    if scale <= 0.0 {
        return Err(place.error("scale", "a positive number", quoted(fields[1])));
    }
    let centre = [place.number("center_w", fields[2])?, place.number("center_h", fields[3])?];
    let stated = Some(FaceBox::from_scale_and_centre(scale, centre));
    let points = place.points("landmarks", &fields[FIRST.len()..])?;
    let face = CropRule::Stated.apply(&points, stated);
    let face = face.map_err(|error| place.error("scale", "a box with an area", error.to_string()))?;
    Ok(Annotation {
        file: place.file.clone(),
        line: place.line,
        image: place.image_by(paths, fields[0])?,
        points,
        visibility: None,
        stated,
        face,
        tags: Vec::new(),
    })
}
