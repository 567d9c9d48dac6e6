//! Frames out of a video and into another, by the programs `ffprobe` and `ffmpeg` beside this one.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::RgbImage;
use serde::Deserialize;

use super::timed;

/// Lines of a program's messages that are kept for an error.
const KEPT: usize = 8;
/// Frames a second at most of a drawn video whose format has a constant rate: what times finer than that are rounded to.
const FASTEST: f64 = 120.0;
/// Endings of formats in which every frame has a time of its own.
const TIMED: [&str; 5] = ["mp4", "m4v", "mov", "mkv", "webm"];
/// Relative difference of two rates that are one.
const SAME_RATE: f64 = 1e-3;

/// What is known of a video before its frames are read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct About {
    /// Of the frames as they are shown, in pixels.
    pub(super) width: u32,
    pub(super) height: u32,
    /// Frames, estimated where the file does not say.
    pub(super) frames: Option<usize>,
    /// Whether the file says how many frames it has.
    pub(super) counted: bool,
    /// Seconds from the file's start to the end of its last frame, where the file says.
    pub(super) end: Option<f64>,
    /// Frames a second, as a number or a fraction of two.
    pub(super) rate: String,
    /// Whether that is the time between any two frames.
    pub(super) constant: bool,
}

#[derive(Deserialize)]
struct Probed {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize)]
struct Stream {
    width: Option<u32>,
    height: Option<u32>,
    #[serde(default)]
    r_frame_rate: String,
    #[serde(default)]
    avg_frame_rate: String,
    nb_frames: Option<String>,
    start_time: Option<String>,
    duration: Option<String>,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Default, Deserialize)]
struct Tags {
    rotate: Option<String>,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

#[derive(Default, Deserialize)]
struct Format {
    start_time: Option<String>,
    duration: Option<String>,
}

/// A program that could not be started.
fn missing(program: &str, error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "videos are read and written by the program `{program}`, which is not to be found: install FFmpeg (apt install ffmpeg, \
             brew install ffmpeg, winget install ffmpeg), or give the frames as images"
        ),
        _ => anyhow::Error::new(error).context(format!("starting `{program}`")),
    }
}

/// Not to be stopped by the Ctrl-C that stops this program: what is under way is brought to an end.
fn apart(command: &mut Command) -> &mut Command {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    command
}

/// What `ffprobe` says of a file.
///
/// # Errors
/// Where there is no `ffprobe`, or no video in the file.
pub(super) fn probe(path: &Path) -> Result<About> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v:0", "-show_streams", "-show_format", "-of", "json"]);
    let output = command.arg(file(path)).output().map_err(|error| missing("ffprobe", error))?;
    if !output.status.success() {
        bail!("{}: no readable video: {}", path.display(), String::from_utf8_lossy(&output.stderr).trim())
    }
    let probed: Probed = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{}: ffprobe's answer", path.display()))?;
    about(&probed).with_context(|| path.display().to_string())
}

/// A path that ffmpeg takes for neither an option nor an address.
fn file(path: &Path) -> std::ffi::OsString {
    let mut name = std::ffi::OsString::from("file:");
    name.push(path);
    name
}

fn about(probed: &Probed) -> Result<About> {
    let stream = probed.streams.first().context("holds no video")?;
    let (Some(mut width), Some(mut height)) = (stream.width, stream.height) else { bail!("says no size") };
    ensure!(width > 0 && height > 0, "says a size of {width} x {height}");
    let tagged = stream.tags.rotate.as_ref().and_then(|text| text.parse().ok());
    let rotation: f64 = stream.side_data_list.iter().find_map(|data| data.rotation).or(tagged).unwrap_or(0.0);
    // ffmpeg shows frames upright by itself.
    if (rotation / 90.0).round() as i64 % 2 != 0 {
        std::mem::swap(&mut width, &mut height);
    }
    let real = ratio(&stream.r_frame_rate);
    let average = ratio(&stream.avg_frame_rate).or(real).unwrap_or(30.0);
    let constant = real.is_some_and(|real| (real / average - 1.0).abs() < SAME_RATE);
    let rate = match real.filter(|real| *real >= average) {
        Some(real) if real <= FASTEST => stream.r_frame_rate.clone(),
        Some(_) => FASTEST.to_string(),
        None => average.min(FASTEST).to_string(),
    };
    let seconds = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<f64>().ok());
    let (whole, own) = (seconds(&probed.format.duration), seconds(&stream.duration));
    let starts = |text| seconds(text).unwrap_or(0.0);
    let end = own.map(|own| own + starts(&stream.start_time) - starts(&probed.format.start_time)).or(whole);
    let counted: Option<usize> = stream.nb_frames.as_ref().and_then(|text| text.parse().ok());
    let frames = counted.or(whole.map(|seconds| (seconds * average).round() as usize));
    Ok(About {
        width,
        height,
        frames: frames.filter(|frames| *frames > 0),
        counted: counted.is_some(),
        end,
        rate,
        constant,
    })
}

/// `30000/1001` as a number, where it is one.
fn ratio(text: &str) -> Option<f64> {
    let (a, b) = text.split_once('/')?;
    let value = a.parse::<f64>().ok()? / b.parse::<f64>().ok()?;
    (value > 0.0 && value.is_finite()).then_some(value)
}

/// The frames of a video, one after the other.
pub(super) struct Reader {
    child: Child,
    frames: ChildStdout,
    times: Receiver<f64>,
    messages: Option<JoinHandle<VecDeque<String>>>,
    about: About,
    name: String,
}

impl Reader {
    /// Starts `ffmpeg` on a file.
    ///
    /// # Errors
    /// Where there is no `ffmpeg`.
    pub(super) fn open(path: &Path, about: About) -> Result<Self> {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-nostdin", "-nostats", "-loglevel", "info", "-i"]).arg(file(path));
        // Every frame at its own time, which `showinfo` tells.
        command.args(["-map", "0:v:0", "-vf", "showinfo=checksum=0", "-vsync", "passthrough"]);
        command.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = apart(&mut command).spawn().map_err(|error| missing("ffmpeg", error))?;
        let frames = child.stdout.take().context("ffmpeg's standard output")?;
        let messages = BufReader::new(child.stderr.take().context("ffmpeg's standard error")?);
        // Bounded: ffmpeg waits for its messages to be read, as it does for its frames.
        let (send, times) = sync_channel(256);
        let messages = std::thread::spawn(move || {
            let mut kept = VecDeque::new();
            for line in messages.split(b'\n').map_while(std::result::Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                match time(&line) {
                    // Nobody listens any more after an error; the messages still have to be read.
                    Some(seconds) => drop(send.send(seconds)),
                    None if line.contains("showinfo") => {}
                    None => {
                        kept.push_back(line);
                        if kept.len() > KEPT {
                            kept.pop_front();
                        }
                    }
                }
            }
            kept
        });
        let name = path.display().to_string();
        Ok(Self { child, frames, times, messages: Some(messages), about, name })
    }

    /// The next frame and its time in seconds; `None` after the last.
    ///
    /// # Errors
    /// With ffmpeg's words where it fails, or the video ends within a frame.
    pub(super) fn next(&mut self) -> Result<Option<(RgbImage, f64)>> {
        let size = self.about.width as usize * self.about.height as usize * 3;
        let mut pixels = vec![0; size];
        let mut filled = 0;
        while filled < size {
            match self.frames.read(&mut pixels[filled..]) {
                Ok(0) if filled == 0 => return self.end().map(|()| None),
                Ok(0) => bail!("{}: ends within a frame", self.name),
                Ok(n) => filled += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("reading the frames of {}", self.name));
                }
            }
        }
        // A frame is described before it is written.
        let seconds = self.times.recv().with_context(|| format!("{}: a frame without a time", self.name))?;
        let image = RgbImage::from_raw(self.about.width, self.about.height, pixels).context("a frame")?;
        Ok(Some((image, seconds)))
    }

    fn end(&mut self) -> Result<()> {
        let status = self.child.wait()?;
        let messages = self.messages.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if !status.success() {
            let messages: Vec<String> = messages.into();
            bail!("{}: ffmpeg: {}", self.name, messages.join("; "))
        }
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Does nothing where it has ended; what is left of it is of no use.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The time in a line of `showinfo`.
fn time(line: &str) -> Option<f64> {
    if !line.contains("showinfo") {
        return None;
    }
    let rest = line.split_once(" pts_time:")?.1.trim_start();
    rest.split_whitespace().next()?.parse().ok()
}

/// A video that is written frame by frame, with the sound of another.
pub(super) struct Writer {
    child: Child,
    frames: Option<ChildStdin>,
    /// The last frame and its time.
    last: Option<(RgbImage, f64)>,
    /// Seconds between the last two.
    gap: f64,
    name: String,
}

impl Writer {
    /// Starts `ffmpeg`, which writes `path` and takes the sound of `sound`.
    ///
    /// # Errors
    /// Where there is no `ffmpeg`.
    pub(super) fn create(path: &Path, sound: &Path, about: &About) -> Result<Self> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let timed = ending.is_some_and(|ending| TIMED.contains(&ending.as_str()));
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-y"]);
        command.args(["-f", "matroska", "-i", "pipe:0", "-i"]).arg(file(sound));
        command.args(["-map", "0:v:0", "-map", "1:a?"]);
        if about.constant || !timed {
            command.args(["-vsync", "cfr", "-r", &about.rate]);
        } else {
            let ticks = format!("1:{}", timed::TICKS);
            command.args(["-vsync", "passthrough", "-enc_time_base", &ticks]);
        }
        // As long as the frames, also where the sound ends before them.
        command.args(["-af", "apad", "-shortest"]);
        // Most encoders want even sides.
        command.args(["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"]).arg(file(path));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = apart(&mut command).spawn().map_err(|error| missing("ffmpeg", error))?;
        let frames = Some(child.stdin.take().context("ffmpeg's standard input")?);
        let gap = ratio(&about.rate).or(about.rate.parse().ok()).map_or(0.0, |rate| 1.0 / rate);
        let mut writer = Self { child, frames, last: None, gap, name: path.display().to_string() };
        writer.write(|to| timed::header(to, about.width, about.height))?;
        Ok(writer)
    }

    fn write(&mut self, what: impl FnOnce(&mut ChildStdin) -> std::io::Result<()>) -> Result<()> {
        let Some(frames) = &mut self.frames else { return Ok(()) };
        what(frames).map_err(|error| self.failed().unwrap_or_else(|| error.into()))
    }

    /// Adds a frame that is shown from `seconds` until the next one's time; the first one from the start.
    ///
    /// # Errors
    /// With ffmpeg's words where it fails.
    pub(super) fn add(&mut self, image: RgbImage, seconds: f64) -> Result<()> {
        match &self.last {
            Some((_, before)) => self.gap = seconds - before,
            None if seconds > 0.0 => self.write(|to| timed::frame(to, &image, 0.0))?,
            None => {}
        }
        self.write(|to| timed::frame(to, &image, seconds))?;
        self.last = Some((image, seconds));
        Ok(())
    }

    /// Ends the video, the last frame shown until `end` where that is known.
    ///
    /// # Errors
    /// With ffmpeg's words where it fails.
    pub(super) fn finish(mut self, end: Option<f64>) -> Result<()> {
        if let (Some((image, seconds)), Some(end)) = (self.last.take(), end) {
            // A frame is about as long as the one before: one that is longer is there again at its end.
            let again = end - self.gap;
            if again - seconds > 0.5 * self.gap {
                self.write(|to| timed::frame(to, &image, again))?;
            }
        }
        self.frames = None;
        self.failed().map_or(Ok(()), Err)
    }

    /// Waits for ffmpeg; what it says where it failed.
    fn failed(&mut self) -> Option<anyhow::Error> {
        self.frames = None;
        let mut said = String::new();
        if let Some(mut messages) = self.child.stderr.take() {
            let _ = messages.read_to_string(&mut said);
        }
        match self.child.wait() {
            Ok(status) if status.success() => None,
            Ok(_) => Some(anyhow!("writing {}: ffmpeg: {}", self.name, said.trim())),
            Err(error) => Some(error.into()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phones_video_is_as_it_is_shown_and_its_times_are_read() {
        let probe = |text: &str| about(&serde_json::from_str(text).unwrap());
        let turned = r#"{"streams": [{"width": 1920, "height": 1080, "r_frame_rate": "30/1", "avg_frame_rate": "29/1",
            "side_data_list": [{"side_data_type": "Display Matrix", "rotation": -90}]}], "format": {"duration": "2.002"}}"#;
        let found = probe(turned).unwrap();
        assert_eq!((found.width, found.height, found.frames, found.constant), (1080, 1920, Some(58), false));
        assert_eq!((found.rate.as_str(), found.end, found.counted), ("30/1", Some(2.002), false));
        let odd = r#"{"streams": [{"width": 64, "height": 48, "r_frame_rate": "90000/1", "avg_frame_rate": "25/1", "nb_frames": "7",
            "start_time": "0.5", "duration": "2", "tags": {"rotate": "180"}}], "format": {"start_time": "0.25", "duration": "9"}}"#;
        let found = probe(odd).unwrap();
        assert_eq!((found.width, found.height, found.frames, found.end), (64, 48, Some(7), Some(2.25)));
        assert_eq!((found.rate.as_str(), found.constant, found.counted), ("120", false, true));
        assert!(probe(r#"{"streams": []}"#).unwrap_err().to_string().contains("no video"));
        let line =
            "[Parsed_showinfo_0 @ 0x55d] n:   1 pts:    512 pts_time:0.04    duration: 512 fmt:rgb24 sar:1/1";
        assert_eq!(time(line), Some(0.04));
        assert_eq!(time("frame= 1 pts_time:3"), None);
    }
}
