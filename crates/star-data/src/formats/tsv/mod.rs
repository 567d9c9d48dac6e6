//! The tab-separated rows that the method's reference implementation reads.
//!
//! `path, 5 points, all points, scale, center_w, center_h[, tags]`, points as `x,y,x,y,...` in pixels. Published files have no header
//! row, converted ones often do; which it is, is told by content. Paths may carry Windows separators and a foreign prefix
//! (`./rawImages/`, or a long network share ending in `/rawImages/`), which is cut off. Tags are names, or WFLW's six attributes as
//! `0,1,0,0,0,0` in the order of [`wflw::ATTRIBUTES`].
//!
//! Crop: the row's own scale and centre ([`CropRule::Stated`]): the published models were trained on them, and where they were made
//! from landmarks they follow [`CropRule::LandmarkTight`].

mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::annotated::{self, AnnotatedImages, Read};
use super::definition::{Compat, Definition, Found, Request};
use super::paths::Paths;
use super::place::{self, Place, quoted};
use super::{sniff, wflw};
use crate::crop::CropRule;
use crate::{Annotation, Dataset, Error, FaceBox, Result, Scheme};

pub use write::{HEADER, format_annotation, format_row};

/// Folder name that ends a foreign prefix.
const FOREIGN_ROOT: &str = "rawImages/";

/// What an empty file should have held.
const EXPECTED: &str = "rows of image, 5 points, all points, scale, center_w, center_h";

/// Every face of the file `annotations`, with images below `images`.
///
/// # Errors
/// [`Error::Io`], [`Error::Empty`], or [`Error::Row`] for the first row that is wrong.
pub fn open(
    annotations: impl AsRef<Path>,
    images: impl AsRef<Path>,
    scheme: Scheme,
) -> Result<AnnotatedImages> {
    let annotations = annotations.as_ref();
    annotated::strict(read(annotations, images.as_ref(), scheme)?, annotations, EXPECTED)
}

/// Files of rows among the formats.
pub(super) struct Tsv;

impl Definition for Tsv {
    fn name(&self) -> &'static str {
        "tsv"
    }

    fn about(&self) -> &'static str {
        "Rows of image, 5 points, all points, scale and centre, as the method's reference reads them"
    }

    fn crop(&self) -> CropRule {
        CropRule::Stated
    }

    fn cuts_paths(&self) -> bool {
        true
    }

    fn read(&self, request: &Request) -> Result<Found> {
        let images = request.images_or_beside();
        let (mut faces, problems) = read_by(request.path, &images, request.needed_scheme()?, request.paths)?;
        if faces.annotations().is_empty() && problems.is_empty() {
            return Err(Error::Empty { path: request.path.to_path_buf(), expected: EXPECTED.into() });
        }
        let mut notes = Vec::new();
        if request.compat == Compat::Reference {
            // The reference takes the first row for a header that published files do not have.
            let rows = faces.annotations().iter().skip(1).cloned().collect();
            faces = AnnotatedImages::new(rows, &images, faces.scheme().clone());
            notes.push("compat reference: the first row is dropped".to_string());
        }
        Ok(Found { faces: Arc::new(faces), problems, notes })
    }
}

/// The rows of a file, and what is wrong with those that cannot be used.
///
/// # Errors
/// [`Error::Io`].
pub fn read(path: &Path, images: &Path, scheme: Scheme) -> Result<Read> {
    read_by(path, images, scheme, &Paths::default())
}

fn read_by(path: &Path, images: &Path, scheme: Scheme, paths: &Paths) -> Result<Read> {
    let bytes = sniff::read_rows(path, EXPECTED)?;
    let file: Arc<Path> = path.into();
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for (i, (line, bytes)) in place::lines(&bytes).enumerate() {
        if i == 0 && is_header(bytes) {
            continue;
        }
        match row(&Place { file: file.clone(), line }, bytes, &scheme, paths) {
            Ok(row) => rows.push(row),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((AnnotatedImages::new(rows, images, scheme), problems))
}

/// A header has no digit in its columns of numbers; a damaged row of data does.
fn is_header(line: &[u8]) -> bool {
    let mut columns = line.split(|&b| b == b'\t').skip(1).filter(|column| !column.is_empty()).peekable();
    columns.peek().is_some()
        && columns.all(|column| column[0].is_ascii_alphabetic() && !column.contains(&b','))
}

fn row(place: &Place, line: &[u8], scheme: &Scheme, paths: &Paths) -> Result<Annotation> {
    let columns: Vec<&str> = place.text(line)?.split('\t').map(str::trim).collect();
    if !(6..=7).contains(&columns.len()) {
        let expected = "6 or 7 tab-separated: image, 5 points, all points, scale, center_w, center_h[, tags]";
        let instead = (columns.len() == 1).then(|| place::separator(columns[0])).flatten();
        let instead = instead.map(|name| format!(", with {name}")).unwrap_or_default();
        return Err(place.error("columns", expected, format!("{}{instead}", columns.len())));
    }
    points(place, "landmarks_5pts", columns[1], 5)?;
    let points = points(place, "landmarks", columns[2], scheme.keypoints)?;
    let scale = place.number("scale", columns[3])?;
    if scale <= 0.0 {
        return Err(place.error("scale", "a positive number", quoted(columns[3])));
    }
    let centre = [place.number("center_w", columns[4])?, place.number("center_h", columns[5])?];
    let face = FaceBox::from_scale_and_centre(scale, centre);
    Ok(Annotation {
        file: place.file.clone(),
        line: place.line,
        image: image(place, columns[0], paths)?,
        points,
        visibility: None,
        stated: Some(face),
        face: CropRule::Stated.apply(&[], Some(face))?,
        tags: columns.get(6).map_or(Vec::new(), |text| tags(text)),
    })
}

fn points(place: &Place, field: &'static str, text: &str, count: usize) -> Result<Vec<[f32; 2]>> {
    // Some writers end the list with a comma.
    let values: Vec<&str> = text.strip_suffix(',').unwrap_or(text).split(',').collect();
    if values.len() != 2 * count {
        let got = if text.is_empty() { "none".to_string() } else { format!("{} numbers", values.len()) };
        return Err(place.error(field, format!("{} numbers ({count} points)", 2 * count), got));
    }
    place.points(field, &values)
}

/// Names, or WFLW's six attributes as zeros and ones.
fn tags(text: &str) -> Vec<String> {
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let flags: Option<Vec<f32>> = parts.iter().map(|part| part.parse().ok()).collect();
    match flags {
        Some(flags) if flags.len() == wflw::ATTRIBUTES.len() => wflw::attributes(|i| flags[i] == 1.0),
        _ => parts.into_iter().map(str::to_string).collect(),
    }
}

fn image(place: &Place, text: &str, paths: &Paths) -> Result<PathBuf> {
    let path = text.replace('\\', "/");
    let path = path.rfind(FOREIGN_ROOT).map_or(path.as_str(), |at| &path[at + FOREIGN_ROOT.len()..]);
    place.image_by(paths, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme() -> Scheme {
        Scheme::new("three", 3)
    }

    const FIVE: &str = "1,2,3,4,5,6,7,8,9,10";

    fn row() -> String {
        format!("a/b.png\t{FIVE}\t1,2,3.5,4,5,6\t0.5\t10\t20")
    }

    fn opened(text: &[u8]) -> Result<AnnotatedImages> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("faces.tsv");
        std::fs::write(&path, text).unwrap();
        open(&path, dir.path(), scheme())
    }

    fn refusal(text: &str) -> String {
        opened(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn rows_are_read_with_and_without_a_header_with_windows_line_ends_and_a_mark() {
        let header = "image_path\tlandmarks_5pts\tlandmarks_target\tscale\tcenter_w\tcenter_h";
        for text in [
            format!("{}\n", row()),
            format!("{header}\n{}", row()),
            format!("\u{feff}{header}\r\n{}\r\n\r\n", row()),
            format!("{}\tpose,blur\n", row()),
        ] {
            let set = opened(text.as_bytes()).unwrap();
            assert_eq!(set.len(), 1, "{text}");
            let row = &set.annotations()[0];
            assert_eq!(row.points, [[1.0, 2.0], [3.5, 4.0], [5.0, 6.0]]);
            assert_eq!((row.face.side(), row.face.centre()), (100.0, [10.0, 20.0]));
        }
    }

    #[test]
    fn tags_are_names_or_the_six_attributes_of_wflw() {
        for (column, tags) in [
            ("pose, blur", vec!["pose", "blur"]),
            ("1,0,0,0,0,1", vec!["pose", "blur"]),
            ("0.0,1.0,0.0,0.0,0.0,0.0", vec!["expression"]),
            ("0,0,0,0,0,0", vec![]),
            ("3", vec!["3"]),
        ] {
            let set = opened(format!("{}\t{column}", row()).as_bytes()).unwrap();
            assert_eq!(set.annotations()[0].tags, tags, "{column}");
        }
    }

    #[test]
    fn foreign_prefixes_and_windows_separators_are_cut() {
        for image in ["a/b.png", "a\\b.png", "./rawImages/a/b.png", "\\\\host\\share\\x\\rawImages\\a\\b.png"]
        {
            let set = opened(row().replace("a/b.png", image).as_bytes()).unwrap();
            assert_eq!(set.annotations()[0].image, Path::new("a/b.png"), "{image}");
        }
    }

    #[test]
    fn paths_out_of_the_image_folder_are_refused() {
        for image in ["../b.png", "/etc/passwd", "a/../../b.png", "C:\\b.png", "."] {
            let message = refusal(&row().replace("a/b.png", image));
            assert!(message.contains("line 1: image"), "{message}");
        }
    }

    #[test]
    fn each_damaged_field_is_named_with_line_expected_and_got() {
        let cases = [
            (row().replace("\t20", ""), "columns: expected 6 or 7", "got 5"),
            (row().replace("3.5", "3x5"), "landmarks: expected a finite number", "`3x5`"),
            (row().replace(",5,6\t", "\t"), "landmarks: expected 6 numbers (3 points)", "4 numbers"),
            (row().replace("\t0.5", "\t-0.5"), "scale: expected a positive number", "`-0.5`"),
            (row().replace("\t10\t", "\tNaN\t"), "center_w: expected a finite number", "`NaN`"),
            (row().replace(FIVE, "1,2"), "landmarks_5pts: expected 10 numbers", "2 numbers"),
        ];
        for (bad, what, got) in cases {
            let message = refusal(&format!("{}\n{bad}\n", row()));
            assert!(
                message.contains("line 2: ") && message.contains(what) && message.contains(got),
                "{message}"
            );
        }
    }

    #[test]
    fn an_empty_file_and_a_lone_header_are_empty_sets() {
        for text in ["", "\n\n", "image_path\tfive\tall\tscale\tcenter_w\tcenter_h\n"] {
            assert!(refusal(text).contains("empty"), "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        let mut text = row().into_bytes();
        text[0] = 0xff;
        assert!(opened(&text).unwrap_err().to_string().contains("UTF-8"));
    }
}
