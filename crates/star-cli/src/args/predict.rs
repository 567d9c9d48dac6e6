//! `star predict`, and what it shares with `star serve`.

use std::path::PathBuf;

use clap::Args;
use star_predict::overlay::Style;

#[cfg(feature = "bulk")]
use super::BulkArgs;
use super::{MapName, PrecisionName, TargetName, WeightsArgs};

/// Arguments of `star predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Images, or folders of them: JPEG, PNG, WebP, BMP, GIF, TIFF, PPM or PGM; or one video, which ffmpeg reads [default: a photograph
    /// in the program]
    #[arg(value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// What finds the landmarks.
    #[command(flatten)]
    pub predictor: PredictorArgs,
    /// Many images, packed.
    #[cfg(feature = "bulk")]
    #[command(flatten)]
    pub bulk: BulkArgs,
    /// A face's box in pixels instead of the detector, landmark-tight; may be given several times
    #[arg(long = "box", value_name = "X,Y,W,H", value_parser = parse_box, allow_hyphen_values = true)]
    pub boxes: Vec<[f32; 4]>,
    /// Look into the folders below, too
    #[arg(long)]
    pub recursive: bool,
    /// Folder for the images with landmarks drawn in, made if missing; of a video also a file such as drawn.mp4
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What is drawn.
    #[command(flatten)]
    pub drawing: DrawingArgs,
    /// File for the JSON, `-` for standard output [default: standard output unless --out is given; a summary on a terminal]
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// File for a table, `-` for standard output: a row a face with box, head pose, landmarks, confidences and ellipses
    #[arg(long, value_name = "FILE|-")]
    pub csv: Option<PathBuf>,
    /// Folder for the faces cut out upright, eyes, nose and mouth where face recognisers want them; made if missing
    #[arg(long, value_name = "DIR")]
    pub crops: Option<PathBuf>,
    /// Side of these in pixels
    #[arg(long, default_value_t = 112, value_name = "N", requires = "crops")]
    pub size: usize,
    /// Smooth the landmarks of each face (one-euro filter): of a video, or of images that are the frames of one in order
    #[arg(long)]
    pub smooth: bool,
    /// Frames a second of these images; a video knows its own
    #[arg(long, default_value_t = 30.0, value_name = "N", requires = "smooth")]
    pub fps: f64,
    /// Cutoff in Hz for landmarks at rest: lower is steadier
    #[arg(long, default_value_t = 1.0, value_name = "HZ", requires = "smooth")]
    pub min_cutoff: f64,
    /// Cutoff gained per speed of one face side a second: higher lags less behind
    #[arg(long, default_value_t = 20.0, value_name = "B", requires = "smooth")]
    pub beta: f64,
}

/// What is drawn beside points and edges.
#[derive(Clone, Copy, Debug, Args)]
pub struct DrawingArgs {
    /// Draw how far each landmark may be off, too: ellipses of two standard deviations, as the weights' calibration has them
    #[arg(long)]
    pub ellipses: bool,
    /// Draw how the head is turned, too: an axis to its left (red), up (green) and to its front (blue)
    #[arg(long)]
    pub axes: bool,
    /// Draw the points by how sure they are, green to red, instead of by the part of the face
    #[arg(long)]
    pub confidence: bool,
}

impl DrawingArgs {
    /// What is drawn by these arguments.
    #[must_use]
    pub fn style(self) -> Style {
        Style { ellipses: self.ellipses, axes: self.axes, confidence: self.confidence }
    }
}

/// What finds the landmarks in an image.
#[derive(Debug, Args)]
pub struct PredictorArgs {
    /// Weights to run.
    #[command(flatten)]
    pub weights: WeightsArgs,
    /// What the network's products are computed in on a CPU; `auto` is bf16 where that is faster (AMX, AMD's
    /// AVX512-BF16); the landmarks of the built-in weights then move by about a hundredth of a pixel
    #[arg(long, value_enum, default_value_t = PrecisionName::F32)]
    pub precision: PrecisionName,
    /// Smallest probability that counts as a face: lower finds more faces and more that are none
    #[arg(long, default_value_t = star_predict::detector::FaceDetector::MIN_SCORE, value_name = "P")]
    pub min_score: f64,
    /// Where no face is sure, look in the image turned by every eighth of a full turn: for faces on their side or on their head
    ///
    /// Most of those are found without it. An image without a sure face takes some nine times as long: 0.15 s instead of 0.02 s for
    /// 640 x 480 pixels on one core. More looks also find more that is no face.
    #[arg(long = "any-rotation", alias = "turned")]
    pub turned: bool,
    /// Make 68 points of faces with 98
    #[arg(long = "map-98-to-68", value_enum)]
    pub map: Option<MapName>,
    /// Give the landmarks of another markup
    #[arg(long = "as", value_enum, value_name = "NAME", conflicts_with = "map")]
    pub target: Option<TargetName>,
}

/// A box as four numbers x, y, width and height.
///
/// # Errors
/// Says what is wrong with the text.
pub(crate) fn parse_box(text: &str) -> Result<[f32; 4], String> {
    let values: Vec<f32> = text
        .split(',')
        .map(|v| {
            v.trim().parse().map_err(|_| format!("`{v}` is no number; expected x,y,width,height in pixels"))
        })
        .collect::<Result<_, _>>()?;
    let values: [f32; 4] = values
        .try_into()
        .map_err(|v: Vec<f32>| format!("expected four numbers x,y,width,height, got {}", v.len()))?;
    checked_box(values)
}

/// A box as x, y, width and height that holds something.
///
/// # Errors
/// Where it does not.
pub(crate) fn checked_box(values: [f32; 4]) -> Result<[f32; 4], String> {
    if values.iter().all(|v| v.is_finite()) && values[2] > 0.0 && values[3] > 0.0 {
        Ok(values)
    } else {
        Err("width and height must be positive, all four numbers finite".to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_four_numbers_with_a_positive_size() {
        assert_eq!(parse_box("-3, 4.5,10,20").unwrap(), [-3.0, 4.5, 10.0, 20.0]);
        for (bad, hint) in
            [("1,2,3", "four numbers"), ("1,2,x,4", "`x`"), ("1,2,0,4", "positive"), ("nan,0,1,1", "finite")]
        {
            assert!(parse_box(bad).unwrap_err().contains(hint), "{bad}");
        }
    }
}
