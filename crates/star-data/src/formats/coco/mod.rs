//! COCO keypoints: one JSON file for any category of things with keypoints (cocodataset.org/#format-data).
//!
//! `images` (id, file_name, width, height), `annotations` (image_id, category_id, `keypoints` = x, y, v triples, `bbox` = x, y, width,
//! height) and `categories` (id, name, names of keypoints, skeleton as pairs counted from 1). v is 0 for a point that is absent, 1 for
//! one that is hidden, 2 for a visible one; absent points become NaN. Coordinates are taken as they are. Crowds and annotations
//! without a single point are passed over. `center` and `scale` (in units of 200 pixels), which some converters add, go before `bbox`.
//!
//! Where no scheme is given, the category makes one: its names, an edge a bone of its skeleton, mirror pairs from `left` and `right`
//! in the names.
//!
//! Crop: [`CropRule::Stated`](crate::crop::CropRule), which is `center` and `scale` or `bbox`, and the landmark-tight square where an
//! annotation has neither.

mod read;
mod write;

use std::path::Path;

use serde::{Deserialize, Serialize};

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

    fn read(&self, request: &Request) -> Result<Found> {
        let (images, scheme) = (request.images_or_beside(), request.scheme.cloned());
        Ok(read(request.path, &images, request.category, scheme)?.into())
    }
}

/// An id: most are numbers, some are names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(i64),
    Name(String),
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
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
    #[serde(default)]
    width: Option<u32>,
    #[serde(default)]
    height: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct Category {
    id: Id,
    name: String,
    #[serde(default)]
    keypoints: Vec<String>,
    #[serde(default)]
    skeleton: Vec<[usize; 2]>,
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
    id: Id,
    image_id: Id,
    category_id: Id,
    #[serde(default)]
    keypoints: Vec<f32>,
    #[serde(default)]
    num_keypoints: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bbox: Option<[f32; 4]>,
    #[serde(default)]
    area: Option<f32>,
    #[serde(default)]
    iscrowd: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    center: Option<[f32; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<Scale>,
    /// Ours: subset names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}
