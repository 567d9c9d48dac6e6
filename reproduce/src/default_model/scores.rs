//! From the detector's scores to the probability that a detection is a face.

use anyhow::{Result, ensure};
use star_data::FaceBox;
use star_predict::detector::FaceDetector;

use super::detection::{self, Scene};

/// Least probability looked at.
const LEAST: f64 = 1e-4;
/// Newton steps: ten are enough.
const STEPS: usize = 50;

/// The log odds of a detection's score on the detector's own scale, and whether it is a face.
type Scored = (f64, bool);

/// Prints how scores and faces go together on the images that detectors are compared on, and the two numbers of `FaceDetector`.
///
/// # Errors
/// Names what cannot be read.
pub(super) fn run(args: &detection::Args) -> Result<()> {
    let detector = FaceDetector::new(LEAST)?;
    let mut all: Vec<Scored> = Vec::new();
    for set in detection::all(args)? {
        let mut found = Vec::new();
        for index in 0..set.count {
            found.extend(detections(&detector, &set.scene(index)?)?);
        }
        println!("{}: {} detections, {} faces", set.name, found.len(), found.iter().filter(|f| f.1).count());
        all.extend(found);
    }
    let [bias, slope] = fit(&all)?;
    for edges in [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 1.0].windows(2) {
        let [low, high] = [0, 1].map(|i| FaceDetector::log_odds(edges[i]));
        let bin: Vec<&Scored> = all.iter().filter(|(x, _)| *x >= low && *x < high).collect();
        let faces = bin.iter().filter(|(_, face)| *face).count();
        let p = bin.iter().map(|(x, _)| 1.0 / (1.0 + (-(bias + slope * x)).exp())).sum::<f64>();
        println!("score {} to {}: {faces} of {} are faces; {p:.1} by the fit", edges[0], edges[1], bin.len());
    }
    println!("probability = 1 / (1 + exp(-({bias:.3} + {slope:.3} ln(s / (1 - s)))))");
    Ok(())
}

/// What the detector takes for faces; a second one of a face is none.
fn detections(detector: &FaceDetector, scene: &Scene) -> Result<Vec<Scored>> {
    let found = detector.candidates(&scene.image)?;
    let boxes: Vec<FaceBox> = found.iter().map(FaceDetector::landmark_box).collect();
    let faces = detection::of_faces(scene, &boxes);
    Ok(found.iter().zip(faces).map(|(found, face)| (FaceDetector::log_odds(found.score), face)).collect())
}

/// Bias and slope over the log odds of the most probable logistic curve.
fn fit(all: &[Scored]) -> Result<[f64; 2]> {
    ensure!(all.iter().any(|s| s.1) && all.iter().any(|s| !s.1), "expected faces and false alarms");
    let [mut bias, mut slope] = [0.0, 0.0];
    for _ in 0..STEPS {
        // A little of the identity keeps the first steps short.
        let (mut g, mut h) = ([0.0; 2], [1.0, 0.0, 1.0]);
        for (x, face) in all {
            let p = 1.0 / (1.0 + (-(bias + slope * x)).exp());
            let (off, weight) = (f64::from(*face) - p, p * (1.0 - p));
            g = [g[0] + off, g[1] + off * x];
            h = [h[0] + weight, h[1] + weight * x, h[2] + weight * x * x];
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        bias += (h[2] * g[0] - h[1] * g[1]) / determinant;
        slope += (h[0] * g[1] - h[1] * g[0]) / determinant;
    }
    Ok([bias, slope])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_that_made_the_scores_is_found_again() {
        let mut all = Vec::new();
        for i in 1..40 {
            let x = f64::from(i) / 8.0;
            let hits = (200.0 / (1.0 + (4.0 - 2.0 * x).exp())).round() as usize;
            all.extend((0..200).map(|n| (x, n < hits)));
        }
        let [bias, slope] = fit(&all).unwrap();
        assert!((bias + 4.0).abs() < 0.1 && (slope - 2.0).abs() < 0.05, "{bias} {slope}");
    }
}
