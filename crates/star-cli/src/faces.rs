//! Predictions as JSON: what `star predict` and `star eval` write and `star score` reads.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use star_data::FaceBox;

use crate::landmarks::{Ellipse, Landmarks};

/// One face with its landmarks, in pixels of its picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// The picture, as it was named on the command line or in the annotations.
    pub image: String,
    /// Name of the keypoint scheme.
    pub scheme: String,
    /// The box that the crop was made from.
    #[serde(rename = "box")]
    pub face: FaceBox,
    /// The detector's score, where a detector found the face.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
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

impl Face {
    /// A face from what the network found.
    pub fn new(image: &Path, scheme: &str, face: FaceBox, landmarks: Landmarks) -> Self {
        Self {
            image: image.to_string_lossy().into_owned(),
            scheme: scheme.to_string(),
            face,
            score: None,
            row: None,
            track: None,
            points: landmarks.points,
            ellipses: landmarks.ellipses,
        }
    }
}

/// Faces as a JSON array with one object a line.
///
/// # Errors
/// When a number cannot be written, which finite numbers always can.
pub fn to_json(faces: &[Face]) -> Result<String> {
    let lines: Vec<String> = faces.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    Ok(format!("[\n{}\n]\n", lines.join(",\n")))
}

/// Reads faces from a JSON array, checking each against the number of keypoints.
///
/// # Errors
/// Names the file and the face that is wrong.
pub fn read(path: &Path, keypoints: usize, scheme: &str) -> Result<Vec<Face>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let faces: Vec<Face> = serde_json::from_str(&text).with_context(|| {
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
