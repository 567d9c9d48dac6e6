//! iBUG's `.pts` files: `version: 1`, `n_points:  68`, `{`, one `x y` a line, `}`; 1-based, beside their pictures.

use std::path::{Path, PathBuf};

use crate::{Dataset, Error, FaceBox, Result, Sample, Scheme, decode};

/// Endings of the pictures looked for beside a `.pts` file.
const ENDINGS: [&str; 5] = ["jpg", "jpeg", "png", "ppm", "pgm"];

/// Reads the points of a `.pts` file, made 0-based.
///
/// # Errors
/// [`Error::Io`], or [`Error::Row`] with the line that is wrong.
pub fn read(path: &Path) -> Result<Vec<[f32; 2]>> {
    let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
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
            &[x, y] if x.is_finite() && y.is_finite() && line.split_whitespace().count() == 2 => {
                points.push([x - 1.0, y - 1.0]);
            }
            _ => return Err(error(i, "point", "two finite numbers", line)),
        }
    }
    Err(error(text.lines().count().max(open), "}", "a closing brace", "the end"))
}

/// Points as a `.pts` file, made 1-based.
pub fn format(points: &[[f32; 2]]) -> String {
    let lines: String = points.iter().map(|[x, y]| format!("{} {}\n", x + 1.0, y + 1.0)).collect();
    format!("version: 1\nn_points: {}\n{{\n{lines}}}\n", points.len())
}

/// Faces annotated by `.pts` files, each beside its picture; the box is the landmark-tight square.
#[derive(Clone, Debug)]
pub struct PtsDataset {
    faces: Vec<Face>,
    scheme: Scheme,
}

#[derive(Clone, Debug)]
struct Face {
    image: PathBuf,
    points: Vec<[f32; 2]>,
    face: FaceBox,
}

impl PtsDataset {
    /// Reads a `.pts` file, or every one in a folder (not below it), by name; pictures are looked for in `images` under the same
    /// stem. Files that stand with other numbers of points than the scheme has are errors.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Empty`], or [`Error::Row`] for the first file that is wrong or has no picture.
    pub fn open(annotations: &Path, images: &Path, scheme: Scheme) -> Result<Self> {
        let files = files(annotations)?;
        let faces = files.iter().map(|file| face(file, images, &scheme)).collect::<Result<Vec<_>>>()?;
        Ok(Self { faces, scheme })
    }
}

/// The `.pts` files of a folder by name, or the one file that `path` is.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be read, [`Error::Empty`] where it holds none.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let files = if path.is_dir() { files_in(path)? } else { vec![path.to_path_buf()] };
    if files.is_empty() {
        return Err(Error::Empty {
            path: path.to_path_buf(),
            expected: ".pts files beside their pictures".into(),
        });
    }
    Ok(files)
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |source| Error::io(folder, source);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("pts")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn face(file: &Path, images: &Path, scheme: &Scheme) -> Result<Face> {
    let points = read(file)?;
    let row = |field, expected: String, got: String| Error::Row {
        path: file.to_path_buf(),
        line: 1,
        field,
        expected,
        got,
    };
    if points.len() != scheme.keypoints {
        let expected = format!("{} points of scheme `{}`", scheme.keypoints, scheme.name);
        return Err(row("points", expected, points.len().to_string()));
    }
    let stem = file.file_stem().unwrap_or_default();
    let named = |ending: &str| images.join(stem).with_added_extension(ending);
    let candidates = ENDINGS.iter().flat_map(|ending| [named(ending), named(&ending.to_uppercase())]);
    let Some(image) = candidates.into_iter().find(|path| path.is_file()) else {
        let expected = format!("{}.{{{}}}", images.join(stem).display(), ENDINGS.join(","));
        return Err(row("picture", expected, "no such file".into()));
    };
    Ok(Face { image, face: FaceBox::around(&points)?, points })
}

impl Dataset for PtsDataset {
    fn len(&self) -> usize {
        self.faces.len()
    }

    fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    fn source(&self, index: usize) -> PathBuf {
        self.faces.get(index).map(|face| face.image.clone()).unwrap_or_default()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let face = self.faces.get(index).ok_or(Error::Index { index, len: self.faces.len() })?;
        Ok(Sample {
            image: decode::decode(&face.image)?,
            points: face.points.clone(),
            visibility: None,
            face: face.face,
            tags: Vec::new(),
            source: face.image.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_folder_of_points_and_pictures_is_a_data_set() {
        let dir = tempfile::tempdir().unwrap();
        let scheme: Scheme = toml::from_str("name = \"two\"\nkeypoints = 2").unwrap();
        let missing = PtsDataset::open(dir.path(), dir.path(), scheme.clone()).unwrap_err();
        assert!(missing.to_string().contains("empty"), "{missing}");
        std::fs::write(dir.path().join("b.v2.pts"), format(&[[1.0, 2.0], [11.0, 12.0]])).unwrap();
        let missing = PtsDataset::open(dir.path(), dir.path(), scheme.clone()).unwrap_err();
        assert!(missing.to_string().contains("picture"), "{missing}");
        image::RgbImage::new(20, 20).save(dir.path().join("b.v2.PNG")).unwrap();
        let set = PtsDataset::open(dir.path(), dir.path(), scheme.clone()).unwrap();
        assert_eq!((set.len(), set.get(0).unwrap().image.dimensions()), (1, (20, 20)));
        let three = Scheme { keypoints: 3, ..scheme };
        let other = PtsDataset::open(dir.path(), dir.path(), three).unwrap_err().to_string();
        assert!(other.contains("3 points of scheme `two`"), "{other}");
    }
}
