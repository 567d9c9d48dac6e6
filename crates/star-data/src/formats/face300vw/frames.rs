//! The frames of one video: found where somebody extracted them, or extracted once by the program `ffmpeg`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use super::super::layout;
use crate::{Error, Result};

/// Folders below a video's own that extracted frames are looked for in; the first is where they are extracted to.
const FOLDERS: [&str; 8] = ["frames", "imgs", "images", "extraction", "img", "image", "thumb", "."];

/// The video in its folder.
const VIDEO: &str = "vid.avi";

/// Quality of extracted JPEG frames: ffmpeg's second best, about 60 kB a frame.
const QUALITY: &str = "2";

/// Frames of one video.
#[derive(Debug)]
pub(super) struct Frames {
    /// Files by frame number, counted from 1; `None` while they are still inside the video.
    files: Option<BTreeMap<u32, PathBuf>>,
    video: PathBuf,
    target: PathBuf,
    ffmpeg: OsString,
    /// Held while frames are extracted; what became of it once they were.
    done: Mutex<Option<std::result::Result<(), String>>>,
}

impl Frames {
    /// Looks for the frames of the video whose frames lie, or are to lie, in `folder`.
    pub(super) fn find(folder: &Path, annotations: &Path, ffmpeg: &Path) -> Result<Self> {
        let mut files = None;
        for below in FOLDERS.map(|name| if name == "." { folder.to_path_buf() } else { folder.join(name) }) {
            let found = if below.is_dir() { numbered(&below)? } else { BTreeMap::new() };
            if !found.is_empty() {
                files = Some(found);
                break;
            }
        }
        let videos = [folder.join(VIDEO), annotations.join(VIDEO)];
        let video = videos.iter().find(|path| path.is_file()).unwrap_or(&videos[1]).clone();
        let (target, ffmpeg) = (folder.join(FOLDERS[0]), ffmpeg.as_os_str().to_os_string());
        Ok(Self { files, video, target, ffmpeg, done: Mutex::new(None) })
    }

    /// Whether the frames are still to be extracted.
    pub(super) fn inside_video(&self) -> bool {
        self.files.is_none()
    }

    /// The file of frame `number`, which may still have to be extracted; `None` where there is none.
    pub(super) fn file(&self, number: u32) -> Option<PathBuf> {
        match &self.files {
            Some(files) => files.get(&number).cloned(),
            None => Some(self.target.join(format!("{number:06}.jpg"))),
        }
    }

    /// Extracts the frames unless they are there: into a folder of another name first, so that none is ever half there.
    pub(super) fn ready(&self) -> Result<()> {
        if self.files.is_some() {
            return Ok(());
        }
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = done.get_or_insert_with(|| if self.target.is_dir() { Ok(()) } else { self.extract() });
        outcome.clone().map_err(|reason| Error::Program {
            path: self.video.clone(),
            program: self.ffmpeg.to_string_lossy().into_owned(),
            reason,
        })
    }

    fn extract(&self) -> std::result::Result<(), String> {
        let by_hand =
            format!("or extract the frames yourself, as {}", self.target.join("000001.jpg").display());
        if !self.video.is_file() {
            return Err(format!("has no video to extract frames from: put it there, {by_hand}"));
        }
        let folder = layout::folder_of(&self.target);
        let make = || {
            std::fs::create_dir_all(&folder)?;
            tempfile::Builder::new().prefix(".frames-").tempdir_in(&folder)
        };
        let part = make().map_err(|error| format!("cannot write into {}: {error}", folder.display()))?;
        let output = Command::new(&self.ffmpeg)
            .args(["-nostdin", "-v", "error", "-i"])
            .arg(&self.video)
            .args(["-start_number", "1", "-q:v", QUALITY])
            .arg(part.path().join("%06d.jpg"))
            .stdin(Stdio::null())
            .output();
        let output = output.map_err(|error| format!("cannot be run ({error}): install ffmpeg, {by_hand}"))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            let last = words.lines().last().unwrap_or("without a word").to_string();
            return Err(format!("failed ({}): {last}; {by_hand}", output.status));
        }
        let part = part.keep();
        for_everybody(&part).map_err(|error| format!("cannot open {} to others: {error}", part.display()))?;
        std::fs::rename(&part, &self.target)
            .or_else(|error| {
                // Another program was faster.
                let _ = std::fs::remove_dir_all(&part);
                if self.target.is_dir() { Ok(()) } else { Err(error) }
            })
            .map_err(|error| format!("cannot name {}: {error}", self.target.display()))
    }
}

/// Temporary folders are made for their owner alone; frames are for everybody, as a plain folder would be.
#[cfg(unix)]
fn for_everybody(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn for_everybody(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Images whose names end in a number, by that number counted from 1.
fn numbered(folder: &Path) -> Result<BTreeMap<u32, PathBuf>> {
    let mut found = BTreeMap::new();
    for ending in layout::IMAGE_ENDINGS {
        for file in layout::files_in(folder, ending)? {
            let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let digits = stem.len() - stem.bytes().rev().take_while(u8::is_ascii_digit).count();
            if let Ok(number) = stem[digits..].parse::<u32>() {
                found.entry(number).or_insert(file);
            }
        }
    }
    // Some tools count from 0, the annotations count from 1.
    let shift = u32::from(found.contains_key(&0));
    Ok(found.into_iter().map(|(number, file)| (number + shift, file)).collect())
}
