//! Faces as JSON and CSV: what `star predict` and `star eval` write and `star score` reads, and what other tools write.

mod csv;
mod keypoint;

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use star_data::scheme_map::SchemeMap;
use star_data::{FaceBox, Scheme};

use crate::{Ellipse, Face, Pose};

pub use self::csv::{Moment, csv_header, csv_row};
pub use keypoint::{Keypoint, keypoints};

/// The box of a face that names none.
fn no_box() -> FaceBox {
    FaceBox { x: 0.0, y: 0.0, width: 0.0, height: 0.0 }
}

/// One face with its landmarks, in pixels of its image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaceRecord {
    /// The image, as it was named on the command line or in the annotations.
    pub image: String,
    /// Name of the keypoint scheme; files made elsewhere may go without.
    #[serde(default)]
    pub scheme: String,
    /// The box that the crop was made from; in files made elsewhere that go without, the one around the points.
    #[serde(rename = "box", default = "no_box")]
    pub face_box: FaceBox,
    /// The probability that this is a face, where a detector found it; other tools' scores are on scales of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// Index of the annotation that the face was predicted for, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// The face's number in a video, where it was followed from frame to frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<usize>,
    /// How the head is turned, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pose: Option<Pose>,
    /// Landmarks `(x, y)`.
    pub points: Vec<[f32; 2]>,
    /// Probability of a small error of each landmark; weights that were not calibrated go without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confidence: Vec<f32>,
    /// Which landmarks are likely hidden, where the weights were taught it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub occluded: Vec<bool>,
    /// Spread of each landmark; files made elsewhere may go without.
    #[serde(default, rename = "ellipse")]
    pub ellipses: Vec<Ellipse>,
}

impl FaceRecord {
    /// A face of which the box alone is known.
    #[must_use]
    pub fn without_landmarks(face_box: FaceBox) -> Self {
        Self {
            image: String::new(),
            scheme: String::new(),
            face_box,
            score: None,
            row: None,
            track: None,
            pose: None,
            points: Vec::new(),
            confidence: Vec::new(),
            occluded: Vec::new(),
            ellipses: Vec::new(),
        }
    }

    /// What is written of `face`, which is in `image` and has the keypoints of `scheme`.
    pub fn new(image: &Path, scheme: &str, face: &Face) -> Self {
        let covariances = face.landmarks.covariances.iter();
        Self {
            image: image.to_string_lossy().into_owned(),
            scheme: scheme.to_string(),
            face_box: face.face_box,
            score: face.score,
            row: None,
            track: None,
            pose: face.pose,
            points: face.landmarks.points.clone(),
            confidence: face.landmarks.confidence.clone(),
            occluded: Vec::new(),
            ellipses: covariances.map(|c| Ellipse::from_covariance(c.map(f64::from))).collect(),
        }
    }
}

/// What was found in one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The image, as it was named on the command line.
    pub image: String,
    /// Number of the frame in a video, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<usize>,
    /// The frame's time in seconds from the video's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What the landmarks are called; on the first line of a file alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keypoints: Vec<Keypoint>,
    /// Its faces; none where there are none.
    #[serde(default)]
    pub faces: Vec<FaceRecord>,
    /// Why it could not be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl ImageRecord {
    /// An image that was looked at.
    pub fn found(image: &Path, faces: Vec<FaceRecord>) -> Self {
        Self { faces, error: None, ..Self::failed(image, String::new()) }
    }

    /// An image that could not be.
    pub fn failed(image: &Path, error: String) -> Self {
        Self {
            image: image.to_string_lossy().into_owned(),
            frame: None,
            seconds: None,
            keypoints: Vec::new(),
            faces: Vec::new(),
            error: Some(error),
        }
    }

    /// As JSON on one line.
    ///
    /// # Errors
    /// When a number cannot be written, which finite numbers always can.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

/// Faces as a JSON array with one object a line.
///
/// # Errors
/// When a number cannot be written, which finite numbers always can.
pub fn to_json(faces: &[FaceRecord]) -> Result<String> {
    let lines: Vec<String> = faces.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    Ok(format!("[\n{}\n]\n", lines.join(",\n")))
}

/// Reads faces, checking each against the number of keypoints: a JSON array of them, lines of [`ImageRecord`]s, or CSV with the columns
/// `image`, `x0`, `y0`, `x1`, `y1` and so on.
///
/// # Errors
/// Names the file and the face or line that is wrong.
pub fn read(path: &Path, keypoints: usize, scheme: &str) -> Result<Vec<FaceRecord>> {
    checked(path, load(path)?, keypoints, scheme)
}

/// As [`read`], with the keypoints that `map` makes; faces that have these already stay as they are.
///
/// # Errors
/// As [`read`].
pub fn read_mapped(path: &Path, map: &SchemeMap) -> Result<Vec<FaceRecord>> {
    let (from, to) = (map.from(), map.to());
    let mapped = |face: FaceRecord| {
        let named = face.scheme.is_empty() || from.is_called(&face.scheme);
        if !named || face.points.len() != from.keypoints {
            return face;
        }
        let covariances: Vec<[f64; 3]> = face.ellipses.iter().map(Ellipse::covariance).collect();
        let ellipses = match covariances.is_empty() {
            true => Vec::new(),
            false => map.covariances(&covariances).into_iter().map(Ellipse::from_covariance).collect(),
        };
        let scheme = if face.scheme.is_empty() { String::new() } else { to.name.clone() };
        let confidence = match face.confidence.is_empty() {
            true => Vec::new(),
            false => map.least(&face.confidence),
        };
        let points = map.points(&face.points);
        FaceRecord { scheme, points, confidence, occluded: Vec::new(), ellipses, ..face }
    };
    checked(path, load(path)?.into_iter().map(mapped).collect(), to.keypoints, &to.name)
}

fn load(path: &Path) -> Result<Vec<FaceRecord>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(match text.trim_start().chars().next() {
        Some('{') => from_lines(path, &text)?,
        Some('[') | None => serde_json::from_str(&text).with_context(|| {
            format!(
                "{}: expected an array of faces, or lines as `star predict --json` writes",
                path.display()
            )
        })?,
        Some(_) => csv::read(path, &text)?,
    })
}

fn checked(
    path: &Path,
    mut faces: Vec<FaceRecord>,
    keypoints: usize,
    scheme: &str,
) -> Result<Vec<FaceRecord>> {
    for (i, face) in faces.iter_mut().enumerate() {
        if face.face_box == no_box() {
            face.face_box = match (FaceBox::around(&face.points), face.points.as_slice()) {
                (Ok(around), _) => around,
                // One landmark spans no box, and needs none.
                (Err(_), &[[x, y]]) => FaceBox { x, y, width: 0.0, height: 0.0 },
                (Err(error), _) => {
                    return Err(error)
                        .with_context(|| format!("{}: face {i} ({})", path.display(), face.image));
                }
            };
        }
        // Files of earlier versions have an alias of a built-in scheme.
        let is_called = |name: &str| name == scheme || Scheme::named(name).is_ok_and(|s| s.name == scheme);
        if !face.scheme.is_empty() && !is_called(&face.scheme) {
            bail!(
                "{}: face {i} ({}): scheme: expected `{scheme}`, got `{}`",
                path.display(),
                face.image,
                face.scheme
            )
        }
        if face.points.len() != keypoints {
            bail!(
                "{}: face {i} ({}): points: expected {keypoints}, got {}",
                path.display(),
                face.image,
                face.points.len()
            )
        }
    }
    Ok(faces)
}

fn from_lines(path: &Path, text: &str) -> Result<Vec<FaceRecord>> {
    let mut faces = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let image: ImageRecord = serde_json::from_str(line).with_context(|| {
            format!("{}: line {}: expected an image with its faces", path.display(), i + 1)
        })?;
        faces.extend(image.faces);
    }
    Ok(faces)
}

#[cfg(test)]
mod tests {
    use star_data::scheme_map::Detail;

    use super::*;
    use crate::Landmarks;

    #[test]
    fn what_is_written_is_read_back_and_another_scheme_is_refused() {
        let landmarks = Landmarks {
            points: vec![[1.5, 2.0], [3.0, 4.25]],
            covariances: vec![[4.0, 0.0, 9.0]; 2],
            ..Default::default()
        };
        let face_box = FaceBox { x: 0.0, y: 0.0, width: 8.0, height: 8.0 };
        let face = Face { face_box, score: Some(3.5), landmarks, pose: None };
        let written = FaceRecord { row: Some(7), ..FaceRecord::new("a.png".as_ref(), "two", &face) };
        assert_eq!(written.ellipses[1], Ellipse { major: 3.0, minor: 2.0, angle: 90.0 });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("found.json");
        std::fs::write(&path, to_json(std::slice::from_ref(&written)).unwrap()).unwrap();
        assert_eq!(read(&path, 2, "two").unwrap(), std::slice::from_ref(&written));
        let line = ImageRecord::found("a.png".as_ref(), vec![written.clone()]).to_json().unwrap();
        let failed = ImageRecord::failed("b.png".as_ref(), "no picture".into()).to_json().unwrap();
        std::fs::write(&path, format!("{line}\n{failed}\n")).unwrap();
        assert_eq!(read(&path, 2, "two").unwrap(), [written]);
        assert!(read(&path, 2, "three").unwrap_err().to_string().contains("expected `three`, got `two`"));
        assert!(read(&path, 3, "two").unwrap_err().to_string().contains("points: expected 3, got 2"));
    }

    #[test]
    fn faces_of_98_points_are_read_as_68_and_those_of_68_stay() {
        let map = SchemeMap::wflw_to_300w(Detail::Blend).unwrap();
        let wide: Vec<[f32; 2]> = (0..98).map(|k| [k as f32, 2.0 * k as f32]).collect();
        let narrow = map.points(&wide);
        let face = |scheme: &str, points: &Vec<[f32; 2]>| FaceRecord {
            image: "a.png".into(),
            scheme: scheme.into(),
            face_box: FaceBox { x: 0.0, y: 0.0, width: 8.0, height: 8.0 },
            score: None,
            row: None,
            track: None,
            pose: None,
            confidence: Vec::new(),
            occluded: Vec::new(),
            ellipses: vec![Ellipse { major: 2.0, minor: 1.0, angle: 0.0 }; points.len()],
            points: points.clone(),
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("found.json");
        let write = |faces: &[FaceRecord]| std::fs::write(&path, to_json(faces).unwrap()).unwrap();
        write(&[face("wflw", &wide), face("face300w68", &narrow)]);
        let read = read_mapped(&path, &map).unwrap();
        assert_eq!((&read[0].points, &read[1].points), (&narrow, &narrow));
        assert_eq!((read[0].scheme.as_str(), read[0].ellipses.len()), ("ibug68", 68));
        // One keypoint of a mean of two alike spreads as they do.
        assert!((read[0].ellipses[18].major - 2.0).abs() < 1e-5);
        write(&[face("mine98", &wide)]);
        let message = read_mapped(&path, &map).unwrap_err().to_string();
        assert!(message.contains("expected `ibug68`, got `mine98`"), "{message}");
    }

    #[test]
    fn predictions_of_other_tools_need_an_image_and_its_points() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("found");
        for text in [
            "image,x0,y0,x1,y1\na.png,1.5,2,3,4.25\n",
            r#"[{"image": "a.png", "points": [[1.5, 2], [3, 4.25]]}]"#,
        ] {
            std::fs::write(&path, text).unwrap();
            let face = read(&path, 2, "two").unwrap().remove(0);
            assert_eq!(face.points, [[1.5, 2.0], [3.0, 4.25]]);
            // Landmark-tight, outwards to whole pixels.
            assert_eq!((face.face_box.x, face.face_box.width), (0.5, 3.0));
        }
        for (text, expected) in [
            ("image;x0;y0\na.png;1;2\n", "image,x0,y0"),
            ("image,x0,y0,x1,y1\na.png,1,2,3,b\n", "line: 2"),
            ("{\"image\": 3}\n", "line 1"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = format!("{:#}", read(&path, 2, "two").unwrap_err());
            assert!(message.contains(expected), "{message}");
        }
    }
}
