//! `star predict`: images in, landmarks, drawn images and crops out.

mod example;
mod printed;
mod video;

use std::collections::HashSet;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use image::{ImageFormat, RgbImage};
use indicatif::ProgressBar;
use star_data::atomic;
use star_data::decode::Decoded;
use star_data::images::{self, Depth};
use star_data::{FaceBox, Scheme};
use star_model::CompileOptions;
use star_predict::detector::FaceDetector;
use star_predict::images::predict_images;
use star_predict::overlay::Style;
use star_predict::records::{FaceRecord, ImageRecord};
use star_predict::smooth::{SmoothConfig, Smoother};
use star_predict::{Face, Predictor, align, failure, files, overlay};

use crate::args::{PredictArgs, PredictorArgs};
use crate::bench::precision;
use crate::output;
use crate::{progress, weights};
use printed::Printed;

/// What `args` say that finds the landmarks, with `threads` of the network's own, and the scheme of what it finds.
///
/// # Errors
/// When the weights cannot be opened, or an option is not what it must be.
pub(crate) fn open(args: &PredictorArgs, device: &Device, threads: usize) -> Result<(Predictor, Scheme)> {
    let (folder, scheme) = weights::open(&args.weights)?;
    let options = CompileOptions {
        threads: Some(threads.max(1)),
        precision: precision(args.precision),
        ..CompileOptions::default()
    };
    let predictor = Predictor::from_folder(&folder, device, &options)?
        .with_batch_size(args.weights.batch_size)
        .with_scheme(scheme.clone())
        .with_confidence(weights::confidence(&args.weights, &scheme)?)
        .with_turned(args.turned)
        .with_detector(FaceDetector::new(args.min_score).context("--min-score")?);
    Ok(match weights::map(args.map, args.target, &scheme)? {
        Some(map) => {
            let scheme = map.to().clone();
            (predictor.with_map(map), scheme)
        }
        None => (predictor, scheme),
    })
}

/// What is written of the faces in `image`.
pub(crate) fn record<'a>(
    predictor: &Predictor,
    image: &Path,
    faces: impl IntoIterator<Item = &'a Face>,
) -> ImageRecord {
    let scheme = predictor.scheme().map_or("", |scheme| scheme.name.as_str());
    let face = |face: &Face| FaceRecord {
        occluded: predictor.occluded(&face.landmarks).unwrap_or_default(),
        ..FaceRecord::new(image, scheme, face)
    };
    ImageRecord::found(image, faces.into_iter().map(face).collect())
}

/// What comes of an image whose faces are found.
struct Found {
    faces: Vec<Face>,
    /// The image, where its faces are yet to be smoothed, from image to image, before they are drawn.
    image: Option<RgbImage>,
    /// What is wrong with its file.
    warning: Option<String>,
}

/// Runs `star predict`. Images that cannot be read are reported and the others still done; the exit code then says so.
///
/// One image a thread, from decoding to drawing, keeps every core busy. Where there are fewer images than threads, the network shares
/// out the others.
///
/// # Errors
/// When the weights cannot be opened or the results not written.
pub(crate) fn run(args: &PredictArgs) -> Result<ExitCode> {
    let video = video::among(args)?;
    let example = args.images.is_empty();
    if example {
        example::check(args);
    }
    let stills = if video.is_some() { &[][..] } else { args.images.as_slice() };
    let found = images::list(stills, if args.recursive { Depth::Below } else { Depth::Folder })?;
    if found.others > 0 {
        say!("{} other files in the folders are left out", found.others);
    }
    let paths = found.images;
    let device = args.predictor.weights.device.open()?;
    let threads = rayon::current_num_threads().max(1);
    let workers = if device.is_cpu() { threads.min(paths.len()).max(1) } else { 1 };
    let (predictor, scheme) = open(&args.predictor, &device, threads / workers)?;
    drawing(args, &predictor)?;
    if let Some(video) = video {
        return video::run(args, video, &predictor);
    }
    let boxes: Vec<FaceBox> =
        args.boxes.iter().map(|&[x, y, width, height]| FaceBox { x, y, width, height }).collect();
    let boxes = (!boxes.is_empty()).then_some(boxes.as_slice());
    if let Some(dir) = &args.out {
        files::make_dir(dir)?;
    }
    let mut taken = HashSet::new();
    let names: Vec<PathBuf> = paths.iter().map(|path| free_name(path, &mut taken)).collect();
    args.out
        .iter()
        .flat_map(|dir| names.iter().map(|name| dir.join(name)))
        .try_for_each(|path| output::claim(&path, &paths))?;
    printed::files(args).try_for_each(|path| output::claim(path, &paths))?;
    args.crops.iter().try_for_each(|dir| files::make_dir(dir))?;
    let mut results = Printed::open(args, &scheme, example)?;
    if example {
        example::run(args, &predictor, &mut results)?;
        return Ok(ExitCode::SUCCESS);
    }
    let style = args.drawing.style();
    let draw = |image: &RgbImage, faces: &[Face], i: usize| -> Result<()> {
        let Some(dir) = &args.out else { return Ok(()) };
        Ok(atomic::write(&dir.join(&names[i]), &overlay::draw(image, faces, &scheme, style)?)?)
    };
    let crop = |image: &RgbImage, faces: &[Face], i: usize| -> Result<()> {
        let Some(dir) = &args.crops else { return Ok(()) };
        let name = names[i].to_string_lossy().replace(DRAWN, "");
        crops(&scheme, image, faces, args.size, |number| {
            let path = dir.join(format!("{name}-face{number}.png"));
            output::claim(&path, &paths)?;
            Ok(path)
        })
    };
    let finish = |i: usize, decoded: Decoded, faces: Vec<Face>| -> Result<Found> {
        let Decoded { image, warning } = decoded;
        if !args.smooth {
            crop(&image, &faces, i)?;
        }
        if args.smooth {
            return Ok(Found { faces, image: Some(image), warning });
        }
        draw(&image, &faces, i)?;
        Ok(Found { faces, image: None, warning })
    };
    let mut smoother = smoother(args)?;
    let bar = progress::bar(paths.len(), "images");
    let start = Instant::now();
    let (mut found_faces, mut failed) = (0, 0);
    predict_images(&predictor, &paths, boxes, workers, finish, |i, outcome| {
        match outcome {
            Ok(found) => {
                // What cannot be drawn ends the work: a full disk is full for the next image too.
                let Found { mut faces, image, warning } = found?;
                if let Some(warning) = warning {
                    bar.suspend(|| say!("warning: {}: {warning}", paths[i].display()));
                }
                let tracks = smoother.as_mut().map(|smoother| smoother.frame(&mut faces));
                if faces.is_empty() || !results.is_summary() {
                    report(&bar, &paths[i], &faces);
                }
                if let Some(image) = image {
                    draw(&image, &faces, i)?;
                    crop(&image, &faces, i)?;
                }
                found_faces += faces.len();
                let mut record = record(&predictor, &paths[i], &faces);
                for (face, track) in record.faces.iter_mut().zip(tracks.into_iter().flatten()) {
                    face.track = Some(track);
                }
                bar.suspend(|| results.image(record))?;
            }
            Err(error) => {
                failed += 1;
                let error = failure::describe(&error);
                bar.suspend(|| say!("error: {error}"));
                bar.suspend(|| results.image(ImageRecord::failed(&paths[i], error)))?;
            }
        }
        bar.inc(1);
        Ok(())
    })?;
    bar.finish_and_clear();
    if found_faces > 0 && results.is_summary() {
        output::write_text(Path::new("-"), MORE)?;
    }
    if paths.len() > 1 {
        let seconds = start.elapsed().as_secs_f64();
        let images = paths.len() - failed;
        say!(
            "{images} images, {found_faces} faces in {seconds:.1} s: {:.1} images a second on {threads} threads",
            images as f64 / seconds
        );
    }
    if failed > 0 {
        say!("{failed} of {} images could not be read", paths.len());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what of the drawing the weights cannot give.
///
/// # Errors
/// Where a drawing was described and none was asked for.
fn drawing(args: &PredictArgs, predictor: &Predictor) -> Result<()> {
    let style = args.drawing.style();
    ensure!(
        style == Style::default() || args.out.is_some() || args.images.is_empty(),
        "--ellipses, --axes, --confidence: these are about drawings; expected the folder for them, too: --out DIR"
    );
    if style.ellipses && !predictor.calibrated() {
        say!(
            "note: the spreads of these weights are not calibrated: ellipses are as wide as the heatmaps, not as the errors"
        );
    }
    if style.confidence && predictor.confidence().is_none() {
        say!(
            "note: these weights have no confidences, points keep their colours; star calibrate learns them"
        );
    }
    Ok(())
}

/// Where a person at a terminal sees more.
const MORE: &str = "all landmarks: --json FILE, --csv FILE, or a pipe; drawn into the images: --out DIR\n";

/// How a drawn image's name ends.
const DRAWN: &str = "-drawn.png";

/// Writes the aligned crop of each face that has one, numbered from 0, to the file that `place` names.
fn crops(
    scheme: &Scheme,
    image: &RgbImage,
    faces: &[Face],
    size: usize,
    place: impl Fn(usize) -> Result<PathBuf>,
) -> Result<()> {
    for (number, face) in faces.iter().enumerate() {
        let Some(crop) = align::crop(image, scheme, &face.landmarks.points, size).context("--size")? else {
            continue;
        };
        let mut bytes = Vec::new();
        crop.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).context("encoding a crop")?;
        atomic::write(&place(number)?, &bytes)?;
    }
    Ok(())
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
    bar.suspend(|| say!("{}: {count}", path.display()));
}

/// `NAME-drawn.png` for an image, with a number where an earlier image of the same name has it.
fn free_name(path: &Path, taken: &mut HashSet<PathBuf>) -> PathBuf {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let mut name = PathBuf::from(format!("{stem}{DRAWN}"));
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = PathBuf::from(format!("{stem}-{number}{DRAWN}"));
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
            ["face-drawn.png", "face-2-drawn.png", "face-3-drawn.png"]
        );
    }
}
