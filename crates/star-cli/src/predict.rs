//! `star predict`: images in, landmarks and drawn images out.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use image::RgbImage;
use indicatif::ProgressBar;
use star_data::FaceBox;
use star_data::atomic;
use star_model::CompileOptions;
use star_predict::detector::FrontalDetector;
use star_predict::images::{image_paths, predict_images};
use star_predict::records::{self, FaceRecord};
use star_predict::smooth::{SmoothConfig, Smoother};
use star_predict::{Face, Predictor, failure, files, overlay};

use crate::args::PredictArgs;
use crate::{output, progress, weights};

/// What comes of an image whose faces are found.
struct Found {
    faces: Vec<Face>,
    /// The image, where its faces are yet to be smoothed, from image to image, before they are drawn.
    image: Option<RgbImage>,
}

/// Runs `star predict`. Images that cannot be read are reported and the others still done; the exit code then says so.
///
/// One image a thread, from decoding to drawing, keeps every core busy. Where there are fewer images than threads, the network shares
/// out the others.
///
/// # Errors
/// When the weights cannot be opened or the results not written.
pub(crate) fn run(args: &PredictArgs) -> Result<ExitCode> {
    let paths = image_paths(&args.images)?;
    let (folder, scheme) = weights::open(&args.weights)?;
    let device = args.weights.device.open()?;
    let threads = rayon::current_num_threads().max(1);
    let workers = if device.is_cpu() { threads.min(paths.len()).max(1) } else { 1 };
    let options = CompileOptions { threads: Some(threads / workers), ..CompileOptions::default() };
    let predictor = Predictor::from_folder(&folder, &device, &options)?
        .with_batch_size(args.weights.batch_size)
        .with_detector(FrontalDetector::new(args.min_score).context("--min-score")?);
    drop(folder);
    let boxes: Vec<FaceBox> =
        args.boxes.iter().map(|&[x, y, width, height]| FaceBox { x, y, width, height }).collect();
    let boxes = (!boxes.is_empty()).then_some(boxes.as_slice());
    if let Some(dir) = &args.out {
        files::make_dir(dir)?;
    }
    let mut taken = HashSet::new();
    let names: Vec<PathBuf> = paths.iter().map(|path| free_name(path, &mut taken)).collect();
    let draw = |image: &RgbImage, faces: &[Face], i: usize| -> Result<()> {
        let Some(dir) = &args.out else { return Ok(()) };
        Ok(atomic::write(&dir.join(&names[i]), &overlay::draw(image, faces, &scheme)?)?)
    };
    let finish = |i: usize, image: RgbImage, faces: Vec<Face>| -> Result<Found> {
        if args.smooth {
            return Ok(Found { faces, image: Some(image) });
        }
        draw(&image, &faces, i)?;
        Ok(Found { faces, image: None })
    };
    let mut smoother = smoother(args)?;
    let bar = progress::bar(paths.len(), "images");
    let start = Instant::now();
    let (mut records, mut failed) = (Vec::new(), 0);
    predict_images(&predictor, &paths, boxes, workers, finish, |i, outcome| {
        match outcome {
            Ok(found) => {
                // What cannot be drawn ends the work: a full disk is full for the next image too.
                let Found { mut faces, image } = found?;
                let tracks = smoother.as_mut().map(|smoother| smoother.frame(&mut faces));
                report(&bar, &paths[i], &faces);
                if let Some(image) = image {
                    draw(&image, &faces, i)?;
                }
                records.extend(faces.iter().enumerate().map(|(k, face)| FaceRecord {
                    track: tracks.as_ref().map(|tracks| tracks[k]),
                    ..FaceRecord::new(&paths[i], &scheme.name, face)
                }));
            }
            Err(error) => {
                failed += 1;
                bar.suspend(|| eprintln!("error: {}", failure::describe(&error)));
            }
        }
        bar.inc(1);
        Ok(())
    })?;
    bar.finish_and_clear();
    let json = records::to_json(&records)?;
    match (&args.json, &args.out) {
        (Some(path), _) => output::write_text(path, &json)?,
        (None, None) => output::write_text(Path::new("-"), &json)?,
        (None, Some(_)) => {}
    }
    if paths.len() > 1 {
        let seconds = start.elapsed().as_secs_f64();
        let (images, faces) = (paths.len() - failed, records.len());
        eprintln!(
            "{images} images, {faces} faces in {seconds:.1} s: {:.1} images a second on {threads} threads",
            images as f64 / seconds
        );
    }
    if failed > 0 {
        eprintln!("{failed} of {} images could not be read", paths.len());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn smoother(args: &PredictArgs) -> Result<Option<Smoother>> {
    if !args.smooth {
        return Ok(None);
    }
    let config = SmoothConfig { fps: args.fps, min_cutoff: args.min_cutoff, beta: args.beta };
    Smoother::new(config).context("--fps, --min-cutoff, --beta").map(Some)
}

fn report(bar: &ProgressBar, path: &Path, faces: &[Face]) {
    let count = match faces.len() {
        0 => "no face found (a box can be given with --box x,y,w,h)".to_string(),
        1 => "1 face".to_string(),
        n => format!("{n} faces"),
    };
    bar.suspend(|| eprintln!("{}: {count}", path.display()));
}

/// `NAME.png` for an image, with a number where an earlier image of the same name has it.
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
    fn images_of_one_name_do_not_overwrite_each_other() {
        let mut taken = HashSet::new();
        let names = ["a/face.jpg", "b/face.png", "c/face.jpg"].map(|p| free_name(Path::new(p), &mut taken));
        assert_eq!(
            names.map(|name| name.to_string_lossy().into_owned()),
            ["face.png", "face-2.png", "face-3.png"]
        );
    }
}
