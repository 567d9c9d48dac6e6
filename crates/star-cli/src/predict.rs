//! `star predict`: photographs in, landmarks and drawn pictures out.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use candle_core::DType;
use image::RgbImage;
use indicatif::ProgressBar;
use star_data::{FaceBox, Scheme, decode};

use crate::args::PredictArgs;
use crate::detect::FaceDetector;
use crate::faces::{self, Face};
use crate::landmarks::Predictor;
use crate::smooth::{SmoothConfig, Smoother};
use crate::{failure, output, overlay, progress, weights};

/// Where the faces of a picture come from.
enum Boxes {
    Given(Vec<FaceBox>),
    Detector(Box<FaceDetector>),
}

impl Boxes {
    /// Landmark-tight boxes with the detector's scores.
    fn of(&self, image: &RgbImage) -> Vec<(FaceBox, Option<f64>)> {
        match self {
            Self::Given(boxes) => boxes.iter().map(|face| (*face, None)).collect(),
            Self::Detector(detector) => {
                detector.detect(image).iter().map(|found| (found.face(), Some(found.score))).collect()
            }
        }
    }
}

/// Runs `star predict`. Pictures that cannot be read are reported and the others still done; the exit code then says
/// so.
///
/// # Errors
/// When the weights cannot be opened or the results not written.
pub fn run(args: &PredictArgs) -> Result<ExitCode> {
    let (folder, scheme) = weights::open(&args.weights)?;
    let device = args.weights.device.open()?;
    let predictor = Predictor::new(folder.model(DType::F32, &device)?, DType::F32, &device);
    let boxes = if args.boxes.is_empty() {
        Boxes::Detector(Box::new(FaceDetector::new(args.min_score)?))
    } else {
        Boxes::Given(
            args.boxes.iter().map(|&[x, y, width, height]| FaceBox { x, y, width, height }).collect(),
        )
    };
    if let Some(dir) = &args.out {
        output::make_dir(dir)?;
    }
    let mut smoother = match args.smooth {
        true => {
            Some(Smoother::new(SmoothConfig { fps: args.fps, min_cutoff: args.min_cutoff, beta: args.beta })?)
        }
        false => None,
    };
    let bar = progress::bar(args.images.len(), "images");
    let mut names = HashSet::new();
    let (mut found, mut failed) = (Vec::new(), 0);
    for path in &args.images {
        match one(path, &boxes, &predictor, &scheme, args) {
            Ok((image, mut faces)) => {
                if let Some(smoother) = &mut smoother {
                    smoother.frame(&mut faces);
                }
                report(&bar, path, &faces);
                if let Some(dir) = &args.out {
                    let drawn = overlay::draw(&image, &faces, &scheme)?;
                    output::write_renamed(&dir.join(free_name(path, &mut names)), &drawn)?;
                }
                found.extend(faces);
            }
            Err(error) => {
                failed += 1;
                bar.suspend(|| eprintln!("error: {}", failure::describe(&error)));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let json = faces::to_json(&found)?;
    match (&args.json, &args.out) {
        (Some(path), _) => output::write_text(path, &json)?,
        (None, None) => output::write_text(Path::new("-"), &json)?,
        (None, Some(_)) => {}
    }
    if failed > 0 {
        eprintln!("{failed} of {} images could not be read", args.images.len());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn one(
    path: &Path,
    boxes: &Boxes,
    predictor: &Predictor,
    scheme: &Scheme,
    args: &PredictArgs,
) -> Result<(RgbImage, Vec<Face>)> {
    let image = decode::decode_oriented(path)?;
    let (faces, scores): (Vec<FaceBox>, Vec<Option<f64>>) = boxes.of(&image).into_iter().unzip();
    let landmarks = predictor
        .faces(&image, &faces, args.weights.batch_size)
        .with_context(|| path.display().to_string())?;
    let faces = faces
        .iter()
        .zip(scores)
        .zip(landmarks)
        .map(|((face, score), landmarks)| Face { score, ..Face::new(path, &scheme.name, *face, landmarks) });
    Ok((image, faces.collect()))
}

fn report(bar: &ProgressBar, path: &Path, faces: &[Face]) {
    let count = match faces.len() {
        0 => "no face found (a box can be given with --box x,y,w,h)".to_string(),
        1 => "1 face".to_string(),
        n => format!("{n} faces"),
    };
    bar.suspend(|| eprintln!("{}: {count}", path.display()));
}

/// `NAME.png` for a picture, with a number where an earlier picture of the same name has it.
fn free_name(path: &Path, taken: &mut HashSet<PathBuf>) -> PathBuf {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let mut name = PathBuf::from(format!("{stem}.png"));
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = PathBuf::from(format!("{stem}-{number}.png"));
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_one_name_do_not_overwrite_each_other() {
        let mut taken = HashSet::new();
        let names = ["a/face.jpg", "b/face.png", "c/face.jpg"].map(|p| free_name(Path::new(p), &mut taken));
        assert_eq!(
            names.map(|name| name.to_string_lossy().into_owned()),
            ["face.png", "face-2.png", "face-3.png"]
        );
    }
}
