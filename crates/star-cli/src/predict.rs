//! `star predict`: images in, landmarks and drawn images out.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use indicatif::ProgressBar;
use star_data::FaceBox;
use star_data::atomic;
use star_data::decode::Decoded;
use star_data::images::{self, Depth};
use star_data::scheme_map::SchemeMap;
use star_model::CompileOptions;
use star_predict::detector::FrontalDetector;
use star_predict::images::predict_images;
use star_predict::records::{FaceRecord, ImageRecord};
use star_predict::smooth::{SmoothConfig, Smoother};
use star_predict::{Face, Predictor, failure, files, overlay};

use crate::args::PredictArgs;
use crate::bench::precision;
use crate::output::{self, Lines};
use crate::{progress, weights};

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
    let found = images::list(&args.images, if args.recursive { Depth::Below } else { Depth::Folder })?;
    if found.others > 0 {
        say!("{} other files in the folders are left out", found.others);
    }
    let paths = found.images;
    let (folder, mut scheme) = weights::open(&args.weights)?;
    let device = args.weights.device.open()?;
    let threads = rayon::current_num_threads().max(1);
    let workers = if device.is_cpu() { threads.min(paths.len()).max(1) } else { 1 };
    let options = CompileOptions {
        threads: Some(threads / workers),
        precision: precision(args.precision),
        ..CompileOptions::default()
    };
    let mut predictor = Predictor::from_folder(&folder, &device, &options)?
        .with_batch_size(args.weights.batch_size)
        .with_scheme(scheme.clone())
        .with_confidence(weights::confidence(&args.weights, &scheme)?)
        .with_turned(args.turned)
        .with_detector(FrontalDetector::new(args.min_score).context("--min-score")?);
    drop(folder);
    if let Some(map) = args.map {
        let map = SchemeMap::wflw_to_300w(map.detail())?;
        ensure!(
            scheme.name == map.from().name,
            "--map-98-to-68: expected weights of scheme `{}`, got `{}` with {} keypoints",
            map.from().name,
            scheme.name,
            scheme.keypoints
        );
        scheme = map.to().clone();
        predictor = predictor.with_map(map);
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
    args.json.iter().try_for_each(|path| output::claim(path, &paths))?;
    let mut results = Printed::open(args)?;
    let draw = |image: &RgbImage, faces: &[Face], i: usize| -> Result<()> {
        let Some(dir) = &args.out else { return Ok(()) };
        Ok(atomic::write(&dir.join(&names[i]), &overlay::draw(image, faces, &scheme)?)?)
    };
    let finish = |i: usize, decoded: Decoded, faces: Vec<Face>| -> Result<Found> {
        let Decoded { image, warning } = decoded;
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
                if faces.is_empty() || !matches!(results, Printed::Summary) {
                    report(&bar, &paths[i], &faces);
                }
                if let Some(image) = image {
                    draw(&image, &faces, i)?;
                }
                found_faces += faces.len();
                let record = |(k, face): (usize, &Face)| FaceRecord {
                    track: tracks.as_ref().map(|tracks| tracks[k]),
                    occluded: predictor.occluded(&face.landmarks).unwrap_or_default(),
                    ..FaceRecord::new(&paths[i], &scheme.name, face)
                };
                let faces = faces.iter().enumerate().map(record).collect();
                bar.suspend(|| results.image(&ImageRecord::found(&paths[i], faces)))?;
            }
            Err(error) => {
                failed += 1;
                let error = failure::describe(&error);
                bar.suspend(|| say!("error: {error}"));
                bar.suspend(|| results.image(&ImageRecord::failed(&paths[i], error)))?;
            }
        }
        bar.inc(1);
        Ok(())
    })?;
    bar.finish_and_clear();
    if found_faces > 0 && matches!(results, Printed::Summary) {
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

/// Where a person at a terminal sees more.
const MORE: &str = "all landmarks: --json FILE, or a pipe; drawn into the images: --out DIR\n";

/// What is printed of each image as soon as it is done.
enum Printed {
    /// JSON, a line an image.
    Json(Lines),
    /// Where the faces are.
    Summary,
    Nothing,
}

impl Printed {
    fn open(args: &PredictArgs) -> Result<Self> {
        match (&args.json, &args.out) {
            (Some(path), _) => Ok(Self::Json(Lines::to(path)?)),
            (None, Some(_)) => Ok(Self::Nothing),
            (None, None) if std::io::stdout().is_terminal() => Ok(Self::Summary),
            (None, None) => Ok(Self::Json(Lines::to(Path::new("-"))?)),
        }
    }

    fn image(&mut self, image: &ImageRecord) -> Result<()> {
        match self {
            Self::Json(lines) => lines.line(&image.to_json()?),
            Self::Summary => output::write_text(Path::new("-"), &summary(&image.faces)),
            Self::Nothing => Ok(()),
        }
    }
}

/// What a person at a terminal reads instead of JSON.
fn summary(faces: &[FaceRecord]) -> String {
    let mut text = String::new();
    for face in faces {
        let FaceBox { x, y, width, height } = face.face_box;
        let score =
            face.score.map_or_else(String::new, |score| format!(", a face with a probability of {score:.2}"));
        let _ = writeln!(
            text,
            "{}: {} landmarks in {width:.0} x {height:.0} pixels at ({x:.0}, {y:.0}){score}",
            face.image,
            face.points.len()
        );
    }
    text
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
    let mut name = PathBuf::from(format!("{stem}-drawn.png"));
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = PathBuf::from(format!("{stem}-{number}-drawn.png"));
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_where_the_faces_are() {
        let face = FaceRecord {
            image: "a.jpg".into(),
            scheme: "300w".into(),
            face_box: FaceBox { x: 3.0, y: 4.4, width: 100.0, height: 99.6 },
            score: Some(0.97),
            row: None,
            track: None,
            pose: None,
            confidence: Vec::new(),
            occluded: Vec::new(),
            points: vec![[0.0, 0.0]; 68],
            ellipses: Vec::new(),
        };
        let text = summary(&[face]);
        assert_eq!(
            text,
            "a.jpg: 68 landmarks in 100 x 100 pixels at (3, 4), a face with a probability of 0.97\n"
        );
        assert_eq!(summary(&[]), "");
    }

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
