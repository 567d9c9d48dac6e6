//! Writing COCO keypoints.

use std::collections::HashMap;

use super::{Category, Document, Entry, Id, Image, Scale};
use crate::{Annotation, Error, FaceBox, Result, Scheme};

/// Annotations of one scheme as a COCO document, each with the width and height of its image. `center` and `scale` carry the box
/// that crops are made from, `bbox` the one that the annotation's own format states, or the bounds of the points.
///
/// # Errors
/// [`Error::Content`] for a path that is not UTF-8.
pub fn to_json(faces: &[(Annotation, [u32; 2])], scheme: &Scheme) -> Result<String> {
    serde_json::to_string(&document(faces, scheme)?)
        .map_err(|error| Error::content("", "COCO document", "numbers that JSON has", error.to_string()))
}

pub(super) fn document(faces: &[(Annotation, [u32; 2])], scheme: &Scheme) -> Result<Document> {
    let (mut images, mut ids, mut annotations) = (Vec::new(), HashMap::new(), Vec::new());
    for (face, [width, height]) in faces {
        let next = ids.len() as i64 + 1;
        let id = *ids.entry(&face.image).or_insert(next);
        if id == next {
            let name = face.image.to_str().ok_or_else(|| {
                let field = format!("entry {}: image", face.line);
                Error::content(&*face.file, field, "a path of UTF-8", format!("{:?}", face.image))
            })?;
            let (width, height) = (Some(*width), Some(*height));
            images.push(Image { id: Id::Number(id), file_name: name.replace('\\', "/"), width, height });
        }
        annotations.push(entry(face, annotations.len() as i64 + 1, id));
    }
    let bones = |edge: &crate::scheme::Edge| {
        let bone = |from: usize, to: usize| [from as i64 + 1, to as i64 + 1];
        let close = edge.closed.then(|| bone(edge.points[edge.points.len() - 1], edge.points[0]));
        edge.points.windows(2).map(|pair| bone(pair[0], pair[1])).chain(close).collect::<Vec<_>>()
    };
    let numbers = || (0..scheme.keypoints).map(|k| k.to_string()).collect();
    let category = Category {
        id: Id::Number(1),
        name: scheme.name.clone(),
        keypoints: if scheme.names.is_empty() { numbers() } else { scheme.names.clone() },
        skeleton: scheme.edges.iter().flat_map(bones).collect(),
    };
    Ok(Document { images, annotations, categories: vec![category] })
}

fn entry(face: &Annotation, id: i64, image: i64) -> Entry {
    let mut keypoints = Vec::with_capacity(3 * face.points.len());
    for (k, &[x, y]) in face.points.iter().enumerate() {
        let seen = face.visibility.as_ref().is_none_or(|visible| visible.get(k).copied().unwrap_or(true));
        match x.is_finite() && y.is_finite() {
            true => keypoints.extend([x, y, if seen { 2.0 } else { 1.0 }]),
            false => keypoints.extend([0.0; 3]),
        }
    }
    let [x, y, width, height] =
        face.stated.map_or_else(|| bounds(&face.points), |b| [b.x, b.y, b.width, b.height]);
    let sides = [face.face.width, face.face.height].map(|side| side / FaceBox::PIXELS_PER_SCALE);
    Entry {
        id: Some(Id::Number(id)),
        image_id: Id::Number(image),
        category_id: Id::Number(1),
        num_keypoints: Some(keypoints.chunks_exact(3).filter(|point| point[2] > 0.0).count() as u32),
        keypoints,
        bbox: vec![x, y, width, height],
        area: Some(width * height),
        iscrowd: 0,
        center: Some(face.face.centre()),
        scale: Some(if sides[0] == sides[1] { Scale::One(sides[0]) } else { Scale::Two(sides) }),
        tags: face.tags.clone(),
    }
}

/// x, y, width and height of the points that are there.
fn bounds(points: &[[f32; 2]]) -> [f32; 4] {
    let side = |axis: usize| {
        // min and max pass over NaN
        let low = points.iter().map(|p| p[axis]).fold(f32::INFINITY, f32::min);
        let high = points.iter().map(|p| p[axis]).fold(f32::NEG_INFINITY, f32::max);
        (low, high - low)
    };
    let ((x, width), (y, height)) = (side(0), side(1));
    [x, y, width, height]
}
