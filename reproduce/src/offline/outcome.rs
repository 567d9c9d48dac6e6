//! Everything that an offline run found, for machines: what the report, the Markdown and the front page are made of.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;

use super::ablation::{AblationResult, ablation};
use super::control::{Control, ControlDose, control_doses, controls};
use super::design::{Design, REALISTIC};
use super::direction::{Direction, direction};
use super::gain::{Dose, Gain, correct, dose, gain};
use super::measure::Measured;
use super::restriction::{Restrictions, restrictions};
use super::runs::{Runs, mean, means};
use super::stability::{Rerun, Stability, reruns, stability};
use crate::variant::Variant;

/// The whole outcome. Lengths are fractions of the normalizer; nothing in it depends on how long anything took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) profile: String,
    /// What was trained: of an unfinished run the seeds that are complete.
    pub(crate) design: Design,
    /// Trainings that are done, of those planned.
    pub(crate) trainings: [usize; 2],
    /// Face by strength, then hand by strength.
    pub(crate) gains: Vec<Gain>,
    pub(crate) doses: Vec<Dose>,
    /// Empty where the design has none.
    pub(crate) controls: Vec<Control>,
    pub(crate) control_doses: Vec<ControlDose>,
    pub(crate) stability: Vec<Stability>,
    pub(crate) reruns: Option<Rerun>,
    pub(crate) directions: Vec<Direction>,
    pub(crate) restrictions: Restrictions,
    pub(crate) ablations: Vec<AblationResult>,
    /// Tables of ablations that a training is missing for, with the first that is.
    pub(crate) left_out: Vec<String>,
    pub(crate) figures: Vec<Figures>,
    pub(crate) runs: Vec<RunRow>,
}

/// One training's figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunRow {
    pub(crate) id: String,
    pub(crate) nme: f64,
    pub(crate) failure_rate: f64,
    pub(crate) auc: f64,
    pub(crate) ambiguous: f64,
    pub(crate) others: f64,
    pub(crate) along: f64,
    pub(crate) across: f64,
    pub(crate) angle: f64,
    pub(crate) ratio: f64,
}

/// The paper's kinds of figures that are not covered by the answers, faces at the realistic strength, means over seeds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) variant: String,
    /// Kind 1: mean eigenvalue ratio of each keypoint.
    pub(crate) keypoint_ratios: Vec<f64>,
    /// Mean error of each keypoint.
    pub(crate) keypoint_errors: Vec<f64>,
    /// Kind 3: mean eigenvalue ratio and number of easy (NME below 3 %) and of hard images (above 8 %), over all seeds.
    pub(crate) easy: (Option<f64>, usize),
    pub(crate) hard: (Option<f64>, usize),
    /// For cumulative curves: NME of each image, mean over seeds.
    pub(crate) per_image: Vec<f64>,
}

impl Outcome {
    /// Answers every question from the measured trainings.
    ///
    /// # Errors
    /// When a training of the comparison or of the restrictions is missing; tables of ablations may be.
    pub(crate) fn new(design: &Design, measured: &[Measured]) -> Result<Self> {
        let runs = Runs::new(design, measured);
        let subjects = [Subject::Face, Subject::Hand];
        let cells: Vec<(Subject, f64)> = subjects
            .iter()
            .flat_map(|s| design.strengths(*s).iter().map(|strength| (*s, *strength)))
            .collect();
        let (mut gains, mut spreads, mut directions) = (Vec::new(), Vec::new(), Vec::new());
        for &(subject, strength) in &cells {
            gains.push(gain(&runs, subject, strength)?);
            spreads.extend(stability(&runs, subject, strength)?);
            directions.push(direction(&runs, subject, strength)?);
        }
        correct(&mut gains);
        let controls = controls(&runs)?;
        let doses =
            [Subject::Face, Subject::Hand].iter().filter_map(|subject| dose(&gains, *subject)).collect();
        let figures = [Variant::plain(), Variant::star()];
        let (mut ablations, mut left_out) = (Vec::new(), Vec::new());
        for planned in &design.ablations {
            match ablation(&runs, planned) {
                Ok(table) => ablations.push(table),
                Err(error) => {
                    left_out.push(format!("{}, strength {}: {error}", planned.table.title, planned.strength))
                }
            }
        }
        Ok(Self {
            profile: "offline".to_string(),
            design: design.clone(),
            trainings: [measured.len(); 2],
            gains,
            doses,
            control_doses: control_doses(&controls),
            controls,
            stability: spreads,
            reruns: reruns(&runs)?,
            directions,
            restrictions: restrictions(&runs)?,
            ablations,
            left_out,
            figures: figures.iter().map(|v| kinds(&runs, v)).collect::<Result<_>>()?,
            runs: measured.iter().map(row).collect(),
        })
    }
}

fn row(run: &Measured) -> RunRow {
    RunRow {
        id: run.job.id(),
        nme: run.nme,
        failure_rate: run.failure_rate,
        auc: run.auc,
        ambiguous: run.ambiguous,
        others: run.others,
        along: run.along,
        across: run.across,
        angle: run.angle,
        ratio: run.ratio,
    }
}

fn kinds(runs: &Runs<'_>, variant: &Variant) -> Result<Figures> {
    let of = runs.seeds(Subject::Face, REALISTIC, variant, runs.design.seeds)?;
    let images = || of.iter().flat_map(|run| run.per_image.iter().zip(&run.image_ratios));
    let ratio = |wanted: &dyn Fn(f64) -> bool| {
        let chosen: Vec<f64> = images().filter(|(nme, _)| wanted(**nme)).map(|(_, ratio)| *ratio).collect();
        ((!chosen.is_empty()).then(|| mean(chosen.iter().copied())), chosen.len())
    };
    Ok(Figures {
        variant: variant.name.clone(),
        keypoint_ratios: means(of.iter().map(|run| &run.keypoint_ratios)),
        keypoint_errors: means(of.iter().map(|run| &run.keypoint_errors)),
        easy: ratio(&|nme| nme < 0.03),
        hard: ratio(&|nme| nme > 0.08),
        per_image: means(of.iter().map(|run| &run.per_image)),
    })
}
