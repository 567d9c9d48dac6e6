//! COCO keypoints: one JSON file for any category of things with keypoints (cocodataset.org/#format-data).
//!
//! `images` (id, file_name, width, height), `annotations` (image_id, category_id, `keypoints` = x, y, v triples, `bbox` = x, y, width,
//! height) and `categories` (id, name, names of keypoints, skeleton as pairs counted from 1). v is 0 for a point that is absent, 1 for
//! one that is hidden, 2 for a visible one; absent points become NaN, as do `-1, -1`. Coordinates are taken as they are. Crowds and
//! annotations without a single point are passed over. `center` and `scale` (in units of 200 pixels), which some converters add, go
//! before `bbox`; a `bbox` of zeros is none. Ids may be numbers, numbers as text, or names.
//!
//! Where no scheme is given, the category makes one: its names, and an edge a bone of its skeleton, which may be counted from 0.
//!
//! Crop: [`CropRule::Stated`](crate::crop::CropRule), which is `center` and `scale` or `bbox`, and the landmark-tight square where an
//! annotation has neither.

mod diagnose;
mod id;
mod keep;
mod lenient;
mod read;
mod write;

use std::path::Path;

use serde::{Deserialize, Serialize};

use self::id::Id;
pub use keep::to_json_keeping;
pub use read::{read, scheme};
pub use write::to_json;

use super::annotated::{self, AnnotatedImages};
use super::definition::{Definition, Found, Request};
use crate::Result;
use crate::crop::CropRule;

/// The only category with keypoints of the JSON file `annotations`, under the scheme that it makes; images below `images`.
///
/// # Errors
/// As [`read`], and for the first annotation that cannot be used.
pub fn open(annotations: impl AsRef<Path>, images: impl AsRef<Path>) -> Result<AnnotatedImages> {
    let annotations = annotations.as_ref();
    annotated::strict(
        read(annotations, images.as_ref(), None, None)?,
        annotations,
        "annotations with keypoints",
    )
}

/// COCO among the formats.
pub(super) struct Coco;

impl Definition for Coco {
    fn name(&self) -> &'static str {
        "coco"
    }

    fn about(&self) -> &'static str {
        "COCO keypoints, JSON"
    }

    fn crop(&self) -> CropRule {
        CropRule::Stated
    }

    fn cuts_paths(&self) -> bool {
        true
    }

    fn read(&self, request: &Request) -> Result<Found> {
        let (images, scheme) = (request.images_or_beside(), request.scheme.cloned());
        read::found(request.path, &images, request.category, scheme, request.paths)
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    images: Vec<Image>,
    annotations: Vec<Entry>,
    categories: Vec<Category>,
}

#[derive(Serialize, Deserialize)]
struct Image {
    id: Id,
    file_name: String,
    #[serde(default, deserialize_with = "lenient::count")]
    width: Option<u32>,
    #[serde(default, deserialize_with = "lenient::count")]
    height: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct Category {
    id: Id,
    name: String,
    #[serde(default, deserialize_with = "lenient::null_is_none")]
    keypoints: Vec<String>,
    #[serde(default, deserialize_with = "lenient::null_is_none")]
    skeleton: Vec<[i64; 2]>,
}

/// Side or sides of a `scale`.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(untagged)]
enum Scale {
    One(f32),
    Two([f32; 2]),
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(default)]
    id: Option<Id>,
    image_id: Id,
    category_id: Id,
    #[serde(default, deserialize_with = "lenient::numbers")]
    keypoints: Vec<f32>,
    #[serde(default, deserialize_with = "lenient::count")]
    num_keypoints: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::numbers")]
    bbox: Vec<f32>,
    #[serde(default, skip_deserializing)]
    area: Option<f32>,
    #[serde(default, deserialize_with = "lenient::flag")]
    iscrowd: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    center: Option<[f32; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<Scale>,
    /// Ours: subset names.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::words")]
    tags: Vec<String>,
}
