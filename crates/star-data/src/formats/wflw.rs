//! WFLW: 10,000 faces, 98 points, six attributes (Wu et al., Look at Boundary, CVPR 2018; wywu.github.io/projects/LAB/WFLW.html).
//!
//! `WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{train,test}.txt` has a face a line, 207 fields between
//! spaces: 196 coordinates `x0 y0 x1 y1 ...`, the rectangle `x_min y_min x_max y_max`, six attributes of 0 or 1, and the image's
//! path below `WFLW_images`. `WFLW_annotations/list_98pt_test/list_98pt_test_{largepose,expression,illumination,makeup,occlusion,
//! blur}.txt` has 197: the coordinates and the path. Coordinates are taken as they are. The rectangle is like a detector's, not
//! the box of the landmarks. An image may hold several annotated faces.
//!
//! | split | faces | subsets of it |
//! |---|---|---|
//! | train | 7500 | |
//! | test | 2500 | pose 326, expression 314, illumination 698, make-up 206, occlusion 736, blur 773 |
//!
//! Crop: [`CropRule::LandmarkTight`](crate::crop::CropRule), which the published 300W and COFW rows follow exactly and the published
//! WFLW rows are taken to follow; `stated` takes the rectangle instead.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::annotated::{self, AnnotatedImages, Read};
use super::definition::{Definition, Found, Request, Split};
use super::place::{self, Place};
use super::{layout, sniff};
use crate::crop::CropRule;
use crate::{Annotation, Error, FaceBox, Result, Scheme};

/// The scheme of the points.
pub const SCHEME: &str = "wflw98";

/// The six attributes, in the order of the lists; they are the names of the test set's subsets.
pub const ATTRIBUTES: [&str; 6] = ["pose", "expression", "illumination", "make-up", "occlusion", "blur"];

/// The attributes as the names of subset lists spell them.
const LISTS: [&str; 6] = ["largepose", "expression", "illumination", "makeup", "occlusion", "blur"];

/// Test faces that have each attribute.
const TEST_FACES: [usize; 6] = [326, 314, 698, 206, 736, 773];

/// Coordinates of a line.
const COORDINATES: usize = 196;

/// Coordinates, rectangle and attributes of a line.
const NUMBERS: usize = COORDINATES + 4 + 6;

/// Names of the attributes that `set` says are set.
pub(super) fn attributes(set: impl Fn(usize) -> bool) -> Vec<String> {
    ATTRIBUTES.iter().enumerate().filter(|(i, _)| set(*i)).map(|(_, name)| name.to_string()).collect()
}

/// An attribute by any of the names it goes by.
pub fn attribute(name: &str) -> Option<&'static str> {
    let plain = |name: &str| name.to_lowercase().replace(['-', '_', ' '], "");
    let at = (0..6).find(|&i| [ATTRIBUTES[i], LISTS[i]].iter().any(|known| plain(known) == plain(name)))?;
    Some(ATTRIBUTES[at])
}

/// The faces of a split below `root`, which holds `WFLW_annotations` and `WFLW_images`.
///
/// # Errors
/// As [`read`], and for the first line that cannot be used.
pub fn open(root: impl AsRef<Path>, split: Split) -> Result<AnnotatedImages> {
    let root = root.as_ref();
    annotated::strict(read(root, None, split, None)?, root, "a list of faces")
}

/// Reads a split from `root`: the folder that holds `WFLW_annotations` and `WFLW_images`, or one of the list files itself.
/// Images are below `images`, by default the `WFLW_images` beside the annotations. With a `subset` (any name of an attribute)
/// only the faces that have it, by the attributes of the split's list, or by the subset's own list where that is all there is.
///
/// # Errors
/// [`Error::Io`]; [`Error::Content`] where there is no list, and for a subset that does not exist.
pub fn read(root: &Path, images: Option<&Path>, split: Split, subset: Option<&str>) -> Result<Read> {
    let subset = subset.map(|name| known(root, name)).transpose()?;
    let list = list(root, split, subset)?;
    let images = images.map_or_else(|| image_folder(root, &list), Path::to_path_buf);
    let scheme = Scheme::named(SCHEME)?;
    let bytes = sniff::read_rows(&list, "lines of 98 points")?;
    let file: Arc<Path> = list.as_path().into();
    let own = own_list(&list);
    let (mut faces, mut problems) = (Vec::new(), Vec::new());
    for (line, bytes) in place::lines(&bytes) {
        match face(&Place { file: file.clone(), line }, bytes, own) {
            Ok(face) if subset.is_none_or(|name| face.tags.iter().any(|tag| tag == name)) => faces.push(face),
            Ok(_) => {}
            Err(problem) => problems.push(problem),
        }
    }
    Ok((AnnotatedImages::new(faces, &images, scheme), problems))
}

/// WFLW among the formats.
pub(super) struct Wflw;

impl Definition for Wflw {
    fn name(&self) -> &'static str {
        "wflw"
    }

    fn about(&self) -> &'static str {
        "WFLW as unpacked: WFLW_annotations and WFLW_images, or a list file"
    }

    fn scheme(&self) -> Option<&'static str> {
        Some(SCHEME)
    }

    fn splits(&self) -> &'static [Split] {
        &[Split::Train, Split::Test]
    }

    fn subsets(&self, _: Split) -> Vec<&'static str> {
        ATTRIBUTES.to_vec()
    }

    fn published(&self, split: Split, subset: Option<&str>) -> Option<usize> {
        match (split, subset) {
            (Split::Train, None) => Some(7500),
            (Split::Test, None) => Some(2500),
            (Split::Test, Some(name)) => {
                let at = ATTRIBUTES.iter().position(|known| Some(*known) == attribute(name))?;
                Some(TEST_FACES[at])
            }
            _ => None,
        }
    }

    fn read(&self, request: &Request) -> Result<Found> {
        Ok(read(request.path, request.images, request.split, request.subset)?.into())
    }
}

fn known(root: &Path, name: &str) -> Result<&'static str> {
    attribute(name).ok_or_else(|| Error::content(root, "subset", ATTRIBUTES.join(", "), format!("`{name}`")))
}

/// The list file of a split, or of a subset where the split's own is missing.
fn list(root: &Path, split: Split, subset: Option<&'static str>) -> Result<PathBuf> {
    if root.is_file() {
        return Ok(root.to_path_buf());
    }
    let whole = format!("list_98pt_rect_attr_{split}.txt");
    let mut names = vec![format!("list_98pt_rect_attr_train_test/{whole}"), whole];
    if split == Split::Test {
        let at = subset.and_then(|subset| ATTRIBUTES.iter().position(|name| *name == subset));
        let plain = at.map_or("list_98pt_test.txt".into(), |at| format!("list_98pt_test_{}.txt", LISTS[at]));
        names.extend([format!("list_98pt_test/{plain}"), plain]);
    }
    let folders = ["WFLW_annotations", ".", "WFLW/WFLW_annotations"];
    layout::first_file(root, &folders, &names)
}

/// `WFLW_images` near the annotations, or the folder that was given.
fn image_folder(root: &Path, list: &Path) -> PathBuf {
    let above = list.ancestors().skip(1).take(4);
    let found = above.map(|folder| folder.join("WFLW_images")).find(|folder| folder.is_dir());
    found.unwrap_or_else(|| if root.is_dir() { root.to_path_buf() } else { layout::folder_of(list) })
}

/// The attribute that a subset's own list stands for.
fn own_list(list: &Path) -> Option<&'static str> {
    let stem = list.file_stem()?.to_str()?.strip_prefix("list_98pt_test_")?;
    attribute(stem)
}

fn face(place: &Place, line: &[u8], own: Option<&'static str>) -> Result<Annotation> {
    let text = place.text(line)?;
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let path_at = match fields.len() {
        n if n == COORDINATES + 1 => COORDINATES,
        n if n == NUMBERS + 1 => NUMBERS,
        n => {
            let expected = "207: 196 coordinates, 4 box corners, 6 attributes, a path (or 197 without box and attributes)";
            return Err(place.error("fields", expected, n.to_string()));
        }
    };
    let points = place.points("landmarks", &fields[..COORDINATES])?;
    let (mut stated, mut tags) = (None, own.map(str::to_string).into_iter().collect());
    if path_at == NUMBERS {
        let corners = place.pairs("rectangle", &fields[COORDINATES..COORDINATES + 4])?;
        let [[x0, y0], [x1, y1]] = [corners[0], corners[1]];
        stated = Some(FaceBox { x: x0, y: y0, width: x1 - x0, height: y1 - y0 });
        let flags = &fields[COORDINATES + 4..NUMBERS];
        if let Some(flag) = flags.iter().find(|flag| !["0", "1"].contains(flag)) {
            return Err(place.error("attributes", "six of 0 or 1", place::quoted(flag)));
        }
        tags = attributes(|i| flags[i] == "1");
    }
    let image = place.image(fields[path_at])?;
    let face = CropRule::LandmarkTight.apply(&points, stated);
    let face = face.map_err(|error| place.error("landmarks", "points with an extent", error.to_string()))?;
    let (file, line) = (place.file.clone(), place.line);
    Ok(Annotation { file, line, image, points, visibility: None, stated, face, tags })
}
