//! `star predict clip.mp4`: faces followed through a video, frame by frame.

mod ffmpeg;
mod summary;
mod timed;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::RgbImage;
use star_data::{FaceBox, Scheme};
use star_predict::overlay::Style;
use star_predict::records::ImageRecord;
use star_predict::smooth::SmoothConfig;
use star_predict::track::{TrackConfig, TrackedFace, Tracker};
use star_predict::{Face, Predictor, files, overlay};

use super::printed::{self, Printed};
use crate::args::PredictArgs;
use crate::{output, progress};
use ffmpeg::{Reader, Writer};
use summary::Summary;

/// Endings of videos.
const ENDINGS: [&str; 16] = [
    "mp4", "m4v", "mov", "avi", "mkv", "webm", "mpg", "mpeg", "wmv", "flv", "3gp", "3g2", "ts", "mts", "ogv",
    "mjpeg",
];

/// Frames decoded ahead, and drawn behind.
const AHEAD: usize = 4;

/// Whether a path is a video's, by its ending.
pub(super) fn is_video(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) && !path.is_dir()
}

/// The video among the arguments, where there is one; it is alone.
///
/// # Errors
/// Where there is more beside it, or something was asked for that a video does not have.
pub(super) fn among(args: &PredictArgs) -> Result<Option<&PathBuf>> {
    let Some(video) = args.images.iter().find(|path| is_video(path)) else { return Ok(None) };
    if args.images.len() > 1 {
        bail!(
            "{}: a video is predicted in alone: start star predict once for each, and for the images",
            video.display()
        )
    }
    ensure!(args.crops.is_none(), "--crops: of images alone, {} is a video", video.display());
    ensure!(!args.predictor.turned, "--any-rotation: of images alone, {} is a video", video.display());
    Ok(Some(video))
}

/// Where the drawn video goes: a file by its ending, else into that folder.
fn drawn(out: &Path, video: &Path) -> Result<PathBuf> {
    if is_video(out) {
        return Ok(out.to_path_buf());
    }
    files::make_dir(out)?;
    let stem = video.file_stem().unwrap_or_default().to_string_lossy();
    Ok(out.join(format!("{stem}-drawn.mp4")))
}

/// Follows the faces of `video`. Ctrl-C ends it after the frame that is under way; what is done stays.
///
/// # Errors
/// When the video cannot be read, or a result not written.
pub(super) fn run(args: &PredictArgs, video: &Path, predictor: &Predictor) -> Result<ExitCode> {
    let scheme = predictor.scheme().context("the weights are of no known scheme")?;
    let inputs = [video];
    let out = args.out.as_deref().map(|out| drawn(out, video)).transpose()?;
    printed::files(args).chain(&out).try_for_each(|path| output::claim(path, &inputs))?;
    let about = ffmpeg::probe(video)?;
    let mut results = Printed::open(args, scheme, false)?;
    // Under another name until it is whole, with the ending that ffmpeg tells the format by.
    let unfinished = out.as_ref().map(|path| unfinished(path)).transpose()?;
    let writer = unfinished.as_ref().map(|path| Writer::create(path, video, &about)).transpose()?;
    let smooth =
        args.smooth.then_some(SmoothConfig { fps: args.fps, min_cutoff: args.min_cutoff, beta: args.beta });
    let config = TrackConfig { smooth, ..TrackConfig::default() };
    let mut tracker = Tracker::new(config).context("--min-cutoff, --beta")?;
    let style = args.drawing.style();
    let mut reader = Reader::open(video, about.clone())?;
    let stop = crate::stop_on_ctrl_c()?;
    let mut summary = Summary::default();
    let bar = progress::bar(about.frames.unwrap_or(0), "frames");
    let start = Instant::now();
    // When the last frame ends, set where every frame was read.
    let end = OnceLock::new();
    let (outcome, drawn) = std::thread::scope(|scope| -> Result<(Result<()>, Result<()>)> {
        let (decoded, frames) = sync_channel(AHEAD);
        scope.spawn(move || decode(&mut reader, &decoded));
        let (draw, to_draw) = sync_channel(AHEAD);
        let drawing = writer.map(|writer| scope.spawn(|| draw_all(writer, to_draw, scheme, style, &end)));
        let mut boxes = boxes(args);
        let outcome = (|| {
            for frame in frames {
                let (image, seconds) = frame?;
                let found = match boxes.take() {
                    Some(boxes) => tracker.frame_in(predictor, &image, seconds, &boxes)?,
                    None => tracker.frame(predictor, &image, seconds)?,
                };
                results.image(record(predictor, video, summary.frames(), seconds, &found))?;
                summary.frame(seconds, &found);
                if drawing.is_some() {
                    let faces = found.into_iter().map(|found| found.face).collect();
                    // Its error comes when it is joined.
                    if draw.send((image, seconds, faces)).is_err() {
                        return Ok(());
                    }
                }
                bar.inc(1);
                if stop.load(Ordering::SeqCst) {
                    return Ok(());
                }
            }
            // A file that was cut off has fewer frames than it says.
            if !about.counted || about.frames.is_some_and(|frames| summary.frames() >= frames) {
                end.get_or_init(|| about.end);
            }
            Ok(())
        })();
        drop(draw);
        let drawn = drawing.map_or(Ok(()), |thread| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("drawing panicked, a fault of the program")))
        });
        Ok((outcome, drawn))
    })?;
    bar.finish_and_clear();
    drawn?;
    if summary.frames() == 0 {
        outcome?;
        bail!("{}: no frame can be read", video.display())
    }
    if let (Some(unfinished), Some(path)) = (unfinished, &out) {
        unfinished.persist(path).with_context(|| path.display().to_string())?;
    }
    let text = summary.text(video, &about, start.elapsed(), &tracker, args.smooth);
    match results.is_summary() {
        true => output::write_text(Path::new("-"), &text)?,
        false => say!("{}", text.trim_end()),
    }
    outcome.context("stopped by an error; what is written is of the frames until then")?;
    if stop.load(Ordering::SeqCst) {
        say!("stopped; what is written is of the frames until then");
        return Ok(ExitCode::from(crate::STOPPED));
    }
    Ok(ExitCode::SUCCESS)
}

fn unfinished(path: &Path) -> Result<tempfile::TempPath> {
    let ending = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().prefix(".star-").suffix(&ending).tempfile_in(folder);
    let file = file.with_context(|| format!("writing beside {}", path.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A temporary file is its owner's alone.
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644))?;
    }
    Ok(file.into_temp_path())
}

/// Hands the frames on until the last, an error, or nobody wants more.
fn decode(reader: &mut Reader, to: &SyncSender<Result<(RgbImage, f64)>>) {
    loop {
        match reader.next().transpose() {
            Some(frame) => {
                let last = frame.is_err();
                if to.send(frame).is_err() || last {
                    return;
                }
            }
            None => return,
        }
    }
}

fn draw_all(
    mut writer: Writer,
    frames: Receiver<(RgbImage, f64, Vec<Face>)>,
    scheme: &Scheme,
    style: Style,
    end: &OnceLock<Option<f64>>,
) -> Result<()> {
    for (image, seconds, faces) in frames {
        writer.add(overlay::draw_on(&image, &faces, scheme, style)?, seconds)?;
    }
    writer.finish(end.get().copied().flatten())
}

/// The boxes of the first frame, where they were given.
fn boxes(args: &PredictArgs) -> Option<Vec<FaceBox>> {
    let boxes = args.boxes.iter().map(|&[x, y, width, height]| FaceBox { x, y, width, height });
    (!args.boxes.is_empty()).then(|| boxes.collect())
}

fn record(
    predictor: &Predictor,
    video: &Path,
    frame: usize,
    seconds: f64,
    found: &[TrackedFace],
) -> ImageRecord {
    let mut record = super::record(predictor, video, found.iter().map(|found| &found.face));
    for (face, found) in record.faces.iter_mut().zip(found) {
        face.track = Some(found.track);
    }
    ImageRecord { frame: Some(frame), seconds: Some(seconds), ..record }
}
