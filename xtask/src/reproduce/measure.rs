//! Scores of a trained network against the exact truth of the generated faces.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};
use star_cli::cases::Scored;
use star_cli::evaluate;
use star_cli::landmarks::Predictor;
use star_cli::train::metrics::{self, Record};
use star_data::synthetic::SyntheticFaces;
use star_data::{Dataset, Scheme};
use star_eval::{Evaluation, Report, Setting};
use star_model::checkpoint::Folder;

use super::plan::{self, Method};

/// Landmarks of the face's contour in the 98-point scheme: the most ambiguous ones.
const CONTOUR: std::ops::Range<usize> = 0..33;

/// Threshold of failure rate and AUC: the paper's on WFLW.
pub(crate) const THRESHOLD: f64 = 0.10;

/// One training's figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunResult {
    pub(crate) method: Method,
    pub(crate) seed: u64,
    /// Fractions of the inter-ocular distance.
    pub(crate) nme: f64,
    pub(crate) failure_rate: f64,
    pub(crate) auc: f64,
    /// NME of the contour, and of everything else.
    pub(crate) contour: f64,
    pub(crate) rest: f64,
    /// Root mean square error of the contour along its tangent and across it, fractions of the inter-ocular distance.
    pub(crate) along: f64,
    pub(crate) across: f64,
    /// Mean angle between the longer axis of a contour landmark's distribution and the tangent, degrees; 45 is chance.
    pub(crate) axis_angle: f64,
    /// Mean ratio of the larger eigenvalue to the smaller on the contour.
    pub(crate) elongation: f64,
    /// NME of every test face, fractions.
    pub(crate) per_face: Vec<f64>,
    /// `(step, mean total loss)` and `(step, validation NME)` of every epoch.
    pub(crate) loss_curve: Vec<(f64, f64)>,
    pub(crate) validation_curve: Vec<(f64, f64)>,
    /// Seconds of training.
    pub(crate) seconds: f64,
}

/// Scores `dir/best` on the test faces.
pub(crate) fn measure(method: Method, seed: u64, dir: &Path) -> Result<RunResult> {
    let folder = Folder::load(&dir.join("best"))?;
    let predictor = Predictor::new(folder.model(DType::F32, &Device::Cpu)?, DType::F32, &Device::Cpu);
    let faces = Arc::new(SyntheticFaces::new(plan::test_faces())?);
    let scored = evaluate::run_over(&predictor, faces.clone(), 32, |_| ())?;
    let report = report(&scored, faces.scheme())?;
    let figures = report.thresholds.first().context("the report has no threshold")?;
    let per_face = report.per_image.iter().map(|face| face.nme_fraction.unwrap_or(f64::INFINITY)).collect();
    let mean = |wanted: &dyn Fn(usize) -> bool| {
        let errors = report.keypoint_error_fractions.iter().enumerate().filter(|(k, _)| wanted(*k));
        let errors: Vec<f64> = errors.filter_map(|(_, error)| *error).collect();
        errors.iter().sum::<f64>() / errors.len() as f64
    };
    let direction = Direction::of(&scored, &faces)?;
    let mut result = RunResult {
        method,
        seed,
        nme: report.nme_mean_fraction.context("a test face has no prediction")?,
        failure_rate: figures.failure_rate_fraction,
        auc: figures.auc,
        contour: mean(&|k| CONTOUR.contains(&k)),
        rest: mean(&|k| !CONTOUR.contains(&k)),
        along: direction.along,
        across: direction.across,
        axis_angle: direction.axis_angle,
        elongation: direction.elongation,
        per_face,
        loss_curve: Vec::new(),
        validation_curve: Vec::new(),
        seconds: 0.0,
    };
    for record in metrics::read(&dir.join("metrics.jsonl"))? {
        if let Record::Epoch(epoch) = record {
            let step = epoch.step as f64;
            result.loss_curve.push((step, epoch.terms.get("total").copied().unwrap_or(f64::NAN)));
            result.validation_curve.push((step, 100.0 * epoch.validation_nme_ema.unwrap_or(f64::NAN)));
            result.seconds = epoch.seconds;
        }
    }
    Ok(result)
}

fn report(scored: &[Scored], scheme: &Scheme) -> Result<Report> {
    let (ruler, ruler_name) = star_cli::plan::ruler(scheme, None)?;
    let mut evaluation = Evaluation::new(Setting {
        dataset: "synthetic faces".to_string(),
        subset: "test, exact truth".to_string(),
        ruler_name: ruler_name.to_string(),
        ruler,
        thresholds: vec![THRESHOLD],
        groups: star_cli::plan::groups(scheme),
        notes: Vec::new(),
    })?;
    for face in scored {
        evaluation.add(format!("face {}", face.index), Some(&face.landmarks.points), &face.truth, None)?;
    }
    Ok(evaluation.report()?)
}

/// Errors and distributions of the contour against its tangent.
struct Direction {
    along: f64,
    across: f64,
    axis_angle: f64,
    elongation: f64,
}

impl Direction {
    fn of(scored: &[Scored], faces: &SyntheticFaces) -> Result<Self> {
        let (ruler, _) = star_cli::plan::ruler(faces.scheme(), None)?;
        let (mut along, mut across, mut angles, mut ratios, mut count) = (0.0, 0.0, 0.0, 0.0, 0usize);
        for face in scored {
            let length = ruler.length(&face.truth)?;
            let tangents = faces.tangent(face.index);
            for k in CONTOUR {
                let (t, p, q) = (tangents[k].map(f64::from), face.landmarks.points[k], face.truth[k]);
                let e = [f64::from(p[0] - q[0]) / length, f64::from(p[1] - q[1]) / length];
                along += (e[0] * t[0] + e[1] * t[1]).powi(2);
                across += (e[0] * t[1] - e[1] * t[0]).powi(2);
                let ellipse = face.landmarks.ellipses[k];
                let (sin, cos) = f64::from(ellipse.angle).to_radians().sin_cos();
                let cosine = (cos * t[0] + sin * t[1]).abs().min(1.0);
                angles += cosine.acos().to_degrees();
                // A distribution of one pixel has no width to divide by.
                ratios += (f64::from(ellipse.major) / f64::from(ellipse.minor).max(1e-3)).powi(2);
                count += 1;
            }
        }
        if count == 0 {
            bail!("there is no test face");
        }
        let mean = |sum: f64| sum / count as f64;
        Ok(Self {
            along: mean(along).sqrt(),
            across: mean(across).sqrt(),
            axis_angle: mean(angles),
            elongation: mean(ratios),
        })
    }
}
