//! From a detection network's maps to faces: decoded at every size that an image is looked at in, each face once.

use image::{RgbImage, imageops};
use star_data::FaceBox;
use star_model::{FaceMaps, YuNet};

use super::{overlap, shared};

/// Most pixels that the network looks at; a larger image is made smaller first.
const MOST_PIXELS: f64 = 2_097_152.0;
/// Longer side in pixels up to which the network finds faces of any size. Faces of more than some 500 pixels are found in the image at half
/// its size, and so on: of 42 portraits with faces of 400 pixels it found all, of 800 pixels two thirds.
const WHOLE: f64 = 640.0;
/// Longer side in pixels up to which an image without a sure face is looked at in twice its size as well: of portraits with faces of 24
/// pixels the network found nine of ten, of 64 pixels all.
const SMALL: f64 = 400.0;
/// Overlap of two boxes from which on they are of one face, and share of the smaller one that lies in the other: what looks like a face
/// inside a face is none.
const SAME: f32 = 0.4;
const INSIDE: f32 = 0.6;

/// What the network takes for a face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The network's own score, between 0 and 1.
    pub score: f32,
    /// From the forehead to the chin, pixels of the image.
    pub face_box: FaceBox,
}

impl Candidate {
    /// Geometric mean of the sides of its box, pixels.
    #[must_use]
    pub fn size(&self) -> f32 {
        (self.face_box.width * self.face_box.height).sqrt()
    }
}

/// The faces of an image whose score is at least `least`, the surest first. Where none has a score of `sure` a small image is looked at
/// magnified.
pub(super) fn of(
    network: &YuNet,
    image: &RgbImage,
    least: f32,
    sure: f32,
) -> candle_core::Result<Vec<Candidate>> {
    let [width, height] = [image.width(), image.height()].map(f64::from);
    if width == 0.0 || height == 0.0 {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    let mut scale = (MOST_PIXELS / (width * height)).sqrt().min(1.0);
    loop {
        look(network, image, scale, least, &mut all)?;
        if width.max(height) * scale <= WHOLE {
            break;
        }
        scale /= 2.0;
    }
    if width.max(height) <= SMALL && all.iter().all(|face| face.score < sure) {
        look(network, image, 2.0, least, &mut all)?;
    }
    Ok(each_once(all))
}

/// Adds what the network sees in the image at a scale, in pixels of the image.
fn look(
    network: &YuNet,
    image: &RgbImage,
    scale: f64,
    least: f32,
    all: &mut Vec<Candidate>,
) -> candle_core::Result<()> {
    let [width, height] =
        [image.width(), image.height()].map(|side| ((f64::from(side) * scale).round() as u32).max(1));
    let resized = match scale {
        1.0 => None,
        _ if scale < 1.0 => Some(imageops::thumbnail(image, width, height)),
        _ => Some(imageops::resize(image, width, height, imageops::FilterType::Triangle)),
    };
    let shown = resized.as_ref().unwrap_or(image);
    let back = [image.width() as f32 / width as f32, image.height() as f32 / height as f32];
    for maps in network.maps(shown.as_raw(), height as usize, width as usize)? {
        decode(&maps, least, |mut face| {
            let FaceBox { x, y, width, height } = face.face_box;
            let [x, y] = [(x + 0.5) * back[0] - 0.5, (y + 0.5) * back[1] - 0.5];
            face.face_box = FaceBox { x, y, width: width * back[0], height: height * back[1] };
            all.push(face);
        });
    }
    Ok(())
}

/// Calls `found` with what is a face in one of the network's maps, in pixels of the image that it looked at.
fn decode(maps: &FaceMaps, least: f32, mut found: impl FnMut(Candidate)) {
    let stride = maps.stride as f32;
    let logistic = |v: f32| 1.0 / (1.0 + (-v).exp());
    for (place, values) in maps.values.chunks_exact(FaceMaps::CHANNELS).enumerate() {
        let score = (logistic(values[0]) * logistic(values[1])).sqrt();
        if score.is_nan() || score < least {
            continue;
        }
        let at = [place % maps.width, place / maps.width].map(|cell| cell as f32);
        let [x, y] = [0, 1].map(|axis| (at[axis] + values[2 + axis]) * stride);
        let [width, height] = [4, 5].map(|k| values[k].exp() * stride);
        let face_box = FaceBox { x: x - width / 2.0, y: y - height / 2.0, width, height };
        found(Candidate { score, face_box });
    }
}

/// The surest of each group that lies on one another.
fn each_once(mut all: Vec<Candidate>) -> Vec<Candidate> {
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    let area = |face: &Candidate| face.size().powi(2);
    let same = |a: &Candidate, b: &Candidate| {
        overlap(&a.face_box, &b.face_box) > SAME
            || shared(&a.face_box, &b.face_box) > INSIDE * area(a).min(area(b))
    };
    let mut kept: Vec<Candidate> = Vec::new();
    for face in all {
        if !kept.iter().any(|other| same(other, &face)) {
            kept.push(face);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(score: f32, x: f32, side: f32) -> Candidate {
        let face_box = FaceBox { x, y: 0.0, width: side, height: side };
        Candidate { score, face_box }
    }

    #[test]
    fn a_face_is_kept_once_with_its_best_score_and_what_lies_inside_it_is_none() {
        let all = vec![
            face(0.7, 3.0, 100.0),
            face(0.9, 0.0, 100.0),
            face(0.8, 90.0, 100.0),
            face(0.6, 30.0, 20.0),
            face(0.5, 400.0, 20.0),
        ];
        let kept: Vec<f32> = each_once(all).iter().map(|face| face.score).collect();
        assert_eq!(kept, [0.9, 0.8, 0.5]);
    }

    #[test]
    fn maps_are_read_as_the_network_writes_them() {
        let mut values = vec![-20.0; 2 * 3 * FaceMaps::CHANNELS];
        let at = &mut values[4 * FaceMaps::CHANNELS..5 * FaceMaps::CHANNELS];
        at.fill(0.5);
        (at[0], at[1], at[2], at[3]) = (20.0, 20.0, 0.25, -0.25);
        (at[4], at[5]) = (2f32.ln(), 4f32.ln());
        let mut found = Vec::new();
        decode(&FaceMaps { stride: 8, height: 2, width: 3, values }, 0.5, |face| found.push(face));
        let [face] = found[..] else { panic!("{found:?}") };
        // The place is (1, 1), 8 pixels from the corner either way.
        let b = face.face_box;
        let close = |a: f32, b: f32| (a - b).abs() < 1e-4;
        assert!(
            close(b.x, 2.0) && close(b.y, -10.0) && close(b.width, 16.0) && close(b.height, 32.0),
            "{b:?}"
        );
        assert!(face.score > 0.999);
    }
}
