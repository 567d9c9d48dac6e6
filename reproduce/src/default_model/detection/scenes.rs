//! Images with faces whose number and places are known, and images without any, on which detectors are compared.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use star_data::affine::Affine;
use star_data::crop::CropRule;
use star_data::{Dataset, FaceBox, Sample, warp};

use super::super::sets::TestSet;

/// An image and the landmark-tight squares of its faces.
pub(in super::super) struct Scene {
    pub(in super::super) image: RgbImage,
    pub(in super::super) faces: Vec<FaceBox>,
}

/// Scenes of one kind, made one at a time.
pub(in super::super) struct SceneSet {
    pub(in super::super) name: String,
    pub(in super::super) count: usize,
    make: Box<dyn Fn(usize) -> Result<Scene>>,
}

impl SceneSet {
    fn new(name: impl Into<String>, count: usize, make: impl Fn(usize) -> Result<Scene> + 'static) -> Self {
        Self { name: name.into(), count, make: Box::new(make) }
    }

    /// One of them.
    ///
    /// # Errors
    /// Names the image that cannot be read.
    pub(in super::super) fn scene(&self, index: usize) -> Result<Scene> {
        (self.make)(index).with_context(|| format!("{}, image {index}", self.name))
    }
}

/// Every image of a set once, with all the faces that the set has in it.
pub(super) fn of(set: &TestSet) -> SceneSet {
    let mut images: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
    (0..set.dataset.len()).for_each(|i| images.entry(set.dataset.source(i)).or_default().push(i));
    chosen(set.name.clone(), set.dataset.clone(), images.into_values().collect())
}

/// The images of a set by the subset that they are in.
///
/// # Errors
/// Names the annotation that cannot be read.
pub(super) fn by_subset(set: &TestSet) -> Result<Vec<SceneSet>> {
    let mut subsets: BTreeMap<String, Vec<Vec<usize>>> = BTreeMap::new();
    for i in 0..set.dataset.len() {
        subsets.entry(set.subset(i).unwrap_or_default().to_string()).or_default().push(vec![i]);
    }
    let of = |(subset, images)| chosen(format!("{}, {subset}", set.name), set.dataset.clone(), images);
    Ok(subsets.into_iter().map(of).collect())
}

fn chosen(name: String, dataset: Arc<dyn Dataset>, images: Vec<Vec<usize>>) -> SceneSet {
    SceneSet::new(name, images.len(), move |image| {
        let mut samples =
            images[image].iter().map(|&i| dataset.get(i)).collect::<star_data::Result<Vec<_>>>()?;
        let faces = samples.iter().map(|sample| square(&sample.face)).collect();
        let image = samples.swap_remove(0).image;
        Ok(Scene { image, faces })
    })
}

/// The square that a crop is made of.
fn square(face: &FaceBox) -> FaceBox {
    let ([x, y], side) = (face.centre(), face.side());
    FaceBox { x: x - side / 2.0, y: y - side / 2.0, width: side, height: side }
}

/// A sample turned clockwise about its face, on a square that holds all of the image; black where that shows nothing.
///
/// # Errors
/// Where its points have no extent.
pub(super) fn turned(sample: Sample, degrees: f64) -> Result<Sample> {
    if degrees == 0.0 {
        return Ok(sample);
    }
    let [width, height] = [sample.image.width(), sample.image.height()].map(f64::from);
    let (centre, side) = ([(width - 1.0) / 2.0, (height - 1.0) / 2.0], width.hypot(height).ceil());
    let middle = (side - 1.0) / 2.0;
    let map = Affine::similarity(1.0, degrees.to_radians(), centre)
        .then(Affine::translation(middle - centre[0], middle - centre[1]));
    let points: Vec<[f32; 2]> = sample.points.iter().map(|point| map.apply(*point)).collect();
    Ok(Sample {
        image: warp::warp(&sample.image, &map, side as usize)?,
        face: CropRule::LandmarkTight.apply(&points, None)?,
        points,
        ..sample
    })
}

/// Every `every`-th portrait turned clockwise by so many degrees.
pub(super) fn rotated(portraits: &TestSet, every: usize, degrees: u16) -> SceneSet {
    let dataset = portraits.dataset.clone();
    let name = format!("portraits turned by {degrees} degrees");
    SceneSet::new(name, dataset.len().div_ceil(every), move |i| {
        let sample = turned(dataset.get(i * every)?, degrees.into())?;
        Ok(Scene { faces: vec![square(&sample.face)], image: sample.image })
    })
}

/// Every `every`-th portrait cut so that this share of the face's square is missing: on its left, right, top or bottom in turn.
pub(super) fn cut(portraits: &TestSet, every: usize, percent: u8) -> SceneSet {
    let dataset = portraits.dataset.clone();
    let name = format!("portraits cut by the border, {percent} % of the face missing");
    SceneSet::new(name, dataset.len().div_ceil(every), move |i| {
        let sample = dataset.get(i * every)?;
        let mut face = square(&sample.face);
        let off = face.side() * f32::from(percent) / 100.0;
        let [w, h] = [sample.image.width(), sample.image.height()];
        let whole = |v: f32, most: u32| (v.round().max(0.0) as u32).min(most - 1);
        let (left, top) = (whole(face.x + off, w), whole(face.y + off, h));
        let (right, bottom) = (whole(face.x + face.width - off, w), whole(face.y + face.height - off, h));
        let [x, y, width, height] = match i % 4 {
            0 => [left, 0, w - left, h],
            1 => [0, 0, right, h],
            2 => [0, top, w, h - top],
            _ => [0, 0, w, bottom],
        };
        let image = imageops::crop_imm(&sample.image, x, y, width, height).to_image();
        (face.x, face.y) = (face.x - x as f32, face.y - y as f32);
        Ok(Scene { image, faces: vec![face] })
    })
}

/// Sides of the images of crowds.
const CROWD: [u32; 2] = [640, 480];

/// Portraits side by side until an image is full, each shrunk until its face is so many pixels across; in reading order from a different
/// portrait on in every image.
pub(super) fn crowds(portraits: &TestSet, count: usize, face: u32) -> SceneSet {
    let dataset = portraits.dataset.clone();
    SceneSet::new(format!("crowds, faces of {face} px"), count, move |scene| {
        let mut image = RgbImage::new(CROWD[0], CROWD[1]);
        let (mut x, mut y, mut row, mut next) = (0u32, 0u32, 0u32, scene * dataset.len() / count);
        let mut faces = Vec::new();
        loop {
            let sample = dataset.get(next % dataset.len())?;
            next += 1;
            let scale = face as f32 / sample.face.side();
            let side = |length: u32| ((length as f32 * scale).round() as u32).max(1);
            let [w, h] = [side(sample.image.width()), side(sample.image.height())];
            if x + w > CROWD[0] {
                (x, y, row) = (0, y + row, 0);
            }
            if y + h > CROWD[1] {
                return Ok(Scene { image, faces });
            }
            let small = imageops::resize(&sample.image, w, h, FilterType::Triangle);
            imageops::replace(&mut image, &small, x.into(), y.into());
            let at = square(&sample.face);
            faces.push(FaceBox {
                x: (at.x + 0.5) * scale - 0.5 + x as f32,
                y: (at.y + 0.5) * scale - 0.5 + y as f32,
                width: at.width * scale,
                height: at.height * scale,
            });
            (x, row) = (x + w, row.max(h));
        }
    })
}

/// Every `every`-th portrait without its face: the square around it, a quarter larger, filled smoothly from its border.
pub(super) fn faceless(portraits: &TestSet, every: usize) -> SceneSet {
    let dataset = portraits.dataset.clone();
    SceneSet::new(
        "no face: portraits, the face filled from its border",
        dataset.len().div_ceil(every),
        move |i| {
            let Sample { mut image, face, .. } = dataset.get(i * every)?;
            let ([cx, cy], half) = (face.centre(), 0.625 * face.side());
            let [w, h] = [image.width() as f32 - 1.0, image.height() as f32 - 1.0];
            let [x0, x1] = [(cx - half).clamp(0.0, w), (cx + half).clamp(0.0, w)].map(|v| v as u32);
            let [y0, y1] = [(cy - half).clamp(0.0, h), (cy + half).clamp(0.0, h)].map(|v| v as u32);
            let before = image.clone();
            for y in y0 + 1..y1 {
                for x in x0 + 1..x1 {
                    let share = |v: u32, low: u32, high: u32| (v - low) as f32 / (high - low) as f32;
                    let (u, v) = (share(x, x0, x1), share(y, y0, y1));
                    let weights = [
                        (1.0 - u) / u.max(1e-3),
                        u / (1.0 - u).max(1e-3),
                        (1.0 - v) / v.max(1e-3),
                        v / (1.0 - v).max(1e-3),
                    ];
                    let border = [before[(x0, y)], before[(x1, y)], before[(x, y0)], before[(x, y1)]];
                    let sum: f32 = weights.iter().sum();
                    image[(x, y)] = Rgb([0, 1, 2].map(|c| {
                        let mixed: f32 =
                            weights.iter().zip(&border).map(|(w, pixel)| w * f32::from(pixel[c])).sum();
                        (mixed / sum).round() as u8
                    }));
                }
            }
            Ok(Scene { image, faces: Vec::new() })
        },
    )
}

/// Every `every`-th portrait in patches of an eighth of the face's side, shuffled.
pub(super) fn shuffled(portraits: &TestSet, every: usize) -> SceneSet {
    let dataset = portraits.dataset.clone();
    SceneSet::new("no face: portraits in shuffled patches", dataset.len().div_ceil(every), move |i| {
        let Sample { image, face, .. } = dataset.get(i * every)?;
        let side = ((face.side() / 8.0) as u32).max(4);
        let (columns, rows) = (image.width() / side, image.height() / side);
        let mut order: Vec<u32> = (0..columns * rows).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(i as u64));
        let mut mixed = RgbImage::new(columns * side, rows * side);
        for (to, from) in order.into_iter().enumerate() {
            let patch = imageops::crop_imm(&image, from % columns * side, from / columns * side, side, side);
            let to = to as u32;
            imageops::replace(
                &mut mixed,
                &patch.to_image(),
                (to % columns * side).into(),
                (to / columns * side).into(),
            );
        }
        Ok(Scene { image: mixed, faces: Vec::new() })
    })
}

/// Drawn textures: clouds of several sizes, with stripes, discs or checks over them.
pub(super) fn textures(count: usize) -> SceneSet {
    SceneSet::new("no face: drawn textures", count, |i| {
        let mut rng = ChaCha8Rng::seed_from_u64(0x7e47 + i as u64);
        let mut grey = vec![0f32; (CROWD[0] * CROWD[1]) as usize];
        for octave in 2..8u32 {
            let side = 1 << octave;
            let coarse = RgbImage::from_fn(CROWD[0] / side + 2, CROWD[1] / side + 2, |_, _| {
                Rgb([rng.random_range(0..=255u8); 3])
            });
            let fine = imageops::resize(&coarse, CROWD[0], CROWD[1], FilterType::CatmullRom);
            let share = side as f32 / 256.0;
            grey.iter_mut().zip(fine.pixels()).for_each(|(sum, pixel)| *sum += share * f32::from(pixel[0]));
        }
        let (period, angle) = (rng.random_range(4.0..60f32), rng.random_range(0.0..3.1f32));
        let (tint, strength) = ([0; 3].map(|_| rng.random_range(0.6..1.0f32)), rng.random_range(0.0..60f32));
        let image = RgbImage::from_fn(CROWD[0], CROWD[1], |x, y| {
            let along = x as f32 * angle.cos() + y as f32 * angle.sin();
            let across = y as f32 * angle.cos() - x as f32 * angle.sin();
            let [a, b] = [along, across].map(|v| (std::f32::consts::TAU * v / period).sin());
            let pattern = match i % 3 {
                0 => a,
                1 => (a * b).signum(),
                _ => f32::from(a + b > 1.0),
            };
            let value = grey[(y * CROWD[0] + x) as usize] + strength * pattern;
            Rgb(tint.map(|t| (t * value).clamp(0.0, 255.0) as u8))
        });
        Ok(Scene { image, faces: Vec::new() })
    })
}

#[cfg(test)]
mod tests {
    use star_data::synthetic::{SyntheticConfig, SyntheticFaces};

    use super::*;

    fn drawn() -> TestSet {
        let config = SyntheticConfig { count: 6, ..Default::default() };
        TestSet::plain("drawn", "exact", Arc::new(SyntheticFaces::new(config).unwrap()))
    }

    #[test]
    fn faces_are_where_the_scenes_say() {
        let set = drawn();
        let first = set.dataset.get(0).unwrap();
        let whole = of(&set).scene(0).unwrap();
        assert_eq!((whole.faces.len(), whole.image.dimensions()), (1, first.image.dimensions()));
        // A quarter turn moves the middle of the face about the middle of the image.
        let quarter = rotated(&set, 1, 90).scene(0).unwrap();
        let [x, y] = whole.faces[0].centre();
        let [u, v] = quarter.faces[0].centre();
        let [w, h] = [whole.image.width(), whole.image.height()].map(|side| (side as f32 - 1.0) / 2.0);
        let middle = (quarter.image.width() as f32 - 1.0) / 2.0;
        assert!((u - middle + (y - h)).abs() < 1.5 && (v - middle - (x - w)).abs() < 1.5, "{u} {v}");
        // Of a face cut on its left a fifth lies beside the image.
        let beside = cut(&set, 1, 20).scene(0).unwrap().faces[0];
        assert!((beside.x / beside.side() + 0.2).abs() < 0.02, "{beside:?}");
        let crowd = crowds(&set, 1, 24).scene(0).unwrap();
        assert!(crowd.faces.len() > 20);
        for face in &crowd.faces {
            assert!((face.side() - 24.0).abs() < 0.1 && face.x >= 0.0 && face.x + face.width <= 640.0);
        }
    }

    #[test]
    fn images_without_a_face_have_none_and_are_not_what_they_were_made_of() {
        let set = drawn();
        let whole = of(&set).scene(0).unwrap();
        let [x, y] = whole.faces[0].centre().map(|v| v as u32);
        for scenes in [faceless(&set, 1), shuffled(&set, 1), textures(3)] {
            let scene = scenes.scene(0).unwrap();
            assert!(scene.faces.is_empty());
            assert_ne!(scene.image.get_pixel(x, y), whole.image.get_pixel(x, y), "{}", scenes.name);
            assert_eq!(scene.image, scenes.scene(0).unwrap().image);
        }
    }
}
