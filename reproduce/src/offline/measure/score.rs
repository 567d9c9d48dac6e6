//! From landmarks to figures.

use anyhow::{Result, ensure};
use star_data::synthetic::{Subject, SyntheticDataset};
use star_eval::ambiguity::angle_between;
use star_eval::{Normalizer, keypoint_errors};
use star_predict::Ellipse;
use star_train::evaluate::Scored;

use super::{Job, Measured};

/// Threshold of failure rate and AUC: the paper's on WFLW.
const THRESHOLD: f64 = 0.10;
/// A keypoint counts as ambiguous in a direction where its label scatters this many times as far along as across.
const DIRECTED: f64 = 1.5;
/// Bins of the histogram of angles, 10 degrees each.
const BINS: usize = 9;
/// Added to eigenvalues before their ratio is taken; see `star_eval::ambiguity::EPS`.
const EPS: f64 = star_eval::ambiguity::EPS;

/// Inter-ocular distance of faces, palm length of hands.
fn normalizer(subject: Subject) -> Normalizer {
    match subject {
        Subject::Face => Normalizer::Between(vec![60], vec![72]),
        Subject::Hand => Normalizer::Between(vec![0], vec![9]),
    }
}

/// Keypoints whose label scatters in one direction, and the others.
fn ambiguous(set: &dyn SyntheticDataset) -> Vec<bool> {
    set.sigmas(0).iter().map(|sigma| sigma.tangential > DIRECTED * sigma.normal).collect()
}

/// Sums of what is averaged.
#[derive(Default)]
struct Sums {
    ambiguous: [f64; 2],
    others: [f64; 2],
    along: f64,
    across: f64,
    angle: f64,
    ratios: [f64; 2],
    histogram: [f64; BINS],
}

/// The figures of `scored`, the faces or hands of `set`; without weights, epochs and seconds of the training.
///
/// # Errors
/// When a truth has no normalizer.
pub(super) fn score(job: &Job, set: &dyn SyntheticDataset, scored: &[Scored]) -> Result<Measured> {
    let normalizer = normalizer(job.subject);
    let ambiguous = ambiguous(set);
    let count = ambiguous.iter().filter(|is| **is).count();
    let keypoints = ambiguous.len();
    ensure!(count > 0 && count < keypoints, "expected keypoints of both kinds, {count} are ambiguous");
    let mut sums = Sums::default();
    let (mut keypoint_ratios, mut keypoint_sums) = (vec![0.0; keypoints], vec![0.0; keypoints]);
    let (mut per_image, mut image_ratios, mut predicted) = (Vec::new(), Vec::new(), Vec::new());
    for face in scored {
        let length = normalizer.length(&face.truth)?;
        let points = &face.landmarks.points;
        let errors = keypoint_errors(points, &face.truth, None, length)?;
        let tangents = set.tangent(face.index);
        let mut whole = 0.0;
        for (k, &error) in errors.iter().enumerate() {
            let ellipse = Ellipse::from_covariance(face.landmarks.covariances[k]);
            let variance = |deviation: f32| (f64::from(deviation) / face.unit).powi(2) + EPS;
            let ratio = variance(ellipse.major) / variance(ellipse.minor);
            keypoint_ratios[k] += ratio;
            keypoint_sums[k] += error;
            whole += ratio;
            let group = if ambiguous[k] { &mut sums.ambiguous } else { &mut sums.others };
            group[0] += error;
            sums.ratios[usize::from(!ambiguous[k])] += ratio;
            if ambiguous[k] {
                let t = tangents[k].map(f64::from);
                let e = [0, 1].map(|axis| f64::from(points[k][axis] - face.truth[k][axis]) / length);
                sums.along += (e[0] * t[0] + e[1] * t[1]).powi(2);
                sums.across += (e[0] * t[1] - e[1] * t[0]).powi(2);
                let angle = angle_between(f64::from(ellipse.angle).to_radians(), t);
                sums.angle += angle;
                sums.histogram[((angle / 90.0 * BINS as f64) as usize).min(BINS - 1)] += 1.0;
            }
        }
        per_image.push(errors.iter().sum::<f64>() / keypoints as f64);
        image_ratios.push(whole / keypoints as f64);
        predicted.push(points.iter().map(|p| p.map(|v| (f64::from(v) / length) as f32)).collect());
    }
    let images = scored.len() as f64;
    let (all, other) = (images * count as f64, images * (keypoints - count) as f64);
    let ced = star_eval::Ced::new(per_image.clone())?;
    Ok(Measured {
        job: job.clone(),
        weights: String::new(),
        nme: ced.mean(),
        failure_rate: ced.failure_rate(THRESHOLD),
        auc: ced.auc(THRESHOLD),
        ambiguous: sums.ambiguous[0] / all,
        others: sums.others[0] / other,
        along: (sums.along / all).sqrt(),
        across: (sums.across / all).sqrt(),
        angle: sums.angle / all,
        angles: sums.histogram.map(|bin| bin / all).to_vec(),
        ratio: sums.ratios[0] / all,
        other_ratio: sums.ratios[1] / other,
        keypoint_ratios: keypoint_ratios.iter().map(|sum| sum / images).collect(),
        keypoint_errors: keypoint_sums.iter().map(|sum| sum / images).collect(),
        per_image,
        image_ratios,
        predicted,
        epochs: Vec::new(),
        seconds: 0.0,
    })
}

#[cfg(test)]
mod tests {
    use star_predict::Decoded;

    use super::super::Epoch;
    use super::*;
    use crate::offline::design::Design;
    use crate::variant::Variant;
    use star_data::synthetic::{self, SyntheticConfig};

    /// Everything is worked out in f64 from coordinates in f32.
    const TOLERANCE: f64 = 1e-4;

    /// Predictions that miss every landmark by 2 % of the normalizer along its tangent, with ellipses along the tangent.
    fn along_the_tangent(set: &dyn SyntheticDataset, count: usize, angle: f32) -> Vec<Scored> {
        let normalizer = normalizer(Subject::Face);
        let face = |index: usize| {
            let truth = set.truth(index);
            let length = normalizer.length(&truth).unwrap() as f32;
            let tangents = set.tangent(index);
            let moved =
                |(p, t): (&[f32; 2], &[f32; 2])| [p[0] + 0.02 * length * t[0], p[1] + 0.02 * length * t[1]];
            let covariance = |t: &[f32; 2]| {
                Ellipse { major: 3.0, minor: 1.0, angle: t[1].atan2(t[0]).to_degrees() + angle }.covariance()
            };
            Scored {
                index,
                weights: vec![1.0; truth.len()],
                landmarks: Decoded {
                    points: truth.iter().zip(&tangents).map(moved).collect(),
                    covariances: tangents.iter().map(covariance).collect(),
                    ..Decoded::default()
                },
                truth,
                unit: 50.0,
            }
        };
        (0..count).map(face).collect()
    }

    #[test]
    fn errors_and_axes_along_the_direction_of_ambiguity_are_told_as_such() {
        let design = Design::new(false, None, None);
        let set = synthetic::open(SyntheticConfig { count: 3, ..design.test(Subject::Face) }).unwrap();
        let job = Job { subject: Subject::Face, strength: 1.0, variant: Variant::star(), seed: 0 };
        let found = score(&job, set.as_ref(), &along_the_tangent(set.as_ref(), 3, 0.0)).unwrap();
        assert!((found.nme - 0.02).abs() < TOLERANCE && found.failure_rate == 0.0, "{}", found.nme);
        assert!((found.along - 0.02).abs() < TOLERANCE && found.across < TOLERANCE);
        assert!(found.angle < 0.1 && found.angles[0] > 0.99, "{}", found.angle);
        // (3 / 50)^2 / (1 / 50)^2 is 9, less what is added to both.
        assert!((found.ratio - (0.0036 + EPS) / (0.0004 + EPS)).abs() < 1e-3);
        let epoch = |validation: f64| Epoch { step: 0, loss: 1.0, validation, eigenvalues: [0.1; 2] };
        let epochs = [0.07, 0.04, 0.05].map(epoch).to_vec();
        // That of the epoch whose weights are kept.
        assert_eq!(Measured { epochs, ..found.clone() }.validation(), 0.04);
        let turned = score(&job, set.as_ref(), &along_the_tangent(set.as_ref(), 3, 65.0)).unwrap();
        assert!((turned.angle - 65.0).abs() < 0.1 && turned.angles[6] > 0.99);
    }
}
