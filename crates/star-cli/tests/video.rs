//! `star predict` on videos that phones and screen recorders make. Skips where ffmpeg is absent.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{assert_contains, faces, images, ok};

/// A second in 15 frames of the portrait in the tests of star-predict, 320 x 240 pixels, in `clip.mp4`; `None` where there is no ffmpeg.
fn clip(dir: &Path, filter: &str, after: &[&str]) -> Option<()> {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        println!("skipped: no ffmpeg");
        return None;
    }
    let portrait = Path::new(env!("CARGO_MANIFEST_DIR")).join("../star-predict/tests/data/astronaut.png");
    let portrait = portrait.to_str().unwrap();
    let filter = format!("crop=320:240:64+n:0{filter}");
    let input = ["-loop", "1", "-framerate", "15", "-t", "1", "-i", portrait, "-vf", &filter];
    ffmpeg(dir, &[&input[..], after, &["-pix_fmt", "yuv420p", "clip.mp4"]].concat());
    Some(())
}

fn ffmpeg(dir: &Path, arguments: &[&str]) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y"]).args(arguments).current_dir(dir);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What ffprobe says of the video in a file, one value a line.
fn probe(dir: &Path, entries: &str, file: &str) -> Vec<String> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v:0", "-show_entries", entries, "-of", "csv=p=0", file]);
    let output = command.current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().flat_map(|line| line.split(',')).filter(|v| !v.is_empty()).map(str::to_string).collect()
}

/// The times of a video's frames.
fn times(dir: &Path, file: &str) -> Vec<f64> {
    probe(dir, "frame=best_effort_timestamp_time", file).iter().map(|time| time.parse().unwrap()).collect()
}

fn seconds_of_lines(lines: &str) -> Vec<f64> {
    images(lines).iter().map(|image| image["seconds"].as_f64().unwrap()).collect()
}

#[test]
fn a_video_that_was_taken_on_its_side_is_upright_in_landmarks_and_drawing() {
    let dir = tempfile::tempdir().unwrap();
    // Stored counter-clockwise, to be shown turned back.
    if clip(dir.path(), ",transpose=2", &[]).is_none() {
        return;
    }
    std::fs::rename(dir.path().join("clip.mp4"), dir.path().join("side.mp4")).unwrap();
    // Newer programs take the first, older ones the second.
    let newer =
        ["-v", "error", "-y", "-display_rotation", "270", "-i", "side.mp4", "-c", "copy", "turned.mp4"];
    let turned = Command::new("ffmpeg").args(newer).current_dir(dir.path()).output().unwrap();
    if !turned.status.success() {
        ffmpeg(dir.path(), &["-i", "side.mp4", "-metadata:s:v", "rotate=270", "-c", "copy", "turned.mp4"]);
    }
    assert_eq!(probe(dir.path(), "stream=width,height", "turned.mp4")[..2], ["240", "320"]);
    ok(dir.path(), &["predict", "turned.mp4", "--json", "t.jsonl", "--out", "drawn.mp4"]);
    let lines = std::fs::read_to_string(dir.path().join("t.jsonl")).unwrap();
    let found = faces(&lines);
    assert_eq!((images(&lines).len(), found.len()), (15, 15));
    for face in &found {
        assert!(face["pose"]["roll"].as_f64().unwrap().abs() < 20.0, "{}", face["pose"]);
        let (x, y) = (face["box"]["x"].as_f64().unwrap(), face["box"]["y"].as_f64().unwrap());
        // The face in the picture is at about (187, 74), 85 pixels across.
        assert!((85.0..135.0).contains(&x) && (60.0..105.0).contains(&y), "{x} {y}");
    }
    assert_eq!(probe(dir.path(), "stream=width,height", "drawn.mp4")[..2], ["320", "240"]);
    assert_eq!(times(dir.path(), "drawn.mp4").len(), 15);
}

#[test]
fn frames_of_varying_length_keep_their_times_and_the_drawn_video_is_as_long_with_shorter_sound() {
    let dir = tempfile::tempdir().unwrap();
    // Five frames at 15 a second, then each 0.137 s after the other; the sound ends after half a second.
    let filter = ",setpts='if(lt(N,5),N/15,5/15+(N-5)*0.137)/TB'";
    let sound = ["-vsync", "vfr", "-t", "3", "silent.mp4"];
    if clip(dir.path(), filter, &sound).is_none() {
        return;
    }
    let tone = ["-i", "silent.mp4", "-f", "lavfi", "-i", "sine=duration=0.5", "-c:v", "copy", "varying.mp4"];
    ffmpeg(dir.path(), &tone);
    ok(dir.path(), &["predict", "varying.mp4", "--json", "v.jsonl", "--csv", "v.csv", "--out", "drawn.mp4"]);
    let stored = times(dir.path(), "varying.mp4");
    assert!(stored.len() >= 14 && stored.windows(2).any(|w| w[1] - w[0] > 0.12), "{stored:?}");
    let lines = std::fs::read_to_string(dir.path().join("v.jsonl")).unwrap();
    let drawn = times(dir.path(), "drawn.mp4");
    for found in [seconds_of_lines(&lines), drawn[..stored.len()].to_vec()] {
        assert_eq!(found.len(), stored.len());
        assert!(found.iter().zip(&stored).all(|(a, b)| (a - b).abs() < 2e-3), "{found:?} {stored:?}");
    }
    let length = |file: &str| probe(dir.path(), "format=duration", file)[0].parse::<f64>().unwrap();
    let (before, after) = (length("varying.mp4"), length("drawn.mp4"));
    assert!((before - after).abs() < 0.15, "{before} {after}");
}

#[cfg(unix)]
#[test]
fn a_video_that_is_stopped_in_the_middle_leaves_whole_lines_and_a_drawing_that_plays() {
    let dir = tempfile::tempdir().unwrap();
    if clip(dir.path(), "", &[]).is_none() {
        return;
    }
    ffmpeg(dir.path(), &["-stream_loop", "200", "-i", "clip.mp4", "-c", "copy", "long.mp4"]);
    let arguments = ["predict", "long.mp4", "--json", "l.jsonl", "--csv", "l.csv", "--out", "drawn.mp4"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_star"));
    command.args(arguments).current_dir(dir.path()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let written = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
    let start = Instant::now();
    while written("l.jsonl").lines().count() < 10 {
        assert!(start.elapsed() < Duration::from_secs(120), "no line is written");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_contains(
        &String::from_utf8_lossy(&output.stderr),
        &["stopped; what is written is of the frames until then"],
    );
    let (lines, rows) = (written("l.jsonl"), written("l.csv"));
    assert!(lines.ends_with('\n') && rows.ends_with('\n'));
    let frames = images(&lines).len();
    assert!((10..3000).contains(&frames), "{frames}");
    let columns = rows.lines().next().unwrap().split(',').count();
    assert!(rows.lines().all(|row| row.split(',').count() == columns));
    assert_eq!(times(dir.path(), "drawn.mp4").len(), frames);
}
