//! The picture of the front page: what `star predict` draws, near enough to be seen on a phone.

use std::path::PathBuf;

use anyhow::{Context, Result};
use image::imageops::{self, FilterType};
use star_data::{FaceBox, atomic, decode};
use star_predict::overlay::Style;
use star_predict::{Face, Predictor, overlay};

use crate::place;

/// Side of the picture in pixels.
const SIDE: u32 = 560;

/// Side of what is shown, in sides of the face's box.
const SHOWN: f32 = 1.7;

/// What to draw.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A portrait that may be shown
    #[arg(long, value_name = "IMAGE", default_value = "crates/star-predict/tests/data/astronaut.png")]
    image: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE", default_value = "docs/images/predict.png")]
    out: PathBuf,
}

/// Draws the landmarks of the first face that is found.
///
/// # Errors
/// When there is none, and when a file cannot be read or written.
pub(super) fn run(args: &Args) -> Result<()> {
    let root = place::root();
    let image = decode::decode_oriented(&root.join(&args.image))?;
    let predictor = Predictor::builtin()?;
    let face = predictor.predict(&image)?.into_iter().next().context("no face found")?;
    let [x, y] = face.face_box.centre();
    let side = (SHOWN * face.face_box.side()).min(image.width().min(image.height()) as f32).round();
    let start = |at: f32, size: u32| (at - side / 2.0).clamp(0.0, size as f32 - side).round();
    let corner = [start(x, image.width()), start(y, image.height())];
    let [left, top] = corner.map(|v| v as u32);
    let shown = imageops::crop_imm(&image, left, top, side as u32, side as u32).to_image();
    let scale = SIDE as f32 / side;
    let shown = imageops::resize(&shown, SIDE, SIDE, FilterType::Lanczos3);
    let scheme = predictor.scheme().context("no scheme")?;
    let png = overlay::draw(&shown, &[moved(face, corner, scale)], scheme, Style::default())?;
    atomic::write(&root.join(&args.out), &png)?;
    println!("{}: written", args.out.display());
    Ok(())
}

/// The face in an image that starts at `corner` and is enlarged by `scale`, pixel centres at whole numbers.
fn moved(mut face: Face, corner: [f32; 2], scale: f32) -> Face {
    let at = |v: f32, axis: usize| (v - corner[axis] + 0.5) * scale - 0.5;
    let FaceBox { x, y, width, height } = face.face_box;
    face.face_box = FaceBox { x: at(x, 0), y: at(y, 1), width: width * scale, height: height * scale };
    for point in &mut face.landmarks.points {
        *point = [at(point[0], 0), at(point[1], 1)];
    }
    for covariance in &mut face.landmarks.covariances {
        *covariance = covariance.map(|value| value * scale * scale);
    }
    face
}
