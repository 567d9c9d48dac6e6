//! Writing tab-separated rows.

use std::fmt::Write as _;
use std::path::Path;

use super::super::wflw;
use crate::crop::CropRule;
use crate::{Annotation, Error, Result, Scheme};

/// Names of the columns, for files that are to carry them; published ones do not.
pub const HEADER: &str = "image_path\tlandmarks_5pts\tlandmarks_target\tscale\tcenter_w\tcenter_h\ttags";

/// One row, without the line end: the box by the landmark-tight rule that the published rows follow.
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
    let (scale, centre) = CropRule::LandmarkTight.scale_and_centre(points, None)?;
    Ok(columns(&image.to_string_lossy(), five, points, scale, centre, &tags.join(",")))
}

/// The published row of an annotation, without the line end: scale and centre by `rule`, the five points by the scheme (the centre
/// five times where it names none), WFLW's attributes as `0,1,0,0,0,0`.
///
/// # Errors
/// [`Error::Content`] for a path that is not UTF-8 or holds a tab, and for absent points, which the format cannot say; as
/// [`CropRule::apply`].
pub fn format_annotation(annotation: &Annotation, scheme: &Scheme, rule: CropRule) -> Result<String> {
    let Annotation { file, line, image, points, stated, tags, .. } = annotation;
    let wrong = |field: &str, expected: &str, got: String| {
        Err(Error::content(&**file, format!("entry {line}: {field}"), expected, got))
    };
    let path = match image.to_str() {
        Some(path) if !path.contains(['\t', '\n', '\r']) => path,
        _ => return wrong("image", "a path of UTF-8 without tabs and line ends", format!("{image:?}")),
    };
    if let Some(absent) = points.iter().position(|p| !p.iter().all(|v| v.is_finite())) {
        return wrong(
            "points",
            "all points, since rows of this format cannot leave one out",
            format!("no point {absent}"),
        );
    }
    let (scale, centre) = rule.scale_and_centre(points, *stated)?;
    let five = scheme.five(points).unwrap_or([centre.map(|v| v as f32); 5]);
    let attributes = !tags.is_empty() || scheme.name == wflw::SCHEME;
    let known =
        scheme.name == wflw::SCHEME && tags.iter().all(|tag| wflw::ATTRIBUTES.contains(&tag.as_str()));
    let tags = match (attributes, known) {
        (true, true) => {
            wflw::ATTRIBUTES.map(|name| if tags.iter().any(|tag| tag == name) { "1" } else { "0" }).join(",")
        }
        (true, false) => tags.join(","),
        (false, _) => String::new(),
    };
    Ok(columns(path, &five, points, scale, centre, &tags))
}

fn columns(
    image: &str,
    five: &[[f32; 2]; 5],
    points: &[[f32; 2]],
    scale: f64,
    [x, y]: [f64; 2],
    tags: &str,
) -> String {
    let list =
        |points: &[[f32; 2]]| points.iter().map(|[x, y]| format!("{x},{y}")).collect::<Vec<_>>().join(",");
    let image = image.replace('\\', "/");
    let mut row = format!("{image}\t{}\t{}\t{scale}\t{x}\t{y}", list(five), list(points));
    if !tags.is_empty() {
        let _ = write!(row, "\t{tags}");
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FaceBox;
    use crate::formats::{AnnotatedImages, tsv};

    fn read(text: &str, scheme: &Scheme) -> AnnotatedImages {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("faces.tsv");
        std::fs::write(&path, text).unwrap();
        tsv::open(&path, dir.path(), scheme.clone()).unwrap()
    }

    #[test]
    fn a_written_row_is_read_back() {
        let scheme: Scheme = toml::from_str("name = \"three\"\nkeypoints = 3").unwrap();
        let points = [[1.25, 2.0], [3.5, 40.0], [5.0, 6.0]];
        let text = format_row(Path::new("a/b.png"), &[[0.0; 2]; 5], &points, &["blur".into()]).unwrap();
        let set = read(&text, &scheme);
        let row = &set.annotations()[0];
        assert_eq!((row.points.as_slice(), row.tags.as_slice()), (&points[..], &["blur".to_string()][..]));
        // x 1..5, y 2..40: side 38, centre (3, 21)
        assert!((row.face.side() - 38.0).abs() < 1e-3 && row.face.centre() == [3.0, 21.0]);
        assert!(text.contains("\t0.19\t3\t21\t"), "{text}");
    }

    #[test]
    fn a_row_of_wflw_carries_five_points_and_six_attributes() {
        let scheme = Scheme::named("wflw").unwrap();
        let points: Vec<[f32; 2]> = (0..98).map(|k| [k as f32, 2.0 * k as f32]).collect();
        let face = FaceBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0 };
        let annotation = Annotation {
            file: Path::new("list.txt").into(),
            line: 3,
            image: "a/b.jpg".into(),
            points,
            visibility: None,
            stated: Some(face),
            face,
            tags: vec!["expression".into(), "blur".into()],
        };
        let text = format_annotation(&annotation, &scheme, CropRule::LandmarkTight).unwrap();
        let columns: Vec<&str> = text.split('\t').collect();
        // eye centres 96 and 97, nose 54, mouth corners 76 and 82; x 0..97, y 0..194
        assert_eq!(columns[1], "96,192,97,194,54,108,76,152,82,164");
        assert_eq!(columns[3..], ["0.97", "48.5", "97", "0,1,0,0,0,1"]);
        assert_eq!(read(&text, &scheme).annotations()[0].tags, annotation.tags);

        let absent = Annotation { points: vec![[f32::NAN; 2]; 98], ..annotation.clone() };
        let message = format_annotation(&absent, &scheme, CropRule::LandmarkTight).unwrap_err().to_string();
        assert!(message.contains("list.txt: entry 3: points"), "{message}");
        let tab = Annotation { image: "a\tb.jpg".into(), ..annotation };
        assert!(format_annotation(&tab, &scheme, CropRule::LandmarkTight).is_err());
    }
}
