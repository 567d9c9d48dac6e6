//! From the detector's scores to the probability that a detection is an upright face.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use image::imageops;
use rayon::prelude::*;
use star_data::{Dataset, FaceBox};
use star_predict::detector::{FrontalDetector, overlap};

use super::sets::Folders;

/// Overlap with the true box above which a detection is of the face.
const SAME_FACE: f32 = 0.3;
/// Least probability looked at: a score of 0.5 on the detector's own scale.
const LEAST: f64 = 0.0028;
/// Newton steps: ten are enough.
const STEPS: usize = 50;

/// Where to look for faces.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    folders: Folders,
}

/// A detection's score and whether it is a face.
type Scored = (f64, bool);

/// Prints how scores and faces go together, and the two numbers of `FrontalDetector`.
///
/// # Errors
/// Names what cannot be read.
pub(super) fn run(args: &Args) -> Result<()> {
    let detector = FrontalDetector::new(LEAST)?;
    let mut all: Vec<Scored> = Vec::new();
    for set in args.folders.all()? {
        let mut images: Vec<(PathBuf, Vec<usize>)> = Vec::new();
        for i in 0..set.dataset.len() {
            let path = set.dataset.source(i);
            match images.iter_mut().find(|(known, _)| *known == path) {
                Some((_, faces)) => faces.push(i),
                None => images.push((path, vec![i])),
            }
        }
        let found: Vec<Vec<Scored>> = images
            .into_par_iter()
            .map(|(_, faces)| detections(&detector, &set.dataset, &faces))
            .collect::<Result<_>>()?;
        let found: Vec<Scored> = found.into_iter().flatten().collect();
        println!("{}: {} detections, {} faces", set.name, found.len(), found.iter().filter(|f| f.1).count());
        all.extend(found);
    }
    let [bias, slope] = fit(&all)?;
    for low in [0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 40.0] {
        let bin: Vec<&Scored> = all.iter().filter(|(s, _)| *s >= low && *s < low * 1.5).collect();
        let faces = bin.iter().filter(|(_, face)| *face).count();
        let p = 1.0 / (1.0 + (-(bias + slope * (1.25 * low).ln())).exp());
        println!("score {low} to {}: {faces} of {} are faces; {:.3} by the fit", 1.5 * low, bin.len(), p);
    }
    println!("probability = 1 / (1 + exp(-({bias:.3} + {slope:.3} ln score)))");
    Ok(())
}

/// The detections in the image of some samples, and in the same turned by 90, 180 and 270 degrees, in which what is found is no upright
/// face.
fn detections(detector: &FrontalDetector, dataset: &dyn Dataset, faces: &[usize]) -> Result<Vec<Scored>> {
    let mut truth = Vec::new();
    for &face in faces {
        truth.push(dataset.get(face)?.face);
    }
    let image = dataset.get(faces[0])?.image;
    let is_face = |square: &FaceBox| {
        let found = FrontalDetector::landmark_box(square);
        truth.iter().any(|face| overlap(&found, face) > SAME_FACE)
    };
    let mut all: Vec<Scored> =
        detector.squares(&image).iter().map(|(b, score)| (f64::from(*score), is_face(b))).collect();
    for turned in [imageops::rotate90(&image), imageops::rotate180(&image), imageops::rotate270(&image)] {
        all.extend(detector.squares(&turned).iter().map(|(_, score)| (f64::from(*score), false)));
    }
    Ok(all)
}

/// Bias and slope over the logarithm of the score of the most probable logistic curve.
fn fit(all: &[Scored]) -> Result<[f64; 2]> {
    ensure!(all.iter().any(|s| s.1) && all.iter().any(|s| !s.1), "expected faces and false alarms");
    let [mut bias, mut slope] = [0.0, 0.0];
    for _ in 0..STEPS {
        // A little of the identity keeps the first steps short.
        let (mut g, mut h) = ([0.0; 2], [1.0, 0.0, 1.0]);
        for (score, face) in all {
            let x = score.ln();
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
            let score = f64::from(i) / 2.0;
            let hits = (200.0 / (1.0 + (4.0 - 2.0 * score.ln()).exp())).round() as usize;
            all.extend((0..200).map(|n| (score, n < hits)));
        }
        let [bias, slope] = fit(&all).unwrap();
        assert!((bias + 4.0).abs() < 0.1 && (slope - 2.0).abs() < 0.05, "{bias} {slope}");
    }
}
