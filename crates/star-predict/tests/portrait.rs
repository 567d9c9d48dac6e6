//! The weights in this crate on a portrait of public domain (Eileen Collins, NASA, by way of scikit-image).

#![cfg(feature = "builtin-model")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::Path;

use candle_core::Device;
use star_data::affine::Affine;
use star_data::{decode, warp};
use star_model::checkpoint::Folder;
use star_model::{CompileOptions, Precision};
use star_predict::track::{TrackConfig, Tracker};
use star_predict::{Predictor, records};

/// Other instruction sets add up in another order; this is a hundredth of the distance between the eyes.
const TOLERANCE: f32 = 0.5;

fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

#[test]
fn the_astronauts_landmarks_are_where_they_were_looked_at() {
    let image = decode::decode_oriented(&data("astronaut.png")).unwrap();
    let faces = Predictor::builtin().unwrap().predict(&image).unwrap();
    assert_eq!(faces.len(), 1);
    let points = &faces[0].landmarks.points;
    // What `star predict astronaut.png` wrote when the weights were packed, and was looked at.
    let reference = records::read(&data("astronaut.json"), 68, "ibug68").unwrap().remove(0);
    for (k, (found, expected)) in points.iter().zip(&reference.points).enumerate() {
        let off = (found[0] - expected[0]).hypot(found[1] - expected[1]);
        assert!(off < TOLERANCE, "landmark {k}: {found:?} instead of {expected:?}");
    }
    // Ellipses are calibrated: a landmark's spread is a few hundredths of the distance between the eyes, not half the face.
    let eyes = (points[36][0] - points[45][0]).hypot(points[36][1] - points[45][1]);
    for [xx, _, yy] in &faces[0].landmarks.covariances {
        assert!((xx + yy).sqrt() < 0.15 * eyes, "{xx} {yy}");
    }
}

#[test]
fn products_in_bf16_move_landmarks_by_less_than_a_tenth_of_a_pixel_of_the_crop() {
    let image = decode::decode_oriented(&data("astronaut.png")).unwrap();
    let folder = Folder::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/default-68")).unwrap();
    let points = |precision: Precision| {
        let options = CompileOptions { precision, ..CompileOptions::default() };
        let predictor = Predictor::from_folder(&folder, &Device::Cpu, &options).unwrap();
        predictor.predict(&image).unwrap().remove(0).landmarks.points
    };
    let (single, half) = (points(Precision::F32), points(Precision::Bf16));
    let off: Vec<f32> = single.iter().zip(&half).map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).collect();
    let mean = off.iter().sum::<f32>() / off.len() as f32;
    // the face fills 0.8 of a crop of 128 pixels and about 80 pixels of the image
    assert!(mean > 0.0 && mean < 0.08, "{mean}");
}

#[test]
fn a_box_that_is_moved_and_scaled_gives_the_same_landmarks_to_a_tenth_of_the_distance_between_the_eyes() {
    let image = decode::decode_oriented(&data("astronaut.png")).unwrap();
    let predictor = Predictor::builtin().unwrap();
    let face = predictor.predict(&image).unwrap().remove(0);
    let eyes = (face.landmarks.points[36][0] - face.landmarks.points[45][0]).abs();
    let side = face.face_box.side();
    for (dx, dy, scale) in [(0.1, 0.0, 1.0), (0.0, -0.1, 1.0), (0.0, 0.0, 1.2), (-0.05, 0.05, 0.9)] {
        let [x, y] = face.face_box.centre();
        let (x, y, side) = (x + dx * side, y + dy * side, scale * side);
        let moved = star_data::FaceBox { x: x - side / 2.0, y: y - side / 2.0, width: side, height: side };
        let found = predictor.predict_in(&image, &[moved]).unwrap().remove(0);
        let off = found.landmarks.points.iter().zip(&face.landmarks.points);
        let mean = off.map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).sum::<f32>() / 68.0;
        assert!(mean < 0.1 * eyes, "{dx} {dy} {scale}: {mean} of {eyes}");
    }
}

#[test]
fn a_tilted_face_in_a_given_box_has_the_landmarks_and_ellipses_of_the_upright_one_turned() {
    let image = decode::decode_oriented(&data("astronaut.png")).unwrap();
    let predictor = Predictor::builtin().unwrap();
    let upright = predictor.predict(&image).unwrap().remove(0);
    let [width, height] = [image.width(), image.height()].map(f64::from);
    let turn = Affine::similarity(1.0, 60f64.to_radians(), [width / 2.0, height / 2.0]);
    let turned = warp::warp(&image, &turn, width as usize).unwrap();
    let expected: Vec<[f32; 2]> = upright.landmarks.points.iter().map(|point| turn.apply(*point)).collect();
    let tight = star_data::FaceBox::around(&expected).unwrap();
    let mean = |predictor: &Predictor| {
        let face = predictor.predict_in(&turned, &[tight]).unwrap().remove(0);
        let off = face.landmarks.points.iter().zip(&expected);
        let mean = off.map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).sum::<f32>() / 68.0;
        (mean, face)
    };
    let ((level, face), (plain, _)) =
        (mean(&predictor), mean(&Predictor::builtin().unwrap().with_upright(false)));
    // The face is 80 pixels across.
    assert!(level < 0.8 && plain > 1.5 * level, "{level} {plain}");
    // Spreads turn with the face: about as long, along the jaw's other direction.
    for k in [4, 12] {
        let ellipse = |c: [f32; 3]| star_predict::Ellipse::from_covariance(c.map(f64::from));
        let [before, after] = [&upright, &face].map(|face| ellipse(face.landmarks.covariances[k]));
        assert!((after.major / before.major - 1.0).abs() < 0.4, "{before:?} {after:?}");
        let off = (after.angle - before.angle - 60.0).rem_euclid(180.0);
        assert!(off.min(180.0 - off) < 20.0, "{before:?} {after:?}");
    }
}

#[test]
fn a_portrait_on_its_side_or_head_gives_the_landmarks_of_the_upright_one() {
    let image = decode::decode_oriented(&data("astronaut.png")).unwrap();
    let predictor = Predictor::builtin().unwrap().with_turned(true);
    let upright = predictor.predict(&image).unwrap().remove(0).landmarks.points;
    let height = image.height() as f32;
    let turned = image::imageops::rotate90(&image);
    // The detector finds it as it is, and its crop is turned.
    for predictor in [predictor, Predictor::builtin().unwrap()] {
        let found = predictor.predict(&turned).unwrap().remove(0).landmarks.points;
        let off = upright.iter().zip(&found).map(|([x, y], [u, v])| (height - 1.0 - y - u).hypot(x - v));
        let mean = off.sum::<f32>() / 68.0;
        assert!(mean < 1.0, "{mean} pixels, of 60 between the eyes");
    }
}

#[test]
fn a_portrait_tilted_by_45_or_60_degrees_gives_the_landmarks_of_the_upright_one() {
    let image = decode::decode_oriented(&data("astronaut.png")).unwrap();
    let predictor = Predictor::builtin().unwrap().with_turned(true);
    let upright = predictor.predict(&image).unwrap().remove(0);
    let eyes = (upright.landmarks.points[36][0] - upright.landmarks.points[45][0]).abs();
    let centre = [image.width(), image.height()].map(|side| (f64::from(side) - 1.0) / 2.0);
    // The warp, and a box that the detector puts elsewhere by a hair.
    const TOLERANCE: f32 = 0.03;
    for degrees in [45.0, -45.0, 60.0, -60.0, 135.0] {
        // The face stays whole: the image turns about its middle on a square that holds it.
        let side = 732;
        let middle = (f64::from(side) - 1.0) / 2.0;
        let map = Affine::similarity(1.0, f64::to_radians(degrees), centre)
            .then(Affine::translation(middle - centre[0], middle - centre[1]));
        let tilted = warp::warp(&image, &map, side as usize).unwrap();
        let found = predictor.predict(&tilted).unwrap();
        assert_eq!(found.len(), 1, "{degrees}");
        let pairs = upright.landmarks.points.iter().zip(&found[0].landmarks.points);
        let off: f32 = pairs.map(|(a, b)| (map.apply(*a)[0] - b[0]).hypot(map.apply(*a)[1] - b[1])).sum();
        let mean = off / 68.0 / eyes;
        println!("{degrees} degrees, score {:?}: {mean} of the distance between the eyes", found[0].score);
        assert!(mean < TOLERANCE, "{degrees}: {mean} of the distance between the eyes");
        // The box is about the face, and ellipses turn with it.
        let [x, y] = found[0].face_box.centre();
        let [u, v] = map.apply(upright.face_box.centre());
        assert!((x - u).hypot(y - v) < 0.3 * eyes, "{degrees}: {x},{y} {u},{v}");
    }
}

/// Two people side by side: the portrait, and it mirrored with its colours exchanged, which cross; the first passes behind the second.
fn crossing(portrait: &image::RgbImage, frame: usize, frames: usize) -> image::RgbImage {
    const SIDE: u32 = 130;
    let face = image::imageops::crop_imm(portrait, 160, 60, SIDE, SIDE).to_image();
    let mut other = image::imageops::flip_horizontal(&face);
    other.pixels_mut().for_each(|pixel| pixel.0.reverse());
    let share = frame as f32 / (frames - 1) as f32;
    let mut image = image::RgbImage::from_pixel(480, 200, image::Rgb([90, 100, 110]));
    for (face, x) in [(&face, 20.0 + 300.0 * share), (&other, 330.0 - 300.0 * share)] {
        image::imageops::replace(&mut image, face, x as i64, 35);
    }
    image
}

#[test]
fn two_people_who_cross_keep_their_numbers() {
    const FRAMES: usize = 90;
    let portrait =
        image::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/astronaut.png")).unwrap().to_rgb8();
    let predictor = Predictor::builtin().unwrap();
    let mut tracker = Tracker::new(TrackConfig::default()).unwrap();
    let mut last = Vec::new();
    for frame in 0..FRAMES {
        let image = crossing(&portrait, frame, FRAMES);
        let found = tracker.frame(&predictor, &image, frame as f64 / 30.0).unwrap();
        if frame == 0 {
            assert_eq!(found.iter().map(|face| face.track).collect::<Vec<_>>(), [0, 1]);
            assert!(found[0].face.landmarks.points[30][0] < found[1].face.landmarks.points[30][0]);
        }
        last = found;
    }
    // No third number, and the first is now to the right.
    assert_eq!(last.iter().map(|face| face.track).collect::<Vec<_>>(), [0, 1]);
    assert!(last[0].face.landmarks.points[30][0] > last[1].face.landmarks.points[30][0] + 100.0);
    assert!(tracker.searches() < FRAMES / 2, "{}", tracker.searches());
    assert!(tracker.frame(&predictor, &portrait, 0.0).unwrap_err().to_string().contains("later"));
}
