//! 300VW: 114 videos, 68 points in every frame (Shen et al., The First Facial Landmark Tracking in-the-Wild Challenge, ICCV-W
//! 2015; ibug.doc.ic.ac.uk/resources/300-VW).
//!
//! A folder a video: `ID/vid.avi`, and `ID/annot/000001.pts` and so on, one a frame, 1-based (made 0-based here).
//!
//! | split | videos | subsets |
//! |---|---|---|
//! | train | 50 | |
//! | test | 64 | category1 31 videos, category2 19, category3 14 |
//!
//! Frames that were extracted already are found in `ID/frames`, `ID/imgs`, `ID/images`, `ID/extraction` or `ID` itself, under names
//! that end in their number (from 1, or from 0). Otherwise they are extracted from `vid.avi` by the program `ffmpeg`, a video at a
//! time when one of its frames is first asked for, into `ID/frames/000001.jpg` and so on: about 13 GB for the whole set.
//!
//! In 16 test videos, 2,127 frames are known to be broken. They are left out; the subset `broken` is exactly them.
//!
//! Crop: [`CropRule::LandmarkTight`](crate::crop::CropRule), as for 300W, whose markup it is.

mod frames;
mod ids;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use self::frames::Frames;
use super::annotated::AnnotatedImages;
use super::definition::{Definition, Found, Request, Split};
use super::{layout, pts};
use crate::{Annotation, Dataset, Error, Result, Sample, Scheme};

/// The scheme of the points.
pub const SCHEME: &str = super::face300w::SCHEME;

/// Names of the subsets of the test.
pub const SUBSETS: [&str; 4] = ["category1", "category2", "category3", "broken"];

/// Where frames come from and where they go.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Folder with a folder of frames for each video; also where they are extracted to. `None` for the videos' own.
    pub images: Option<PathBuf>,
    /// The program that extracts frames.
    pub ffmpeg: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { images: None, ffmpeg: "ffmpeg".into() }
    }
}

/// Frames of videos with a face each. Clones share them.
#[derive(Clone, Debug)]
pub struct Face300vw {
    faces: AnnotatedImages,
    videos: Arc<Vec<Frames>>,
    video_of: Arc<Vec<usize>>,
}

/// What was read: the faces, what is wrong with frames that cannot be used, and the number of frames left out as known to be broken.
pub struct Read {
    /// The faces.
    pub faces: Face300vw,
    /// Annotations that cannot be read, and frames that are missing.
    pub problems: Vec<Error>,
    /// Frames known to be broken.
    pub broken: usize,
    /// Videos of the split that are not there.
    pub missing: Vec<&'static str>,
}

/// The frames of a split below `root`, which holds a folder a video, such as `001/vid.avi` with `001/annot/000001.pts`. Frames that
/// cannot be used, of which there always are some, are left out; [`read`] names them.
///
/// # Errors
/// As [`read`].
pub fn open(root: impl AsRef<Path>, split: Split) -> Result<Face300vw> {
    Ok(read(root.as_ref(), &Options::default(), split, None)?.faces)
}

/// Reads a split from `root`, which holds a folder a video; with a `subset` one category of the test, or its broken frames.
///
/// # Errors
/// [`Error::Io`]; [`Error::Content`] where no video of the split is there, and for a subset that it does not have.
pub fn read(root: &Path, options: &Options, split: Split, subset: Option<&str>) -> Result<Read> {
    let parts = parts(root, split, subset)?;
    let scheme = Scheme::named(SCHEME)?;
    let images = options.images.as_deref().unwrap_or(root);
    let known = ids::broken();
    let wants_broken = subset.is_some_and(|name| plain(name) == "broken");
    let (mut faces, mut problems, mut missing, mut broken) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let (mut videos, mut video_of) = (Vec::new(), Vec::new());
    for (video, tag) in parts {
        let annotations = root.join(video).join("annot");
        if !annotations.is_dir() {
            missing.push(video);
            continue;
        }
        let mut files = layout::files_in(&annotations, "pts")?;
        let none = BTreeSet::new();
        let bad = known.get(video).unwrap_or(&none);
        let all = files.len();
        files.retain(|file| number(file).is_some_and(|n| bad.contains(&n)) == wants_broken);
        broken += if wants_broken { files.len() } else { all - files.len() };
        let frames = Frames::find(&images.join(video), &root.join(video), &options.ffmpeg)?;
        let read: Vec<Result<Annotation>> =
            files.par_iter().map(|file| frame(file, &frames, images, &scheme, tag)).collect();
        for face in read {
            match face {
                Ok(face) => {
                    faces.push(face);
                    video_of.push(videos.len());
                }
                Err(problem) => problems.push(problem),
            }
        }
        videos.push(frames);
    }
    if videos.is_empty() {
        let expected =
            format!("the videos of {split}, such as {}/annot/000001.pts", missing.first().unwrap_or(&"001"));
        return Err(Error::content(root, "folders", expected, "none of them"));
    }
    let faces = Face300vw {
        faces: AnnotatedImages::new(faces, images, scheme),
        videos: Arc::new(videos),
        video_of: Arc::new(video_of),
    };
    Ok(Read { faces, problems, broken, missing })
}

/// 300VW among the formats.
pub(super) struct Videos;

impl Definition for Videos {
    fn name(&self) -> &'static str {
        "300vw"
    }

    fn about(&self) -> &'static str {
        "300VW as unpacked: a folder a video; frames extracted, or by ffmpeg"
    }

    fn scheme(&self) -> Option<&'static str> {
        Some(SCHEME)
    }

    fn splits(&self) -> &'static [Split] {
        &[Split::Train, Split::Test]
    }

    fn subsets(&self, split: Split) -> Vec<&'static str> {
        if split == Split::Test { SUBSETS.to_vec() } else { Vec::new() }
    }

    fn published(&self, split: Split, subset: Option<&str>) -> Option<usize> {
        let broken = subset.is_some_and(|name| name.eq_ignore_ascii_case("broken"));
        (split == Split::Test && broken).then_some(2127)
    }

    fn read(&self, request: &Request) -> Result<Found> {
        let options = Options { images: request.images.map(Path::to_path_buf), ..Default::default() };
        let read = read(request.path, &options, request.split, request.subset)?;
        let notes = notes(&read, request.subset);
        Ok(Found { faces: Arc::new(read.faces), problems: read.problems, notes })
    }
}

fn notes(read: &Read, subset: Option<&str>) -> Vec<String> {
    let mut notes = Vec::new();
    let only_broken = subset.is_some_and(|name| name.eq_ignore_ascii_case("broken"));
    if read.broken > 0 && !only_broken {
        notes.push(format!("{} frames known to be broken are left out", read.broken));
    }
    if !read.missing.is_empty() {
        let (count, names) = (read.missing.len(), read.missing.join(" "));
        notes.push(format!("{count} videos of the split are not there: {names}"));
    }
    let to_extract = read.faces.to_extract();
    if to_extract > 0 {
        notes.push(format!("the frames of {to_extract} videos are extracted when first asked for"));
    }
    notes
}

/// The videos of a split or subset, each with the tag it gives to its frames.
fn parts(
    root: &Path,
    split: Split,
    subset: Option<&str>,
) -> Result<Vec<(&'static str, Option<&'static str>)>> {
    let categories = [ids::CATEGORY_1, ids::CATEGORY_2, ids::CATEGORY_3];
    let tagged = |i: usize| categories[i].iter().map(move |video| (*video, Some(SUBSETS[i])));
    let wrong = |expected: String, got: String| {
        Err(Error::content(root, format!("subset of {split}"), expected, got))
    };
    match (split, subset.map(plain).as_deref()) {
        (Split::Train, None) => Ok(ids::TRAIN.iter().map(|video| (*video, None)).collect()),
        (Split::Test, None | Some("broken")) => Ok((0..3).flat_map(tagged).collect()),
        (Split::Test, Some(name)) => match SUBSETS[..3].iter().position(|known| *known == name) {
            Some(i) => Ok(tagged(i).collect()),
            None => wrong(SUBSETS.join(", "), format!("`{name}`")),
        },
        (Split::Train, Some(name)) => wrong("none".into(), format!("`{name}`")),
        (Split::Private, _) => Err(Error::content(root, "split", "train or test", "private")),
    }
}

fn plain(name: &str) -> String {
    name.to_lowercase().replace(['-', '_', ' '], "")
}

/// The number of a frame's annotation.
fn number(file: &Path) -> Option<u32> {
    file.file_stem()?.to_str()?.parse().ok()
}

fn frame(
    file: &Path,
    frames: &Frames,
    images: &Path,
    scheme: &Scheme,
    tag: Option<&str>,
) -> Result<Annotation> {
    let points = pts::points(file, scheme)?;
    let named = || {
        pts::wrong(file, "name", "the number of a frame, such as 000001.pts".into(), "another name".into())
    };
    let number = number(file).ok_or_else(named)?;
    let missing = || {
        pts::wrong(file, "image", format!("frame {number} among the extracted ones"), "no such frame".into())
    };
    let image = frames.file(number).ok_or_else(missing)?;
    let image = image.strip_prefix(images).map(Path::to_path_buf).unwrap_or(image);
    let mut face = pts::face(file, image, points)?;
    face.tags = tag.map(str::to_string).into_iter().collect();
    Ok(face)
}

impl Face300vw {
    /// Number of videos whose frames have yet to be extracted.
    pub fn to_extract(&self) -> usize {
        self.videos.iter().filter(|video| video.inside_video()).count()
    }

    fn ready(&self, index: usize) -> Result<()> {
        let video = *self.video_of.get(index).ok_or(Error::Index { index, len: self.video_of.len() })?;
        self.videos[video].ready()
    }
}

impl Dataset for Face300vw {
    fn len(&self) -> usize {
        self.faces.len()
    }

    fn scheme(&self) -> &Scheme {
        self.faces.scheme()
    }

    fn source(&self, index: usize) -> PathBuf {
        self.faces.source(index)
    }

    fn get(&self, index: usize) -> Result<Sample> {
        self.ready(index)?;
        self.faces.get(index)
    }

    fn annotation(&self, index: usize) -> Result<Annotation> {
        self.faces.annotation(index)
    }

    fn image_path(&self, index: usize) -> Option<PathBuf> {
        self.faces.image_path(index)
    }
}
