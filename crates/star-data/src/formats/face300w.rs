//! 300W: 68 points by iBUG's semi-automatic markup (Sagonas et al., 300 Faces in-the-Wild Challenge, ICCV-W 2013;
//! ibug.doc.ic.ac.uk/resources/300-W).
//!
//! A `.pts` file beside each image, 1-based (made 0-based here), in folders named after the sets that the images come from:
//!
//! | split | faces | made of | subsets |
//! |---|---|---|---|
//! | train | 3148 | `afw` 337, `helen/trainset` 2000, `lfpw/trainset` 811 | afw, helen, lfpw |
//! | test | 689 | `helen/testset` 330, `lfpw/testset` 224, `ibug` 135 | common 554 (helen, lfpw), challenging 135 (ibug) |
//! | private | 600 | `01_Indoor` 300, `02_Outdoor` 300 | indoor, outdoor |
//!
//! Distributions differ: the folders are found whatever they are nested in and in whatever case; an image may have `_1` behind its
//! name where its `.pts` has not, or the other way round; mirrored copies (`*_mirror.pts`) are passed over.
//!
//! Crop: [`CropRule::LandmarkTight`](crate::crop::CropRule), which the published rows follow exactly.

use std::path::Path;

use super::annotated::{self, AnnotatedImages, Read};
use super::definition::{Definition, Found, Request, Split};
use super::{layout, pts};
use crate::{Error, Result, Scheme};

/// The scheme of the points.
pub const SCHEME: &str = "ibug68";

/// Where a split's faces come from, in this order: folders of their path that must all be there, and the tags that it gives them.
type Part = (&'static [&'static str], &'static [&'static str]);

const TRAIN: &[Part] =
    &[(&["afw"], &["afw"]), (&["helen", "trainset"], &["helen"]), (&["lfpw", "trainset"], &["lfpw"])];
const TEST: &[Part] = &[
    (&["helen", "testset"], &["common", "helen"]),
    (&["lfpw", "testset"], &["common", "lfpw"]),
    (&["ibug"], &["challenging", "ibug"]),
];
const PRIVATE: &[Part] = &[(&["indoor"], &["indoor"]), (&["outdoor"], &["outdoor"])];

/// Folders named after the sets of images.
const SETS: [&str; 6] = ["afw", "helen", "lfpw", "ibug", "indoor", "outdoor"];

/// Ending of the names of mirrored copies that one distribution adds.
const MIRRORED: &str = "_mirror";

/// Names of the subsets of a split.
pub fn subsets(split: Split) -> Vec<&'static str> {
    let mut names: Vec<&str> = parts(split).iter().flat_map(|(_, tags)| *tags).copied().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The faces of a split below `root`, which holds the folders `afw`, `helen`, `ibug` and `lfpw`, or those of the private test.
///
/// # Errors
/// As [`read`], and for the first file that cannot be used.
pub fn open(root: impl AsRef<Path>, split: Split) -> Result<AnnotatedImages> {
    let root = root.as_ref();
    annotated::strict(read(root, None, split, None)?, root, ".pts files beside their images")
}

/// Reads a split from below `root`; images lie beside the `.pts` files, or in the same folders below `images`. With a `subset`
/// only the faces of that name.
///
/// # Errors
/// [`Error::Io`]; [`Error::Content`] where none of the split's folders is there, and for a subset that the split does not have.
pub fn read(root: &Path, images: Option<&Path>, split: Split, subset: Option<&str>) -> Result<Read> {
    let subset = subset.map(str::to_lowercase);
    if let Some(name) = subset.as_ref().filter(|name| !subsets(split).contains(&name.as_str())) {
        return Err(Error::content(
            root,
            format!("subset of {split}"),
            subsets(split).join(", "),
            format!("`{name}`"),
        ));
    }
    let scheme = Scheme::named(SCHEME)?;
    let files = layout::files_below(root, "pts")?;
    let images = images.unwrap_or(root);
    let (mut faces, mut problems) = (Vec::new(), Vec::new());
    for (folders, tags) in parts(split) {
        if subset.as_ref().is_some_and(|name| !tags.contains(&name.as_str())) {
            continue;
        }
        for file in files.iter().filter(|file| belongs(root, file, folders)) {
            let folder = file.strip_prefix(root).ok().and_then(Path::parent).map(|below| images.join(below));
            match pts::annotation(file, &folder.unwrap_or_else(|| images.to_path_buf()), images, &scheme) {
                Ok(mut face) => {
                    face.tags = tags.iter().map(|tag| tag.to_string()).collect();
                    faces.push(face);
                }
                Err(problem) => problems.push(problem),
            }
        }
    }
    if faces.is_empty() && problems.is_empty() {
        let names: Vec<String> = parts(split).iter().map(|(folders, _)| folders.join("/")).collect();
        let got = format!("{} .pts files, none in such folders", files.len());
        return Err(Error::content(root, "folders", format!("{} with .pts files", names.join(", ")), got));
    }
    Ok((AnnotatedImages::new(faces, images, scheme), problems))
}

/// 300W among the formats.
pub(super) struct Face300w;

impl Definition for Face300w {
    fn name(&self) -> &'static str {
        "300w"
    }

    fn about(&self) -> &'static str {
        "300W as unpacked: afw, helen, lfpw, ibug, or the private test"
    }

    fn scheme(&self) -> Option<&'static str> {
        Some(SCHEME)
    }

    fn splits(&self) -> &'static [Split] {
        &[Split::Train, Split::Test, Split::Private]
    }

    fn subsets(&self, split: Split) -> Vec<&'static str> {
        subsets(split)
    }

    fn published(&self, split: Split, subset: Option<&str>) -> Option<usize> {
        Some(match (split, subset.map(str::to_lowercase).as_deref()) {
            (Split::Train, None) => 3148,
            (Split::Train, Some("afw")) => 337,
            (Split::Train, Some("helen")) => 2000,
            (Split::Train, Some("lfpw")) => 811,
            (Split::Test, None) => 689,
            (Split::Test, Some("common")) => 554,
            (Split::Test, Some("helen")) => 330,
            (Split::Test, Some("lfpw")) => 224,
            (Split::Test, Some("challenging" | "ibug")) => 135,
            (Split::Private, None) => 600,
            (Split::Private, Some("indoor" | "outdoor")) => 300,
            _ => return None,
        })
    }

    fn read(&self, request: &Request) -> Result<Found> {
        Ok(read(request.path, request.images, request.split, request.subset)?.into())
    }
}

fn parts(split: Split) -> &'static [Part] {
    match split {
        Split::Train => TRAIN,
        Split::Test => TEST,
        Split::Private => PRIVATE,
    }
}

/// Whether a file lies in these folders, the root's own name among them, and is no mirrored copy.
fn belongs(root: &Path, file: &Path, folders: &[&str]) -> bool {
    let mirrored = file.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with(MIRRORED));
    // `01_Indoor` is `indoor`.
    let plain = |name: String| name.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').to_string();
    let mut between: Vec<String> = layout::folders_between(root, file).into_iter().map(plain).collect();
    // The folder of one set may be all that is given; its name says nothing where the sets lie below it.
    if !between.iter().any(|name| SETS.contains(&name.as_str())) {
        between.extend(root.file_name().map(|name| name.to_string_lossy().to_lowercase()).map(plain));
    }
    let named = |name: &str| between.iter().any(|part| part == name);
    !mirrored && folders.iter().all(|name| named(name))
}
