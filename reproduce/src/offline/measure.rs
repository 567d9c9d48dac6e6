//! Scores of a trained network against the exact truth of drawn pictures.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use star_data::synthetic::{self, Subject, SyntheticConfig, SyntheticDataset};
use star_eval::ambiguity::angle_between;
use star_eval::{Normalizer, keypoint_errors};
use star_model::CompileOptions;
use star_model::checkpoint::{Folder, WEIGHTS_FILE};
use star_predict::{Ellipse, Predictor};
use star_train::evaluate::{self, Labels, Scored};
use star_train::records::{self, Record};

use super::design::{Design, Job};
use crate::machine::sha256;

/// Threshold of failure rate and AUC: the paper's on WFLW.
pub(crate) const THRESHOLD: f64 = 0.10;
/// A keypoint counts as ambiguous in a direction where its label scatters this many times as far along as across.
const LOPSIDED: f64 = 1.5;
/// Bins of the histogram of angles, 10 degrees each.
pub(crate) const BINS: usize = 9;
/// Added to eigenvalues before their ratio is taken; see `star_eval::ambiguity::EPS`.
const EPS: f64 = star_eval::ambiguity::EPS;

/// What is divided by, and what that is called.
pub(crate) fn normalizer(subject: Subject) -> (Normalizer, &'static str) {
    match subject {
        Subject::Face => (Normalizer::Between(vec![60], vec![72]), "inter-ocular"),
        Subject::Hand => (Normalizer::Between(vec![0], vec![9]), "palm length"),
    }
}

/// Keypoints whose label scatters in one direction, and the others.
pub(crate) fn lopsided(set: &dyn SyntheticDataset) -> Vec<bool> {
    set.sigmas(0).iter().map(|sigma| sigma.tangential > LOPSIDED * sigma.normal).collect()
}

/// The figures of one training; lengths are fractions of the normalizer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) job: Job,
    /// SHA-256 of the weights.
    pub(crate) weights: String,
    pub(crate) nme: f64,
    pub(crate) failure_rate: f64,
    pub(crate) auc: f64,
    /// Mean error of keypoints that are ambiguous in one direction, and of the others.
    pub(crate) lopsided: f64,
    pub(crate) others: f64,
    /// Root mean square error of the former along that direction and across it.
    pub(crate) along: f64,
    pub(crate) across: f64,
    /// Mean angle in degrees between the long axis of a predicted distribution and that direction; 45 by chance.
    pub(crate) angle: f64,
    /// Share of those angles in each tenth degree from 0 to 90.
    pub(crate) angles: Vec<f64>,
    /// Mean ratio of larger to smaller eigenvalue of the ambiguous keypoints, and of the others.
    pub(crate) ratio: f64,
    pub(crate) other_ratio: f64,
    /// Mean eigenvalue ratio and error of each keypoint.
    pub(crate) keypoint_ratios: Vec<f64>,
    pub(crate) keypoint_errors: Vec<f64>,
    /// NME of every test picture, and its mean eigenvalue ratio.
    pub(crate) per_picture: Vec<f64>,
    pub(crate) picture_ratios: Vec<f64>,
    /// Predicted positions in units of the normalizer, `[picture][keypoint]`, so that trainings can be set against each other.
    pub(crate) predicted: Vec<Vec<[f32; 2]>>,
    pub(crate) epochs: Vec<Epoch>,
    /// Seconds of training.
    pub(crate) seconds: f64,
}

/// The state of a training after an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Epoch {
    pub(crate) step: usize,
    pub(crate) loss: f64,
    /// NME of the validation pictures against their ambiguous labels, of the weights or of their average, whichever is better.
    pub(crate) validation: f64,
    /// Mean eigenvalues of the predicted distributions, smaller and larger, squared halves of the input.
    pub(crate) eigenvalues: [f64; 2],
}

impl Measured {
    /// NME of the validation pictures after the epoch whose weights were kept.
    pub(crate) fn validation(&self) -> f64 {
        self.epochs.iter().map(|epoch| epoch.validation).fold(f64::NAN, f64::min)
    }
}

/// Scores `dir/best`, the training of `job`.
///
/// # Errors
/// When the training is not there or not finished.
pub(crate) fn measure(design: &Design, job: &Job, dir: &Path) -> Result<Measured> {
    let best = dir.join("best");
    ensure!(
        best.is_dir(),
        "{}: not trained; run without --skip train (and with --resume to keep what is done)",
        dir.display()
    );
    let folder = Folder::load(&best)?;
    let options = CompileOptions::default();
    let predictor = Predictor::from_folder(&folder, &Device::Cpu, &options)?;
    let set = open(design.test(job.subject))?;
    let scored = evaluate::run_over(&predictor, &set, 32, Labels::AsAnnotated, |_| ())?;
    let mut measured = Measured { weights: weights(dir)?, ..score(job, set.as_ref(), &scored)? };
    for record in records::read(&dir.join("metrics.jsonl"))? {
        if let Record::Epoch(epoch) = record {
            measured.epochs.push(Epoch {
                step: epoch.step,
                loss: epoch.terms.get("total").copied().unwrap_or(f64::NAN),
                validation: [epoch.validation_nme, epoch.validation_nme_ema]
                    .into_iter()
                    .flatten()
                    .fold(f64::NAN, f64::min),
                eigenvalues: epoch.validation_eigenvalues.unwrap_or([f64::NAN; 2]),
            });
            measured.seconds = epoch.seconds;
        }
    }
    let wanted = design.regime.budget(job.subject).epochs;
    ensure!(
        measured.epochs.len() == wanted,
        "{}: {} of {wanted} epochs are trained; run without --skip train, with --resume",
        dir.display(),
        measured.epochs.len()
    );
    Ok(measured)
}

/// SHA-256 of the weights that the training in `dir` kept.
///
/// # Errors
/// When they are not there.
pub(crate) fn weights(dir: &Path) -> Result<String> {
    sha256(&dir.join("best").join(WEIGHTS_FILE))
}

/// The drawn set as both kinds of thing it is.
fn open(config: SyntheticConfig) -> Result<Arc<dyn SyntheticDataset>> {
    Ok(synthetic::open(config)?)
}

/// Sums of what is averaged.
#[derive(Default)]
struct Sums {
    lopsided: [f64; 2],
    others: [f64; 2],
    along: f64,
    across: f64,
    angle: f64,
    ratios: [f64; 2],
    histogram: [f64; BINS],
}

fn score(job: &Job, set: &dyn SyntheticDataset, scored: &[Scored]) -> Result<Measured> {
    let (normalizer, _) = normalizer(job.subject);
    let ambiguous = lopsided(set);
    let count = ambiguous.iter().filter(|is| **is).count();
    let keypoints = ambiguous.len();
    ensure!(count > 0 && count < keypoints, "expected keypoints of both kinds, {count} are ambiguous");
    let mut sums = Sums::default();
    let (mut keypoint_ratios, mut keypoint_sums) = (vec![0.0; keypoints], vec![0.0; keypoints]);
    let (mut per_picture, mut picture_ratios, mut predicted) = (Vec::new(), Vec::new(), Vec::new());
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
            let group = if ambiguous[k] { &mut sums.lopsided } else { &mut sums.others };
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
        per_picture.push(errors.iter().sum::<f64>() / keypoints as f64);
        picture_ratios.push(whole / keypoints as f64);
        predicted.push(points.iter().map(|p| p.map(|v| (f64::from(v) / length) as f32)).collect());
    }
    let pictures = scored.len() as f64;
    let (all, other) = (pictures * count as f64, pictures * (keypoints - count) as f64);
    let ced = star_eval::Ced::new(per_picture.clone())?;
    Ok(Measured {
        job: job.clone(),
        weights: String::new(),
        nme: ced.mean(),
        failure_rate: ced.failure_rate(THRESHOLD),
        auc: ced.auc(THRESHOLD),
        lopsided: sums.lopsided[0] / all,
        others: sums.others[0] / other,
        along: (sums.along / all).sqrt(),
        across: (sums.across / all).sqrt(),
        angle: sums.angle / all,
        angles: sums.histogram.map(|bin| bin / all).to_vec(),
        ratio: sums.ratios[0] / all,
        other_ratio: sums.ratios[1] / other,
        keypoint_ratios: keypoint_ratios.iter().map(|sum| sum / pictures).collect(),
        keypoint_errors: keypoint_sums.iter().map(|sum| sum / pictures).collect(),
        per_picture,
        picture_ratios,
        predicted,
        epochs: Vec::new(),
        seconds: 0.0,
    })
}

/// Reads what a training was scored as.
///
/// # Errors
/// Names the file, and what to do where it is not there.
pub(crate) fn read(path: &Path) -> Result<Measured> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: not scored; run without --skip eval", path.display()))?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use star_predict::Decoded;

    use super::*;
    use crate::variant::Variant;

    /// Everything is worked out in f64 from coordinates in f32.
    const TOLERANCE: f64 = 1e-4;

    /// Predictions that miss every landmark by 2 % of the normalizer along its tangent, with ellipses along the tangent.
    fn along_the_tangent(set: &dyn SyntheticDataset, count: usize, angle: f32) -> Vec<Scored> {
        let (normalizer, _) = normalizer(Subject::Face);
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
        let set = open(SyntheticConfig { count: 3, ..design.test(Subject::Face) }).unwrap();
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

    #[test]
    fn a_training_that_is_not_there_says_which_stage_makes_it() {
        let design = Design::new(false, None, None);
        let job = &design.jobs()[0];
        let dir = tempfile::tempdir().unwrap();
        let message = measure(&design, job, dir.path()).unwrap_err().to_string();
        assert!(message.contains("--skip train"), "{message}");
        let message = read(&dir.path().join("a.json")).unwrap_err().to_string();
        assert!(message.contains("--skip eval"), "{message}");
    }
}
