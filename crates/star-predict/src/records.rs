//! Faces as JSON: what `star predict` and `star eval` write and `star score` reads.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use star_data::FaceBox;

use crate::{Ellipse, Face};

/// One face with its landmarks, in pixels of its image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaceRecord {
    /// The image, as it was named on the command line or in the annotations.
    pub image: String,
    /// Name of the keypoint scheme.
    pub scheme: String,
    /// The box that the crop was made from.
    #[serde(rename = "box")]
    pub face_box: FaceBox,
    /// The detector's score, where a detector found the face.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// Index of the annotation that the face was predicted for, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// The face's number in a video, where it was followed from frame to frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<usize>,
    /// Landmarks `(x, y)`.
    pub points: Vec<[f32; 2]>,
    /// Spread of each landmark; files made elsewhere may go without.
    #[serde(default, rename = "ellipse")]
    pub ellipses: Vec<Ellipse>,
}

impl FaceRecord {
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
            points: face.landmarks.points.clone(),
            ellipses: covariances.map(|c| Ellipse::from_covariance(c.map(f64::from))).collect(),
        }
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

/// Reads faces from a JSON array, checking each against the number of keypoints.
///
/// # Errors
/// Names the file and the face that is wrong.
pub fn read(path: &Path, keypoints: usize, scheme: &str) -> Result<Vec<FaceRecord>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let faces: Vec<FaceRecord> = serde_json::from_str(&text).with_context(|| {
        format!("{}: expected an array of faces as `star predict --json` writes", path.display())
    })?;
    for (i, face) in faces.iter().enumerate() {
        if face.scheme != scheme {
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

#[cfg(test)]
mod tests {
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
        assert_eq!(read(&path, 2, "two").unwrap(), [written]);
        assert!(read(&path, 2, "three").unwrap_err().to_string().contains("expected `three`, got `two`"));
        assert!(read(&path, 3, "two").unwrap_err().to_string().contains("points: expected 3, got 2"));
    }
}
