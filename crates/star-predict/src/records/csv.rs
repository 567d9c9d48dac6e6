//! Faces as CSV: a row a face, for spreadsheets and data frames; and what of it, or of other tools' CSV, is read back.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::{FaceRecord, no_box};

/// The columns before the landmarks.
const FACE: [&str; 12] = [
    "image",
    "frame",
    "seconds",
    "face",
    "track",
    "score",
    "box_x",
    "box_y",
    "box_width",
    "box_height",
    "yaw",
    "pitch",
];

/// Where a face is in a video.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Number of the frame, from 0.
    pub frame: usize,
    /// Its time from the video's start.
    pub seconds: f64,
}

/// The names of the columns for `keypoints` landmarks: what is known of the face, then of each landmark `x0`, `y0` and so on, then
/// `confidence0`, and the deviations along the axes of its ellipse with its angle, `major0`, `minor0`, `angle0`.
///
/// # Errors
/// Never in practice: a row of text can be written.
pub fn csv_header(keypoints: usize) -> Result<String> {
    let numbered = |names: &'static [&'static str]| {
        (0..keypoints).flat_map(move |k| names.iter().map(move |name| format!("{name}{k}")))
    };
    let face = FACE.iter().map(ToString::to_string).chain(["roll".to_string()]);
    let landmarks =
        numbered(&["x", "y"]).chain(numbered(&["confidence"])).chain(numbered(&["major", "minor", "angle"]));
    line(face.chain(landmarks))
}

/// A row: `face` is number `number` of its image. What is not known is an empty cell.
///
/// # Errors
/// Never in practice: a row of text can be written.
pub fn csv_row(face: &FaceRecord, number: usize, moment: Option<Moment>) -> Result<String> {
    let known = |value: Option<String>| value.unwrap_or_default();
    let b = &face.face_box;
    let angle = |of: fn(&crate::Pose) -> f32| known(face.pose.as_ref().map(|pose| of(pose).to_string()));
    let mut cells = vec![
        face.image.clone(),
        known(moment.map(|m| m.frame.to_string())),
        known(moment.map(|m| m.seconds.to_string())),
        number.to_string(),
        known(face.track.map(|track| track.to_string())),
        known(face.score.map(|score| score.to_string())),
    ];
    cells.extend([b.x, b.y, b.width, b.height].map(|v| v.to_string()));
    cells.extend([angle(|pose| pose.yaw), angle(|pose| pose.pitch), angle(|pose| pose.roll)]);
    cells.extend(face.points.iter().flatten().map(ToString::to_string));
    let keypoints = face.points.len();
    cells.extend((0..keypoints).map(|k| known(face.confidence.get(k).map(ToString::to_string))));
    let ellipse = |k: usize| match face.ellipses.get(k) {
        Some(e) => [e.major, e.minor, e.angle].map(|v| v.to_string()),
        None => [const { String::new() }; 3],
    };
    cells.extend((0..keypoints).flat_map(ellipse));
    line(cells)
}

fn line(cells: impl IntoIterator<Item = String>) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells)?;
    let mut text = String::from_utf8(writer.into_inner().map_err(|error| error.into_error())?)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

/// Faces from CSV with the columns `image`, `x0`, `y0`, `x1` and so on, in any order and among others.
pub(super) fn read(path: &Path, text: &str) -> Result<Vec<FaceRecord>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().with_context(|| path.display().to_string())?.clone();
    let column = |name: &str| header.iter().position(|cell| cell.trim() == name);
    let (image, mut columns) = (column("image"), Vec::new());
    while let (Some(x), Some(y)) =
        (column(&format!("x{}", columns.len())), column(&format!("y{}", columns.len())))
    {
        columns.push([x, y]);
    }
    let (Some(image), false) = (image, columns.is_empty()) else {
        let got = header.iter().take(4).collect::<Vec<_>>().join(",");
        bail!(
            "{}: line 1: expected JSON, or CSV with the columns image,x0,y0,x1,y1,...; got `{got}`",
            path.display()
        )
    };
    let coordinates = header.iter().filter(|cell| is_coordinate(cell.trim())).count();
    ensure!(
        coordinates == 2 * columns.len(),
        "{}: line 1: expected x0,y0,x1,y1,... without a gap, got {coordinates} columns of coordinates, of which {} follow on \
         one another",
        path.display(),
        2 * columns.len()
    );
    let mut faces = Vec::new();
    for row in reader.records() {
        let row = row.with_context(|| path.display().to_string())?;
        let number = |at: usize| -> Result<f32> {
            let cell = row.get(at).unwrap_or_default().trim();
            let line = row.position().map_or(0, csv::Position::line);
            let place = || {
                format!(
                    "{}: line: {line}, column {}: expected a number, got `{cell}`",
                    path.display(),
                    &header[at]
                )
            };
            cell.parse().with_context(place)
        };
        let point = |[x, y]: &[usize; 2]| Ok([number(*x)?, number(*y)?]);
        let points = columns.iter().map(point).collect::<Result<_>>()?;
        let image = row.get(image).unwrap_or_default().to_string();
        faces.push(FaceRecord { image, points, ..FaceRecord::without_landmarks(no_box()) });
    }
    Ok(faces)
}

fn is_coordinate(name: &str) -> bool {
    name.strip_prefix(['x', 'y'])
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use star_data::FaceBox;

    use super::*;
    use crate::{Ellipse, Pose};

    #[test]
    fn a_row_has_a_cell_for_every_column_and_its_landmarks_are_read_back() {
        let face = FaceRecord {
            image: "a, b.png".into(),
            score: Some(0.75),
            pose: Some(Pose { yaw: 3.5, ..Pose::default() }),
            points: vec![[1.5, 2.0], [3.0, 4.25]],
            confidence: vec![0.5, 1.0],
            ellipses: vec![Ellipse { major: 2.0, minor: 1.0, angle: 30.0 }; 2],
            ..FaceRecord::without_landmarks(FaceBox { x: 1.0, y: 2.0, width: 3.0, height: 4.0 })
        };
        let moment = Moment { frame: 7, seconds: 0.25 };
        let text = format!("{}\n{}\n", csv_header(2).unwrap(), csv_row(&face, 1, Some(moment)).unwrap());
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let row = reader.records().next().unwrap().unwrap();
        let cell = |name: &str| &row[header.iter().position(|cell| cell == name).unwrap()];
        assert_eq!(
            [cell("image"), cell("frame"), cell("seconds"), cell("face")],
            ["a, b.png", "7", "0.25", "1"]
        );
        assert_eq!([cell("track"), cell("score"), cell("yaw"), cell("box_height")], ["", "0.75", "3.5", "4"]);
        assert_eq!(
            [cell("y1"), cell("confidence1"), cell("minor1"), cell("angle0")],
            ["4.25", "1", "1", "30"]
        );
        assert_eq!(header.len(), row.len());
        let back = read("f.csv".as_ref(), &text).unwrap();
        assert_eq!((back[0].image.as_str(), &back[0].points), ("a, b.png", &face.points));
        let gap = read("f.csv".as_ref(), "image,x0,y0,x2,y2\na,1,2,3,4\n").unwrap_err().to_string();
        assert!(gap.contains("without a gap"), "{gap}");
    }
}
