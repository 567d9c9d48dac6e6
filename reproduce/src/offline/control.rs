//! Is the gain of STAR due to the direction of ambiguity? Against the same loss with one scale for both axes.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;
use star_eval::Interval;

use super::gain::slope;
use super::measure::Measured;
use super::runs::{Runs, mean, over_seeds};
use crate::variant::Variant;

/// Plain, isotropic and STAR on one subject at one strength.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Control {
    pub(crate) subject: Subject,
    pub(crate) strength: f64,
    pub(crate) seeds: u64,
    /// NME, mean over seeds.
    pub(crate) plain: f64,
    pub(crate) isotropic: f64,
    pub(crate) star: f64,
    /// Isotropic - plain, over seeds: what scale and restriction do together.
    pub(crate) scale: Option<Interval>,
    /// STAR - isotropic under each seed: what the direction adds.
    pub(crate) directions: Vec<f64>,
    pub(crate) direction: Option<Interval>,
    /// The same of keypoints that are ambiguous in one direction.
    pub(crate) ambiguous: Option<Interval>,
}

/// Every comparison that the design has a control for.
///
/// # Errors
/// When a training is missing.
pub(crate) fn controls(runs: &Runs<'_>) -> Result<Vec<Control>> {
    let mut found = Vec::new();
    for subject in [Subject::Face, Subject::Hand] {
        let seeds = runs.design.control_seeds_of(subject);
        if seeds > 0 {
            for &strength in runs.design.strengths(subject) {
                found.push(control(runs, subject, strength, seeds)?);
            }
        }
    }
    Ok(found)
}

fn control(runs: &Runs<'_>, subject: Subject, strength: f64, seeds: u64) -> Result<Control> {
    let [plain, star] = runs.pair(subject, strength)?.map(|all| all[..seeds as usize].to_vec());
    let isotropic = runs.seeds(subject, strength, &Variant::isotropic(), seeds)?;
    let apart = |from: &[&Measured], to: &[&Measured], figure: fn(&Measured) -> f64| -> Vec<f64> {
        from.iter().zip(to).map(|(from, to)| figure(to) - figure(from)).collect()
    };
    let nme = |runs: &[&Measured]| mean(runs.iter().map(|run| run.nme));
    let directions = apart(&isotropic, &star, |run| run.nme);
    Ok(Control {
        subject,
        strength,
        seeds,
        plain: nme(&plain),
        isotropic: nme(&isotropic),
        star: nme(&star),
        scale: over_seeds(&apart(&plain, &isotropic, |run| run.nme)),
        direction: over_seeds(&directions),
        ambiguous: over_seeds(&apart(&isotropic, &star, |run| run.ambiguous)),
        directions,
    })
}

/// How the gain due to the direction depends on the strength of ambiguity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ControlDose {
    pub(crate) subject: Subject,
    /// Growth of the gain per unit of strength, fractions of the normalizer; `None` for one seed.
    pub(crate) slope: Option<Interval>,
}

/// Of each subject that has a control at several strengths.
pub(crate) fn control_doses(controls: &[Control]) -> Vec<ControlDose> {
    let dose = |subject: Subject| {
        let of = controls.iter().filter(|control| control.subject == subject);
        let gains: Vec<(f64, Vec<f64>)> =
            of.map(|c| (c.strength, c.directions.iter().map(|d| -d).collect())).collect();
        (gains.len() > 1).then(|| ControlDose { subject, slope: slope(&gains) })
    };
    [Subject::Face, Subject::Hand].into_iter().filter_map(dose).collect()
}
