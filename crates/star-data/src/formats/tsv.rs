//! The tab-separated rows that the method's reference implementation reads.
//!
//! `path, 5 points, all points, scale, center_w, center_h[, tags]`, points as `x,y,x,y,...` in pixels. Published files have no header
//! row, converted ones often do; which it is, is told by content. Paths may carry Windows separators and a foreign prefix
//! (`./rawImages/`, or a long network share ending in `/rawImages/`), which is cut off.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use crate::{Dataset, Error, FaceBox, Result, Sample, Scheme, decode};

/// Folder name that ends a foreign prefix.
const FOREIGN_ROOT: &str = "rawImages/";

/// One annotated face.
#[derive(Clone, Debug, PartialEq)]
pub struct TsvRow {
    /// Line in the file, counted from 1.
    pub line: usize,
    /// The picture, relative to the image folder.
    pub image: PathBuf,
    /// All points `(x, y)`, pixels.
    pub points: Vec<[f32; 2]>,
    /// The square that `scale`, `center_w` and `center_h` mean.
    pub face: FaceBox,
    /// Tags of the seventh column.
    pub tags: Vec<String>,
}

/// Annotated faces from a TSV file and an image folder.
#[derive(Clone, Debug)]
pub struct TsvDataset {
    rows: Vec<TsvRow>,
    images: PathBuf,
    scheme: Scheme,
}

impl TsvDataset {
    /// Reads every row of `annotations`; pictures are looked for below `images` when asked for.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Empty`], or [`Error::Row`] for the first row that is wrong.
    pub fn open(annotations: &Path, images: &Path, scheme: Scheme) -> Result<Self> {
        let (rows, problems) = read(annotations, &scheme)?;
        match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None if rows.is_empty() => Err(empty(annotations)),
            None => Ok(Self { rows, images: images.to_path_buf(), scheme }),
        }
    }

    /// As [`TsvDataset::open`], keeping the good rows and handing back everything that is wrong with the others.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Empty`] where there is no row at all, good or bad.
    pub fn open_lenient(annotations: &Path, images: &Path, scheme: Scheme) -> Result<(Self, Vec<Error>)> {
        let (rows, problems) = read(annotations, &scheme)?;
        if rows.is_empty() && problems.is_empty() {
            return Err(empty(annotations));
        }
        Ok((Self { rows, images: images.to_path_buf(), scheme }, problems))
    }

    /// The rows.
    pub fn rows(&self) -> &[TsvRow] {
        &self.rows
    }

    /// Drops the first row, as the reference's reader does with files that have no header: for comparing with published figures.
    #[must_use]
    pub fn without_first_row(mut self) -> Self {
        self.rows.drain(..self.rows.len().min(1));
        self
    }
}

impl Dataset for TsvDataset {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    fn source(&self, index: usize) -> PathBuf {
        self.rows.get(index).map(|row| row.image.clone()).unwrap_or_default()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let row = self.rows.get(index).ok_or(Error::Index { index, len: self.rows.len() })?;
        Ok(Sample {
            image: decode::decode(&self.images.join(&row.image))?,
            points: row.points.clone(),
            visibility: None,
            face: row.face,
            tags: row.tags.clone(),
            source: row.image.clone(),
        })
    }
}

fn empty(path: &Path) -> Error {
    Error::Empty {
        path: path.to_path_buf(),
        expected: "rows of image, 5 points, all points, scale, center_w, center_h".into(),
    }
}

/// Good rows, and what is wrong with the others.
fn read(path: &Path, scheme: &Scheme) -> Result<(Vec<TsvRow>, Vec<Error>)> {
    let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    let mut first = true;
    for (i, line) in bytes.split(|&b| b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let is_header = first && is_header(line);
        first = false;
        if is_header {
            continue;
        }
        match (Parser { path, line: i + 1, scheme }).row(line) {
            Ok(row) => rows.push(row),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((rows, problems))
}

/// A header has no digit in its columns of numbers; a damaged row of data does.
fn is_header(line: &[u8]) -> bool {
    let mut columns = line.split(|&b| b == b'\t').skip(1).filter(|column| !column.is_empty()).peekable();
    columns.peek().is_some()
        && columns.all(|column| column[0].is_ascii_alphabetic() && !column.contains(&b','))
}

struct Parser<'a> {
    path: &'a Path,
    line: usize,
    scheme: &'a Scheme,
}

impl Parser<'_> {
    fn error(&self, field: &'static str, expected: impl Into<String>, got: impl Into<String>) -> Error {
        let (path, line) = (self.path.to_path_buf(), self.line);
        Error::Row { path, line, field, expected: expected.into(), got: got.into() }
    }

    fn row(&self, line: &[u8]) -> Result<TsvRow> {
        let text = std::str::from_utf8(line).map_err(|error| {
            self.error(
                "row",
                "UTF-8 text",
                format!("an invalid byte after {} characters", error.valid_up_to()),
            )
        })?;
        let columns: Vec<&str> = text.split('\t').map(str::trim).collect();
        if !(6..=7).contains(&columns.len()) {
            let expected =
                "6 or 7 tab-separated: image, 5 points, all points, scale, center_w, center_h[, tags]";
            return Err(self.error("columns", expected, columns.len().to_string()));
        }
        self.points("landmarks_5pts", columns[1], 5)?;
        let points = self.points("landmarks", columns[2], self.scheme.keypoints)?;
        let scale = self.number("scale", columns[3])?;
        if scale <= 0.0 {
            return Err(self.error("scale", "a positive number", format!("`{}`", columns[3])));
        }
        let centre = [self.number("center_w", columns[4])?, self.number("center_h", columns[5])?];
        let tags = columns.get(6).map_or(Vec::new(), |tags| {
            tags.split(',').map(|tag| tag.trim().to_string()).filter(|tag| !tag.is_empty()).collect()
        });
        let face = FaceBox::from_scale_and_centre(scale, centre);
        Ok(TsvRow { line: self.line, image: self.image(columns[0])?, points, face, tags })
    }

    fn number(&self, field: &'static str, text: &str) -> Result<f32> {
        match text.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(self.error(field, "a finite number", format!("`{text}`"))),
        }
    }

    fn points(&self, field: &'static str, text: &str, count: usize) -> Result<Vec<[f32; 2]>> {
        // Some writers end the list with a comma.
        let values: Vec<&str> = text.strip_suffix(',').unwrap_or(text).split(',').collect();
        if values.len() != 2 * count {
            let got = if text.is_empty() { "none".to_string() } else { format!("{} numbers", values.len()) };
            return Err(self.error(field, format!("{} numbers ({count} points)", 2 * count), got));
        }
        let number = |text: &&str| self.number(field, text.trim());
        let values: Vec<f32> = values.iter().map(number).collect::<Result<_>>()?;
        Ok(values.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect())
    }

    fn image(&self, text: &str) -> Result<PathBuf> {
        let path = text.replace('\\', "/");
        let path = path.rfind(FOREIGN_ROOT).map_or(path.as_str(), |at| &path[at + FOREIGN_ROOT.len()..]);
        let clean: PathBuf = Path::new(path).components().filter(|part| *part != Component::CurDir).collect();
        let inside = clean.components().all(|part| matches!(part, Component::Normal(_)));
        let drive = path.as_bytes().get(1) == Some(&b':');
        if clean.as_os_str().is_empty() || !inside || drive {
            return Err(self.error("image", "a path below the image folder", format!("`{text}`")));
        }
        Ok(clean)
    }
}

/// One row in this form, without the line end: the box by the landmark-tight rule that the published rows follow.
///
/// `five` are the points of the second column, which trainers do not read.
///
/// # Errors
/// [`Error::Degenerate`] where the points have no extent.
pub fn format_row(
    image: &Path,
    five: &[[f32; 2]; 5],
    points: &[[f32; 2]],
    tags: &[String],
) -> Result<String> {
    let face = FaceBox::around(points)?;
    let list =
        |points: &[[f32; 2]]| points.iter().map(|[x, y]| format!("{x},{y}")).collect::<Vec<_>>().join(",");
    let [x, y] = face.centre();
    let image = image.to_string_lossy().replace('\\', "/");
    let mut row = format!(
        "{image}\t{}\t{}\t{}\t{x}\t{y}",
        list(five),
        list(points),
        face.side() / FaceBox::PIXELS_PER_SCALE
    );
    if !tags.is_empty() {
        let _ = write!(row, "\t{}", tags.join(","));
    }
    Ok(row)
}

/// Everything that is wrong with the pictures and rows of a data set, beside rows that cannot be parsed: pictures that are missing
/// or damaged, points outside their picture by more than half the face, rows that stand twice. `each` is called after every row.
pub fn check(dataset: &TsvDataset, annotations: &Path, mut each: impl FnMut()) -> Vec<Error> {
    let mut problems = Vec::new();
    let mut seen: HashMap<(PathBuf, String), usize> = HashMap::new();
    let mut last: Option<(PathBuf, Option<(u32, u32)>)> = None;
    for row in &dataset.rows {
        let parser = Parser { path: annotations, line: row.line, scheme: &dataset.scheme };
        if let Some(earlier) = seen.insert((row.image.clone(), format!("{:?}", row.points)), row.line) {
            problems.push(parser.error("row", "each face once", format!("the face of line {earlier} again")));
        }
        // Several faces of one picture usually follow each other: decode it once.
        if last.as_ref().is_none_or(|(image, _)| *image != row.image) {
            let decoded = decode::decode(&dataset.images.join(&row.image));
            let size = match decoded {
                Ok(image) => Some(image.dimensions()),
                Err(error) => {
                    problems.push(parser.error("image", "a readable picture", error.to_string()));
                    None
                }
            };
            last = Some((row.image.clone(), size));
        }
        if let Some((_, Some((width, height)))) = last {
            let slack = row.face.side() / 2.0;
            let outside = |p: &&[f32; 2]| {
                p[0] < -slack || p[1] < -slack || p[0] > width as f32 + slack || p[1] > height as f32 + slack
            };
            if let Some([x, y]) = row.points.iter().find(outside) {
                let expected = format!("points in the picture of {width}x{height} pixels");
                problems.push(parser.error("landmarks", expected, format!("({x}, {y})")));
            }
        }
        each();
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme() -> Scheme {
        Scheme { keypoints: 3, edges: Vec::new(), flip_pairs: Vec::new(), ..plain() }
    }

    fn plain() -> Scheme {
        toml::from_str("name = \"three\"\nkeypoints = 3").unwrap()
    }

    const FIVE: &str = "1,2,3,4,5,6,7,8,9,10";

    fn row() -> String {
        format!("a/b.png\t{FIVE}\t1,2,3.5,4,5,6\t0.5\t10\t20")
    }

    fn open(text: &[u8]) -> Result<TsvDataset> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("faces.tsv");
        std::fs::write(&path, text).unwrap();
        TsvDataset::open(&path, dir.path(), scheme())
    }

    fn refusal(text: &str) -> String {
        open(text.as_bytes()).unwrap_err().to_string()
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
            let set = open(text.as_bytes()).unwrap();
            assert_eq!(set.len(), 1, "{text}");
            let row = &set.rows()[0];
            assert_eq!(row.points, [[1.0, 2.0], [3.5, 4.0], [5.0, 6.0]]);
            assert_eq!((row.face.side(), row.face.centre()), (100.0, [10.0, 20.0]));
        }
    }

    #[test]
    fn foreign_prefixes_and_windows_separators_are_cut() {
        for image in ["a/b.png", "a\\b.png", "./rawImages/a/b.png", "\\\\host\\share\\x\\rawImages\\a\\b.png"]
        {
            let set = open(row().replace("a/b.png", image).as_bytes()).unwrap();
            assert_eq!(set.rows()[0].image, Path::new("a/b.png"), "{image}");
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
        assert!(open(&text).unwrap_err().to_string().contains("UTF-8"));
    }

    #[test]
    fn a_written_row_is_read_back() {
        let points = [[1.25, 2.0], [3.5, 40.0], [5.0, 6.0]];
        let text = format_row(Path::new("a/b.png"), &[[0.0; 2]; 5], &points, &["blur".into()]).unwrap();
        let set = open(text.as_bytes()).unwrap();
        let row = &set.rows()[0];
        assert_eq!((row.points.as_slice(), row.tags.as_slice()), (&points[..], &["blur".to_string()][..]));
        // x 1..5, y 2..40: side 38, centre (3, 21)
        assert!((row.face.side() - 38.0).abs() < 1e-3 && row.face.centre() == [3.0, 21.0]);
    }

    #[test]
    fn a_check_finds_every_problem() {
        let dir = tempfile::tempdir().unwrap();
        image::RgbImage::new(30, 30).save(dir.path().join("good.png")).unwrap();
        std::fs::write(dir.path().join("bad.png"), b"no picture").unwrap();
        let path = dir.path().join("faces.tsv");
        let line = |image: &str, x: &str| format!("{image}\t{FIVE}\t{x},2,3,4,5,6\t0.05\t4\t4\n");
        let text =
            [line("good.png", "1"), line("good.png", "1"), line("bad.png", "1"), line("none.png", "1")]
                .concat();
        std::fs::write(&path, text + &line("good.png", "500") + "broken\n").unwrap();
        let (set, mut problems) = TsvDataset::open_lenient(&path, dir.path(), scheme()).unwrap();
        let mut rows = 0;
        problems.extend(check(&set, &path, || rows += 1));
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        for part in ["line 6: columns", "line 2: row", "line 3: image", "line 4: image", "line 5: landmarks"]
        {
            assert!(text.iter().any(|t| t.contains(part)), "{part} missing in {text:?}");
        }
        assert_eq!((problems.len(), rows), (5, 5));
    }
}
