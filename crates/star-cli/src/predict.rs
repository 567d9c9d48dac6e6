//! `star predict`: photographs in, landmarks and drawn pictures out.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use indicatif::ProgressBar;
use star_data::{FaceBox, decode};
use star_model::CompileOptions;
use star_predict::detector::FrontalDetector;
use star_predict::records::{self, FaceRecord};
use star_predict::smooth::{SmoothConfig, Smoother};
use star_predict::{Face, Predictor, failure, files, overlay};

use crate::args::PredictArgs;
use crate::{output, progress, weights};

/// What became of one picture.
enum Outcome {
    Done(Vec<Face>),
    /// Found, and to be drawn once its faces have been smoothed, which goes from picture to picture.
    Found(Box<RgbImage>, Vec<Face>),
    /// The picture could not be read or its faces not found; the others can still be done.
    Failed(anyhow::Error),
    /// Nothing can be written any more.
    Fatal(anyhow::Error),
}

/// Runs `star predict`. Pictures that cannot be read are reported and the others still done; the exit code then says
/// so.
///
/// One picture a thread, from decoding to drawing, keeps every core busy. Where there are fewer pictures than threads,
/// the network shares out the others.
///
/// # Errors
/// When the weights cannot be opened or the results not written.
pub fn run(args: &PredictArgs) -> Result<ExitCode> {
    let paths = pictures(&args.images)?;
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
    if let Some(dir) = &args.out {
        files::make_dir(dir)?;
    }
    let mut taken = HashSet::new();
    let names: Vec<PathBuf> = paths.iter().map(|path| free_name(path, &mut taken)).collect();
    let draw = |image: &RgbImage, faces: &[Face], i: usize| -> Result<()> {
        let Some(dir) = &args.out else { return Ok(()) };
        files::write_atomic(&dir.join(&names[i]), &overlay::draw(image, faces, &scheme)?)
    };
    let work = |i: usize| -> Outcome {
        let (image, faces) = match one(&paths[i], &boxes, &predictor) {
            Ok(found) => found,
            Err(error) => return Outcome::Failed(error),
        };
        if args.smooth {
            return Outcome::Found(Box::new(image), faces);
        }
        match draw(&image, &faces, i) {
            Ok(()) => Outcome::Done(faces),
            Err(error) => Outcome::Fatal(error),
        }
    };
    let rhythm = SmoothConfig { fps: args.fps, min_cutoff: args.min_cutoff, beta: args.beta };
    let mut smoother =
        if args.smooth { Some(Smoother::new(rhythm).context("--fps, --min-cutoff, --beta")?) } else { None };
    let bar = progress::bar(paths.len(), "images");
    let start = Instant::now();
    let (mut found, mut failed) = (Vec::new(), 0);
    in_order(paths.len(), workers, work, |i, outcome| {
        match outcome {
            Outcome::Done(faces) => {
                report(&bar, &paths[i], &faces);
                found.extend(faces.iter().map(|face| FaceRecord::new(&paths[i], &scheme.name, face)));
            }
            Outcome::Found(image, mut faces) => {
                let tracks = smoother.as_mut().map(|smoother| smoother.frame(&mut faces)).unwrap_or_default();
                report(&bar, &paths[i], &faces);
                draw(&image, &faces, i)?;
                found.extend(faces.iter().zip(tracks).map(|(face, track)| FaceRecord {
                    track: Some(track),
                    ..FaceRecord::new(&paths[i], &scheme.name, face)
                }));
            }
            Outcome::Failed(error) => {
                failed += 1;
                bar.suspend(|| eprintln!("error: {}", failure::describe(&error)));
            }
            Outcome::Fatal(error) => return Err(error),
        }
        bar.inc(1);
        Ok(())
    })?;
    bar.finish_and_clear();
    let json = records::to_json(&found)?;
    match (&args.json, &args.out) {
        (Some(path), _) => output::write_text(path, &json)?,
        (None, None) => output::write_text(Path::new("-"), &json)?,
        (None, Some(_)) => {}
    }
    if paths.len() > 1 {
        let seconds = start.elapsed().as_secs_f64();
        let (images, faces) = (paths.len() - failed, found.len());
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

/// Runs `work` on `0..count` on `workers` threads and hands the results to `each` in order, until one is an error.
fn in_order<T: Send>(
    count: usize,
    workers: usize,
    work: impl Fn(usize) -> T + Sync,
    mut each: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (send, next, work) = (send.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    // Nobody listens any more after an error.
                    if i >= count || send.send((i, work(i))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let (mut early, mut due) = (BTreeMap::new(), 0);
        for (i, result) in receive {
            early.insert(i, result);
            while let Some(result) = early.remove(&due) {
                each(due, result)?;
                due += 1;
            }
        }
        Ok(())
    })
}

/// Endings of the files that a folder is searched for.
const ENDINGS: [&str; 5] = ["jpg", "jpeg", "png", "ppm", "pgm"];

/// The pictures that are named, or lie in a folder that is, the latter sorted by name.
fn pictures(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::with_capacity(paths.len());
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
        let mut inside = Vec::new();
        for entry in entries {
            let file = entry.with_context(|| path.display().to_string())?.path();
            let ending = file.extension().map(|ending| ending.to_ascii_lowercase());
            if ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known)) && file.is_file() {
                inside.push(file);
            }
        }
        ensure!(
            !inside.is_empty(),
            "{}: no pictures in this folder (looked for {})",
            path.display(),
            ENDINGS.join(", ")
        );
        inside.sort();
        found.extend(inside);
    }
    Ok(found)
}

fn one(path: &Path, boxes: &[FaceBox], predictor: &Predictor) -> Result<(RgbImage, Vec<Face>)> {
    let image = decode::decode_oriented(path)?;
    let found =
        if boxes.is_empty() { predictor.predict(&image) } else { predictor.predict_in(&image, boxes) };
    let faces = found.with_context(|| path.display().to_string())?;
    Ok((image, faces))
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
    #[test]
    fn results_arrive_in_order_and_an_error_ends_the_work() {
        let slow_first = |i: usize| {
            std::thread::sleep(std::time::Duration::from_millis(if i == 0 { 20 } else { 0 }));
            i * i
        };
        let mut seen = Vec::new();
        in_order(7, 3, slow_first, |i, square| {
            seen.push((i, square));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, (0..7).map(|i| (i, i * i)).collect::<Vec<_>>());
        let stopped = in_order(100, 2, |i| i, |i, _| if i == 3 { anyhow::bail!("full") } else { Ok(()) });
        assert_eq!(stopped.unwrap_err().to_string(), "full");
    }

    #[test]
    fn a_folder_stands_for_the_pictures_in_it() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.JPG", "a.png", "notes.txt"] {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        let found = pictures(&[PathBuf::from("x.jpg"), dir.path().to_path_buf()]).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_string_lossy()).collect();
        assert_eq!(names, ["x.jpg", "a.png", "b.JPG"]);
        let empty = tempfile::tempdir().unwrap();
        assert!(pictures(&[empty.path().to_path_buf()]).unwrap_err().to_string().contains("no pictures"));
    }
}
