//! From landmarks to figures.

use anyhow::{Result, ensure};
use star_data::synthetic::{Subject, SyntheticDataset};
use star_eval::ambiguity::angle_between;
use star_eval::{Normalizer, keypoint_errors};
use star_predict::Ellipse;
use star_train::evaluate::Scored;

use super::{Example, Job, Record};

/// Threshold of failures: the paper's on WFLW.
const THRESHOLD: f64 = 0.10;
/// A keypoint counts as ambiguous in a direction where its label scatters this many times as far along as across.
const DIRECTED: f64 = 1.5;
/// Added to eigenvalues before their ratio is taken; see `star_eval::ambiguity::EPS`.
const EPS: f64 = star_eval::ambiguity::EPS;
/// Test images whose predictions are kept to compare trainings by, and every how many of a face's keypoints.
const KEPT_IMAGES: usize = 8;
const KEPT_EVERY: usize = 4;
/// Test images that are shown.
pub(crate) const SHOWN: usize = 4;

/// Inter-ocular distance of faces, palm length of hands, length of leaves.
pub(crate) fn normalizer(subject: Subject) -> Normalizer {
    match subject {
        Subject::Face => Normalizer::Between(vec![60], vec![72]),
        Subject::Hand => Normalizer::Between(vec![0], vec![9]),
        Subject::Leaf => Normalizer::Between(vec![0], vec![12]),
    }
}

/// To five significant digits, which is what a record holds.
pub(super) fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

/// Sums of one keypoint over images.
#[derive(Clone, Default)]
struct Sums {
    across: f64,
    along: f64,
    ratio: f64,
    angle: f64,
}

/// The figures of `scored`, images of `set`; without settings, machine and epochs of the training.
///
/// # Errors
/// When a truth has no normalizer.
pub(super) fn score(job: &Job, set: &dyn SyntheticDataset, scored: &[Scored]) -> Result<Record> {
    let normalizer = normalizer(job.cell.subject);
    let directed: Vec<usize> = set
        .sigmas(0)
        .iter()
        .enumerate()
        .filter(|(_, sigma)| sigma.tangential > DIRECTED * sigma.normal)
        .map(|(k, _)| k)
        .collect();
    ensure!(!directed.is_empty(), "expected keypoints that are ambiguous in one direction, there are none");
    let mut sums = vec![Sums::default(); directed.len()];
    let (mut per_image, mut predicted, mut examples) = (Vec::new(), Vec::new(), Vec::new());
    for sample in scored {
        let length = normalizer.length(&sample.truth)?;
        let points = &sample.landmarks.points;
        let errors = keypoint_errors(points, &sample.truth, None, length)?;
        let tangents = set.tangent(sample.index);
        for (sum, &k) in sums.iter_mut().zip(&directed) {
            let t = tangents[k].map(f64::from);
            let e = [0, 1].map(|axis| f64::from(points[k][axis] - sample.truth[k][axis]) / length);
            sum.along += (e[0] * t[0] + e[1] * t[1]).powi(2);
            sum.across += (e[0] * t[1] - e[1] * t[0]).powi(2);
            let ellipse = Ellipse::from_covariance(sample.landmarks.covariances[k]);
            let variance = |deviation: f32| (f64::from(deviation) / sample.unit).powi(2) + EPS;
            sum.ratio += variance(ellipse.major) / variance(ellipse.minor);
            sum.angle += angle_between(f64::from(ellipse.angle).to_radians(), t);
        }
        per_image.push(errors.iter().sum::<f64>() / errors.len() as f64);
        if sample.index < KEPT_IMAGES {
            let every = if points.len() > 50 { KEPT_EVERY } else { 1 };
            let kept = points.iter().step_by(every).flatten();
            predicted.push(kept.map(|v| (1e4 * f64::from(*v) / length).round() as i32).collect());
        }
        if job.seed == 0 && sample.index < SHOWN {
            examples.push(example(sample));
        }
    }
    let images = scored.len() as f64;
    let count = images * directed.len() as f64;
    let over = |figure: fn(&Sums) -> f64| sums.iter().map(figure).sum::<f64>() / count;
    let percent = |square: f64| rounded(100.0 * square.sqrt());
    let keypoint =
        |sum: &Sums| [rounded(sum.ratio / images), percent(sum.across / images), percent(sum.along / images)];
    let ced = star_eval::Ced::new(per_image)?;
    Ok(Record {
        job: job.clone(),
        settings: String::new(),
        machine: String::new(),
        nme: rounded(100.0 * ced.mean()),
        failures: rounded(100.0 * ced.failure_rate(THRESHOLD)),
        across: percent(over(|sum| sum.across)),
        along: percent(over(|sum| sum.along)),
        ratio: rounded(over(|sum| sum.ratio)),
        angle: rounded(over(|sum| sum.angle)),
        validation: f64::NAN,
        epochs: Vec::new(),
        keypoints: sums.iter().map(keypoint).collect(),
        predicted,
        examples,
    })
}

fn example(sample: &Scored) -> Example {
    let hundredths = |v: f32| (100.0 * v).round() as i32;
    let ellipse = |covariance: &[f64; 3]| {
        let Ellipse { major, minor, angle } = Ellipse::from_covariance(*covariance);
        [major, minor, angle].map(hundredths)
    };
    Example {
        points: sample.landmarks.points.iter().flatten().map(|v| hundredths(*v)).collect(),
        ellipses: sample.landmarks.covariances.iter().flat_map(ellipse).collect(),
    }
}

#[cfg(test)]
mod tests {
    use star_data::synthetic;
    use star_predict::Decoded;

    use super::*;
    use crate::offline::design::{Design, Kind, plain_noisy};
    use crate::variant::Variant;

    /// Everything is worked out in f64 from coordinates in f32, and rounded to five digits; per cent.
    const TOLERANCE: f64 = 1e-2;

    /// Predictions that miss every landmark by 2 % of the normalizer along its tangent and 1 % across, with ellipses along the tangent.
    fn missing(set: &dyn SyntheticDataset, count: usize, angle: f32) -> Vec<Scored> {
        let normalizer = normalizer(Subject::Face);
        let face = |index: usize| {
            let truth = set.truth(index);
            let length = normalizer.length(&truth).unwrap() as f32;
            let tangents = set.tangent(index);
            let moved = |(p, t): (&[f32; 2], &[f32; 2])| {
                [p[0] + length * (0.02 * t[0] - 0.01 * t[1]), p[1] + length * (0.02 * t[1] + 0.01 * t[0])]
            };
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
        let design = Design::new(Kind::Default, None, None);
        let job = Job { cell: plain_noisy(Subject::Face), variant: Variant::plain(), seed: 0 };
        let config = synthetic::SyntheticConfig { count: 9, ..design.test(&job) };
        let set = synthetic::open(config).unwrap();
        let found = score(&job, set.as_ref(), &missing(set.as_ref(), 9, 0.0)).unwrap();
        assert!((found.nme - 100.0 * 0.02f64.hypot(0.01)).abs() < TOLERANCE, "{}", found.nme);
        assert!((found.along - 2.0).abs() < TOLERANCE && (found.across - 1.0).abs() < TOLERANCE);
        assert_eq!(found.failures, 0.0);
        assert!(found.angle < 0.1, "{}", found.angle);
        // (3 / 50)^2 / (1 / 50)^2 is 9, less what is added to both.
        assert!((found.ratio - (0.0036 + EPS) / (0.0004 + EPS)).abs() < 1e-3);
        // All but corners, pupils and the tip of the nose.
        assert_eq!(found.keypoints.len(), 98 - 8 - 2 - 1);
        assert!(found.keypoints.iter().all(|[_, across, along]| (across - 1.0).abs() < TOLERANCE
            && (along - 2.0).abs() < TOLERANCE));
        assert_eq!((found.predicted.len(), found.predicted[0].len()), (KEPT_IMAGES, 2 * 25));
        assert_eq!((found.examples.len(), found.examples[0].points.len()), (SHOWN, 196));
        let turned = score(&job, set.as_ref(), &missing(set.as_ref(), 9, 65.0)).unwrap();
        assert!((turned.angle - 65.0).abs() < 0.1, "{}", turned.angle);
    }
}
