//! Writing COCO keypoints over the COCO file that they were read from: what only other programs read stays.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::{Map, Value};

use super::{Id, write};
use crate::formats::place;
use crate::{Annotation, Error, Result, Scheme};

/// As [`to_json`](super::to_json), of faces that were read from the COCO file `original`: whatever that says beside points, boxes and
/// tags is kept, such as ids, `info`, licences, segmentations, areas and fields of one's own. Also notes of what is left out, such as
/// annotations without keypoints and images without faces.
///
/// # Errors
/// As [`to_json`](super::to_json); [`Error::Io`] and [`Error::Content`] where `original` cannot be read again.
pub fn to_json_keeping(
    faces: &[(Annotation, [u32; 2])],
    scheme: &Scheme,
    original: &Path,
) -> Result<(String, Vec<String>)> {
    let bytes = place::read(original)?;
    let wrong = |error: serde_json::Error| {
        Error::content(original, "annotations", "the COCO document that was read", error.to_string())
    };
    let mut old: Map<String, Value> = serde_json::from_slice(&bytes).map_err(wrong)?;
    let new = serde_json::to_value(write::document(faces, scheme)?).map_err(wrong)?;
    let [old_images, old_annotations, old_categories] =
        ["images", "annotations", "categories"].map(|name| taken(&mut old, name));
    let [new_images, new_annotations, new_categories] =
        ["images", "annotations", "categories"].map(|name| list(&new, name));
    let images: HashMap<Id, &Value> =
        old_images.iter().filter_map(|image| Some((id(image, "id")?, image))).collect();
    let (mut annotations, mut used, mut categories) = (Vec::new(), HashMap::new(), HashSet::new());
    for ((face, _), fresh) in faces.iter().zip(new_annotations) {
        let before =
            (*face.file == *original).then(|| old_annotations.get(face.line.checked_sub(1)?)).flatten();
        let Some(before) = before else {
            let expected = "faces of this file alone";
            return Err(Error::content(
                original,
                format!("entry {}", face.line),
                expected,
                "one of another file",
            ));
        };
        if let Some((image, number)) = id(before, "image_id").zip(id(fresh, "image_id")) {
            used.entry(number).or_insert(image);
        }
        categories.extend(id(before, "category_id"));
        annotations.push(over(before, fresh, &["id", "image_id", "category_id", "area", "iscrowd"]));
    }
    let image = |fresh: &Value| {
        let before = id(fresh, "id").and_then(|number| images.get(used.get(&number)?));
        before.map_or_else(|| fresh.clone(), |before| over(before, fresh, &["id"]))
    };
    let written: Vec<Value> = new_images.iter().map(image).collect();
    let of_it = |before: &&Value| id(before, "id").is_some_and(|id| categories.contains(&id));
    let category = match (old_categories.iter().find(of_it), new_categories.first()) {
        (Some(before), Some(fresh)) => over(before, fresh, &["id", "name"]),
        (_, fresh) => fresh.cloned().unwrap_or_default(),
    };
    let notes = [
        left_out(
            old_annotations.len(),
            annotations.len(),
            "annotations",
            "without usable keypoints or not asked for",
        ),
        left_out(old_images.len(), written.len(), "images", "without a face that is written"),
        left_out(old_categories.len(), 1, "categories", "whose annotations are not written"),
    ];
    old.insert("images".into(), written.into());
    old.insert("annotations".into(), annotations.into());
    old.insert("categories".into(), vec![category].into());
    let text = serde_json::to_string(&old).map_err(wrong)?;
    Ok((text, notes.into_iter().flatten().collect()))
}

fn taken(document: &mut Map<String, Value>, name: &str) -> Vec<Value> {
    match document.remove(name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn list<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    document.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn id(item: &Value, field: &str) -> Option<Id> {
    serde::Deserialize::deserialize(item.get(field)?).ok()
}

/// The fields of `fresh` over those of `before`, but for those named, which stay where they were.
fn over(before: &Value, fresh: &Value, stay: &[&str]) -> Value {
    let (Value::Object(mut item), Value::Object(fresh)) = (before.clone(), fresh) else {
        return fresh.clone();
    };
    for (name, value) in fresh {
        if !(stay.contains(&name.as_str()) && item.contains_key(name)) {
            item.insert(name.clone(), value.clone());
        }
    }
    Value::Object(item)
}

fn left_out(had: usize, has: usize, what: &str, why: &str) -> Option<String> {
    (had > has).then(|| format!("{} of {had} {what} are left out: {why}", had - has))
}
