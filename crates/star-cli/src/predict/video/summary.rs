//! What a person reads after a video.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use star_predict::track::{TrackedFace, Tracker};

use super::ffmpeg::About;

/// Faces of which a line is printed, those seen longest.
const LISTED: usize = 20;

/// Counts over a video.
#[derive(Default)]
pub(super) struct Summary {
    frames: usize,
    with_faces: usize,
    faces: BTreeMap<usize, Seen>,
}

struct Seen {
    frames: usize,
    first: f64,
    last: f64,
}

impl Summary {
    /// Frames so far.
    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// Adds a frame.
    pub(super) fn frame(&mut self, seconds: f64, found: &[TrackedFace]) {
        self.frames += 1;
        self.with_faces += usize::from(!found.is_empty());
        for face in found {
            let seen =
                self.faces.entry(face.track).or_insert(Seen { frames: 0, first: seconds, last: seconds });
            seen.frames += 1;
            seen.last = seconds;
        }
    }

    /// In a few lines.
    pub(super) fn text(
        &self,
        video: &Path,
        about: &About,
        elapsed: Duration,
        tracker: &Tracker,
        smoothed: bool,
    ) -> String {
        let seconds = elapsed.as_secs_f64();
        let mut text = format!(
            "{}: {} frames of {} x {} in {seconds:.1} s, {:.0} a second; faces in {} of them; the detector was called {} times\n",
            video.display(),
            self.frames,
            about.width,
            about.height,
            self.frames as f64 / seconds.max(1e-9),
            self.with_faces,
            tracker.searches()
        );
        let mut faces: Vec<(&usize, &Seen)> = self.faces.iter().collect();
        faces.sort_by_key(|(track, seen)| (std::cmp::Reverse(seen.frames), **track));
        for (track, seen) in faces.iter().take(LISTED) {
            let Seen { frames, first, last } = seen;
            let _ = writeln!(text, "  face {track}: {frames} frames, {first:.2} to {last:.2} s");
        }
        if faces.len() > LISTED {
            let _ = writeln!(text, "  and {} more faces", faces.len() - LISTED);
        }
        let (found, given) = tracker.jitter();
        if let Some(found) = found.rms() {
            let _ = write!(text, "  jitter: landmarks tremble by {:.3} % of the face's side", 100.0 * found);
            match given.rms().filter(|_| smoothed) {
                Some(given) => {
                    let _ = writeln!(text, ", {:.3} % after smoothing", 100.0 * given);
                }
                None => text.push_str("; --smooth steadies them\n"),
            }
        }
        text
    }
}
