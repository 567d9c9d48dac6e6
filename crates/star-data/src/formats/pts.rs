//! iBUG's `.pts` files: `version: 1`, `n_points:  68`, `{`, one `x y` a line, `}`; 1-based, beside their images.
//!
//! Crop: [`CropRule::LandmarkTight`], as the published 300W rows were made.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::annotated::{self, AnnotatedImages, Read};
use super::definition::{Definition, Found, Request};
use super::{layout, sniff};
use crate::crop::CropRule;
use crate::sample::{is_labelled, or_absent};
use crate::{Annotation, Error, Result, Scheme};

/// What an empty folder should have held.
const EXPECTED: &str = ".pts files beside their images";

/// Suffix that some distributions of 300W give to names.
const SUFFIX: &str = "_1";

/// Largest `.pts` file that is read, bytes: 68 points take 2 kB.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the points of a `.pts` file, made 0-based.
///
/// # Errors
/// [`Error::Io`], or [`Error::Row`] with the line that is wrong.
pub fn read(path: &Path) -> Result<Vec<[f32; 2]>> {
    let io = |source| Error::io(path, source);
    let size = std::fs::metadata(path).map_err(io)?.len();
    if size > MAX_BYTES {
        return Err(Error::content(path, "size", format!("at most {MAX_BYTES} bytes"), size.to_string()));
    }
    let bytes = std::fs::read(path).map_err(io)?;
    if let Some(kind) = sniff::kind(&bytes) {
        return Err(Error::content(path, "points", "version, n_points and points", kind));
    }
    parse(&String::from_utf8_lossy(&bytes), path)
}

fn parse(text: &str, path: &Path) -> Result<Vec<[f32; 2]>> {
    let error = |line: usize, field: &'static str, expected: &str, got: &str| Error::Row {
        path: path.to_path_buf(),
        line: line + 1,
        field,
        expected: expected.to_string(),
        got: format!("`{}`", got.chars().take(60).collect::<String>()),
    };
    let mut lines = text
        .trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim)
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with("//"));
    let mut declared = None;
    let open = loop {
        let Some((i, line)) = lines.next() else {
            return Err(error(text.lines().count(), "{", "an opening brace", "the end"));
        };
        if line == "{" {
            break i;
        }
        match line.split_once(':').map(|(key, value)| (key.trim(), value.trim())) {
            Some(("n_points", value)) => {
                let count = value.parse::<usize>();
                declared = Some(count.map_err(|_| error(i, "n_points", "a whole number", value))?);
            }
            Some(("version", _)) => {}
            _ => return Err(error(i, "head", "version, n_points or an opening brace", line)),
        }
    };
    let mut points = Vec::new();
    for (i, line) in lines {
        if line == "}" {
            return match declared {
                Some(count) if count != points.len() => {
                    Err(error(i, "points", &format!("{count}, as n_points says"), &points.len().to_string()))
                }
                _ => Ok(points),
            };
        }
        let values: Vec<f32> = line.split_whitespace().filter_map(|v| v.parse().ok()).collect();
        match values.as_slice() {
            &[x, y] if written([x, y]) && line.split_whitespace().count() == 2 => {
                // Whether it is labelled is told by the numbers as written, before they are made 0-based.
                let [x, y] = or_absent([x, y]);
                points.push([x - 1.0, y - 1.0]);
            }
            _ => return Err(error(i, "point", "two finite numbers", line)),
        }
    }
    Err(error(text.lines().count().max(open), "}", "a closing brace", "the end"))
}

/// Whether both coordinates are numbers, or both are NaN.
fn written(point: [f32; 2]) -> bool {
    is_labelled(&point) || point.iter().all(|v| v.is_nan())
}

/// Points as a `.pts` file, made 1-based.
pub fn format(points: &[[f32; 2]]) -> String {
    let lines: String = points.iter().map(|[x, y]| format!("{} {}\n", x + 1.0, y + 1.0)).collect();
    format!("version: 1\nn_points: {}\n{{\n{lines}}}\n", points.len())
}

/// The faces of a `.pts` file, or of every one in a folder (not below it), by name, beside their images.
///
/// # Errors
/// [`Error::Io`], [`Error::Empty`], or [`Error::Row`] for the first file that is wrong, has another number of points than the scheme
/// or no image of its name.
pub fn open(annotations: impl AsRef<Path>, scheme: Scheme) -> Result<AnnotatedImages> {
    let annotations = annotations.as_ref();
    annotated::strict(read_folder(annotations, &beside(annotations), scheme)?, annotations, EXPECTED)
}

/// The folder of images where none is given.
pub(super) fn beside(annotations: &Path) -> PathBuf {
    if annotations.is_dir() { annotations.to_path_buf() } else { layout::folder_of(annotations) }
}

/// Folders of `.pts` among the formats.
pub(super) struct Pts;

impl Definition for Pts {
    fn name(&self) -> &'static str {
        "pts"
    }

    fn about(&self) -> &'static str {
        "One folder of iBUG .pts files beside their images"
    }

    fn read(&self, request: &Request) -> Result<Found> {
        let images = request.images.map_or_else(|| beside(request.path), Path::to_path_buf);
        Ok(read_folder(request.path, &images, request.needed_scheme()?)?.into())
    }
}

/// The faces of a `.pts` file or of every one in a folder, and what is wrong with the files that cannot be used.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be read, [`Error::Empty`] where it holds none.
pub fn read_folder(annotations: &Path, images: &Path, scheme: Scheme) -> Result<Read> {
    let (mut faces, mut problems) = (Vec::new(), Vec::new());
    for file in files(annotations)? {
        match annotation(&file, images, images, &scheme) {
            Ok(face) => faces.push(face),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((AnnotatedImages::new(faces, images, scheme), problems))
}

/// The `.pts` files of a folder by name, or the one file that `path` is.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be read, [`Error::Empty`] where it holds none.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let files = if path.is_dir() { layout::files_in(path, "pts")? } else { vec![path.to_path_buf()] };
    if files.is_empty() {
        return Err(Error::Empty { path: path.to_path_buf(), expected: EXPECTED.into() });
    }
    Ok(files)
}

/// The face of one file, its image looked for in `folder`, which is `root` or below it.
pub(super) fn annotation(file: &Path, folder: &Path, root: &Path, scheme: &Scheme) -> Result<Annotation> {
    let points = points(file, scheme)?;
    face(file, image_of(file, folder, root)?, points)
}

/// The image of a file of points by its name, looked for in `folder`, relative to `root`, which `folder` is or is below.
pub(super) fn image_of(file: &Path, folder: &Path, root: &Path) -> Result<PathBuf> {
    let stem = file.file_stem().unwrap_or_default();
    let candidates = [Some(stem.to_os_string()), without_suffix(stem), Some(with_suffix(stem))];
    let Some(image) = candidates.iter().flatten().find_map(|stem| layout::image(folder, stem)) else {
        let expected = format!("{}.{{{}}}", folder.join(stem).display(), layout::IMAGE_ENDINGS.join(","));
        return Err(wrong(file, "image", expected, "no such file".into()));
    };
    Ok(image.strip_prefix(root).map(Path::to_path_buf).unwrap_or(image))
}

/// A face by the landmark-tight rule.
pub(super) fn face(file: &Path, image: PathBuf, points: Vec<[f32; 2]>) -> Result<Annotation> {
    let face = CropRule::LandmarkTight.apply(&points, None);
    let face = face.map_err(|e| wrong(file, "points", "points with an extent".into(), e.to_string()))?;
    let (visibility, stated, tags) = (None, None, Vec::new());
    Ok(Annotation { file: file.into(), line: 1, image, points, visibility, stated, face, tags })
}

/// The points of a file, as many as the scheme has.
pub(super) fn points(file: &Path, scheme: &Scheme) -> Result<Vec<[f32; 2]>> {
    let points = read(file)?;
    if points.len() != scheme.keypoints {
        let expected = format!("{} points of scheme `{}`", scheme.keypoints, scheme.name);
        return Err(wrong(file, "points", expected, points.len().to_string()));
    }
    Ok(points)
}

pub(super) fn wrong(file: &Path, field: &'static str, expected: String, got: String) -> Error {
    Error::Row { path: file.to_path_buf(), line: 1, field, expected, got }
}

fn without_suffix(stem: &std::ffi::OsStr) -> Option<OsString> {
    Some(stem.to_str()?.strip_suffix(SUFFIX)?.into())
}

fn with_suffix(stem: &std::ffi::OsStr) -> OsString {
    let mut name = stem.to_os_string();
    name.push(SUFFIX);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    fn refusal(text: &str) -> String {
        parse(text, Path::new("a.pts")).unwrap_err().to_string()
    }

    #[test]
    fn points_are_made_zero_based_and_written_one_based() {
        let points =
            parse("version: 1\r\nn_points:  2\r\n{\r\n1 2\r\n1.5e1 20.25\r\n}\r\n", Path::new("a.pts"))
                .unwrap();
        assert_eq!(points, [[0.0, 1.0], [14.0, 19.25]]);
        assert_eq!(parse(&format(&points), Path::new("a.pts")).unwrap(), points);
    }

    #[test]
    fn damaged_files_are_named_with_their_line() {
        for (text, part) in [
            ("version: 1\nn_points: 2\n{\n1 2\n}\n", "line 5: points: expected 2"),
            ("version: 1\nn_points: 1\n{\n1 x\n}\n", "line 4: point: expected two finite numbers, got `1 x`"),
            ("version: 1\nn_points: 1\n{\n1 2\n", "closing brace"),
            ("version: 1\nn_points: many\n{\n", "line 2: n_points"),
            ("", "opening brace"),
            ("hello\n", "line 1: head"),
        ] {
            assert!(refusal(text).contains(part), "`{part}` missing in: {}", refusal(text));
        }
    }

    #[test]
    fn a_folder_of_points_and_images_is_a_data_set() {
        let dir = tempfile::tempdir().unwrap();
        let scheme: Scheme = toml::from_str("name = \"two\"\nkeypoints = 2").unwrap();
        let missing = open(dir.path(), scheme.clone()).unwrap_err();
        assert!(missing.to_string().contains("empty"), "{missing}");
        std::fs::write(dir.path().join("b.v2.pts"), format(&[[1.0, 2.0], [11.0, 12.0]])).unwrap();
        let missing = open(dir.path(), scheme.clone()).unwrap_err();
        assert!(missing.to_string().contains("image"), "{missing}");
        image::RgbImage::new(20, 20).save(dir.path().join("b.v2.PNG")).unwrap();
        let set = open(dir.path(), scheme.clone()).unwrap();
        assert_eq!((set.len(), set.get(0).unwrap().image.dimensions()), (1, (20, 20)));
        let three = Scheme { keypoints: 3, ..scheme };
        let other = open(dir.path(), three).unwrap_err().to_string();
        assert!(other.contains("3 points of scheme `two`"), "{other}");
    }
}
