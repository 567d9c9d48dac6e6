//! What is written of each image or frame as soon as it is done: JSON, CSV, a summary for a person.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::Result;
use star_data::{FaceBox, Scheme};
use star_predict::records::{self, FaceRecord, ImageRecord, Keypoint, Moment};

use crate::args::PredictArgs;
use crate::output::{self, Lines};

/// Confidence from which a person reads that a landmark is sure.
const SURE: f32 = 0.5;

/// Where results go.
pub(super) struct Printed {
    json: Option<Lines>,
    csv: Option<Lines>,
    summary: bool,
    /// What the landmarks are called, until the first line said it.
    keypoints: Vec<Keypoint>,
}

/// The files that will be written.
pub(super) fn files(args: &PredictArgs) -> impl Iterator<Item = &PathBuf> {
    args.json.iter().chain(&args.csv)
}

impl Printed {
    /// Opens what was asked for; `summarised` where standard output has nothing else to say.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub(super) fn open(args: &PredictArgs, scheme: &Scheme, summarised: bool) -> Result<Self> {
        let nothing = args.json.is_none() && args.csv.is_none() && args.out.is_none() && args.crops.is_none();
        let summary = summarised || (nothing && std::io::stdout().is_terminal());
        let json = match &args.json {
            Some(path) => Some(Lines::to(path)?),
            None if nothing && !summary => Some(Lines::to(Path::new("-"))?),
            None => None,
        };
        let csv = args.csv.as_deref().map(Lines::to).transpose()?;
        let mut printed = Self { json, csv, summary, keypoints: records::keypoints(scheme) };
        if let Some(csv) = &mut printed.csv {
            csv.line(&records::csv_header(scheme.keypoints)?)?;
        }
        Ok(printed)
    }

    /// Whether a person reads where the faces are.
    pub(super) fn is_summary(&self) -> bool {
        self.summary
    }

    /// Writes an image or a frame.
    ///
    /// # Errors
    /// Names the file.
    pub(super) fn image(&mut self, mut image: ImageRecord) -> Result<()> {
        if let Some(csv) = &mut self.csv {
            let moment = image.frame.zip(image.seconds).map(|(frame, seconds)| Moment { frame, seconds });
            for (number, face) in image.faces.iter().enumerate() {
                csv.line(&records::csv_row(face, number, moment)?)?;
            }
        }
        if self.summary && image.frame.is_none() {
            output::write_text(Path::new("-"), &summary(&image.faces))?;
        }
        if let Some(json) = &mut self.json {
            image.keypoints = std::mem::take(&mut self.keypoints);
            json.line(&image.to_json()?)?;
        }
        Ok(())
    }
}

/// What a person at a terminal reads instead of JSON.
fn summary(faces: &[FaceRecord]) -> String {
    let mut text = String::new();
    for face in faces {
        let FaceBox { x, y, width, height } = face.face_box;
        let score =
            face.score.map_or_else(String::new, |score| format!(", a face with a probability of {score:.2}"));
        let _ = write!(
            text,
            "{}: {} landmarks in {width:.0} x {height:.0} pixels at ({x:.0}, {y:.0}){score}",
            face.image,
            face.points.len()
        );
        if !face.confidence.is_empty() {
            let sure = face.confidence.iter().filter(|confidence| **confidence >= SURE).count();
            let _ = write!(text, ", {sure} of them sure");
        }
        if let Some(pose) = face.pose {
            let _ = write!(
                text,
                "; turned {:.0} degrees to its {}, {:.0} {}, tilted {:.0} to its {}",
                pose.yaw.abs(),
                if pose.yaw < 0.0 { "right" } else { "left" },
                pose.pitch.abs(),
                if pose.pitch < 0.0 { "down" } else { "up" },
                pose.roll.abs(),
                if pose.roll < 0.0 { "left" } else { "right" },
            );
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use star_predict::Pose;

    use super::*;

    #[test]
    fn a_person_reads_where_the_faces_are() {
        let face = FaceRecord {
            image: "a.jpg".into(),
            score: Some(0.97),
            points: vec![[0.0, 0.0]; 68],
            ..FaceRecord::without_landmarks(FaceBox { x: 3.0, y: 4.4, width: 100.0, height: 99.6 })
        };
        let text = summary(std::slice::from_ref(&face));
        assert_eq!(
            text,
            "a.jpg: 68 landmarks in 100 x 100 pixels at (3, 4), a face with a probability of 0.97\n"
        );
        let pose = Some(Pose { yaw: -12.0, pitch: 3.0, ..Pose::default() });
        let text = summary(&[FaceRecord { pose, confidence: vec![0.9; 68], ..face }]);
        assert!(text.contains("68 of them sure; turned 12 degrees to its right, 3 up"), "{text}");
        assert_eq!(summary(&[]), "");
    }
}
